//! Chunks become a sorted run: one user's chunks are put in order as wholes; rows are compared only where chunks
//! overlap in time.

use std::ops::Range;

use super::Chunk;
use super::view::MemtableView;
use crate::dedup::any_differs;
use crate::error::Result;
use crate::point::{MetricId, Origins, Seq, TimeRange};
use crate::run::{OriginKeys, RunBuilder};
use crate::segment::Segment;
use crate::selection::{Columns, Selection, Users};
use crate::tombstone::Mask;

/// Numbers of one user's chunks, ascending.
pub(super) type UserChunks = Box<[u32]>;

/// Makes the segment of one metric from what a view sees; `None` if that is nothing.
///
/// Cost: some 10 ns a point where batches came in order of time, a sort of small keys where they did not.
///
/// # Errors
/// [`crate::Error::Batch`] if the columns do not fit together, which would be a defect.
pub(crate) fn seal(view: &MemtableView, metric: MetricId) -> Result<Option<Segment>> {
    let mut seqs: Option<(Seq, Seq)> = None;
    for (_, chunk) in view.chunks(metric) {
        let first = seqs.map_or(chunk.first_seq(), |(first, _)| first);
        seqs = Some((first, chunk.last_seq()));
    }
    let Some((first_seq, last_seq)) = seqs else { return Ok(None) };
    let selection = Selection { metric, users: Users::All, times: TimeRange::ALL };
    let batches = view.read(&selection, Columns::ALL, &Mask::default())?;
    Segment::new(metric, (first_seq, last_seq), batches)
}

/// Appends one user's chunks (in order of seq) in a range of time: sorted, deduplicated.
pub(super) fn append_user(builder: &mut RunBuilder, chunks: &[&Chunk], times: TimeRange) -> Result<()> {
    let mut origins = OriginRanks::of(chunks);
    let mut order: Vec<usize> = (0..chunks.len()).collect();
    let time_min = |nth: &usize| chunks.get(*nth).map_or(i64::MIN, |chunk| chunk.time_min);
    // Stable, and usually sorted already.
    order.sort_by_key(time_min);
    let mut start = 0;
    while let Some(first) = order.get(start).and_then(|nth| chunks.get(*nth)) {
        let mut end = start + 1;
        let mut time_max = first.time_max;
        while let Some(next) = order.get(end).and_then(|nth| chunks.get(*nth))
            && next.time_min <= time_max
        {
            time_max = time_max.max(next.time_max);
            end += 1;
        }
        let group = order.get_mut(start..end).unwrap_or_default();
        match group {
            [nth] if first.is_ascending => append_ascending(builder, &mut origins, (*nth, first), times)?,
            group => {
                group.sort_unstable();
                append_overlapping(builder, &mut origins, chunks, group, times)?;
            }
        }
        start = end;
    }
    Ok(())
}

fn append_ascending(
    builder: &mut RunBuilder,
    origins: &mut OriginRanks<'_>,
    (nth, chunk): (usize, &Chunk),
    times: TimeRange,
) -> Result<()> {
    let all = chunk.times();
    let mut start = all.partition_point(|time| *time < times.start);
    let end = all.partition_point(|time| *time < times.end);
    while start < end {
        let rows = start..end.min(start + builder.room()?);
        let slice = |rows: Range<usize>| (all.get(rows.clone()), chunk.values().get(rows));
        let (Some(times), Some(values)) = slice(rows.clone()) else { break };
        builder.append_points(chunk.user.as_str(), times, values, chunk.accepted_at_ms);
        for run in chunk.origins().get(rows.clone()).unwrap_or_default().chunk_by(|a, b| a == b) {
            let Some(origin) = run.first() else { continue };
            let rank = origins.rank(nth, *origin);
            let keys = origins.keys(builder, rank);
            builder.append_origin(keys, run.len());
        }
        start = rows.end;
    }
    Ok(())
}

/// One row of chunks that overlap: small, so that the sort is about keys alone.
#[derive(Debug, Clone, Copy)]
struct Entry {
    time: i64,
    rank: u32,
    chunk: u32,
    row: u32,
}

