//! Opening a data directory: lock, manifest, orphans, log.
//!
//! ```text
//! lock ─▶ newest manifest ─▶ claim (one more version: fences an older owner) ─▶ remove leftovers ─▶ replay the log
//!      ─▶ erase again who is in the ledger and still in the data
//! ```
//!
//! Nothing is acknowledged before all of it is done. A crash in the middle leaves what a crash before would have left.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use object_store::ObjectStore;

use crate::config::StorageConfig;
use crate::disk::store::LocalStore;
use crate::erasure;
use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::ledger::Ledger;
use crate::manifest::store::{self, ManifestStore};
use crate::manifest::{Edit, Version};
use crate::names::Names;
use crate::place::Place;
use crate::point::{Accepted, Seq, UserId};
use crate::retention;
use crate::state::{Parts, Shared};
use crate::wal::writer::seal;
use crate::wal::{self, Log, replay};

/// Folder of the log.
pub(crate) const LOG: &str = "log";
/// The lock file: held while a process owns the directory.
pub(crate) const LOCK: &str = "LOCK";

/// A data directory that is ready for its threads.
pub(crate) struct Recovered {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Log,
    pub(crate) lock: Box<dyn Send + Sync>,
    pub(crate) accepted_at_ms: i64,
    pub(crate) next_seal_id: u64,
}

/// The store of Parquet files and manifests of a place.
pub(crate) fn objects(place: &Place) -> Arc<dyn ObjectStore> {
    match &place.objects {
        Some(objects) => Arc::clone(objects),
        None => Arc::new(LocalStore::new(Arc::clone(&place.disk), "")),
    }
}

/// Takes a data directory for this process, until what is returned is dropped. Opening a storage does so by itself: this
/// is for work beside the points that wants no server there.
///
/// # Errors
/// [`Error::Locked`] if another process has it.
pub fn lock(place: &Place) -> Result<Box<dyn Send + Sync>> {
    let path = Path::new(LOCK);
    place.disk.create_dir(Path::new("")).map_err(|error| Error::io("open", Path::new(""), error))?;
    place.disk.lock(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked { path: path.to_path_buf() },
        _ => Error::io("lock", path, error),
    })
}

/// A runtime for the object store's work, driven by whoever waits for it.
pub(crate) fn runtime() -> Result<Arc<tokio::runtime::Runtime>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map(Arc::new)
        .map_err(|error| Error::io("start the runtime for", Path::new(""), error))
}

/// Opens a data directory as far as its threads.
///
/// # Errors
/// As [`crate::Storage::open`].
pub(crate) fn recover(place: &Place, config: StorageConfig, observer: &mut Observer) -> Result<Recovered> {
    let config = config.checked()?;
    let lock = lock(place)?;
    let objects = objects(place);
    let manifest = ManifestStore::new(Arc::clone(&objects));
    let runtime = runtime()?;
    let ledger = Ledger::open(place)?;
    let (version, behind) = runtime.block_on(async {
        let version = claim(place, &*objects, &manifest).await?;
        // A ledger that was lost is put together again from what the manifest still knows.
        for user in erasure::users_of(&version) {
            ledger.add(user)?;
        }
        let behind = erasure::behind(&objects, &version, &ledger).await?;
        Ok::<_, Error>((version, behind))
    })?;
    let names = Names::default();
    for file in &version.files {
        names.intern(&file.metric)?;
    }
    let parts = Parts {
        config,
        clock: Arc::clone(&place.clock),
        objects,
        manifest,
        names,
        ledger,
        version: Arc::new(version),
        runtime,
    };
    let shared = Arc::new(Shared::new(parts));
    let version = Arc::clone(&shared.state().version);
    replay_log(place, shared, &version, behind, lock, observer)
}

/// Takes the newest manifest over and removes what a crash left beside it.
async fn claim(place: &Place, objects: &dyn ObjectStore, manifest: &ManifestStore) -> Result<Version> {
    let old = manifest.latest().await?.unwrap_or_default();
    let claimed = old.apply(&Edit { next_file_id: Some(old.next_file_id.max(1)), ..Edit::default() })?;
    manifest.commit(&claimed).await?;
    manifest.prune(store::KEPT).await?;
    let mut leftovers = retention::remove_orphans(objects, &claimed, &BTreeSet::new()).await?;
    if place.objects.is_none() {
        for folder in [retention::POINTS, store::FOLDER] {
            let swept = LocalStore::new(Arc::clone(&place.disk), folder).sweep();
            leftovers += swept.map_err(|error| Error::io("remove", Path::new(folder), error))?;
        }
    }
    if leftovers > 0 {
        tracing::info!(leftovers, "removed files that no manifest names");
    }
    Ok(claimed)
}

