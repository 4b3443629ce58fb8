//! One JSON object: `{"format",…,"user":{…},"check_ins":[…],…,"points":[…],"metrics":[…],"counts":{…},"complete":true}`.
//!
//! Each record stands on a line of its own, so that tools which read lines are of use. The object is closed, and says
//! `"complete":true`, only at the end.

use std::io::Write as _;

use engine::{PointWriter, Series, Style};
use serde::Serialize;

use super::super::Failure;
use super::super::sink::Sink;
use super::{Document, Head, NextBatch, Section, parts};

/// The document.
#[derive(Debug)]
pub(crate) struct Json {
    sink: Sink,
    points: PointWriter,
    is_first: bool,
}

impl Json {
    /// Begins with the head.
    ///
    /// # Errors
    /// Nobody takes the bytes.
    pub(crate) fn new(mut sink: Sink, head: &Head) -> Result<Self, Failure> {
        let out = sink.buffer();
        serde_json::to_writer(&mut *out, head)?;
        // More follows.
        out.pop();
        sink.pass()?;
        Ok(Self { sink, points: PointWriter::new(Style::Elements), is_first: true })
    }

    fn open(&mut self, name: &str) -> Result<(), Failure> {
        self.is_first = true;
        write!(self.sink, ",\n\"{name}\":[")?;
        Ok(())
    }
}

impl Document for Json {
    fn single<T: Serialize>(&mut self, name: &'static str, record: &T) -> Result<(), Failure> {
        write!(self.sink, ",\n\"{name}\":")?;
        serde_json::to_writer(&mut self.sink, record)?;
        Ok(())
    }

    fn begin(&mut self, section: &Section) -> Result<(), Failure> {
        self.open(section.name)
    }

    fn record<T: Serialize>(&mut self, record: &T) -> Result<(), Failure> {
        self.sink.write_all(if self.is_first { b"\n" } else { b",\n" })?;
        self.is_first = false;
        serde_json::to_writer(&mut self.sink, record)?;
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        Ok(self.sink.write_all(if self.is_first { b"]" } else { b"\n]" })?)
    }

    fn begin_points(&mut self) -> Result<(), Failure> {
        self.open("points")
    }

    fn points(&mut self, series: &Series, next: &mut NextBatch<'_>) -> Result<u64, Failure> {
        self.points.begin(series);
        let mut count = 0;
        while let Some(batch) = next()? {
            for part in parts(&batch) {
                self.points.rows(&part, self.sink.buffer())?;
                self.sink.pass()?;
            }
            self.is_first = false;
            count += batch.num_rows() as u64;
        }
        Ok(count)
    }

    fn end_points(&mut self) -> Result<(), Failure> {
        self.end()
    }

    fn finish<C: Serialize>(mut self, counts: &C) -> Result<Sink, Failure> {
        self.single("counts", counts)?;
        self.sink.write_all(b",\n\"complete\":true}\n")?;
        Ok(self.sink)
    }
}
