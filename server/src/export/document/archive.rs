//! A zip: `points/METRIC.parquet` for each metric with points, a JSON file for each section, `manifest.json` at the end.
//!
//! It is written without seeking: sizes and checksums stand behind each file. Files are deflated, also those that are
//! compressed already: only so can a reader of a stream tell where one ends. An archive that broke off has no directory,
//! which every reader of zips misses at once.

use std::io::Write as _;

use engine::{PointFile, Series};
use serde::Serialize;
use zip::CompressionMethod;
use zip::ZipWriter;
use zip::write::{SimpleFileOptions, StreamWriter};

use super::super::Failure;
use super::super::sink::{Sink, Void};
use super::{Document, Head, NextBatch, Section};

/// Fast: points are compressed already, and the rest is small.
const DEFLATE_LEVEL: i64 = 1;

const README: &str = include_str!("readme.txt");

/// The document.
pub(crate) struct Archive {
    /// Dropped first: what the archive writes when it is dropped goes nowhere.
    void: Void,
    zip: ZipWriter<StreamWriter<Sink>>,
    head: Head,
    files: Vec<File>,
    is_first: bool,
}

/// A file of the archive, in the manifest.
#[derive(Debug, Serialize)]
struct File {
    name: String,
    records: u64,
}

/// What the archive holds.
#[derive(Serialize)]
struct Manifest<'a, C> {
    #[serde(flatten)]
    head: &'a Head,
    counts: &'a C,
    files: &'a [File],
    complete: bool,
}

impl Archive {
    /// Begins with a file for people.
    ///
    /// # Errors
    /// Nobody takes the bytes.
    pub(crate) fn new(sink: Sink, head: Head) -> Result<Self, Failure> {
        let (void, zip) = (sink.void(), ZipWriter::new_stream(sink));
        let mut archive = Self { void, zip, head, files: Vec::new(), is_first: true };
        archive.zip.start_file("README.txt", options())?;
        archive.zip.write_all(README.as_bytes())?;
        Ok(archive)
    }

    fn open(&mut self, name: String) -> Result<(), Failure> {
        self.zip.start_file(name.as_str(), options())?;
        self.files.push(File { name, records: 0 });
        Ok(())
    }

    fn count(&mut self, records: u64) {
        if let Some(file) = self.files.last_mut() {
            file.records += records;
        }
    }
}

impl Document for Archive {
    fn single<T: Serialize>(&mut self, name: &'static str, record: &T) -> Result<(), Failure> {
        self.open(format!("{name}.json"))?;
        serde_json::to_writer(&mut self.zip, record)?;
        self.zip.write_all(b"\n")?;
        self.count(1);
        Ok(())
    }

    fn begin(&mut self, section: &Section) -> Result<(), Failure> {
        self.open(format!("{}.json", section.name))?;
        self.is_first = true;
        Ok(self.zip.write_all(b"[")?)
    }

    fn record<T: Serialize>(&mut self, record: &T) -> Result<(), Failure> {
        self.zip.write_all(if self.is_first { b"\n" } else { b",\n" })?;
        self.is_first = false;
        serde_json::to_writer(&mut self.zip, record)?;
        self.count(1);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        Ok(self.zip.write_all(b"\n]\n")?)
    }

    fn points(&mut self, series: &Series, next: &mut NextBatch<'_>) -> Result<u64, Failure> {
        let Some(first) = next()? else { return Ok(0) };
        self.open(format!("points/{}.parquet", series.key))?;
        let mut file = PointFile::new(series, &mut self.zip)?;
        let mut count = 0;
        let mut batch = Some(first);
        while let Some(rows) = batch {
            file.rows(&rows)?;
            count += rows.num_rows() as u64;
            batch = next()?;
        }
        file.finish()?;
        self.count(count);
        Ok(count)
    }

    fn finish<C: Serialize>(mut self, counts: &C) -> Result<Sink, Failure> {
        self.zip.start_file("manifest.json", options())?;
        let manifest = Manifest { head: &self.head, counts, files: &self.files, complete: true };
        serde_json::to_writer_pretty(&mut self.zip, &manifest)?;
        self.zip.write_all(b"\n")?;
        let Self { void, zip, .. } = self;
        let sink = zip.finish()?.into_inner();
        void.spare();
        Ok(sink)
    }
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(DEFLATE_LEVEL))
        .unix_permissions(0o600)
        // How long a file becomes is not known when it begins.
        .large_file(true)
}
