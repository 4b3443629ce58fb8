//! A consistent view for readers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};

use crate::error::{Error, Result};
use crate::manifest::{FileMeta, Tombstone};
use crate::memtable::MemtableView;
use crate::merge::{Input, columns_needed, merge};
use crate::parquet;
use crate::point::{MetricId, Seq};
use crate::run::Projection;
use crate::selection::{Columns, PointStream, Selection, Users};
use crate::state::{Shared, State};
use crate::tombstone::{self, Mask};

/// Rows of a merged batch.
const BATCH_ROWS: usize = 8_192;
/// Any number of inputs that makes a merge.
const MANY: usize = 2;

/// What existed at one moment: manifest version, segments and memtable. Cheap to clone; pins the files it names.
#[derive(Debug, Clone)]
pub struct Snapshot {
    shared: Arc<Shared>,
    state: Arc<State>,
    view: MemtableView,
    /// When it was taken, by [`crate::Clock::elapsed`].
    taken: Duration,
    /// The last erasure that it knows of.
    erasures: u64,
}

impl Snapshot {
    /// The state of this moment.
    pub(crate) fn take(shared: &Arc<Shared>) -> Self {
        // The erasures first: of one that comes in between, the reads end although they would show nothing.
        let erasures = shared.endings.last();
        let state = shared.state();
        // The view after the state: a memtable that was sealed in between still shows everything up to its end.
        let view = state.active.view();
        Self { shared: Arc::clone(shared), state, view, taken: shared.clock.elapsed(), erasures }
    }

    /// Reads a selection: merged, deduplicated, sorted.
    ///
    /// Cost: opens only what the selection can touch (manifest ranges, then page index, then binary search); one
    /// user's month at rest decodes one or two pages a column. Nothing happens before the first poll.
    pub fn read(&self, selection: Selection, columns: Columns) -> PointStream {
        let snapshot = self.clone();
        stream::once(async move { snapshot.open(&selection, columns) }).try_flatten().boxed()
    }

    /// Inclusive bounds of `recorded_at` of all that the selection can touch, from ranges alone: never narrower than
    /// the truth. `None` if nothing can match.
    pub fn time_bounds(&self, selection: &Selection) -> Option<(i64, i64)> {
        let mut bounds: Option<(i64, i64)> = None;
        let mut widen = |found: Option<(i64, i64)>| {
            if let Some((first, last)) = found {
                let (low, high) = bounds.unwrap_or((first, last));
                bounds = Some((low.min(first), high.max(last)));
            }
        };
        widen(self.view.time_bounds(selection));
        for sealed in &self.state.sealed {
            widen(sealed.view.time_bounds(selection));
        }
        for file in self.files(selection) {
            widen(Some((file.time_min, file.time_max)));
        }
        let (low, high) = bounds?;
        let (low, high) = (low.max(selection.times.start), high.min(selection.times.end.saturating_sub(1)));
        (low <= high).then_some((low, high))
    }

    /// The metrics of which the snapshot has any points.
    pub fn metrics(&self) -> Vec<MetricId> {
        let mut metrics: BTreeSet<MetricId> = self.view.metrics().into_iter().collect();
        for sealed in &self.state.sealed {
            metrics.extend(sealed.view.metrics());
        }
        metrics.extend(self.state.index.metrics().filter_map(|key| self.shared.names.find(key)));
        metrics.into_iter().collect()
    }

    /// The live Parquet files: paths in the object store, with their ranges.
    pub fn live_files(&self) -> &[FileMeta] {
        &self.state.version.files
    }

    /// The files that a selection can touch, newest first.
    fn files(&self, selection: &Selection) -> Vec<Arc<FileMeta>> {
        let key = self.shared.names.key(selection.metric).unwrap_or_default();
        self.state.index.select(&key, &selection.users, selection.times)
    }

