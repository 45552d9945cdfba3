//! What is not to be read by accident.

use std::fmt;
use std::sync::Arc;

/// A password, a token, or a private key. It has no text form: a log that prints what holds it shows that there is one, and
/// not what it is.
#[derive(uniffi::Object)]
pub struct Secret(Vec<u8>);

#[uniffi::export]
impl Secret {
    /// Of bytes.
    #[uniffi::constructor]
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self(bytes))
    }

    /// Of text, as UTF-8.
    #[uniffi::constructor]
    #[must_use]
    pub fn of_text(text: String) -> Arc<Self> {
        Self::new(text.into_bytes())
    }
}

impl Secret {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}
