//! NDJSON: a line a record, each with its `type`; the last is `{"type":"end","counts":{…}}`.

use std::io::Write as _;

use engine::{PointWriter, Series, Style};
use serde::Serialize;

use super::super::Failure;
use super::super::sink::Sink;
use super::{Document, Head, NextBatch, Section, parts};

/// The document.
#[derive(Debug)]
pub(crate) struct Lines {
    sink: Sink,
    points: PointWriter,
    kind: &'static str,
}

/// A record that says what it is.
#[derive(Serialize)]
struct Line<'a, T> {
    r#type: &'static str,
    #[serde(flatten)]
    record: &'a T,
}

/// The last line.
#[derive(Serialize)]
struct End<'a, C> {
    counts: &'a C,
}

impl Lines {
    /// Begins with the head, as a line of type `export`.
    ///
    /// # Errors
    /// Nobody takes the bytes.
    pub(crate) fn new(sink: Sink, head: &Head) -> Result<Self, Failure> {
        let mut lines = Self { sink, points: PointWriter::new(Style::Lines), kind: "" };
        lines.single("export", head)?;
        Ok(lines)
    }
}

impl Document for Lines {
    fn single<T: Serialize>(&mut self, name: &'static str, record: &T) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.sink, &Line { r#type: name, record })?;
        Ok(self.sink.write_all(b"\n")?)
    }

    fn begin(&mut self, section: &Section) -> Result<(), Failure> {
        self.kind = section.record;
        Ok(())
    }

    fn record<T: Serialize>(&mut self, record: &T) -> Result<(), Failure> {
        self.single(self.kind, record)
    }

    fn end(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn points(&mut self, series: &Series, next: &mut NextBatch<'_>) -> Result<u64, Failure> {
        self.points.begin(series);
        let mut count = 0;
        while let Some(batch) = next()? {
            for part in parts(&batch) {
                self.points.rows(&part, self.sink.buffer())?;
                self.sink.pass()?;
            }
            count += batch.num_rows() as u64;
        }
        Ok(count)
    }

    fn finish<C: Serialize>(mut self, counts: &C) -> Result<Sink, Failure> {
        self.single("end", &End { counts })?;
        Ok(self.sink)
    }
}
