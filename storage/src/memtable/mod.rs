//! Points that are in the log but not sealed yet: append-only, readable while it grows.
//!
//! Per metric a list of chunks; a chunk is the part of a batch for one metric, by reference. Readers take no lock:
//! chunks live in blocks of [`OnceLock`]s that never move, and become visible all metrics at once when the log thread
//! publishes a seq. One user's chunks are found through a table of bucket heads; each chunk names the one before it
//! in its bucket.
//!
//! ```text
//! metric ─▶ heads  [·][7][·][9]…          hash(user) → newest chunk
//!           chunks  … 5 ◀─ 7      9 …     each → the one before it in the bucket
//! ```

mod seal;
mod view;

pub(crate) use seal::seal;
pub(crate) use view::MemtableView;

use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::point::{Accepted, METRICS_MAX, MetricId, PointBatch, Seq, UserId};

/// Chunks in a block.
const BLOCK_CHUNKS: u32 = 128;
/// Blocks in the first directory; each later one holds twice as many.
const FIRST_DIRECTORY_BLOCKS: u32 = 16;
/// Directories: together they hold more blocks than a `u32` counts chunks.
const DIRECTORIES: usize = 22;
/// Bucket heads per metric.
const BUCKETS: usize = 1_024;

/// The part of a batch for one metric.
#[derive(Debug)]
pub(crate) struct Chunk {
    batch: Arc<PointBatch>,
    user: UserId,
    start: u32,
    end: u32,
    batch_seq: Seq,
    accepted_at_ms: i64,
    time_min: i64,
    time_max: i64,
    /// Whether each time is later than the one before it, so that the rows are sorted and distinct.
    is_ascending: bool,
    /// Number of the chunk before it in its bucket, plus one; 0 for none.
    previous: u32,
}

impl Chunk {
    fn rows(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    fn times(&self) -> &[i64] {
        self.batch.recorded_at().get(self.rows()).unwrap_or_default()
    }

    fn values(&self) -> &[f64] {
        self.batch.value().get(self.rows()).unwrap_or_default()
    }

    fn origins(&self) -> &[u16] {
        self.batch.origin().get(self.rows()).unwrap_or_default()
    }

    fn first_seq(&self) -> Seq {
        Seq(self.batch_seq.0 + u64::from(self.start))
    }

    fn last_seq(&self) -> Seq {
        Seq(self.batch_seq.0 + u64::from(self.end.saturating_sub(1)))
    }
}

type Block = Box<[OnceLock<Chunk>]>;

/// The chunks of one metric.
#[derive(Debug)]
struct Chunks {
    directories: [OnceLock<Box<[OnceLock<Block>]>>; DIRECTORIES],
    heads: Box<[AtomicU32]>,
    len: AtomicU32,
}

impl Chunks {
    fn new() -> Self {
        Self {
            directories: [const { OnceLock::new() }; DIRECTORIES],
            heads: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
            len: AtomicU32::new(0),
        }
    }

    /// Number of chunks, visible or not.
    fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    /// Chunk number `index`. Three loads.
    fn get(&self, index: u32) -> Option<&Chunk> {
        let (directory, block, slot) = place(index);
        self.directories.get(directory)?.get()?.get(block)?.get()?.get(slot)?.get()
    }

    /// Number of the newest chunk of a user's bucket, plus one; [`Chunk::previous`] leads on.
    fn head(&self, user: UserId) -> u32 {
        self.heads.get(bucket(user)).map_or(0, |head| head.load(Ordering::Acquire))
    }

