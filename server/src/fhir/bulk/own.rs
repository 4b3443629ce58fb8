//! A file of one's own on its way: it breaks off when that by which it is read is ended, as another's does when the grant
//! is.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::{Stream, TryStreamExt as _, stream};
use storage::Clock;

use crate::auth::{Auth, AuthError, Principal};

/// Longest time that pieces leave without a look at the credential.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a file broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the credential was ended")]
    Ended,
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("read on")]
    Body(#[from] axum::Error),
}

/// Looks after an answer.
pub struct Guard {
    auth: Auth,
    clock: Arc<dyn Clock>,
    principal: Principal,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl Guard {
    /// For what `principal` reads.
    pub fn new(auth: Auth, clock: Arc<dyn Clock>, principal: Principal) -> Self {
        Self { auth, clock, principal }
    }

    /// The answer, which breaks off in the middle once the credential is ended, so that nobody takes a part for the whole.
    pub fn guard(self, response: Response) -> Response {
        response.map(|body| {
            let pieces = self.watched(body.into_data_stream());
            Body::from_stream(pieces.inspect_err(|error| tracing::info!(%error, "a file of an export broke off")))
        })
    }

    fn watched(
        self,
        pieces: impl Stream<Item = Result<Bytes, axum::Error>>,
    ) -> impl Stream<Item = Result<Bytes, Broken>> {
        let began = self.clock.elapsed();
        stream::try_unfold((self, Box::pin(pieces), began), async |(guard, mut pieces, looked)| {
            let Some(piece) = pieces.try_next().await? else { return Ok(None) };
            let now = guard.clock.elapsed();
            let is_due = now.saturating_sub(looked) >= LOOK_EVERY;
            if is_due && !guard.auth.stands(&guard.principal).await? {
                return Err(Broken::Ended);
            }
            Ok(Some((piece, (guard, pieces, if is_due { now } else { looked }))))
        })
    }
}
