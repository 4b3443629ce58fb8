//! What other senders push: a document at once, taken as a whole or not at all.

use std::fmt;
use std::sync::Arc;

use engine::import::{Fault, Found, Sink, Stop, garmin, health_auto_export};
use storage::{PointBatch, UserId};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::append::Appender;
use super::intake::Intake;
use super::nights::Telling;
use super::{APPLE_HEALTH, Failure, GARMIN, Imports, Report, job, totals};
use crate::error::ApiError;
use crate::extract::Payload;

/// Documents that are read at once.
const AT_ONCE_MAX: usize = 4;

/// Places for documents.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }
}

/// Who pushes: a maker or an app, and who reads its documents.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pusher {
    /// The source of the totals.
    sender: &'static str,
    read: fn(&[u8], &mut dyn Sink) -> Result<(), Fault>,
}

impl Pusher {
    /// Garmin's Health API.
    pub(crate) const GARMIN: Self = Self { sender: GARMIN, read: garmin::push::read };
    /// The app Health Auto Export.
    pub(crate) const HEALTH_AUTO_EXPORT: Self = Self { sender: APPLE_HEALTH, read: health_auto_export::read };
}

impl Imports {
    /// Takes a document of a person; what was taken is durable and in the totals when this returns.
    ///
    /// # Errors
    /// What the client is told. Of a document that is broken nothing is kept.
    pub(crate) async fn push(&self, user: UserId, pusher: Pusher, body: Payload) -> Result<Report, ApiError> {
        let full = |_| ApiError::overloaded("too many documents at once; try again in a moment");
        let place = Arc::clone(&self.inner.pushes.0).try_acquire_owned().map_err(full)?;
        let (imports, runtime) = (self.clone(), Handle::current());
        let work = tokio::task::spawn_blocking(move || {
            let report = take(&imports, user, pusher, &body, runtime);
            drop(place);
            report
        });
        work.await.map_err(ApiError::internal)?
    }
}

fn take(imports: &Imports, user: UserId, pusher: Pusher, body: &[u8], runtime: Handle) -> Result<Report, ApiError> {
    let person = imports.person(user, pusher.sender, runtime)?;
    let mut document =
        Document { intake: Intake::new(&person.engine, user, Report::default()), ready: Vec::new(), failure: None };
    match (pusher.read)(body, &mut document) {
        Ok(()) => {}
        Err(Fault::Broken { at, what }) => return Err(broken(at, what)),
        Err(Fault::Stopped(stop)) => return Err(document.failure.map_or_else(|| ApiError::internal(stop), Into::into)),
        // No document has parts.
        Err(Fault::Foreign { what } | Fault::Parts { what }) => return Err(broken(0, what)),
        Err(Fault::Io(error)) => return Err(ApiError::internal(error)),
    }
    let Document { mut intake, ready, .. } = document;
    let mut out = Appender::new(person.engine.storage(), None);
    let turn = imports.turn(&person);
    for batch in ready {
        out.send(batch)?;
    }
    if let Some(batch) = intake.rest().map_err(Failure::from)? {
        out.send(batch)?;
    }
    job::keep(&person, &mut intake, &mut out, Telling::Now)?;
    out.drain()?;
    drop(turn);
    totals::settle(imports, &person, &mut intake, &mut out)?;
    Ok(intake.report())
}

fn broken(at: u64, what: String) -> ApiError {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    ApiError::fault(&[engine::Loc::Key("body"), engine::Loc::Index(at)], what, engine::FaultKind::Json)
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Control(error) => error.into(),
            Failure::Engine(error) => error.into(),
            Failure::File(error) => Self::internal(error),
            Failure::Gone => crate::auth::AuthError::Invalid.into(),
            Failure::Halted => Self::unavailable("the server is going down"),
        }
    }
}

/// A document that is being read: nothing is stored before its end.
struct Document {
    intake: Intake,
    ready: Vec<PointBatch>,
    failure: Option<Failure>,
}

impl Sink for Document {
    fn found(&mut self, found: Found<'_>) -> Result<(), Stop> {
        self.intake.found(found);
        match self.intake.ripe() {
            Ok(batch) => {
                self.ready.extend(batch);
                Ok(())
            }
            Err(error) => {
                self.failure = Some(error.into());
                Err(Stop::Asked)
            }
        }
    }

    fn skipped(&mut self, reason: &'static str, example: &dyn fmt::Display) {
        self.intake.skip(reason, example);
    }

    fn reached(&mut self, _bytes: u64) -> Result<(), Stop> {
        Ok(())
    }
}
