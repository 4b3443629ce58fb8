//! One point of a window as JSON, prepared: what repeats stays where it is, only digits change, and a point is one copy.
//!
//! ```text
//! ....................72.0,"recorded_at":"2026-06-01T08:30:00Z","source":"watch"},{"value":
//! number, to the right    middle          time                 tail               begin of the next
//! ```

use crate::number;
use crate::time::{Formatter, TEXT_BYTES};

const MIDDLE: &[u8; 16] = b",\"recorded_at\":\"";
/// Where the time is.
const TIME: usize = number::ROOM_BYTES + MIDDLE.len();
/// Where the tail begins.
const TAIL: usize = TIME + TEXT_BYTES;

/// Bytes of a tail before one is known, and the begin of the next point.
const TAIL_BYTES_ABOUT: usize = 40;

/// Lines up to this long, of short sources, are copied as if they had this length: a copy of known length is no call.
const COPY_BYTES: usize = 96;

/// The text of the last point, with room for the longest number before it, and zeros behind it.
#[derive(Debug)]
pub(super) struct Line {
    text: Vec<u8>,
    /// Where the zeros begin.
    end: usize,
    is_count: bool,
    times: Formatter,
}

impl Line {
    /// What stands before a value.
    pub(super) const BEGIN: &[u8] = b"{\"value\":";

    /// For values of a metric.
    pub(super) fn new(is_count: bool) -> Self {
        let mut text = vec![0; number::ROOM_BYTES];
        text.extend_from_slice(MIDDLE);
        text.resize(TAIL, 0);
        Self { text, end: TAIL, is_count, times: Formatter::default() }
    }

    /// Sets what stands behind the time: the source, to the end of the point.
    pub(super) fn set_tail(&mut self, tail: &[u8]) {
        self.text.truncate(TAIL);
        self.text.extend_from_slice(tail);
        self.text.push(b',');
        self.text.extend_from_slice(Self::BEGIN);
        self.end = self.text.len();
        self.text.resize(self.end + COPY_BYTES, 0);
    }

    /// Bytes of a point, for reserving: with the last tail, or one that is hardly ever longer, and a number of eight.
    pub(super) fn bytes_about(&self) -> usize {
        self.end.max(TAIL + TAIL_BYTES_ABOUT) - number::ROOM_BYTES + 8
    }

    /// Appends a point behind [`Self::BEGIN`], and a comma and the begin of the next.
    #[inline]
    pub(super) fn write(&mut self, value: f64, recorded_at: i64, out: &mut Vec<u8>) {
        let (time, fraction_us) = self.times.text(recorded_at);
        let start = self.text.first_chunk_mut().and_then(|room| number::write_before(value, self.is_count, room));
        let time_room = self.text.get_mut(TIME..).and_then(|rest| rest.first_chunk_mut());
        if let (Some(start), Some(room), 0) = (start, time_room, fraction_us) {
            *room = time;
            let line = self.text.get(start..).unwrap_or_default();
            let len = self.end - start;
            match line.first_chunk::<COPY_BYTES>().filter(|_| len <= COPY_BYTES) {
                Some(line) => {
                    out.extend_from_slice(line);
                    out.truncate(out.len() - (COPY_BYTES - len));
                }
                None => out.extend_from_slice(line.get(..len).unwrap_or_default()),
            }
        } else {
            self.write_slowly(value, recorded_at, out);
        }
    }

    #[cold]
    fn write_slowly(&mut self, value: f64, recorded_at: i64, out: &mut Vec<u8>) {
        number::write(value, self.is_count, out);
        out.extend_from_slice(MIDDLE);
        self.times.write(recorded_at, out);
        out.extend_from_slice(self.text.get(TAIL..self.end).unwrap_or_default());
    }
}
