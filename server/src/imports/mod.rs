//! Imports: files of watches and phones, read by jobs; and what other senders push.
//!
//! ```text
//! upload ─▶ file in the data directory, row `queued` ─▶ runner ─▶ a thread of low priority ─▶ importer (engine::import)
//!                                                                    │ points ─▶ log, acknowledged
//!                                                                    └ nights, pieces of days ─▶ control database ─▶ totals
//! push ─▶ the same, in one go
//! ```
//!
//! What it guarantees: an import that was answered with 202 is read to its end, whatever crashes in between, unless its
//! owner ends it; then what was read by then is kept, and the report says so. Reading again drops what was acknowledged. The same file again changes nothing. One import of a person
//! and [`RUNNING_MAX`] in all run at once, each as fast as the log acknowledges.
//!
//! Several servers may share a control database: a job is for the server that has the file.
//!
//! Not here: what a file holds (`engine::import`).

mod append;
mod forget;
mod halt;
mod intake;
mod job;
mod keep;
mod nights;
mod packed;
mod person;
pub(crate) mod push;
mod report;
mod runner;
#[cfg(test)]
mod tests;
mod totals;
pub mod upload;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use axum::body::Body;
use axum::http::HeaderMap;
use engine::Engine;
use engine::import::{Fault, Sink, apple, garmin};
use storage::{Clock, UserId};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedMutexGuard};

use self::halt::Halt;
use self::person::Person;
pub use self::report::{Report, Skipped};
pub use self::runner::Running;
pub use self::upload::Uploads;
use crate::auth::random;
use crate::config::Config;
use crate::control::entities::import;
use crate::control::repository::{days, imports};
use crate::control::{self, Control};
use crate::error::ApiError;
use crate::metrics::Metrics;

/// What ids of imports begin with.
pub(crate) const PREFIX: &str = "imp_";

/// Format and sender: Apple Health's export.
pub const APPLE_HEALTH: &str = "apple_health";

/// Format and sender: Garmin's files.
pub const GARMIN: &str = "garmin";

/// Imports that run at once.
pub const RUNNING_MAX: usize = 2;

/// Files that may arrive at once, all people together.
const ARRIVING_MAX: usize = 16;

/// Seconds after which a client may try again to send a file.
const RETRY_AFTER_S: u32 = 30;

/// Reads the files of a maker.
type Read = fn(File, &mut dyn Sink) -> Result<(), Fault>;

/// Who reads what.
#[derive(Debug, Clone, Copy)]
struct Readers {
    apple_health: Read,
    garmin: Read,
}

impl Readers {
    /// The makers' formats.
    const MAKERS: Self = Self { apple_health: apple::read, garmin: garmin::read };

    fn of(&self, format: &str) -> Read {
        if format == APPLE_HEALTH { self.apple_health } else { self.garmin }
    }
}

/// Why an import or a push broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// People, and what days are made of.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// Points.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The file.
    #[error("the file of an import")]
    File(#[from] io::Error),
    /// There is no such person any more.
    #[error("the account is gone")]
    Gone,
    /// It was asked to end.
    #[error("it was asked to end")]
    Halted,
}

/// What requests, jobs and pushes share. `Clone` is a reference count.
#[derive(Debug, Clone)]
pub struct Imports {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    control: Control,
    engine: Arc<Engine>,
    uploads: Arc<Uploads>,
    metrics: Metrics,
    readers: Readers,
    waiting_max: u64,
    memtable_bytes: u64,
    /// Who keeps something of a person's days goes alone.
    turns: Mutex<HashMap<UserId, Weak<tokio::sync::Mutex<()>>>>,
    /// Whose totals are to be made anew without an import.
    unsettled: Mutex<BTreeSet<UserId>>,
    /// A file has arrived, or an import has ended.
    news: Notify,
    /// The server goes down.
    down: Halt,
    pushes: push::Places,
}

impl Imports {
    /// Over the open parts of a server. Nothing runs yet.
    pub fn new(
        control: Control,
        engine: Arc<Engine>,
        config: &Config,
        uploads: Arc<Uploads>,
        metrics: Metrics,
    ) -> Self {
        Self::with_readers(control, engine, config, uploads, metrics, Readers::MAKERS)
    }

