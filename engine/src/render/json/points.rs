//! Points with everything that is said of them, in the form in which they are sent in.

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;

use super::texts::Texts;
use super::{times, values, write_string};
use crate::error::Result;
use crate::export::Series;
use crate::number;
use crate::query::{malformed, window};
use crate::time::Formatter;

/// Bytes of a point with a short source and device, for reserving.
const POINT_BYTES: usize = 144;

/// How points stand beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// The elements of an array, each on a line of its own; the brackets are the caller's.
    Elements,
    /// One object a line, each with `"type":"point"`.
    Lines,
}

/// Writes `{"metric","value","unit","recorded_at","source","source_device_id"}` for each point.
#[derive(Debug)]
pub struct PointWriter {
    style: Style,
    is_first: bool,
    is_count: bool,
    /// From the point's beginning to its value.
    head: Vec<u8>,
    /// From the value to the time.
    middle: Vec<u8>,
    times: Formatter,
    sources: Texts,
    devices: Texts,
}

impl PointWriter {
    /// Nothing was written yet.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            is_first: true,
            is_count: false,
            head: Vec::new(),
            middle: Vec::new(),
            times: Formatter::default(),
            sources: Texts::new(b"\",\"source\":", b""),
            devices: Texts::new(b"", b""),
        }
    }

    /// The points that follow are of this metric.
    pub fn begin(&mut self, series: &Series) {
        self.is_count = series.is_count;
        self.head.clear();
        self.head.extend_from_slice(match self.style {
            Style::Elements => b"{\"metric\":",
            Style::Lines => b"{\"type\":\"point\",\"metric\":",
        });
        write_string(&series.key, &mut self.head);
        self.head.extend_from_slice(b",\"value\":");
        self.middle.clear();
        self.middle.extend_from_slice(b",\"unit\":");
        match &series.unit {
            Some(unit) => write_string(unit, &mut self.middle),
            None => self.middle.extend_from_slice(b"null"),
        }
        self.middle.extend_from_slice(b",\"recorded_at\":\"");
    }

    /// Writes a batch of [`crate::Points`].
    ///
    /// # Errors
    /// A batch of another shape.
    pub fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let (times, values) = (times(batch, window::RECORDED_AT)?, values(batch, window::VALUE)?);
        let text = |column: usize, what| {
            let texts = batch.columns().get(column).and_then(|texts| texts.as_dictionary_opt::<Int32Type>());
            texts.ok_or_else(|| malformed(what))
        };
        let (sources, devices) = (text(window::SOURCE, "source")?, text(window::DEVICE, "source_device_id")?);
        self.sources.prepare(sources.values())?;
        self.devices.prepare(devices.values())?;
        let (separator, end): (&[u8], &[u8]) = match self.style {
            Style::Elements => (b",\n", b"}"),
            Style::Lines => (b"", b"}\n"),
        };
        out.reserve(batch.num_rows() * POINT_BYTES);
        let origins = sources.keys().values().iter().zip(devices.keys());
        for ((recorded_at, value), (source, device)) in times.values().iter().zip(values.values()).zip(origins) {
            if self.is_first {
                self.is_first = false;
                out.extend_from_slice(separator.strip_prefix(b",").unwrap_or_default());
            } else {
                out.extend_from_slice(separator);
            }
            out.extend_from_slice(&self.head);
            number::write(*value, self.is_count, out);
            out.extend_from_slice(&self.middle);
            self.times.write(*recorded_at, out);
            out.extend_from_slice(self.sources.get(*source).ok_or_else(|| malformed("source key"))?);
            out.extend_from_slice(b",\"source_device_id\":");
            out.extend_from_slice(match device {
                None => b"null",
                Some(device) => self.devices.get(device).ok_or_else(|| malformed("device key"))?,
            });
            out.extend_from_slice(end);
        }
        Ok(())
    }
}
