//! One input of a merge and where the merge stands in it.

use std::fmt;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;

use crate::error::Result;
use crate::run::{Key, KeyCache, Projection, Rows, RunBuilder};
use crate::selection::PointStream;

/// A sorted run to be merged.
pub(crate) enum Input {
    /// In memory: ready at once.
    Ready(std::vec::IntoIter<RecordBatch>),
    /// From elsewhere.
    Stream(PointStream),
}

impl From<Vec<RecordBatch>> for Input {
    fn from(batches: Vec<RecordBatch>) -> Self {
        Self::Ready(batches.into_iter())
    }
}

impl From<PointStream> for Input {
    fn from(stream: PointStream) -> Self {
        Self::Stream(stream)
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Stream(_) => "Stream",
        })
    }
}

/// An input, its batch at hand and the next row in it.
#[derive(Debug)]
pub(super) struct Cursor {
    input: Input,
    at: Option<(RecordBatch, Rows)>,
    row: usize,
    caches: [KeyCache; 2],
}

impl Cursor {
    pub(super) fn new(input: Input) -> Self {
        Self { input, at: None, row: 0, caches: Default::default() }
    }

    /// The next batch of the input, without looking into it.
    pub(super) async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        match &mut self.input {
            Input::Ready(batches) => Ok(batches.next()),
            Input::Stream(stream) => stream.next().await.transpose(),
        }
    }

    /// Takes the next batch that has rows; at the end there is none at hand.
    pub(super) async fn fill(&mut self) -> Result<()> {
        self.at = None;
        self.row = 0;
        while let Some(batch) = self.next_batch().await? {
            if batch.num_rows() > 0 {
                let rows = Rows::of(&batch)?;
                self.at = Some((batch, rows));
                self.caches.iter_mut().for_each(KeyCache::clear);
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn has_rows(&self) -> bool {
        self.remaining() > 0
    }

    /// Rows left in the batch at hand.
    pub(super) fn remaining(&self) -> usize {
        self.at.as_ref().map_or(0, |(batch, _)| batch.num_rows().saturating_sub(self.row))
    }

    /// Key of the next row.
    pub(super) fn head(&self) -> Option<Key<'_>> {
        self.at.as_ref().map(|(_, rows)| rows.key(self.row))
    }

    /// Value of the next row, and whether it is corrected.
    pub(super) fn head_value(&self) -> (f64, bool) {
        self.at.as_ref().map_or((0.0, false), |(_, rows)| (rows.value(self.row), rows.is_corrected(self.row)))
    }

    /// How many rows of the batch at hand come before a key.
    pub(super) fn rows_below(&self, bound: &Key<'_>) -> usize {
        let Some((batch, rows)) = &self.at else { return 0 };
        rows.first_from(self.row..batch.num_rows(), bound) - self.row
    }

    /// The next rows as they are.
    pub(super) fn slice(&self, projection: &Projection, rows: usize) -> Result<Option<RecordBatch>> {
        self.at.as_ref().map(|(batch, _)| projection.slice(batch, self.row..self.row + rows)).transpose()
    }

    /// Copies the next rows; they must fit.
    pub(super) fn copy(&mut self, rows: usize, builder: &mut RunBuilder) {
        if let Some((_, from)) = &self.at {
            builder.append_rows(from, self.row..self.row + rows, &mut self.caches);
        }
    }

    pub(super) fn advance(&mut self, rows: usize) {
        self.row += rows;
    }
}
