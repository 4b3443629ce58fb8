//! Reads the log at start: every point behind the watermark, then the log is ready for the next one.
//!
//! Whole files up to the watermark are not read. The last file is cut behind its last valid frame; a torn frame of a
//! crash goes with that. Damage of acknowledged points is an error, and then nothing on the disk is changed.
//!
//! A process can be killed between the write of a frame and its sync, or its sync can fail. Such a frame may be read
//! back from the system's cache although the disk does not have it, and a failed sync may have marked it as clean. So
//! frames that no later one calls durable are written once more before the sync that makes them count.

use std::path::Path;
use std::sync::Arc;

use super::file::{self, Found};
use super::frame::{DecodeError, Frame};
use super::scan::{self, Context, Keep, Verdict};
use super::{Closed, Tail};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::point::{Accepted, MetricId, Seq};

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Report {
    /// Files that were read.
    pub(crate) files: u64,
    /// Points that were handed over.
    pub(crate) points: u64,
    /// Seqs that a repair gave up.
    pub(crate) lost: u64,
    /// Bytes that were cut from the end: a torn frame and reserved space.
    pub(crate) cut_bytes: u64,
}

/// Gives every point with a seq greater than `watermark` to `visit`, batch by batch in order of acceptance, then makes
/// the log end behind the last one. Reads one file at a time.
///
/// # Errors
/// [`Error::Corrupt`] if acknowledged points are damaged or missing; [`Error::Version`]; [`Error::Io`]; what `intern`
/// or `visit` answer.
pub(crate) fn replay(
    disk: &dyn Disk,
    dir: &Path,
    watermark: Seq,
    intern: &mut dyn FnMut(&str) -> Result<MetricId>,
    visit: &mut dyn FnMut(Accepted) -> Result<()>,
) -> Result<(Tail, Report)> {
    let files = file::list(disk, dir)?;
    let mut tail = Tail { next_seq: Seq(watermark.0 + 1), accepted_max_ms: i64::MIN, closed: Vec::new() };
    let mut report = Report::default();
    let mut expected = None;
    for (nth, found) in files.iter().enumerate() {
        let next_first = files.get(nth + 1).map(|next| next.first_seq);
        if let Some(last_seq) = next_first.map(|next| Seq(next.0.saturating_sub(1))).filter(|last| *last <= watermark) {
            tail.closed.push(Closed { path: found.path.clone(), last_seq, bytes: found.bytes });
            continue;
        }
        let first_expected = match expected {
            None if found.first_seq > tail.next_seq => return Err(missing(found, tail.next_seq)),
            None => found.first_seq,
            Some(expected) => expected,
        };
        let bytes = file::read(disk, &found.path)?;
        let context = Context { expected: first_expected, next_first, watermark };
        let verdict = scan::judge(found, &bytes, context, &|_| true)?;
        if let Some(first) = verdict.damages.first() {
            let (path, what) = (first.path.clone(), first.what.clone());
            return Err(Error::Corrupt { path, offset: first.offset, what });
        }
        if let Some(half) = &verdict.half_header {
            tracing::warn!(path = %half.path.display(), "{}; `avycenna repair` restores it", half.what);
        }
        report.files += 1;
        let mut reader = Reader { watermark, intern, visit, report: &mut report, tail: &mut tail };
        reader.read(found, &verdict)?;
        if next_first.is_none() {
            report.cut_bytes = (bytes.len() - verdict.end) as u64;
            finish(disk, dir, found, &bytes, &verdict)?;
        }
        if !verdict.is_empty() {
            let last_seq = Seq(verdict.next_seq.0 - 1);
            tail.closed.push(Closed { path: found.path.clone(), last_seq, bytes: verdict.end as u64 });
        }
        expected = Some(verdict.next_seq);
        tail.next_seq = tail.next_seq.max(verdict.next_seq);
    }
    Ok((tail, report))
}

fn missing(found: &Found, expected: Seq) -> Error {
    let what = format!("seqs {expected} to {} are missing before this file", found.first_seq.0 - 1);
    Error::Corrupt { path: found.path.clone(), offset: 0, what }
}

struct Reader<'a> {
    watermark: Seq,
    intern: &'a mut dyn FnMut(&str) -> Result<MetricId>,
    visit: &'a mut dyn FnMut(Accepted) -> Result<()>,
    report: &'a mut Report,
    tail: &'a mut Tail,
}

impl Reader<'_> {
    fn read(&mut self, found: &Found, verdict: &Verdict<'_>) -> Result<()> {
        for keep in &verdict.keep {
            // A gap without damage is seqs that are in Parquet.
            let Keep::Frame(at, frame) = keep else { continue };
            if frame.is_gap {
                self.report.lost += frame.count;
                continue;
            }
            self.tail.accepted_max_ms = self.tail.accepted_max_ms.max(frame.accepted_at_ms);
            if frame.last_seq() > self.watermark {
                self.read_frame(found, *at, frame)?;
            }
        }
        Ok(())
    }

    fn read_frame(&mut self, found: &Found, at: usize, frame: &Frame<'_>) -> Result<()> {
        let corrupt = |what: String| Error::Corrupt { path: found.path.clone(), offset: at as u64, what };
        let batches = frame.batches(self.intern).map_err(|error| match error {
            DecodeError::Metric(error) => error,
            other => corrupt(other.to_string()),
        })?;
        let mut first_seq = frame.first_seq;
        for batch in batches {
            let points = batch.len() as u64;
            let next = Seq(first_seq.0 + points);
            if first_seq > self.watermark {
                let accepted = Accepted { batch: Arc::new(batch), first_seq, accepted_at_ms: frame.accepted_at_ms };
                (self.visit)(accepted)?;
                self.report.points += points;
            } else if next.0 - 1 > self.watermark.0 {
                return Err(corrupt(format!("the manifest's watermark {} lies inside a batch", self.watermark)));
            }
            first_seq = next;
        }
        Ok(())
    }
}

/// Makes the last file end behind its last frame that counts, durably; removes it if there is none.
fn finish(disk: &dyn Disk, dir: &Path, found: &Found, bytes: &[u8], verdict: &Verdict<'_>) -> Result<()> {
    let path = &found.path;
    if verdict.is_empty() {
        disk.remove(path).map_err(|error| Error::io("remove", path, error))?;
    } else {
        let unsure = verdict.keep.iter().find_map(|keep| match keep {
            Keep::Frame(at, frame) if frame.last_seq() > verdict.synced_through => Some(*at),
            _ => None,
        });
        let unsure = unsure.unwrap_or(verdict.end);
        let file = disk.open(path).map_err(|error| Error::io("open", path, error))?;
        file.set_len(verdict.end as u64).map_err(|error| Error::io("cut", path, error))?;
        file.write_at(bytes.get(unsure..verdict.end).unwrap_or_default(), unsure as u64)
            .map_err(|error| Error::io("write", path, error))?;
        file.sync_data().map_err(|error| Error::io("sync", path, error))?;
    }
    disk.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))
}
