//! Streams of points: NDJSON and Arrow, of any length, a chunk at a time.
//!
//! ```text
//! pieces of the body ─▶ Decoder (lines or record batches) ─▶ Chunk: rows of many people, each with its line
//!                                                               └─ settle(who may) ─▶ PointBatch per person, faults
//! ```
//!
//! Lines are counted from 1, blank ones too; of an Arrow stream the rows of all record batches. What holds of a point is
//! what holds of one in a body ([`super`]); beside it there may be a `user_id`.
//!
//! Memory is bounded: a chunk holds at most [`CHUNK_LINES_MAX`] lines and [`CHUNK_BYTES_MAX`] bytes of text, a line at most
//! [`LINE_BYTES_MAX`], a record batch what [`arrow`] says.
//!
//! Not here: which people a caller may write for, when a chunk is durable, HTTP.

mod arrow;
mod lines;
mod rows;
#[cfg(test)]
mod tests;

use storage::{PointBatch, UserId};

use self::arrow::Batches;
use self::lines::Lines;
use self::rows::Rows;
use super::validate::Complaint;
use crate::catalogue::Catalogue;
use crate::error::{Fault, Loc, Result};
use crate::query::metrics::Metrics;

/// Most lines of one chunk.
pub const CHUNK_LINES_MAX: usize = 8_192;
/// A chunk takes lines until it has this many bytes of text.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Longest line, bytes.
pub const LINE_BYTES_MAX: usize = 64 << 10;
/// Longest message of an Arrow stream as it is sent, bytes; and all its columns inflated.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// How the points of a stream are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    Lines,
    /// An Arrow IPC stream.
    Arrow,
}

/// What becomes of a stream when one of its lines has a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// What came before is stored, and the stream ends.
    #[default]
    Stop,
    /// The line is left out.
    Skip,
}

/// A line that is not stored, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// Which, from 1.
    pub line: u64,
    /// What is wrong, at least one; their places begin with `body` and the line.
    pub faults: Vec<Fault>,
}

/// What a chunk comes to, once it is known who may write for whom.
#[derive(Debug)]
pub struct Settled {
    /// A batch for each person.
    pub batches: Vec<PointBatch>,
    /// Points in all of them.
    pub points: usize,
    /// The last line that is taken or left out: with these batches everything up to it is done.
    pub through: u64,
    /// Lines that are left out, in order; of a stream that stops, the one that stops it.
    pub faults: Vec<LineFault>,
    /// Whether the stream ends here.
    pub is_stopped: bool,
}

/// Some lines of a stream, checked but for whether their sender may write for the people they name.
#[derive(Debug)]
pub struct Chunk {
    rows: Rows,
    faults: Vec<LineFault>,
    /// The last line that was looked at.
    through: u64,
    /// The stream cannot be read beyond this chunk.
    is_broken: bool,
}

impl Chunk {
    /// A chunk to be filled again and again.
    pub fn new() -> Self {
        Self { rows: Rows::default(), faults: Vec::new(), through: 0, is_broken: false }
    }

    fn begin(&mut self, sender: UserId, through: u64) {
        self.rows.begin(sender);
        self.faults.clear();
        self.through = through;
        self.is_broken = false;
    }

    /// Whose points there are.
    pub fn people(&self) -> &[UserId] {
        self.rows.people()
    }

    /// The batches of the people whom `may` lets through, and the faults of the rest.
    ///
    /// # Errors
    /// [`crate::Error::Storage`]: a batch that cannot be.
    pub fn settle(
        &mut self,
        metrics: &StreamMetrics<'_>,
        on_error: OnError,
        may: impl Fn(&UserId) -> bool,
    ) -> Result<Settled> {
        let denied: Vec<bool> = self.rows.people().iter().map(|person| !may(person)).collect();
        if denied.contains(&true) {
            let lines = self.rows.lines_of(&denied);
            self.faults.extend(lines.map(|line| fault(line, Complaint::NotGranted, metrics.catalogue)));
            self.faults.sort_by_key(|fault| fault.line);
        }
        let mut through = self.through;
        let is_stopped = self.is_broken || (on_error == OnError::Stop && !self.faults.is_empty());
        if on_error == OnError::Stop {
            self.faults.truncate(1);
        }
        if is_stopped && let Some(last) = self.faults.last() {
            through = last.line.saturating_sub(1);
        }
        let batches = self.rows.batches(metrics.ids.ids(), &denied, through)?;
        let points = batches.iter().map(PointBatch::len).sum();
        Ok(Settled { batches, points, through, faults: std::mem::take(&mut self.faults), is_stopped })
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self::new()
    }
}

/// What a stream's points are checked against.
#[derive(Debug, Clone, Copy)]
pub struct StreamMetrics<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) ids: &'a Metrics,
}

/// Takes the pieces of a body and gives chunks.
#[derive(Debug)]
pub struct Decoder {
    sender: UserId,
    /// Lines of the chunks so far.
    through: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Lines(Box<Lines>),
    Arrow(Box<Batches>),
}

impl Decoder {
    /// Of a stream that `sender` sends: points without a `user_id` are theirs.
    pub fn new(format: Format, sender: UserId) -> Self {
        let kind = match format {
            Format::Lines => Kind::Lines(Box::default()),
            Format::Arrow => Kind::Arrow(Box::default()),
        };
        Self { sender, through: 0, kind }
    }

    /// Takes the next bytes of the body. Ask for chunks until there is none before the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        match &mut self.kind {
            Kind::Lines(lines) => lines.push(piece),
            Kind::Arrow(batches) => batches.push(piece),
        }
    }

    /// Whether a whole chunk is there.
    pub fn is_full(&self) -> bool {
        match &self.kind {
            Kind::Lines(lines) => lines.is_full(),
            Kind::Arrow(batches) => batches.is_full(),
        }
    }

    /// Fills `chunk` with what is there, at most a chunk; `false` if there is nothing. With `is_end` also the last line
    /// that no newline ends; a stream that may not end here is a fault then.
    ///
    /// CPU-bound: some milliseconds at most.
    pub fn fill(&mut self, metrics: &StreamMetrics<'_>, now_us: i64, is_end: bool, chunk: &mut Chunk) -> bool {
        chunk.begin(self.sender, self.through);
        match &mut self.kind {
            Kind::Lines(lines) => lines.fill(metrics.catalogue, now_us, is_end, chunk),
            Kind::Arrow(batches) => batches.fill(metrics.catalogue, now_us, is_end, chunk),
        }
        let is_filled = chunk.through > self.through || !chunk.faults.is_empty();
        self.through = chunk.through;
        is_filled
    }
}

/// A fault of a whole line.
fn fault(line: u64, complaint: Complaint, catalogue: &Catalogue) -> LineFault {
    let mut faults = super::validate::Faults::default();
    let place = place(line);
    match complaint {
        Complaint::NotGranted => faults.push(&[place, Loc::Key("user_id")], complaint, catalogue),
        _ => faults.push(&[place], complaint, catalogue),
    }
    LineFault { line, faults: faults.into_list().unwrap_or_default() }
}

/// A line as a place of the body.
fn place(line: u64) -> Loc {
    Loc::Index(usize::try_from(line).unwrap_or(usize::MAX))
}
