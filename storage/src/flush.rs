//! Sealed memtables become level-0 Parquet files, and then the log can forget them.
//!
//! ```text
//! sealed ─▶ one sorted segment a metric ─▶ one file a metric ─▶ manifest edit (files + watermark) ─▶ trim
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt, stream};

use crate::error::{Error, Result};
use crate::manifest::{Edit, FileMeta, Level};
use crate::memtable::seal;
use crate::parquet::{self, Feed, Target, Written};
use crate::point::Seq;
use crate::retention::POINTS;
use crate::segment::Segment;
use crate::state::{Sealed, Shared};

/// Flushes the oldest sealed memtable. Answers the new watermark, or `None` if there was nothing to flush.
///
/// Only one thread may flush at a time.
///
/// # Errors
/// The I/O error that stopped it; everything is as before then, and it can be tried again.
pub(crate) fn flush_oldest(shared: &Shared) -> Result<Option<Seq>> {
    let Some(sealed) = shared.state().sealed.first().cloned() else { return Ok(None) };
    let started = shared.clock.elapsed();
    let segments = match &sealed.segments {
        Some(segments) => Arc::clone(segments),
        None => build_segments(shared, &sealed)?,
    };
    let mut files = Vec::with_capacity(segments.len());
    for segment in segments.iter() {
        files.push(write_segment(shared, segment)?);
    }
    let watermark = sealed.last_seq();
    let accepted_max_ms = sealed.memtable.accepted_max_ms();
    let points: u64 = files.iter().map(|file| file.rows).sum();
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    shared.commit(
        |version| {
            Some(Edit {
                add: files,
                watermark: Some((watermark, accepted_max_ms.max(version.accepted_max_ms))),
                ..Edit::default()
            })
        },
        |state| state.sealed.retain(|other| other.id != sealed.id),
    )?;
    let freed = sealed.memtable.bytes();
    shared.memtable_bytes.fetch_sub(freed, Ordering::AcqRel);
    let metrics = &shared.metrics;
    metrics.memtable_bytes.set(shared.memtable_bytes.load(Ordering::Acquire) as u64);
    metrics.flushes.add(1);
    metrics.flushed_points.add(points);
    metrics.flushed_bytes.add(bytes);
    let spent = shared.clock.elapsed().saturating_sub(started);
    metrics.flush_micros.add(u64::try_from(spent.as_micros()).unwrap_or(0));
    tracing::debug!(points, bytes, %watermark, spent_ms = spent.as_millis(), "flushed");
    Ok(Some(watermark))
}

/// Sorts every metric of a sealed memtable and shows readers the result in its place.
fn build_segments(shared: &Shared, sealed: &Sealed) -> Result<Arc<[Segment]>> {
    let mut segments = Vec::new();
    for metric in sealed.view.metrics() {
        segments.extend(seal(&sealed.view, metric)?);
    }
    let segments: Arc<[Segment]> = segments.into();
    shared.update(|state| {
        let mut next = state.clone();
        for other in &mut next.sealed {
            if other.id == sealed.id {
                other.segments = Some(Arc::clone(&segments));
            }
        }
        next
    });
    Ok(segments)
}

/// Writes one metric's segment. Tombstones are not applied: every reader applies them, and the first compaction.
fn write_segment(shared: &Shared, segment: &Segment) -> Result<FileMeta> {
    let metric = shared.names.key(segment.metric()).unwrap_or_default();
    let id = shared.file_id();
    let (first_seq, last_seq) = (segment.first_seq(), segment.last_seq());
    let target = Target {
        path: format!("{POINTS}/metric={metric}/level0/{first_seq}-{last_seq}-{id}.parquet"),
        metric: metric.to_string(),
        level: Level::Zero,
        first_seq,
        last_seq,
    };
    let batches: Vec<_> = segment.batches().map(Ok).collect();
    let mut feed = Feed::new(stream::iter(batches).boxed());
    let written = shared.block_on(parquet::write(&*shared.objects, &target, &mut feed, u64::MAX))?;
    let written = written.ok_or(Error::Batch { what: "a segment holds no rows" })?;
    let file = file_meta(id, target, &written, 0);
    // Opened before a manifest names it: then it is known to open, and its first reader need not.
    shared.block_on(shared.footers.get(&*shared.objects, &file))?;
    Ok(file)
}

/// What the manifest says of a file that was written.
pub(crate) fn file_meta(id: u64, target: Target, written: &Written, clean_through: u64) -> FileMeta {
    FileMeta {
        id,
        path: target.path,
        metric: target.metric,
        level: target.level,
        rows: written.rows,
        bytes: written.bytes,
        first_seq: target.first_seq,
        last_seq: target.last_seq,
        clean_through,
        user_min: written.user_min,
        user_max: written.user_max,
        time_min: written.time_min,
        time_max: written.time_max,
        accepted_max_ms: written.accepted_max_ms,
    }
}
