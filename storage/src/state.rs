//! What readers and threads share: one immutable state behind one pointer.
//!
//! A writer of the state makes the next one and swaps it in; readers load it once and keep it as long as they like.
//! The lock is held for the swap alone, never over I/O; commits of the manifest have a lock of their own.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use futures::Future;
use object_store::ObjectStore;

use crate::clock::Clock;
use crate::config::StorageConfig;
use crate::ending::Endings;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::manifest::index::Index;
use crate::manifest::store::ManifestStore;
use crate::manifest::{Edit, FileMeta, Version};
use crate::memtable::{Memtable, MemtableView};
use crate::metrics::Metrics;
use crate::names::Names;
use crate::parquet::Footers;
use crate::point::Seq;
use crate::retention::Retention;
use crate::segment::Segment;

/// How the storage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Takes points.
    Writable,
    /// The disk is full: refuses points (507) and tries again by itself.
    Full,
    /// A write or sync failed, or another process took over: no acknowledgement any more; reads go on.
    Poisoned(Arc<str>),
    /// Closed.
    Closed,
}

/// What one thread at a time may do.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) flush: Mutex<()>,
    pub(crate) compact: Mutex<()>,
    pub(crate) erase: Mutex<()>,
    pub(crate) delete: Mutex<()>,
}

/// A memtable that takes no more points, on its way to level 0.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    /// Number of the seal, to find it again.
    pub(crate) id: u64,
    /// The memtable, complete.
    pub(crate) memtable: Arc<Memtable>,
    /// All of its points.
    pub(crate) view: MemtableView,
    /// The same points, sorted, once the flush has built them; then readers use these.
    pub(crate) segments: Option<Arc<[Segment]>>,
}

impl Sealed {
    /// Seq of its last point.
    pub(crate) fn last_seq(&self) -> Seq {
        self.view.visible()
    }
}

/// What exists at one moment.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The live files and deletions.
    pub(crate) version: Arc<Version>,
    /// The files of the version, to be found by.
    pub(crate) index: Arc<Index>,
    /// Sealed memtables, oldest first.
    pub(crate) sealed: Vec<Sealed>,
    /// The memtable that grows.
    pub(crate) active: Arc<Memtable>,
}

/// Everything that the threads of one open storage share.
pub(crate) struct Shared {
    pub(crate) config: StorageConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) manifest: ManifestStore,
    pub(crate) footers: Arc<Footers>,
    pub(crate) names: Names,
    pub(crate) metrics: Metrics,
    pub(crate) retention: Mutex<Retention>,
    /// Who was erased.
    pub(crate) ledger: Ledger,
    /// Which reads have ended because of it.
    pub(crate) endings: Endings,
    /// Whether a person's last tombstone went, and leftovers that name them are to be looked for.
    pub(crate) sweep_due: AtomicBool,
    pub(crate) next_file_id: AtomicU64,
    /// Bytes of batches queued for the log.
    pub(crate) queue_bytes: AtomicUsize,
    /// Bytes of points that are not in Parquet yet.
    pub(crate) memtable_bytes: AtomicUsize,
    state: ArcSwap<State>,
    swap: Mutex<()>,
    commit: Mutex<()>,
    health: ArcSwap<Health>,
    stopping: Arc<AtomicBool>,
    runtime: Mutex<Option<Arc<tokio::runtime::Runtime>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).field("health", &self.health()).finish_non_exhaustive()
    }
}

