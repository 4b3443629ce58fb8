//! NDJSON: a JSON object a line, blank lines left out, `\n` or `\r\n` between them.
//!
//! The lines of a chunk become one JSON array, so that simd-json makes one tape of them all: much cheaper than one a line.
//! Between two lines stand their newline, which no string may hold, and a random number as an element of its own: only if
//! all of these come out where they went in is every element a line. Where they do not, or the array is refused, each
//! line is read by itself.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::BufRead as _;

use simd_json::{Node, StaticNode};

use super::super::check::Check;
use super::super::malformed::{self, Finding};
use super::super::validate::{Complaint, Faults};
use super::super::{Scratch, json};
use super::rows::Rows;
use super::{CHUNK_BYTES_MAX, CHUNK_LINES_MAX, Chunk, LINE_BYTES_MAX, LineFault, place};
use crate::catalogue::Catalogue;

/// The number between two lines has at most ten digits: enough that nobody guesses it.
const BETWEEN_MAX: u64 = 10_000_000_000;

/// The lines that came and are in no chunk yet.
#[derive(Debug)]
pub(super) struct Lines {
    text: Vec<u8>,
    /// Where the lines begin that are in no chunk yet.
    start: usize,
    /// Up to where newlines were looked for.
    seen: usize,
    /// Newlines in `start..seen`.
    newlines: usize,
    /// The line under way is too long: it is thrown away up to its newline.
    is_overlong: bool,
    scratch: Scratch,
    array: Vec<u8>,
    /// The number between two lines: nobody who sends lines knows it.
    between: u64,
    /// Number, start and end in `text` of each line of a chunk that is not blank.
    found: Vec<(u64, usize, usize)>,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            start: 0,
            seen: 0,
            newlines: 0,
            is_overlong: false,
            scratch: Scratch::default(),
            array: Vec::new(),
            between: RandomState::new().build_hasher().finish() % BETWEEN_MAX,
            found: Vec::new(),
        }
    }
}

impl Lines {
    pub(super) fn push(&mut self, piece: &[u8]) {
        if self.start > 0 {
            self.text.drain(..self.start);
            self.seen -= self.start;
            self.start = 0;
        }
        self.text.extend_from_slice(piece);
        self.newlines += count_newlines(self.text.get(self.seen..).unwrap_or_default());
        self.seen = self.text.len();
        if self.newlines == 0 {
            // Nobody asks for a chunk while there is no line: what has no end must not wait for that.
            self.discard_overlong();
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.newlines >= CHUNK_LINES_MAX || (self.newlines > 0 && self.text.len() - self.start >= CHUNK_BYTES_MAX)
    }

    /// Bytes that are in no chunk yet.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.text.len() - self.start
    }

    pub(super) fn fill(&mut self, catalogue: &Catalogue, now_us: i64, is_end: bool, chunk: &mut Chunk) {
        self.find(is_end, chunk, catalogue);
        if self.found.is_empty() {
            return;
        }
        let between = self.between;
        let text = format!("\n,{between},");
        self.array.clear();
        self.array.push(b'[');
        for (at, (_, start, end)) in self.found.iter().enumerate() {
            if at > 0 {
                self.array.extend_from_slice(text.as_bytes());
            }
            self.array.extend_from_slice(self.text.get(*start..*end).unwrap_or_default());
        }
        self.array.extend_from_slice(b"\n]");
        let found = &self.found;
        let taken = self.scratch.walk(&self.array, |nodes| match nodes {
            [Node::Array { count, .. }, nodes @ ..] => {
                let nodes = nodes.get(..*count).unwrap_or(nodes);
                let is_exact = is_a_line_each(nodes, found.len(), between);
                if is_exact {
                    take(nodes, found, catalogue, now_us, chunk);
                }
                is_exact
            }
            _ => false,
        });
        if !taken.unwrap_or(false) {
            self.one_by_one(catalogue, now_us, chunk);
        }
    }