fn append_overlapping(
    builder: &mut RunBuilder,
    origins: &mut OriginRanks<'_>,
    chunks: &[&Chunk],
    group: &[usize],
    times: TimeRange,
) -> Result<()> {
    let mut entries: Vec<Entry> =
        Vec::with_capacity(group.iter().filter_map(|nth| chunks.get(*nth)).map(|chunk| chunk.len()).sum());
    for nth in group {
        let Some(chunk) = chunks.get(*nth) else { continue };
        // A user has fewer chunks, and a chunk fewer rows, than a `u32` counts.
        let number = u32::try_from(*nth).unwrap_or(u32::MAX);
        for ((row, time), origin) in (0..).zip(chunk.times()).zip(chunk.origins()) {
            if times.contains(*time) {
                entries.push(Entry { time: *time, rank: origins.rank(*nth, *origin), chunk: number, row });
            }
        }
    }
    // Stable: equal identities stay in order of seq. Made of ascending runs, which this sort finds and merges.
    entries.sort_by_key(|entry| (entry.time, entry.rank));
    let value = |entry: &Entry| {
        let chunk = chunks.get(entry.chunk as usize);
        chunk.and_then(|chunk| chunk.values().get(entry.row as usize)).copied().unwrap_or_default()
    };
    for same in entries.chunk_by(|a, b| (a.time, a.rank) == (b.time, b.rank)) {
        let Some(last) = same.last() else { continue };
        let Some(chunk) = chunks.get(last.chunk as usize) else { continue };
        builder.room()?;
        let is_corrected = same.len() > 1 && any_differs(same.iter().map(value));
        builder.append_point(chunk.user.as_str(), (last.time, value(last)), chunk.accepted_at_ms, is_corrected);
        let keys = origins.keys(builder, last.rank);
        builder.append_origin(keys, 1);
    }
    Ok(())
}

/// The distinct origins of one user's chunks, sorted, so that an origin is one small number that compares as it does.
#[derive(Debug)]
struct OriginRanks<'a> {
    names: Vec<(&'a str, Option<&'a str>)>,
    /// From a batch's origin to its rank; one table for each distinct set of origins.
    maps: Vec<Vec<u32>>,
    map_of_chunk: Vec<u32>,
    keys: Vec<Option<OriginKeys>>,
    generation: u64,
}

impl<'a> OriginRanks<'a> {
    fn of(chunks: &[&'a Chunk]) -> Self {
        let mut sets: Vec<&'a Origins> = Vec::new();
        let mut map_of_chunk = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let origins = chunk.batch.origins();
            if sets.last().is_none_or(|last| *last != origins) {
                sets.push(origins);
            }
            map_of_chunk.push(u32::try_from(sets.len() - 1).unwrap_or(u32::MAX));
        }
        let mut names: Vec<_> = sets.iter().flat_map(|set| set.iter()).collect();
        names.sort_unstable();
        names.dedup();
        let rank = |name: &(&str, Option<&str>)| {
            names.binary_search(name).ok().and_then(|rank| u32::try_from(rank).ok()).unwrap_or_default()
        };
        let maps = sets.iter().map(|set| set.iter().map(|name| rank(&name)).collect()).collect();
        Self { keys: vec![None; names.len()], names, maps, map_of_chunk, generation: 0 }
    }

    fn rank(&self, chunk: usize, origin: u16) -> u32 {
        let map = self.map_of_chunk.get(chunk).and_then(|map| self.maps.get(*map as usize));
        map.and_then(|map| map.get(usize::from(origin))).copied().unwrap_or_default()
    }

    fn keys(&mut self, builder: &mut RunBuilder, rank: u32) -> OriginKeys {
        if self.generation != builder.generation() {
            self.generation = builder.generation();
            self.keys.fill(None);
        }
        let rank = rank as usize;
        if let Some(Some(keys)) = self.keys.get(rank) {
            return *keys;
        }
        let (source, device) = self.names.get(rank).copied().unwrap_or_default();
        let keys = builder.origin(source, device);
        if let Some(slot) = self.keys.get_mut(rank) {
            *slot = Some(keys);
        }
        keys
    }
}