    fn with_readers(
        control: Control,
        engine: Arc<Engine>,
        config: &Config,
        uploads: Arc<Uploads>,
        metrics: Metrics,
        readers: Readers,
    ) -> Self {
        // What is above is left for requests.
        let memtable_bytes = config.storage.memtable_bytes_max / 4 * 3;
        let inner = Inner {
            control,
            engine,
            uploads,
            metrics,
            readers,
            waiting_max: u64::from(config.imports.waiting_max),
            memtable_bytes: u64::try_from(memtable_bytes).unwrap_or(u64::MAX),
            turns: Mutex::default(),
            unsettled: Mutex::default(),
            news: Notify::new(),
            down: Halt::default(),
            pushes: push::Places::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Takes a file of a person, sets their priority of sources if there is one, and queues the import.
    ///
    /// # Errors
    /// What the client is told; then nothing is kept.
    pub(crate) async fn take(
        &self,
        user: UserId,
        format: &'static str,
        priority: Option<Vec<String>>,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<import::Model, ApiError> {
        let inner = &self.inner;
        let waiting = imports::count_waiting(inner.control.read(), user.as_str()).await?;
        let id = random::base62(PREFIX, 16).map_err(ApiError::internal)?;
        let halt = Halt::default();
        let mut busy = self.admit(&id, user, &halt, waiting)?;
        let bytes = inner.uploads.take(&id, &halt, headers, &mut body).await?;
        if bytes == 0 {
            return Err(ApiError::fault(&[engine::Loc::Key("body")], "must be a file", engine::FaultKind::Missing));
        }
        if let Some(sources) = priority {
            self.prefer(user, &sources).await?;
        }
        // Given up from here on, it may be queued: then the next start finds out.
        busy.keep();
        let queued = self.queue(&id, user, format, bytes).await;
        if queued.is_err() {
            inner.uploads.remove(&id).map_err(ApiError::internal)?;
        }
        drop(busy);
        inner.news.notify_one();
        queued
    }

    /// A place for a file that arrives.
    fn admit(&self, id: &str, user: UserId, halt: &Halt, waiting: u64) -> Result<upload::Busy<'_>, ApiError> {
        let uploads = &self.inner.uploads;
        if uploads.count_all_busy() >= ARRIVING_MAX + RUNNING_MAX {
            return Err(ApiError::busy("too many files arrive at once; try again later", RETRY_AFTER_S));
        }
        // One of those that wait may run, and then it is counted twice.
        let arriving =
            u64::try_from(uploads.count_busy(user)).unwrap_or(u64::MAX).saturating_sub(u64::from(waiting > 0));
        let count_max = self.inner.waiting_max;
        if waiting.saturating_add(arriving) >= count_max {
            return Err(control::Error::Limit { what: "imports that wait or run", count_max }.into());
        }
        Ok(uploads.arrive(id, user, halt))
    }

    async fn queue(&self, id: &str, user: UserId, format: &str, bytes: u64) -> Result<import::Model, ApiError> {
        let inner = &self.inner;
        let uploads = Arc::clone(&inner.uploads);
        let server = tokio::task::spawn_blocking(move || uploads.server()).await.map_err(ApiError::internal)?;
        let now_us = inner.control.now_us();
        let row = import::Model {
            id: id.to_owned(),
            user_id: user.as_str().to_owned(),
            server: server.map_err(ApiError::internal)?,
            format: format.to_owned(),
            status: imports::QUEUED.to_owned(),
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            bytes_read: 0,
            calls_taken: 0,
            report: Report::default().text(),
            error: None,
            created_at: now_us,
            updated_at: now_us,
        };
        let write = inner.control.write().await?;
        // Erased while the file arrived.
        let person = control::repository::users::hold(write.on(), user.as_str()).await?;
        person.ok_or(crate::auth::AuthError::Invalid)?;
        imports::insert(write.on(), row.clone(), inner.waiting_max).await?;
        write.commit().await?;
        Ok(row)
    }

    /// Ends a person's import, or forgets one that has ended; whether there was one.
    ///
    /// # Errors
    /// [`control::Error`].
    pub(crate) async fn cancel(&self, user: UserId, id: &str) -> control::Result<bool> {
        let inner = &self.inner;
        let write = inner.control.write().await?;
        let is_there = imports::cancel(write.on(), user.as_str(), id, inner.control.now_us()).await?;
        write.commit().await?;
        if is_there {
            inner.uploads.cancel(id);
            inner.news.notify_one();
        }
        Ok(is_there)
    }

    /// Sets whose pieces of days a person prefers, and lets all their totals be made anew by the next import or push.
    ///
    /// # Errors
    /// [`control::Error`].
    async fn prefer(&self, user: UserId, sources: &[String]) -> control::Result<()> {
        let text = serde_json::to_string(sources).unwrap_or_default();
        let control = &self.inner.control;
        if days::priority(control.read(), user.as_str()).await?.unwrap_or_else(|| "[]".to_owned()) == text {
            return Ok(());
        }
        // No month may be settled by the old one behind this.
        let _turn = self.turn_of(user).lock_owned().await;
        let write = control.write().await?;
        days::set_priority(write.on(), user.as_str(), &text).await?;
        days::unsettle(write.on(), user.as_str()).await?;
        write.commit().await
    }

    /// Makes a person's totals anew that are not settled, behind the caller: a crash leaves them to the next import or push.
    pub(crate) fn remake_totals(&self, user: UserId) {
        self.unsettled().insert(user);
        self.inner.news.notify_one();
    }

    fn unsettled(&self) -> MutexGuard<'_, BTreeSet<UserId>> {
        self.inner.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uploads(&self) -> &Uploads {
        &self.inner.uploads
    }

    fn control(&self) -> &Control {
        &self.inner.control
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        self.inner.control.clock()
    }

    fn memtable_bytes(&self) -> u64 {
        self.inner.memtable_bytes
    }

    fn last_halt(&self) -> Halt {
        self.inner.down.clone()
    }

    fn panicked(&self) {
        self.inner.metrics.panics.increment(1);
    }

    /// Looks a person up. Must be called on a thread that may block, with a runtime around it.
    fn person(&self, user: UserId, sender: &'static str, runtime: Handle) -> Result<Person, Failure> {
        Person::find(user, sender, self.inner.control.clone(), Arc::clone(&self.inner.engine), runtime)
    }

    /// Waits for the turn to keep something of a person's days.
    fn turn(&self, person: &Person) -> OwnedMutexGuard<()> {
        self.turn_of(person.user).blocking_lock_owned()
    }

    fn turn_of(&self, user: UserId) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.inner.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        turns.get(&user).and_then(Weak::upgrade).unwrap_or_else(|| {
            let turn = Arc::default();
            turns.insert(user, Arc::downgrade(&turn));
            turn
        })
    }
}
