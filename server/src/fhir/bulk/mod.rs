//! Bulk Data: everything of oneself, or of all patients who let one in, as files of one resource a line.
//!
//! ```text
//! $export ─▶ a row in bulk_jobs ─▶ 202 ─▶ the client looks at its status ─▶ manifest ─▶ files
//!                 │ a thread of low priority takes turns among exports, a patient a turn:
//!                 └▶ who is next (access::export) ─▶ files in the data directory, synced ─▶ rows in bulk_files
//! ```
//!
//! - A file holds one part of one patient. So the end of a grant makes that patient's part unreadable and no other, and
//!   an erasure takes out the files that hold that person's data.
//! - A file without a row is nothing that anybody may read: the row comes last, in the transaction that goes on to the next
//!   patient. A crash loses the patient at hand, who is begun again.
//! - Making files is no read. Each file is answered behind [`crate::access::admit`], which looks at the grant and writes
//!   down that it was read; who asked for the export, by the same client, is who reads it.
//! - Memory is a few pieces, however many points there are; the disk that all files take is bounded.
//!
//! Rows name the data directory that they belong to: a process looks after those of its own alone.

pub mod folder;
pub mod kickoff;
pub mod manifest;
pub mod own;
#[cfg(test)]
mod tests;
mod work;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};

pub use self::folder::Folder;
use self::work::Worker;
use crate::state::AppState;

/// How long files are kept once an export has ended.
pub const KEPT_US: i64 = 24 * 3600 * 1_000_000;

/// Most exports of one person that run at once.
pub const RUNNING_PER_PERSON_MAX: u64 = 2;

/// Most exports of one person that are kept, those that run among them.
pub const KEPT_PER_PERSON_MAX: u64 = 20;

/// Most exports of a server that run at once.
pub const RUNNING_MAX: u64 = 200;

/// What an export's id begins with.
pub const ID_PREFIX: &str = "exp_";

/// By how much `_since` reaches further back, so that nothing is missed that was accepted at that moment and could not be
/// read yet.
pub const SINCE_SLACK_US: i64 = 60 * 1_000_000;

/// What files hold, of one patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Who it is.
    Patient,
    /// Points.
    Points,
    /// Values of check-ins.
    CheckIns,
}

impl Part {
    /// Every part, in the order in which they are written.
    pub const ALL: [Self; 3] = [Self::Patient, Self::Points, Self::CheckIns];

    /// As rows and names of files have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Points => "points",
            Self::CheckIns => "check_ins",
        }
    }

    /// Reads [`Self::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.as_str() == word)
    }

    /// The resource of each line.
    pub fn resource(self) -> crate::auth::Resource {
        match self {
            Self::Patient => crate::auth::Resource::Patient,
            Self::Points | Self::CheckIns => crate::auth::Resource::Observation,
        }
    }
}

/// The exports of a server: where their files are, and the bell of the thread that writes them. `Clone` is a reference
/// count.
#[derive(Debug, Clone)]
pub struct Bulk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: Folder,
    is_stopping: AtomicBool,
    ring: Sender<()>,
    rung: Receiver<()>,
}

impl Bulk {
    /// With its files below a data directory. Touches nothing.
    pub fn new(data_dir: &std::path::Path) -> Self {
        let (ring, rung) = bounded(1);
        let folder = Folder::new(data_dir);
        Self { inner: Arc::new(Inner { folder, is_stopping: AtomicBool::new(false), ring, rung }) }
    }

    /// Where the files are.
    pub fn folder(&self) -> &Folder {
        &self.inner.folder
    }

    /// Tells the thread that there is something to do.
    pub fn wake(&self) {
        // A bell that rings already is heard.
        let _ = self.inner.ring.try_send(());
    }

    fn is_stopping(&self) -> bool {
        self.inner.is_stopping.load(Ordering::Acquire)
    }
}

/// The thread that writes exports, until it is stopped.
#[derive(Debug)]
pub struct Running {
    bulk: Bulk,
    thread: JoinHandle<()>,
}

/// Starts the thread; it goes on with what a crash or a stop has left. Must be called on a runtime.
///
/// # Errors
/// The system has no thread.
pub fn start(state: &AppState) -> std::io::Result<Running> {
    let bulk = state.bulk.clone();
    let mut worker = Worker::new(state.clone());
    let thread = std::thread::Builder::new().name("avycenna-bulk".to_owned());
    let thread = thread.spawn(move || {
        storage::priority::step_back();
        worker.run();
    })?;
    Ok(Running { bulk, thread })
}

impl Running {
    /// Ends the thread at its next piece; the patient at hand is begun again by the next start.
    pub async fn stop(self) {
        self.bulk.inner.is_stopping.store(true, Ordering::Release);
        self.bulk.wake();
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the thread that writes exports ended early");
        }
    }
}
