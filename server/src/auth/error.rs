//! Why somebody is not let in.

use axum::http::StatusCode;

use crate::control;
use crate::error::ApiError;

/// Credentials that do not hold, or could not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// There are no credentials.
    #[error("no credentials: send `Authorization: Bearer <token>` or `X-API-Key: avk_…`")]
    Missing,
    /// They are not ours, have expired, or were ended. One text for all, so that nobody learns which.
    #[error("these credentials are not valid, or not any more")]
    Invalid,
    /// Wrong address, password or code. One text for all.
    #[error("wrong e-mail address, password or code")]
    Wrong,
    /// What could hand over the account wants a person's token.
    #[error("an API key is not enough for this; log in")]
    WantsToken,
    /// The key or client lacks a scope.
    #[error("this credential lacks the scope `{0}`")]
    WantsScope(&'static str),
    /// Another system's token is good for FHIR alone.
    #[error("the token of a client is not good for this; it is for what its scopes name below /fhir/R4")]
    Elsewhere,
    /// Too many passwords wait to be hashed.
    #[error("too many people are logging in; try again in a moment")]
    Busy,
    /// The control database refused.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The end of a grant could not be written down for its doctor.
    #[error(transparent)]
    Announce(#[from] crate::webhooks::outbox::Error),
    /// The operating system has no randomness to give.
    #[error("no randomness from the operating system")]
    Random(#[from] rand::rngs::SysError),
    /// Argon2 refused its parameters or a stored hash.
    #[error("password hash: {0}")]
    Hash(argon2::password_hash::Error),
    /// A token could not be signed.
    #[error("sign a token")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// A task of ours ended early: the server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing | AuthError::Invalid | AuthError::Wrong => Self::unauthorized(error.to_string()),
            AuthError::WantsToken | AuthError::WantsScope(_) | AuthError::Elsewhere => {
                Self::forbidden(error.to_string())
            }
            AuthError::Busy | AuthError::Stopping => Self::overloaded(error.to_string()),
            AuthError::Control(error) => error.into(),
            AuthError::Announce(error) => error.into(),
            AuthError::Random(_) | AuthError::Hash(_) | AuthError::Sign(_) => Self::internal(error),
        }
    }
}

impl From<control::Error> for ApiError {
    fn from(error: control::Error) -> Self {
        match error.kind() {
            control::ErrorKind::Conflict | control::ErrorKind::Limit => Self::conflict(error.to_string()),
            control::ErrorKind::Busy => Self::overloaded("the server is busy; try again in a moment").because(&error),
            control::ErrorKind::Full => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "the server's disk is full; nothing was stored")
                    .because(&error)
            }
            control::ErrorKind::ReadOnly => {
                Self::unavailable("the server can write nothing at the moment; nothing was stored").because(&error)
            }
            control::ErrorKind::Internal => Self::internal(error),
        }
    }
}
