//! Where tokens come from.

use std::pin::Pin;
use std::time::Duration;

use cloudsignal_core::client::{TokenError, TokenReason};

/// A question for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskToken {
    /// Why it is asked. [`TokenReason::Rejected`] means that a cached token will not do.
    pub reason: TokenReason,
}

/// What a client logs in with, for a while.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub(crate) inner: cloudsignal_core::client::Token,
}

impl Token {
    /// A token that says who it is for, and may last for ever.
    #[must_use]
    pub fn new(password: impl Into<Vec<u8>>) -> Self {
        Self {
            inner: cloudsignal_core::client::Token {
                username: None,
                password: password.into().into(),
                lifetime: None,
            },
        }
    }

    /// The same for this user.
    #[must_use]
    pub fn username(mut self, username: impl Into<Box<str>>) -> Self {
        self.inner.username = Some(username.into());
        self
    }

    /// The same with an end, this long from now: it is renewed before.
    #[must_use]
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.inner.lifetime = Some(lifetime);
        self
    }
}

impl std::fmt::Debug for Token {
    /// Never the token.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(out)
    }
}

/// Gives tokens. It is asked once per need: at the first connection, before a token ends, and once more when the server
/// has refused one.
///
/// Every `Fn(AskToken) -> impl Future<Output = Result<Token, TokenError>>` is one.
pub trait TokenProvider: Send + Sync + 'static {
    /// A token.
    ///
    /// # Errors
    /// [`TokenError::Refused`] closes the client; after [`TokenError::Failed`] it is asked again later.
    fn token(&self, ask: AskToken) -> impl Future<Output = Result<Token, TokenError>> + Send;
}

impl<Ask, Answer> TokenProvider for Ask
where
    Ask: Fn(AskToken) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<Token, TokenError>> + Send,
{
    fn token(&self, ask: AskToken) -> impl Future<Output = Result<Token, TokenError>> + Send {
        self(ask)
    }
}

pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send + 'a>>;

/// The same behind a pointer.
pub(crate) trait AnyProvider: Send + Sync + 'static {
    fn ask(&self, ask: AskToken) -> Answer<'_>;
}

impl<P: TokenProvider> AnyProvider for P {
    fn ask(&self, ask: AskToken) -> Answer<'_> {
        Box::pin(self.token(ask))
    }
}
