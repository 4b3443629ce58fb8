//! Long answers: a thread writes them, a client reads them at its own pace.
//!
//! ```text
//! Exports::begin ─▶ Place ─▶ thread of low priority ─▶ Document ─▶ Sink ─▶ a few pieces of 128 KiB ─▶ body
//!                              pages of the control database, batches of the engine
//! ```
//!
//! What it guarantees: memory is bounded, however slow the client and however large the answer; a client that is gone or
//! reads nothing ends the work; a body that did not come to its end breaks the connection, so that nobody takes a part
//! for the whole. Nothing touches the disk.
//!
//! Not here: what an export holds (`crate::routes::export`).

pub(crate) mod document;
pub(crate) mod sink;

use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use storage::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::sink::{Loss, Sink};
use crate::config::Limits;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::{auth, control};

/// Seconds after which a client may ask again for a place.
const RETRY_AFTER_S: u32 = 30;

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// People and what they say.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// Points.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The credential cannot be looked at.
    #[error(transparent)]
    Auth(#[from] auth::AuthError),
    /// The archive cannot be written.
    #[error("write the archive")]
    Archive(#[from] zip::result::ZipError),
    /// A record cannot be written as JSON.
    #[error("write a record")]
    Json(#[from] serde_json::Error),
    /// Nobody takes the bytes.
    #[error(transparent)]
    Sink(#[from] io::Error),
    /// Key, session or account are no more.
    #[error("the credential by which it began was ended")]
    Ended,
}

/// How many exports run, and whose.
#[derive(Debug)]
pub struct Exports {
    places: Arc<Semaphore>,
    places_max: u32,
    people: Mutex<HashSet<UserId>>,
    stall_max: Duration,
}

/// The right to one running export; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    exports: Arc<Exports>,
    user: UserId,
    _permit: OwnedSemaphorePermit,
}

impl Exports {
    /// None runs; limits are those of a configuration.
    pub fn new(limits: &Limits) -> Self {
        let places_max = limits.exports_max;
        let places = usize::try_from(places_max).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            places_max,
            people: Mutex::default(),
            stall_max: Duration::from_secs(limits.export_stall_s),
        }
    }

    /// Takes a place for a person.
    ///
    /// # Errors
    /// 503 if all are taken, or if one of this person's runs already: nobody shall keep the others from theirs.
    pub(crate) fn begin(self: &Arc<Self>, user: UserId) -> Result<Place, ApiError> {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        if people.contains(&user) {
            return Err(ApiError::busy("an export of yours is running; wait for its end", RETRY_AFTER_S));
        }
        let full = |_| ApiError::busy("too many exports are running; try again later", RETRY_AFTER_S);
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        people.insert(user);
        Ok(Place { exports: Arc::clone(self), user, _permit: permit })
    }

    /// Waits until none runs, at most so long.
    pub(crate) async fn ended(&self, patience: Duration) {
        if tokio::time::timeout(patience, self.places.acquire_many(self.places_max)).await.is_err() {
            tracing::warn!("an export was still running");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.exports.people.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.user);
    }
}

impl Place {
    /// Starts a thread that does `work`, and gives the body that it fills. The place is free again before the body ends,
    /// so that who has read it to the end may ask for the next. Must be called on a runtime.
    ///
    /// # Errors
    /// The system's, if it has no thread.
    pub(crate) fn start(
        self,
        metrics: Metrics,
        work: impl FnOnce(Sink) -> Result<Sink, Failure> + Send + 'static,
    ) -> io::Result<Body> {
        let (sink, body) = sink::channel(self.exports.stall_max);
        let loss = sink.loss();
        let thread = std::thread::Builder::new().name("avycenna-export".to_owned());
        thread.spawn(move || {
            storage::priority::step_back();
            metrics.exports.increment(1.0);
            let done = catch_unwind(AssertUnwindSafe(|| work(sink)));
            metrics.exports.decrement(1.0);
            drop(self);
            match done {
                Ok(done) => {
                    if let Err(failure) = done.and_then(|sink| Ok(sink.end()?)) {
                        log(&failure, loss.get().copied());
                    }
                }
                // The panic hook has logged message and place.
                Err(_) => metrics.panics.increment(1),
            }
        })?;
        Ok(body)
    }
}

/// Says once why an export broke off.
fn log(failure: &Failure, loss: Option<Loss>) {
    match (loss, failure) {
        (Some(Loss::Gone), _) => tracing::debug!("the client of an export went away"),
        (Some(Loss::Stalled), _) => tracing::warn!("an export was broken off: its client took nothing for too long"),
        (None, Failure::Ended) => tracing::warn!(reason = %failure, "an export was broken off"),
        (None, failure) => {
            let cause = std::error::Error::source(failure).map(ToString::to_string);
            tracing::error!(error = %failure, cause, "an export broke off");
        }
    }
}

#[cfg(test)]
mod tests;