    /// Appends. One writer at a time.
    fn push(&self, mut chunk: Chunk) {
        let index = self.len.load(Ordering::Relaxed);
        let Some(head) = self.heads.get(bucket(chunk.user)) else { return };
        chunk.previous = head.load(Ordering::Relaxed);
        let (directory, block, slot) = place(index);
        let Some(directory_slot) = self.directories.get(directory) else { return };
        let blocks =
            directory_slot.get_or_init(|| (0..FIRST_DIRECTORY_BLOCKS << directory).map(|_| OnceLock::new()).collect());
        let Some(block) = blocks.get(block) else { return };
        let chunks = block.get_or_init(|| (0..BLOCK_CHUNKS).map(|_| OnceLock::new()).collect());
        let Some(slot) = chunks.get(slot) else { return };
        slot.get_or_init(|| chunk);
        head.store(index + 1, Ordering::Release);
        self.len.store(index + 1, Ordering::Release);
    }
}

/// Where a chunk is: directory, block in it, slot in that. Directory `d` holds `16 << d` blocks.
fn place(index: u32) -> (usize, usize, usize) {
    let block = index / BLOCK_CHUNKS + FIRST_DIRECTORY_BLOCKS;
    let directory = block.ilog2() - FIRST_DIRECTORY_BLOCKS.ilog2();
    let block = block - (FIRST_DIRECTORY_BLOCKS << directory);
    (directory as usize, block as usize, (index % BLOCK_CHUNKS) as usize)
}

fn bucket(user: UserId) -> usize {
    // The prefix is the same for all; what differs is in the last eight bytes.
    let [_, _, _, _, id @ ..] = *user.as_bytes();
    let hash = u64::from_le_bytes(id).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    usize::try_from(hash).unwrap_or_default() % BUCKETS
}

/// An append-only table of points in memory.
#[derive(Debug)]
pub(crate) struct Memtable {
    metrics: Box<[OnceLock<Box<Chunks>>]>,
    /// Serializes writers. There is one, the log thread; this keeps a second one harmless.
    writer: Mutex<()>,
    bytes: AtomicUsize,
    points: AtomicU64,
    accepted_max_ms: AtomicI64,
    visible: AtomicU64,
}

impl Default for Memtable {
    fn default() -> Self {
        Self::new()
    }
}

impl Memtable {
    /// An empty one. Allocates 16 KiB; a metric's first point takes some 17 KiB more.
    pub(crate) fn new() -> Self {
        Self {
            metrics: (0..METRICS_MAX).map(|_| OnceLock::new()).collect(),
            writer: Mutex::new(()),
            bytes: AtomicUsize::new(0),
            points: AtomicU64::new(0),
            accepted_max_ms: AtomicI64::new(0),
            visible: AtomicU64::new(0),
        }
    }

    /// Appends a batch, in order of seq. Nobody sees it before [`Self::publish`]. Looks at each time once, copies no
    /// point. Ids of metrics are below [`METRICS_MAX`]: what made them saw to it.
    pub(crate) fn push(&self, accepted: &Accepted) {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = &accepted.batch;
        for part in batch.parts() {
            let Some(metric) = self.metrics.get(part.metric.index()) else {
                debug_assert!(false, "metric id {} is out of range", part.metric.0);
                continue;
            };
            let times = batch.recorded_at().get(part.rows()).unwrap_or_default();
            let (Some(first), Some(rest)) = (times.first(), times.get(1..)) else { continue };
            let (mut time_min, mut time_max, mut is_ascending, mut before) = (*first, *first, true, *first);
            for time in rest {
                is_ascending &= before < *time;
                time_min = time_min.min(*time);
                time_max = time_max.max(*time);
                before = *time;
            }
            metric.get_or_init(|| Box::new(Chunks::new())).push(Chunk {
                batch: Arc::clone(batch),
                user: batch.user(),
                start: part.start,
                end: part.end,
                batch_seq: accepted.first_seq,
                accepted_at_ms: accepted.accepted_at_ms,
                time_min,
                time_max,
                is_ascending,
                previous: 0,
            });
        }
        let points = batch.len() as u64;
        let bytes = batch.heap_bytes() + batch.parts().len() * size_of::<OnceLock<Chunk>>();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.points.fetch_add(points, Ordering::Relaxed);
        self.accepted_max_ms.fetch_max(accepted.accepted_at_ms, Ordering::Relaxed);
    }

    /// Makes everything up to a seq visible, in all metrics at once.
    pub(crate) fn publish(&self, visible_through: Seq) {
        self.visible.fetch_max(visible_through.0, Ordering::Release);
    }

    /// What is visible now.
    pub(crate) fn view(self: &Arc<Self>) -> MemtableView {
        MemtableView::new(Arc::clone(self), Seq(self.visible.load(Ordering::Acquire)))
    }

    /// Memory of the points, visible or not.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Number of points, visible or not.
    pub(crate) fn points(&self) -> u64 {
        self.points.load(Ordering::Relaxed)
    }

    /// Latest acceptance, milliseconds UTC; 0 while there is none.
    pub(crate) fn accepted_max_ms(&self) -> i64 {
        self.accepted_max_ms.load(Ordering::Relaxed)
    }

    fn chunks(&self, metric: MetricId) -> Option<&Chunks> {
        self.metrics.get(metric.index())?.get().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests;
