//! A body of JSON into validated columns in canonical units: all of it, or every fault with its place.
//!
//! ```text
//! body ─▶ copy with padding ─▶ simd-json tape ─▶ walk (json) ─▶ check ─▶ columns ─▶ counting sort ─▶ PointBatch
//!                                   └─ refused ─▶ examine (malformed): where, or numbers too large to be told
//! ```
//!
//! What holds of a point's fields:
//!
//! | field              | what is taken                                                                              |
//! |--------------------|--------------------------------------------------------------------------------------------|
//! | `metric`           | a key of the catalogue                                                                     |
//! | `value`            | a number, after conversion inside the metric's bounds; no text, no `true`; -0 becomes 0    |
//! | `unit`             | one that the metric accepts, byte by byte                                                  |
//! | `recorded_at`      | RFC 3339 (see [`crate::time`]), from 1970 to 24 hours ahead of now, cut to microseconds    |
//! | `source`           | 1 to 64 Unicode scalar values, no control characters, not blanks alone                     |
//! | `source_device_id` | 1 to 128, as above; absent or `null` is no device, an identity of its own                  |
//!
//! Unknown fields are ignored. Of a name that is there twice in an object the last value counts. Equal identities in
//! one body all stay, in order: the storage lets the last one win. Brackets nest at most 32 deep. A number that fits
//! no f64 (`1e999`), or a whole one that fits no 64 bits, is JSON but beyond every bound.
//!
//! Memory: scratch of the calling thread, kept between bodies and given back after a large one; from the heap come
//! only the batch's own columns.
//!
//! Not here: how large a body may be, whose points they are, what durability means.

mod check;
mod columns;
mod json;
mod malformed;
pub mod stream;
pub(crate) mod validate;

use std::cell::Cell;

use simd_json::{Buffers, INPUT_PADDING, Node, Tape};
use storage::{MetricId, PointBatch, UserId};

use self::check::Check;
use self::columns::Columns;
use self::malformed::{Finding, NESTING_MAX};
use self::validate::Faults;
use crate::catalogue::Catalogue;
use crate::error::{Error, Result};

/// Most points of one body.
pub const POINTS_MAX: usize = 500;
/// Longest source, Unicode scalar values.
pub const SOURCE_CHARS_MAX: usize = 64;
/// Longest device id, Unicode scalar values.
pub const DEVICE_CHARS_MAX: usize = 128;

/// Largest body after which a thread keeps its scratch, bytes: several times that of 500 points.
const SCRATCH_BODY_BYTES_MAX: usize = 512 << 10;
/// Longest tape that a thread keeps: twice what 500 points can fill with known fields.
const SCRATCH_NODES_MAX: usize = 32 << 10;

/// Parses and validates `{"data_points":[…]}` of 1 to [`POINTS_MAX`] points.
///
/// `ids` holds the storage's id of each metric by its place in the catalogue.
///
/// # Errors
/// [`Error::Invalid`] with every fault located, at most [`crate::error::FAULTS_MAX`].
pub fn parse_bulk(
    catalogue: &Catalogue,
    ids: &[MetricId],
    user: UserId,
    now_us: i64,
    body: &[u8],
) -> Result<PointBatch> {
    parse(body, |nodes, columns| {
        columns.begin(catalogue.len());
        let mut check = Check::new(catalogue, now_us, columns);
        json::bulk(nodes, &mut check);
        match check.take_faults() {
            Some(faults) => Err(Error::Invalid(faults)),
            None => columns.batch(ids, user),
        }
    })
}

/// Parses and validates a body that is one point.
///
/// # Errors
/// As [`parse_bulk`].
pub fn parse_single(
    catalogue: &Catalogue,
    ids: &[MetricId],
    user: UserId,
    now_us: i64,
    body: &[u8],
) -> Result<PointBatch> {
    parse(body, |nodes, columns| {
        columns.begin(catalogue.len());
        let mut check = Check::new(catalogue, now_us, columns);
        json::single(nodes, &mut check);
        match check.take_faults() {
            Some(faults) => Err(Error::Invalid(faults)),
            None => columns.batch(ids, user),
        }
    })
}

/// Reads a body with the thread's scratch and hands its tape to `walk`; of a body that is refused, finds out why.
fn parse(body: &[u8], walk: impl Fn(&[Node<'_>], &mut Columns) -> Result<PointBatch>) -> Result<PointBatch> {
    Desk::with(|Desk { scratch, columns }| {
        if let Ok(outcome) = scratch.walk(body, |nodes| walk(nodes, columns)) {
            return outcome;
        }
        let (offset, what) = match malformed::examine(body) {
            Finding::Malformed { offset, what } => (offset, what),
            Finding::Valid { oversized } => {
                let tamed = malformed::tame(body, &oversized);
                match scratch.walk(&tamed, |nodes| walk(nodes, columns)) {
                    Ok(outcome) => return outcome,
                    Err(error) => (error.index(), "it could not be read"),
                }
            }
        };
        Err(Error::Invalid(Faults::malformed(offset, what)))
    })
}

thread_local! {
    static DESK: Cell<Option<Box<Desk>>> = const { Cell::new(None) };
}

/// What a thread keeps between bodies.
#[derive(Default)]
struct Desk {
    scratch: Scratch,
    columns: Columns,
}

impl Desk {
    /// Lends the thread's desk to `work`, and keeps it if it has not grown large.
    fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        let mut desk = DESK.take().unwrap_or_default();
        let outcome = work(&mut desk);
        if desk.scratch.is_modest() {
            DESK.set(Some(desk));
        }
        outcome
    }
}

/// What simd-json needs to make a tape.
struct Scratch {
    /// The body and [`INPUT_PADDING`]: simd-json writes unescaped strings into it, so the body itself stays as it came
    /// and can be examined when it is refused.
    padded: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { padded: Vec::new(), buffers: Buffers::with_max_depth(0, NESTING_MAX), tape: Tape(Vec::new()) }
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch({} bytes)", self.padded.capacity())
    }
}

impl Scratch {
    fn is_modest(&self) -> bool {
        self.padded.capacity() <= SCRATCH_BODY_BYTES_MAX && self.tape.0.capacity() <= SCRATCH_NODES_MAX
    }

    /// Makes the tape of a text and hands it to `walk`.
    fn walk<T>(&mut self, text: &[u8], walk: impl FnOnce(&[Node<'_>]) -> T) -> Result<T, simd_json::Error> {
        self.padded.clear();
        self.padded.reserve_exact(text.len() + INPUT_PADDING);
        self.padded.extend_from_slice(text);
        self.padded.resize(text.len() + INPUT_PADDING, b' ');
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let filled = simd_json::fill_tape_padded(&mut self.padded, text.len(), &mut self.buffers, &mut tape);
        let outcome = filled.map(|()| walk(&tape.0));
        self.tape = tape.reset();
        outcome
    }
}

#[cfg(test)]
mod tests;