fn replay_log(
    place: &Place,
    shared: Arc<Shared>,
    version: &Version,
    behind: BTreeSet<UserId>,
    lock: Box<dyn Send + Sync>,
    observer: &mut Observer,
) -> Result<Recovered> {
    let log_dir = Path::new(LOG);
    place.disk.create_dir(log_dir).map_err(|error| Error::io("open", log_dir, error))?;
    wal::verify::remove_leftover(&*place.disk, log_dir)?;
    let mut cuts: Vec<Seq> = version.tombstones.iter().map(|tombstone| tombstone.seq).collect();
    cuts.sort_unstable();
    let mut replayed = Replayed {
        shared: &shared,
        cuts,
        observer,
        erased: behind,
        accepted_at_ms: version.accepted_max_ms,
        next_seal_id: 1,
        points: 0,
    };
    let started = shared.clock.elapsed();
    let (tail, _) = replay::replay(
        &*place.disk,
        log_dir,
        version.watermark,
        &mut |key| shared.names.intern(key),
        &mut |accepted| {
            replayed.visit(&accepted);
            Ok(())
        },
    )?;
    replayed.end();
    let Replayed { accepted_at_ms, mut next_seal_id, points, erased, .. } = replayed;
    let spent = shared.clock.elapsed().saturating_sub(started);
    if points > 0 {
        tracing::info!(points, spent_ms = spent.as_millis(), "replayed the log");
    }
    let last_seq = Seq(tail.next_seq.0 - 1);
    let mut log = Log::open(Arc::clone(&place.disk), log_dir, shared.config.log_file_bytes, tail)?;
    // A crash can come between a flush and its trim; without points to flush there would be no other.
    log.trim(version.watermark)?;
    if !shared.ledger.is_empty() {
        if !erased.is_empty() {
            // On its way to the files at once, so that the deletion can become physical there.
            seal(&shared, &mut next_seal_id);
        }
        erasure::catch_up(&shared, &erased, last_seq)?;
        shared.block_on(shared.manifest.forget(|user| shared.ledger.contains(user)))?;
    }
    Ok(Recovered { shared, log, lock, accepted_at_ms, next_seal_id })
}

/// Puts replayed points where they were before: sealed at every deletion's cut, so that it covers what it covered.
struct Replayed<'a> {
    shared: &'a Shared,
    /// Cuts that are still ahead, ascending.
    cuts: Vec<Seq>,
    observer: &'a mut Observer,
    /// People of the ledger who were seen.
    erased: BTreeSet<UserId>,
    accepted_at_ms: i64,
    next_seal_id: u64,
    points: u64,
}

impl Replayed<'_> {
    /// Seals what a deletion at the very end of the log covers: points to come must not mix with it.
    fn end(&mut self) {
        if !self.cuts.is_empty() {
            seal(self.shared, &mut self.next_seal_id);
        }
    }

    fn visit(&mut self, accepted: &Accepted) {
        let passed = self.cuts.partition_point(|cut| *cut < accepted.first_seq);
        let state = self.shared.state();
        if passed > 0 || state.active.bytes() >= self.shared.config.seal_bytes {
            self.cuts.drain(..passed);
            seal(self.shared, &mut self.next_seal_id);
        }
        let state = self.shared.state();
        self.accepted_at_ms = self.accepted_at_ms.max(accepted.accepted_at_ms);
        self.points += accepted.batch.len() as u64;
        let last = Seq(accepted.first_seq.0 + accepted.batch.len() as u64 - 1);
        let bytes_before = state.active.bytes();
        state.active.push(accepted);
        state.active.publish(last);
        self.shared.memtable_bytes.fetch_add(state.active.bytes() - bytes_before, Ordering::AcqRel);
        if self.shared.ledger.contains(accepted.batch.user()) {
            self.erased.insert(accepted.batch.user());
        } else {
            (self.observer)(Event::Accepted(std::slice::from_ref(accepted)));
        }
    }
}
