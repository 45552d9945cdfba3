//! What can be published.

use bytes::Bytes;
use serde::Serialize;

use crate::error::PublishError;

/// What can be published: bytes, text, and with [`Json`] whatever serde can write.
pub trait Payload {
    /// The bytes of it.
    ///
    /// # Errors
    /// [`PublishError::Payload`] when it cannot be written down.
    fn into_bytes(self) -> Result<Bytes, PublishError>;

    /// Whether the bytes are UTF-8 text, and what they are: goes into the payload format and content type of MQTT 5.
    fn content_type(&self) -> Option<&'static str> {
        None
    }
}

/// A payload in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> Payload for Json<T> {
    fn into_bytes(self) -> Result<Bytes, PublishError> {
        let bytes = serde_json::to_vec(&self.0);
        bytes
            .map(Bytes::from)
            .map_err(|error| PublishError::Payload(error.to_string()))
    }

    fn content_type(&self) -> Option<&'static str> {
        Some("application/json")
    }
}

macro_rules! payload {
    ($($shape:ty: $into:expr;)*) => {$(
        impl Payload for $shape {
            fn into_bytes(self) -> Result<Bytes, PublishError> {
                Ok($into(self))
            }
        }
    )*};
}

payload! {
    Bytes: Self::from;
    Vec<u8>: Bytes::from;
    String: Bytes::from;
    &[u8]: Bytes::copy_from_slice;
    &str: |text: &str| Bytes::copy_from_slice(text.as_bytes());
}

impl<const BYTES: usize> Payload for &[u8; BYTES] {
    fn into_bytes(self) -> Result<Bytes, PublishError> {
        Ok(Bytes::copy_from_slice(self))
    }
}