/// What [`Shared::new`] takes.
pub(crate) struct Parts {
    pub(crate) config: StorageConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) manifest: ManifestStore,
    pub(crate) names: Names,
    pub(crate) ledger: Ledger,
    pub(crate) version: Arc<Version>,
    pub(crate) runtime: Arc<tokio::runtime::Runtime>,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let next_file_id = parts.version.next_file_id.max(1);
        let shared = Self {
            footers: Arc::new(Footers::new(parts.config.footer_cache_bytes)),
            config: parts.config,
            clock: parts.clock,
            objects: parts.objects,
            manifest: parts.manifest,
            names: parts.names,
            metrics: Metrics::default(),
            retention: Mutex::new(Retention::default()),
            ledger: parts.ledger,
            endings: Endings::default(),
            sweep_due: AtomicBool::new(false),
            next_file_id: AtomicU64::new(next_file_id),
            queue_bytes: AtomicUsize::new(0),
            memtable_bytes: AtomicUsize::new(0),
            state: ArcSwap::from_pointee(State {
                version: Arc::clone(&parts.version),
                index: Arc::new(Index::of(&parts.version)),
                sealed: Vec::new(),
                active: Arc::new(Memtable::new()),
            }),
            swap: Mutex::new(()),
            commit: Mutex::new(()),
            health: ArcSwap::from_pointee(Health::Writable),
            stopping: Arc::new(AtomicBool::new(false)),
            runtime: Mutex::new(Some(parts.runtime)),
        };
        shared.gauge(&parts.version);
        shared
    }

    /// The state now.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Swaps in what `next` makes of the state.
    pub(crate) fn update(&self, next: impl FnOnce(&State) -> State) {
        let _swap = self.swap.lock().unwrap_or_else(PoisonError::into_inner);
        let state = next(&self.state.load());
        self.state.store(Arc::new(state));
    }

    pub(crate) fn health(&self) -> Health {
        Health::clone(&self.health.load())
    }

    /// Sets the health; poison stays.
    pub(crate) fn set_health(&self, health: Health) {
        let _swap = self.swap.lock().unwrap_or_else(PoisonError::into_inner);
        match &**self.health.load() {
            Health::Poisoned(_) if health != Health::Closed => {}
            Health::Closed => {}
            _ => self.health.store(Arc::new(health)),
        }
    }

    /// Stops all writing for good, because of `error`.
    pub(crate) fn poison(&self, error: &Error) {
        if matches!(self.health(), Health::Poisoned(_) | Health::Closed) {
            return;
        }
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(source) = cause {
            reason = format!("{reason}: {source}");
            cause = source.source();
        }
        tracing::error!(reason, "the log is poisoned: no point is acknowledged until a restart");
        self.set_health(Health::Poisoned(reason.into()));
    }

    /// The error that stands for the health, if it is not well.
    pub(crate) fn refusal(&self) -> Option<Error> {
        match self.health() {
            Health::Poisoned(reason) => Some(Error::Poisoned { reason }),
            Health::Closed => Some(Error::Closed),
            Health::Writable | Health::Full => None,
        }
    }

    /// Tells long work to end soon.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether long work should end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The flag behind [`Self::is_stopping`], for work that outlives a borrow.
    pub(crate) fn stopping(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stopping)
    }

    /// Runs object-store work to its end on this thread. Never called on an async worker.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(Error::Closed),
        }
    }

    /// Number of a new file.
    pub(crate) fn file_id(&self) -> u64 {
        self.next_file_id.fetch_add(1, Ordering::SeqCst)
    }

    /// Commits what `edit` makes of the newest version, durable when it returns, and swaps it in together with what
    /// `also` changes in the state. `edit` may answer `None`: nothing to commit any more.
    ///
    /// # Errors
    /// [`Error::Fenced`] (and poison) if another process committed; I/O.
    pub(crate) fn commit(
        &self,
        edit: impl FnOnce(&Version) -> Option<Edit>,
        also: impl FnOnce(&mut State),
    ) -> Result<Option<Arc<Version>>> {
        let _commit = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        let old = Arc::clone(&self.state.load().version);
        let Some(mut edit) = edit(&old) else { return Ok(None) };
        edit.next_file_id = Some(self.next_file_id.load(Ordering::SeqCst));
        let removed: Vec<FileMeta> = old.files.iter().filter(|file| edit.remove.contains(&file.id)).cloned().collect();
        let version = Arc::new(old.apply(&edit)?);
        if let Err(error) = self.block_on(self.manifest.commit(&version)) {
            // A put that failed may still have become durable: what is on the disk is unknown, so nothing more may be
            // committed on top of the old version, unless the disk was merely full.
            if !matches!(error, Error::Full { .. }) {
                self.poison(&error);
            }
            return Err(error);
        }
        let index = Arc::new(Index::of(&version));
        self.update(|state| {
            let mut next = state.clone();
            next.version = Arc::clone(&version);
            next.index = Arc::clone(&index);
            also(&mut next);
            next
        });
        self.gauge(&version);
        let mut retention = self.retention.lock().unwrap_or_else(PoisonError::into_inner);
        retention.retire(&old, removed, self.clock.elapsed());
        Ok(Some(version))
    }

    fn gauge(&self, version: &Version) {
        self.metrics.files.set(version.files.len() as u64);
        self.metrics.file_bytes.set(version.files.iter().map(|file| file.bytes).sum());
        self.metrics.tombstones.set(version.tombstones.len() as u64);
        self.metrics.manifest_version.set(version.number);
    }

    /// Ends the runtime; called once, at close, from any context.
    pub(crate) fn end_runtime(&self) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime.and_then(Arc::into_inner) {
            runtime.shutdown_background();
        }
    }
}
