//! Arrow batches straight into JSON bytes: one buffer, no map, no string per row.
//!
//! What repeats is prepared once: a source is escaped once per dictionary, a date is formatted once a day.

mod line;
pub(crate) mod points;
mod texts;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use self::line::Line;
use crate::error::Result;
use crate::latest::plan as latest;
use crate::number;
use crate::query::bucket::START;
use crate::query::metrics::{Entry, Metrics};
use crate::query::{Aggregate, BucketWidth, malformed, window};
use crate::time::Formatter;

/// Appends a JSON string, quotes included.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                for digit in [byte >> 4, byte & 15] {
                    out.push(HEX.get(usize::from(digit)).copied().unwrap_or(b'0'));
                }
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Writes `{"name":"text",…,"list":[`.
fn write_head(fields: &[(&str, &str)], list: &str, out: &mut Vec<u8>) {
    out.push(b'{');
    for (name, text) in fields {
        write_string(name, out);
        out.push(b':');
        write_string(text, out);
        out.push(b',');
    }
    write_string(list, out);
    out.extend_from_slice(b":[");
}

/// What `next_cursor` of a window says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// No limit was given: the field is absent.
    NotAsked,
    /// This was the last page: null.
    Nothing,
    /// Where the next page begins.
    Page(&'a str),
}

/// Writes `{"metric","unit","data_points":[…]}` piece by piece.
#[derive(Debug)]
pub(crate) struct WindowWriter {
    /// What comes before the first point, until it is written.
    head: Vec<u8>,
    is_first: bool,
    line: Line,
    /// The dictionary that `tails` was made of.
    dictionary: Option<ArrayRef>,
    /// For each source `","source":"…"}`; all in one buffer, and where each ends.
    tails: Vec<u8>,
    tail_ends: Vec<usize>,
}

impl WindowWriter {
    /// For a metric.
    pub(crate) fn new(metric: &Entry) -> Self {
        let mut head = Vec::new();
        write_head(&[("metric", &metric.key), ("unit", &metric.unit)], "data_points", &mut head);
        Self {
            head,
            is_first: true,
            line: Line::new(metric.is_count),
            dictionary: None,
            tails: Vec::new(),
            tail_ends: Vec::new(),
        }
    }

    /// Writes what comes before the first point, once.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.head);
    }

    /// Makes room for rows, about.
    pub(crate) fn reserve(&self, rows: usize, out: &mut Vec<u8>) {
        out.reserve(self.head.len() + (rows + 2) * self.line.bytes_about());
    }

    /// Writes a batch of [`window::Window`], whose rows ascend, from its end to its begin.
    ///
    /// # Errors
    /// A batch of another shape.
    pub(crate) fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let (times, values) = (times(batch, window::RECORDED_AT)?, values(batch, window::VALUE)?);
        let sources = batch.column(window::SOURCE).as_dictionary_opt::<Int32Type>();
        let sources = sources.ok_or_else(|| malformed("source"))?;
        let Some(newest) = sources.keys().values().last().copied() else { return Ok(()) };
        self.prepare(sources.values())?;
        self.set_tail(newest)?;
        self.reserve(batch.num_rows(), out);
        if !std::mem::take(&mut self.is_first) {
            out.push(b',');
        }
        out.extend_from_slice(Line::BEGIN);
        let rows = times.values().iter().zip(values.values()).zip(sources.keys().values());
        let mut last_key = newest;
        for ((recorded_at, value), key) in rows.rev() {
            if last_key != *key {
                self.set_tail(*key)?;
                last_key = *key;
            }
            self.line.write(*value, *recorded_at, out);
        }
        // Each line ends with the begin of the next.
        out.truncate(out.len() - Line::BEGIN.len() - 1);
        Ok(())
    }

    /// Writes what comes behind the last point.
    pub(crate) fn finish(next: Next<'_>, out: &mut Vec<u8>) {
        out.push(b']');
        match next {
            Next::NotAsked => {}
            Next::Nothing => out.extend_from_slice(b",\"next_cursor\":null"),
            Next::Page(cursor) => {
                out.extend_from_slice(b",\"next_cursor\":");
                write_string(cursor, out);
            }
        }
        out.push(b'}');
    }

    fn prepare(&mut self, dictionary: &ArrayRef) -> Result<()> {
        if self.dictionary.as_ref().is_some_and(|known| Arc::ptr_eq(known, dictionary)) {
            return Ok(());
        }
        let texts = dictionary.as_string_opt::<i32>().ok_or_else(|| malformed("source"))?;
        self.tails.clear();
        self.tail_ends.clear();
        for text in texts {
            self.tails.extend_from_slice(b"\",\"source\":");
            write_string(text.unwrap_or_default(), &mut self.tails);
            self.tails.push(b'}');
            self.tail_ends.push(self.tails.len());
        }
        self.dictionary = Some(Arc::clone(dictionary));
        Ok(())
    }

    /// Lets the lines end with a source, by its key in the dictionary.
    fn set_tail(&mut self, key: i32) -> Result<()> {
        let tail = || {
            let key = usize::try_from(key).ok()?;
            let start = match key.checked_sub(1) {
                Some(before) => *self.tail_ends.get(before)?,
                None => 0,
            };
            self.tails.get(start..*self.tail_ends.get(key)?)
        };
        self.line.set_tail(tail().ok_or_else(|| malformed("source key"))?);
        Ok(())
    }
}

