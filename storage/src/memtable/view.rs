//! What a reader holds of a memtable: everything up to one seq, in all metrics.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::seal::{UserChunks, append_user};
use super::{Chunk, Memtable};
use crate::error::Result;
use crate::point::{METRICS_MAX, MetricId, Seq, UserId};
use crate::run::{BATCH_ROWS_MAX, Keys, Projection, RunBuilder};
use crate::selection::{Columns, Selection, Users};
use crate::tombstone::Mask;

/// Above this many users the chunks are grouped once instead of looked up one by one.
const LOOKUP_USERS_MAX: usize = 256;

/// A consistent view; does not change while the memtable grows. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct MemtableView {
    memtable: Arc<Memtable>,
    visible: Seq,
}

impl MemtableView {
    pub(super) fn new(memtable: Arc<Memtable>, visible: Seq) -> Self {
        Self { memtable, visible }
    }

    /// The greatest seq in it.
    pub(crate) fn visible(&self) -> Seq {
        self.visible
    }

    /// Reads a selection: sorted, deduplicated, without what the mask covers. Batches of at most
    /// [`BATCH_ROWS_MAX`] rows.
    ///
    /// Cost: for one user the chunks of one bucket; bulk copies where batches came in order of time.
    ///
    /// # Errors
    /// [`crate::Error::Batch`] if the columns do not fit together, which would be a defect.
    pub(crate) fn read(&self, selection: &Selection, columns: Columns, mask: &Mask) -> Result<Vec<RecordBatch>> {
        self.batches(selection, columns, mask.clone()).collect()
    }

    /// As [`Self::read`], one batch at a time: memory is one batch, whatever is selected. Owns what it needs.
    pub(crate) fn batches(&self, selection: &Selection, columns: Columns, mask: Mask) -> Batches {
        let (users, points) = self.users(selection);
        // The mask looks for rows by user, so the builder makes the column even if the reader does not want it.
        let built = if mask.is_empty() { columns } else { Columns { user_id: true, ..columns } };
        let mut builder = RunBuilder::new(built, BATCH_ROWS_MAX);
        builder.expect(points);
        Batches {
            view: self.clone(),
            selection: selection.clone(),
            builder,
            projection: Projection::to(columns),
            ready: Vec::new(),
            users,
            mask,
        }
    }

    /// Inclusive bounds of the times of all chunks that the selection can touch.
    pub(crate) fn time_bounds(&self, selection: &Selection) -> Option<(i64, i64)> {
        let mut bounds: Option<(i64, i64)> = None;
        self.for_each(selection, &mut |_, chunk| {
            let (min, max) = bounds.unwrap_or((chunk.time_min, chunk.time_max));
            bounds = Some((min.min(chunk.time_min), max.max(chunk.time_max)));
        });
        bounds
    }

    /// The metrics that have any points, ascending.
    pub(crate) fn metrics(&self) -> Vec<MetricId> {
        let ids = (0..METRICS_MAX).filter_map(|index| u16::try_from(index).ok().map(MetricId));
        ids.filter(|metric| {
            let first = self.memtable.chunks(*metric).and_then(|chunks| chunks.get(0));
            first.is_some_and(|chunk| self.sees(chunk))
        })
        .collect()
    }

    fn sees(&self, chunk: &Chunk) -> bool {
        chunk.last_seq() <= self.visible
    }

    /// All visible chunks of a metric in order of seq, with their numbers.
    pub(super) fn chunks(&self, metric: MetricId) -> impl Iterator<Item = (u32, &Chunk)> {
        let chunks = self.memtable.chunks(metric);
        let len = chunks.map_or(0, super::Chunks::len);
        (0..len).map_while(move |index| Some((index, chunks?.get(index)?))).take_while(|(_, chunk)| self.sees(chunk))
    }

    pub(super) fn chunk(&self, metric: MetricId, index: u32) -> Option<&Chunk> {
        self.memtable.chunks(metric)?.get(index)
    }

    /// Visible chunks that a selection can touch, users in any order, each user's in any order.
    fn for_each<'a>(&'a self, selection: &Selection, visit: &mut dyn FnMut(u32, &'a Chunk)) {
        let wanted = |chunk: &Chunk| self.sees(chunk) && selection.times.overlaps(chunk.time_min, chunk.time_max);
        let users: &[UserId] = match &selection.users {
            Users::One(user) => std::slice::from_ref(user),
            Users::Sorted(users) if users.len() <= LOOKUP_USERS_MAX => users,
            users => {
                let is_wanted = |user: UserId| match users {
                    Users::Sorted(users) => users.binary_search(&user).is_ok(),
                    _ => true,
                };
                for (index, chunk) in self.chunks(selection.metric) {
                    if wanted(chunk) && is_wanted(chunk.user) {
                        visit(index, chunk);
                    }
                }
                return;
            }
        };
        let Some(chunks) = self.memtable.chunks(selection.metric) else { return };
        for user in users {
            let mut next = chunks.head(*user);
            while let Some(index) = next.checked_sub(1) {
                let Some(chunk) = chunks.get(index) else { break };
                if chunk.user == *user && wanted(chunk) {
                    visit(index, chunk);
                }
                next = chunk.previous;
            }
        }
    }

    /// The chunks that a selection can touch: users descending (so that the next one is popped), numbers ascending;
    /// and the number of points in them.
    fn users(&self, selection: &Selection) -> (Vec<UserChunks>, usize) {
        let mut found: Vec<(UserId, u32)> = Vec::new();
        let mut points = 0;
        self.for_each(selection, &mut |index, chunk| {
            found.push((chunk.user, index));
            points += chunk.len();
        });
        found.sort_unstable();
        let groups = found.chunk_by(|a, b| a.0 == b.0).rev();
        (groups.map(|group| group.iter().map(|(_, index)| *index).collect()).collect(), points)
    }
}

/// The batches of a read, made one at a time.
#[derive(Debug)]
pub(crate) struct Batches {
    view: MemtableView,
    selection: Selection,
    builder: RunBuilder,
    projection: Projection,
    mask: Mask,
    users: Vec<UserChunks>,
    ready: Vec<RecordBatch>,
}

impl Batches {
    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop() {
                return Ok(Some(batch));
            }
            while let Some(batch) = self.builder.next_full() {
                if self.mask.is_empty() {
                    return Ok(Some(batch));
                }
                let keys = Keys::of(&batch)?;
                let alive = self.mask.cut(&keys, std::iter::once(0..batch.num_rows()).collect());
                for rows in alive.into_iter().rev() {
                    self.ready.push(self.projection.slice(&batch, rows)?);
                }
                if let Some(batch) = self.ready.pop() {
                    return Ok(Some(batch));
                }
            }
            let Some(user) = self.users.pop() else {
                if self.builder.len() == 0 {
                    return Ok(None);
                }
                self.builder.close()?;
                continue;
            };
            let metric = self.selection.metric;
            let chunks: Vec<&Chunk> = user.iter().filter_map(|index| self.view.chunk(metric, *index)).collect();
            append_user(&mut self.builder, &chunks, self.selection.times)?;
        }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
