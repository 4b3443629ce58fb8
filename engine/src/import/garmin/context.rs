//! What every part of one reading shares: the sink, how far the file is read, which part of an archive it is.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::{SOURCE, fit, reason};
use crate::import::{Fault, Found, Maker, Sample, Sink};
use crate::time;

/// The sink hears of progress after so many bytes.
const PROGRESS_BYTES: u64 = 256 << 10;

/// One reading.
pub(crate) struct Context<'s> {
    sink: &'s mut dyn Sink,
    read_bytes: Rc<Cell<u64>>,
    told_bytes: u64,
    /// The parts of an archive that lead to what is read, outermost first.
    pub(crate) parts: Vec<String>,
}

impl<'s> Context<'s> {
    /// `read_bytes` is kept by whoever reads the file.
    pub(crate) fn new(sink: &'s mut dyn Sink, read_bytes: Rc<Cell<u64>>) -> Self {
        Self { sink, read_bytes, told_bytes: 0, parts: Vec::new() }
    }

    pub(crate) fn found(&mut self, found: Found<'_>) -> Result<(), Fault> {
        Ok(self.sink.found(found)?)
    }

    /// A sample of a device at a moment.
    pub(crate) fn sample(
        &mut self,
        metric: &'static str,
        value: f64,
        recorded_at: i64,
        device: Option<&str>,
    ) -> Result<(), Fault> {
        self.found(Found::Sample(Sample { metric, value, recorded_at, maker: Maker { source: SOURCE, device } }))
    }

    pub(crate) fn skipped(&mut self, reason: &'static str, example: &dyn fmt::Display) {
        self.sink.skipped(reason, &Placed { parts: &self.parts, example });
    }

    /// The microsecond of a date of the format; reports and returns `None` where it is none.
    pub(crate) fn dated(&mut self, timestamp: Option<u32>) -> Option<i64> {
        match timestamp {
            Some(date) if date >= fit::DATE_MIN => return Some(fit::micros(date)),
            Some(uptime) => self.skipped(reason::UPTIME, &format_args!("{uptime} s")),
            None => self.skipped(reason::NO_TIME, &"a message before the first time"),
        }
        None
    }

    /// Tells the sink how far the file is read, when it is time to.
    pub(crate) fn progress(&mut self) -> Result<(), Fault> {
        let read_bytes = self.read_bytes.get();
        if read_bytes - self.told_bytes >= PROGRESS_BYTES {
            self.told_bytes = read_bytes;
            self.sink.reached(read_bytes)?;
        }
        Ok(())
    }

    /// Tells the sink that the file is read so far, at its end.
    pub(crate) fn reached_end(&mut self) -> Result<(), Fault> {
        Ok(self.sink.reached(self.read_bytes.get())?)
    }
}

/// A moment for people, microseconds UTC; made a text only where one is wanted.
pub(crate) struct At(pub(crate) i64);

impl fmt::Display for At {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&time::format(self.0))
    }
}

/// An example, with the part of the archive in front.
struct Placed<'a> {
    parts: &'a [String],
    example: &'a dyn fmt::Display,
}

impl fmt::Display for Placed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.parts {
            write!(out, "{part}: ")?;
        }
        self.example.fmt(out)
    }
}
