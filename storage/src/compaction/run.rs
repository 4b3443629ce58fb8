//! Carries a [`Task`] out: reads its files, merges, writes one run a month, commits.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::plan::{self, Goal, Task};
use super::{month_name, month_of, month_start};
use crate::error::{Error, Result};
use crate::flush::file_meta;
use crate::manifest::{Edit, FileMeta, Level, Version};
use crate::merge::{Input, merge};
use crate::parquet::{self, Feed, Target};
use crate::point::TimeRange;
use crate::retention::POINTS;
use crate::selection::{Columns, PointStream, Selection, Users};
use crate::state::Shared;
use crate::tombstone::Mask;

/// Rows of a merged batch.
const MERGE_ROWS: usize = 8_192;

/// Does the most urgent task, if any is due. Answers whether it did something. One thread at a time.
///
/// # Errors
/// The I/O error that stopped it, or [`Error::Closed`] when the storage is stopping; nothing has changed then.
pub(crate) fn step(shared: &Shared, goal: Goal) -> Result<bool> {
    remove_retired(shared)?;
    let state = shared.state();
    let now_ms = shared.clock.now_us().div_euclid(1_000);
    let Some(task) = plan::next(&state.version, &shared.config, goal, now_ms) else {
        return drop_tombstones(shared);
    };
    let started = shared.clock.elapsed();
    let version = Arc::clone(&state.version);
    drop(state);
    let written = shared.block_on(rewrite(shared, &version, &task))?;
    let points: u64 = written.iter().map(|file| file.rows).sum();
    let bytes: u64 = written.iter().map(|file| file.bytes).sum();
    shared.commit(|_| Some(Edit { add: written, remove: task.inputs.clone(), ..Edit::default() }), |_| ())?;
    drop_tombstones(shared)?;
    let metrics = &shared.metrics;
    metrics.compactions.add(1);
    metrics.compacted_points.add(points);
    metrics.compacted_bytes.add(bytes);
    let spent = shared.clock.elapsed().saturating_sub(started);
    metrics.compaction_micros.add(u64::try_from(spent.as_micros()).unwrap_or(0));
    let (files, reason) = (task.inputs.len(), task.reason);
    tracing::debug!(metric = task.metric, files, ?reason, points, bytes, spent_ms = spent.as_millis(), "compacted");
    remove_retired(shared)?;
    Ok(true)
}

/// Removes the files that nobody can see any more, and old manifests.
///
/// # Errors
/// I/O; what could not be removed is an orphan then, and goes at the next start.
fn remove_retired(shared: &Shared) -> Result<()> {
    let gone = shared
        .retention
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take(shared.clock.elapsed(), shared.config.snapshot_age_max);
    if gone.is_empty() {
        return Ok(());
    }
    shared.block_on(async {
        for file in gone {
            let path = Path::from(file.path.as_str());
            shared.footers.forget(&file.path);
            match shared.objects.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(Error::object("remove", &path, error)),
            }
        }
        shared.manifest.prune(crate::manifest::store::KEPT).await
    })
}

fn drop_tombstones(shared: &Shared) -> Result<bool> {
    if plan::droppable(&shared.state().version).is_empty() {
        return Ok(false);
    }
    let dropped = shared.commit(
        |version| {
            let drop_tombstones = plan::droppable(version);
            if drop_tombstones.iter().any(|tombstone| shared.ledger.contains(tombstone.scope.user())) {
                shared.sweep_due.store(true, Ordering::Release);
            }
            (!drop_tombstones.is_empty()).then(|| Edit { drop_tombstones, ..Edit::default() })
        },
        |_| (),
    )?;
    Ok(dropped.is_some())
}

async fn rewrite(shared: &Shared, version: &Version, task: &Task) -> Result<Vec<FileMeta>> {
    let inputs: Vec<&FileMeta> = version.files.iter().filter(|file| task.inputs.contains(&file.id)).collect();
    let (Some(time_min), Some(time_max)) =
        (inputs.iter().map(|file| file.time_min).min(), inputs.iter().map(|file| file.time_max).max())
    else {
        return Ok(Vec::new());
    };
    let mut written = Vec::new();
    for month in month_of(time_min).0..=month_of(time_max).0 {
        let times = TimeRange { start: month_start(month), end: month_start(month + 1) };
        let inputs = inputs.iter().copied().filter(|file| times.overlaps(file.time_min, file.time_max)).collect();
        let pass = Pass { shared, version, task, inputs, month, times };
        if let Err(error) = pass.write(&mut written).await {
            remove(shared, &written).await;
            return Err(error);
        }
    }
    Ok(written)
}

/// Removes what a failed task wrote; what cannot be removed is an orphan of the next start.
async fn remove(shared: &Shared, files: &[FileMeta]) {
    for file in files {
        drop(shared.objects.delete(&Path::from(file.path.as_str())).await);
    }
}

/// One pass over the inputs, for one month.
struct Pass<'a> {
    shared: &'a Shared,
    version: &'a Version,
    task: &'a Task,
    inputs: Vec<&'a FileMeta>,
    month: i32,
    times: TimeRange,
}

impl Pass<'_> {
    /// Writes the month's run: one file, or several split by user above the configured size.
    async fn write(&self, written: &mut Vec<FileMeta>) -> Result<()> {
        if self.inputs.is_empty() {
            return Ok(());
        }
        let metric = self.shared.names.intern(&self.task.metric)?;
        let selection = Selection { metric, users: Users::All, times: self.times };
        // Newest first: on equal keys the first one wins.
        let inputs: Vec<Input> = self.inputs.iter().rev().map(|file| self.open(file, &selection).into()).collect();
        let mut feed = Feed::new(merge(inputs, Columns::ALL, MERGE_ROWS));
        loop {
            let (id, target) = self.target();
            let bytes_max = self.shared.config.level1_file_bytes;
            let Some(facts) = parquet::write(&*self.shared.objects, &target, &mut feed, bytes_max).await? else {
                return Ok(());
            };
            // Every tombstone of the version that we started from has been applied, or does not reach an input by its
            // seq; then it does not reach what came of it either.
            let file = file_meta(id, target, &facts, self.version.number);
            written.push(file.clone());
            // As after a flush: its first reader need not open it.
            self.shared.footers.get(&*self.shared.objects, &file).await?;
        }
    }

    fn open(&self, file: &FileMeta, selection: &Selection) -> PointStream {
        let rows = parquet::read(
            Arc::clone(&self.shared.objects),
            Arc::new(file.clone()),
            Arc::clone(&self.shared.footers),
            selection.clone(),
            Columns::ALL,
            Mask::of_file(&self.version.tombstones, file),
        );
        let stopping = self.shared.stopping();
        rows.map(move |batch| if stopping.load(Ordering::Acquire) { Err(Error::Closed) } else { batch }).boxed()
    }

    fn target(&self) -> (u64, Target) {
        let first_seq = self.inputs.iter().map(|file| file.first_seq).min().unwrap_or_default();
        let last_seq = self.inputs.iter().map(|file| file.last_seq).max().unwrap_or_default();
        let id = self.shared.file_id();
        let metric = &self.task.metric;
        let month = month_name(self.month);
        let target = Target {
            path: format!("{POINTS}/metric={metric}/month={month}/{first_seq}-{last_seq}-{id}.parquet"),
            metric: metric.clone(),
            level: Level::One { month: self.month },
            first_seq,
            last_seq,
        };
        (id, target)
    }
}