    /// Finds the lines of the next chunk, and moves behind them.
    fn find(&mut self, is_end: bool, chunk: &mut Chunk, catalogue: &Catalogue) {
        self.found.clear();
        let first = self.start;
        let mut lines = 0;
        while lines < CHUNK_LINES_MAX && self.start - first < CHUNK_BYTES_MAX {
            let rest = self.text.get(self.start..).unwrap_or_default();
            let (length, behind) = match newline(rest) {
                Some(newline) => {
                    self.newlines -= 1;
                    (newline, newline + 1)
                }
                None if is_end && (!rest.is_empty() || self.is_overlong) => (rest.len(), rest.len()),
                None => {
                    self.discard_overlong();
                    break;
                }
            };
            chunk.through += 1;
            lines += 1;
            let line = rest.get(..length).unwrap_or_default();
            if length > LINE_BYTES_MAX || std::mem::take(&mut self.is_overlong) {
                chunk.faults.push(super::fault(chunk.through, Complaint::LineLength, catalogue));
            } else if !line.iter().all(u8::is_ascii_whitespace) {
                self.found.push((chunk.through, self.start, self.start + length));
            }
            self.start += behind;
        }
    }

    /// What is there of a line that is too long already is not kept.
    fn discard_overlong(&mut self) {
        let length = self.text.len() - self.start;
        if length > LINE_BYTES_MAX || (self.is_overlong && length > 0) {
            self.is_overlong = true;
            self.text.truncate(self.start);
            self.seen = self.text.len();
        }
    }

    /// Reads each line by itself: what is wrong with one is told with its place, and the others are taken.
    #[cold]
    fn one_by_one(&mut self, catalogue: &Catalogue, now_us: i64, chunk: &mut Chunk) {
        for (line, start, end) in &self.found {
            let text = self.text.get(*start..*end).unwrap_or_default();
            let only = [(*line, *start, *end)];
            let mut read = |text: &[u8]| self.scratch.walk(text, |nodes| take(nodes, &only, catalogue, now_us, chunk));
            let Err(error) = read(text) else { continue };
            let (offset, what) = match malformed::examine(text) {
                Finding::Malformed { offset, what } => (offset, what),
                Finding::Valid { oversized } => match read(&malformed::tame(text, &oversized)) {
                    Ok(()) => continue,
                    Err(_) => (error.index(), "it could not be read"),
                },
            };
            let mut faults = Faults::malformed(offset, what);
            for fault in &mut faults {
                fault.loc.insert(1, place(*line));
            }
            chunk.faults.push(LineFault { line: *line, faults });
        }
        chunk.faults.sort_by_key(|fault| fault.line);
    }
}

/// Whether the elements of an array are so many lines, with the number between each two.
fn is_a_line_each(nodes: &[Node<'_>], lines: usize, between: u64) -> bool {
    let mut rest = nodes;
    for line in 0..lines {
        let Some(first) = rest.first() else { return false };
        rest = rest.get(json::node_count(first)..).unwrap_or_default();
        rest = match rest {
            [Node::Static(StaticNode::U64(number)), after @ ..] if *number == between => after,
            [] if line + 1 == lines => rest,
            _ => return false,
        };
    }
    rest.is_empty()
}

/// Takes the points of a tape, one of each line.
fn take<'b>(nodes: &[Node<'b>], lines: &[(u64, usize, usize)], catalogue: &Catalogue, now_us: i64, chunk: &mut Chunk) {
    let mut check: Check<'_, 'b, Rows> = Check::new(catalogue, now_us, &mut chunk.rows);
    let has_faults = !chunk.faults.is_empty();
    let mut rest = nodes;
    for (line, _, _) in lines {
        check.target().line = *line;
        rest = json::point(rest, &[place(*line)], &mut check);
        // The number behind it.
        rest = rest.get(1..).unwrap_or_default();
        if let Some(faults) = check.take_faults() {
            chunk.faults.push(LineFault { line: *line, faults });
        }
    }
    if has_faults {
        chunk.faults.sort_by_key(|fault| fault.line);
    }
}

/// Where the first newline is.
fn newline(text: &[u8]) -> Option<usize> {
    // The search behind this looks at several bytes at once.
    let taken = (&mut &*text).skip_until(b'\n').ok()?;
    text.get(..taken).and_then(<[u8]>::last).is_some_and(|last| *last == b'\n').then(|| taken - 1)
}

fn count_newlines(text: &[u8]) -> usize {
    text.iter().map(|byte| usize::from(*byte == b'\n')).sum()
}
