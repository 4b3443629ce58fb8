//! Who is asking, whether they may read or write, and whether they ask too often.

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;

use crate::auth::Principal;
use crate::error::ApiError;
use crate::state::AppState;

/// A principal that may read: a person's token, or a key with the scope `read`.
#[derive(Debug, Clone)]
pub struct Reader(pub Principal);

/// A principal that may write: a person's token, or a key with the scope `write`.
#[derive(Debug, Clone)]
pub struct Writer(pub Principal);

/// A principal that may read and write: what sends data elsewhere wants both.
#[derive(Debug, Clone)]
pub struct ReaderWriter(pub Principal);

impl FromRequestParts<AppState> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        // The whole path: a nested router sees a part of it.
        let path = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(whole)| whole).path();
        let principal = state.auth.authenticate_at(&parts.headers, path).await?;
        state.rates.admit_principal(&principal)?;
        Ok(principal)
    }
}

impl FromRequestParts<AppState> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let principal = Principal::from_request_parts(parts, state).await?;
        principal.require_read()?;
        Ok(Self(principal))
    }
}

impl FromRequestParts<AppState> for Writer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let principal = Principal::from_request_parts(parts, state).await?;
        principal.require_write()?;
        Ok(Self(principal))
    }
}

impl FromRequestParts<AppState> for ReaderWriter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let principal = Principal::from_request_parts(parts, state).await?;
        principal.require_read()?;
        principal.require_write()?;
        Ok(Self(principal))
    }
}