    /// Opens every place that the selection can touch, newest first, and merges them.
    fn open(&self, selection: &Selection, columns: Columns) -> Result<PointStream> {
        self.check(&selection.users)?;
        let key = self.shared.names.key(selection.metric).unwrap_or_default();
        let mut files = self.files(selection);
        let tombstones = self.tombstones(&selection.users);
        let memory = self.memory(selection, &key, columns_needed(columns, MANY), &tombstones)?;
        let merged = if memory.is_empty() && are_disjoint(&files, selection) {
            // One user's months, one after the other: nothing can displace anything.
            files.sort_by_key(|file| file.time_min);
            let streams: Vec<PointStream> =
                files.into_iter().map(|file| self.open_file(file, selection, columns, &tombstones)).collect();
            stream::iter(streams).flatten().boxed()
        } else {
            let needed = columns_needed(columns, memory.len() + files.len());
            let mut inputs: Vec<Input> = Vec::with_capacity(memory.len() + files.len());
            for batches in memory {
                inputs.push(project(&batches, needed)?.into());
            }
            let open = |file| Input::from(self.open_file(file, selection, needed, &tombstones));
            inputs.extend(files.into_iter().map(open));
            merge(inputs, columns, BATCH_ROWS)
        };
        let (snapshot, users) = (self.clone(), selection.users.clone());
        Ok(merged.map(move |batch| snapshot.check(&users).and(batch)).boxed())
    }

    /// The deletions of users' points: looked for once, so that each file is compared with those few alone.
    fn tombstones(&self, users: &Users) -> Vec<&Tombstone> {
        let is_of_them = |tombstone: &&Tombstone| users.overlaps(tombstone.scope.user(), tombstone.scope.user());
        self.state.version.tombstones.iter().filter(is_of_them).collect()
    }

    /// What is in memory, newest first, without what is deleted.
    fn memory(
        &self,
        selection: &Selection,
        key: &str,
        columns: Columns,
        tombstones: &[&Tombstone],
    ) -> Result<Vec<Vec<RecordBatch>>> {
        let mut runs = Vec::new();
        // A deletion cuts, so no range tombstone reaches the memtable that came after it.
        let mask = tombstone::applicable(tombstones.iter().copied(), key, Seq(u64::MAX));
        runs.push(self.view.read(selection, columns, &mask)?);
        for sealed in self.state.sealed.iter().rev() {
            let mask = tombstone::applicable(tombstones.iter().copied(), key, sealed.last_seq());
            match &sealed.segments {
                None => runs.push(sealed.view.read(selection, columns, &mask)?),
                Some(segments) => {
                    for segment in segments.iter().filter(|segment| segment.metric() == selection.metric) {
                        runs.push(segment.read(selection, columns, &mask)?);
                    }
                }
            }
        }
        runs.retain(|run| !run.is_empty());
        Ok(runs)
    }

    fn open_file(
        &self,
        file: Arc<FileMeta>,
        selection: &Selection,
        columns: Columns,
        tombstones: &[&Tombstone],
    ) -> PointStream {
        let mask = Mask::of_file(tombstones.iter().copied(), &file);
        parquet::read(
            Arc::clone(&self.shared.objects),
            file,
            Arc::clone(&self.shared.footers),
            selection.clone(),
            columns,
            mask,
        )
    }

    /// A snapshot past its longest life no longer pins its files, so it must not read on; and nobody who was erased since
    /// it was taken may be read from it.
    fn check(&self, users: &Users) -> Result<()> {
        let age = self.shared.clock.elapsed().saturating_sub(self.taken);
        if age >= self.shared.config.snapshot_age_max || self.shared.endings.reach(self.erasures, users) {
            return Err(Error::SnapshotExpired { age_s: age.as_secs() });
        }
        Ok(())
    }
}

/// Leaves out the columns that are not needed.
fn project(batches: &[RecordBatch], columns: Columns) -> Result<Vec<RecordBatch>> {
    let projection = Projection::to(columns);
    batches.iter().map(|batch| projection.slice(batch, 0..batch.num_rows())).collect()
}

/// Whether the files of one user can be read one after the other: none overlaps another in time.
fn are_disjoint(files: &[Arc<FileMeta>], selection: &Selection) -> bool {
    if files.len() <= 1 {
        return true;
    }
    if !matches!(selection.users, Users::One(_)) {
        return false;
    }
    let mut ranges: Vec<(i64, i64)> = files.iter().map(|file| (file.time_min, file.time_max)).collect();
    ranges.sort_unstable();
    ranges.iter().zip(ranges.iter().skip(1)).all(|((_, last), (first, _))| last < first)
}