/// Writes `{"latest":{…}}` of a batch of [`latest::Latest`].
///
/// # Errors
/// A batch of another shape.
pub(crate) fn write_latest(batch: Option<&RecordBatch>, metrics: &Metrics, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(b"{\"latest\":{");
    if let Some(batch) = batch {
        let (times, values) = (times(batch, latest::RECORDED_AT)?, values(batch, latest::VALUE)?);
        let places = batch.column(latest::METRIC).as_dictionary_opt::<Int32Type>();
        let places = places.ok_or_else(|| malformed("metric"))?.keys();
        let mut formatter = Formatter::default();
        for (row, ((recorded_at, value), place)) in
            times.values().iter().zip(values.values()).zip(places.values()).enumerate()
        {
            let entry = usize::try_from(*place).ok().and_then(|place| metrics.entries().get(place));
            let entry = entry.ok_or_else(|| malformed("metric key"))?;
            if row > 0 {
                out.push(b',');
            }
            write_string(&entry.key, out);
            out.extend_from_slice(b":{\"value\":");
            number::write(*value, entry.is_count, out);
            out.extend_from_slice(b",\"unit\":");
            write_string(&entry.unit, out);
            out.extend_from_slice(b",\"recorded_at\":\"");
            formatter.write(*recorded_at, out);
            out.extend_from_slice(b"\"}");
        }
    }
    out.extend_from_slice(b"}}");
    Ok(())
}

/// Writes `{"metric","unit","bucket","tz","buckets":[…]}` piece by piece.
#[derive(Debug)]
pub(crate) struct BucketWriter {
    /// What comes before the first bucket, until it is written.
    head: Vec<u8>,
    is_count: bool,
    is_first: bool,
    times: Formatter,
    aggregates: Arc<[Aggregate]>,
}

impl BucketWriter {
    /// For these figures of a metric.
    pub(crate) fn new(metric: &Entry, width: BucketWidth, tz: &str, aggregates: Arc<[Aggregate]>) -> Self {
        let mut head = Vec::new();
        let fields = [("metric", &*metric.key), ("unit", &*metric.unit), ("bucket", width.as_str()), ("tz", tz)];
        write_head(&fields, "buckets", &mut head);
        Self { head, is_count: metric.is_count, is_first: true, times: Formatter::default(), aggregates }
    }

    /// Writes what comes before the first bucket, once.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.head);
    }

    /// Writes a batch of [`crate::query::bucket::Buckets`].
    ///
    /// # Errors
    /// A batch of another shape.
    pub(crate) fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let starts = times(batch, START)?;
        let figures: Vec<_> =
            (START + 1..batch.num_columns()).map(|column| values(batch, column)).collect::<Result<_>>()?;
        for (row, start) in starts.values().iter().enumerate() {
            out.extend_from_slice(if self.is_first { b"{\"start\":\"" } else { b",{\"start\":\"" });
            self.is_first = false;
            self.times.write(*start, out);
            out.push(b'"');
            for (aggregate, figures) in self.aggregates.iter().zip(&figures) {
                let Some(figure) = figures.values().get(row).filter(|_| figures.is_valid(row)) else { continue };
                out.extend_from_slice(b",\"");
                out.extend_from_slice(aggregate.as_str().as_bytes());
                out.extend_from_slice(b"\":");
                number::write(*figure, self.is_count || *aggregate == Aggregate::Count, out);
            }
            out.push(b'}');
        }
        Ok(())
    }

    /// Writes what comes behind the last bucket.
    pub(crate) fn finish(out: &mut Vec<u8>) {
        out.extend_from_slice(b"]}");
    }
}

fn times(batch: &RecordBatch, column: usize) -> Result<&TimestampMicrosecondArray> {
    let times = batch.columns().get(column).and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
    times.ok_or_else(|| malformed("column of times"))
}

fn values(batch: &RecordBatch, column: usize) -> Result<&Float64Array> {
    let values = batch.columns().get(column).and_then(|values| values.as_primitive_opt::<Float64Type>());
    values.ok_or_else(|| malformed("column of values"))
}

#[cfg(test)]
mod tests;
