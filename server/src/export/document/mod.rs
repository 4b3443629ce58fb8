//! The forms of an export. All hold the same: sections of records, then points, then the counts.

mod archive;
mod json;
mod lines;

use arrow::record_batch::RecordBatch;
use engine::Series;
use serde::Serialize;

pub(crate) use self::archive::Archive;
pub(crate) use self::json::Json;
pub(crate) use self::lines::Lines;
use super::Failure;
use super::sink::Sink;

/// What the first line says; a reader that does not know the version should not guess.
const FORMAT: &str = "avycenna-export";
const VERSION: u32 = 1;

/// Rows that are rendered at once: about 150 KB.
const RENDERED_ROWS: usize = 1_024;

/// The beginning of every form.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Head {
    format: &'static str,
    version: u32,
    user_id: String,
    exported_at: String,
}

impl Head {
    /// Of a person's export at a time in RFC 3339.
    pub(crate) fn new(user_id: &str, exported_at: String) -> Self {
        Self { format: FORMAT, version: VERSION, user_id: user_id.to_owned(), exported_at }
    }
}

/// A list of records of one sort.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    /// The list's name.
    pub(crate) name: &'static str,
    /// One record's: its `type` where each stands for itself.
    pub(crate) record: &'static str,
}

/// Gives the next points of one metric; `None` at the end.
pub(crate) type NextBatch<'a> = dyn FnMut() -> Result<Option<RecordBatch>, Failure> + 'a;

/// A form of an export, written from its beginning to its end. One that is dropped without [`Self::finish`] leaves
/// something that no reader takes for whole.
pub(crate) trait Document: Sized {
    /// A record that there is once.
    fn single<T: Serialize>(&mut self, name: &'static str, record: &T) -> Result<(), Failure>;

    /// The records that follow are of this section.
    fn begin(&mut self, section: &Section) -> Result<(), Failure>;

    /// The next record of the section.
    fn record<T: Serialize>(&mut self, record: &T) -> Result<(), Failure>;

    /// The section's end.
    fn end(&mut self) -> Result<(), Failure>;

    /// The points follow.
    fn begin_points(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// All points of one metric; how many there were.
    fn points(&mut self, series: &Series, next: &mut NextBatch<'_>) -> Result<u64, Failure>;

    /// No more points.
    fn end_points(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Nothing more: the counts, and that this is all. The sink wants [`Sink::end`] yet.
    fn finish<C: Serialize>(self, counts: &C) -> Result<Sink, Failure>;
}

/// A batch in parts that are rendered at once.
fn parts(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    (0..batch.num_rows())
        .step_by(RENDERED_ROWS)
        .map(|start| batch.slice(start, RENDERED_ROWS.min(batch.num_rows() - start)))
}
