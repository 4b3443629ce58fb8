//! An answer that was allowed when it began, and whose grant may end before it does.
//!
//! Points are read behind the transaction that let the read in, so the grant is read again once they are there, before
//! anything leaves: [`Standing::behind`]. An answer that is there as a whole then leaves as a whole. One that is streamed is looked after: the grant is read again
//! every [`LOOK_EVERY`], and once it no longer allows the read, or cannot be read, the connection breaks off in the middle,
//! so that nobody takes a part for the whole.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::response::Response;
use futures::{Stream, TryStreamExt as _, stream};

use super::{AccessError, Permission, Permissions, Visitor, is_active};
use crate::control::Control;
use crate::control::repository::grants;
use crate::error::ApiError;

/// Longest time that pieces leave without a look at the grant.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What lets an answer go on.
#[derive(Debug, Clone)]
pub struct Standing {
    control: Control,
    doctor_id: String,
    patient_id: String,
    permissions: &'static [Permission],
}

/// Why a streamed answer broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("read on")]
    Body(#[from] axum::Error),
}

impl Standing {
    /// That `visitor` may go on reading of a patient while a grant allows one of `permissions`.
    pub fn new(control: &Control, visitor: &Visitor, patient_id: &str, permissions: &'static [Permission]) -> Self {
        let doctor_id = visitor.principal.user.as_str().to_owned();
        Self { control: control.clone(), doctor_id, patient_id: patient_id.to_owned(), permissions }
    }

    /// What `read` finds, if the grant still allows it then. Without this, a read that was let in and then took long would
    /// be answered behind the answer to a revocation.
    ///
    /// # Errors
    /// That of `read`; [`AccessError::Denied`], [`AccessError::Control`].
    pub async fn behind<T, E: Into<ApiError>>(&self, read: impl Future<Output = Result<T, E>>) -> Result<T, ApiError> {
        let found = read.await.map_err(Into::into)?;
        self.look().await?;
        Ok(found)
    }

    /// The answer, which breaks off once the grant has ended.
    pub fn guard(self, response: Response) -> Response {
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        response.map(|body| {
            let pieces = self.watched(body.into_data_stream());
            Body::from_stream(pieces.inspect_err(|error| tracing::info!(%error, "an answer to a doctor broke off")))
        })
    }

    fn watched(
        self,
        pieces: impl Stream<Item = Result<Bytes, axum::Error>>,
    ) -> impl Stream<Item = Result<Bytes, Broken>> {
        let began = self.control.clock().elapsed();
        stream::try_unfold((self, Box::pin(pieces), began), async |(standing, mut pieces, looked)| {
            let Some(piece) = pieces.try_next().await? else { return Ok(None) };
            let now = standing.control.clock().elapsed();
            let is_due = now.saturating_sub(looked) >= LOOK_EVERY;
            if is_due {
                standing.look().await?;
            }
            Ok(Some((piece, (standing, pieces, if is_due { now } else { looked }))))
        })
    }

    async fn look(&self) -> Result<(), AccessError> {
        let found = grants::between(self.control.read(), &self.doctor_id, &self.patient_id).await?;
        let now_us = self.control.now_us();
        let grant = found.filter(|grant| is_active(&grant.status, now_us, grant.expires_at));
        let allowed = grant.map_or(Permissions::NONE, |grant| Permissions::stored(&grant.permissions));
        let is_allowed = self.permissions.iter().any(|permission| allowed.allow(*permission));
        if is_allowed { Ok(()) } else { Err(AccessError::Denied) }
    }
}
