//! Merges sorted runs into one: slices where only one input has rows, rows only where key ranges really overlap.
//!
//! Inputs come newest first. On equal keys the newest wins, and is corrected if any value differed on the way or a
//! displaced point was corrected itself. Memory is one batch per input and the output's.

mod input;

pub(crate) use input::Input;

use std::collections::VecDeque;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::future::try_join_all;
use futures::stream;

use self::input::Cursor;
use crate::dedup::is_corrected;
use crate::error::Result;
use crate::run::{BATCH_ROWS_MAX, Projection, RunBuilder};
use crate::selection::{Columns, PointStream};

/// A slice of at least this many rows goes out as it is, without a copy.
const PASS_ROWS_MIN: usize = 4_096;

/// The columns that inputs of a merge must have, so that it can tell identities and give what is wanted. One input
/// alone needs no more than what is wanted.
pub(crate) fn columns_needed(columns: Columns, inputs: usize) -> Columns {
    if inputs <= 1 {
        return columns;
    }
    Columns { user_id: true, source: true, source_device_id: true, acceptance: columns.acceptance }
}

/// Merges inputs (newest first, each sorted, with the columns of [`columns_needed`]) into batches of at most
/// `batch_rows` rows with the columns wanted.
///
/// Cost: O(inputs) per slice; one input alone passes through. The inputs are opened together, at the first poll.
pub(crate) fn merge(inputs: Vec<Input>, columns: Columns, batch_rows: usize) -> PointStream {
    let batch_rows = batch_rows.clamp(1, BATCH_ROWS_MAX);
    let merge = Merge {
        cursors: inputs.into_iter().map(Cursor::new).collect(),
        builder: RunBuilder::new(columns, batch_rows),
        projection: Projection::to(columns),
        columns,
        batch_rows,
        ready: VecDeque::new(),
        is_open: false,
        is_single: false,
    };
    stream::try_unfold(merge, |mut merge| async move {
        let batch = merge.next().await?;
        Ok(batch.map(|batch| (batch, merge)))
    })
    .boxed()
}

#[derive(Debug)]
struct Merge {
    /// Newest first; those at their end are taken out.
    cursors: Vec<Cursor>,
    builder: RunBuilder,
    projection: Projection,
    columns: Columns,
    batch_rows: usize,
    ready: VecDeque<RecordBatch>,
    is_open: bool,
    /// There was one input from the start: nothing is compared, so that its keys are not even looked at.
    is_single: bool,
}

impl Merge {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if !self.is_open {
            self.is_open = true;
            self.is_single = self.cursors.len() == 1;
            if !self.is_single {
                try_join_all(self.cursors.iter_mut().map(Cursor::fill)).await?;
                self.cursors.retain(Cursor::has_rows);
            }
        }
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            match self.cursors.as_mut_slice() {
                [] => {
                    self.close()?;
                    return Ok(self.ready.pop_front());
                }
                [only] if self.is_single => match only.next_batch().await? {
                    Some(batch) => self.split(&batch)?,
                    None => self.cursors.clear(),
                },
                _ => self.step().await?,
            }
        }
    }

    /// Takes the rows that come next from the one input that has them, or settles one identity that several have.
    async fn step(&mut self) -> Result<()> {
        let Some((winner, rows)) = self.winner() else { return Ok(()) };
        if rows == 0 {
            self.settle(winner)?;
        } else {
            self.take(winner, rows)?;
        }
        self.refill().await
    }

    /// The input with the smallest key, and how many of its rows are below all others' keys: none if another has the
    /// same key (then the input is the newest of those).
    fn winner(&self) -> Option<(usize, usize)> {
        let mut heads = self.cursors.iter().enumerate().filter_map(|(nth, cursor)| Some((nth, cursor.head()?)));
        let mut best = heads.next()?;
        let mut second = None;
        for head in heads {
            if head.1 < best.1 {
                second = Some(best.1);
                best = head;
            } else if second.is_none_or(|second| head.1 < second) {
                second = Some(head.1);
            }
        }
        let cursor = self.cursors.get(best.0)?;
        Some((best.0, second.map_or(cursor.remaining(), |second| cursor.rows_below(&second))))
    }

    /// Passes on or copies the next rows of one input.
    fn take(&mut self, nth: usize, rows: usize) -> Result<()> {
        let Some(cursor) = self.cursors.get_mut(nth) else { return Ok(()) };
        if rows >= PASS_ROWS_MIN.min(self.batch_rows) {
            let slice = cursor.slice(&self.projection, rows)?;
            cursor.advance(rows);
            self.close()?;
            return if let Some(slice) = slice { self.split(&slice) } else { Ok(()) };
        }
        let mut left = rows;
        while left > 0 {
            let taken = left.min(self.builder.room()?);
            cursor.copy(taken, &mut self.builder);
            cursor.advance(taken);
            left -= taken;
        }
        self.collect();
        Ok(())
    }

    /// One identity at the head of several inputs: the newest goes out, the others are displaced.
    fn settle(&mut self, newest: usize) -> Result<()> {
        let Some(winner) = self.cursors.get(newest) else { return Ok(()) };
        let Some(key) = winner.head() else { return Ok(()) };
        let (mut value, mut corrected) = winner.head_value();
        let mut same = Vec::new();
        for (nth, cursor) in self.cursors.iter().enumerate().skip(newest + 1) {
            if cursor.head() == Some(key) {
                let (displaced, displaced_corrected) = cursor.head_value();
                corrected |= is_corrected(value, displaced, displaced_corrected);
                value = displaced;
                same.push(nth);
            }
        }
        self.builder.room()?;
        if let Some(winner) = self.cursors.get_mut(newest) {
            winner.copy(1, &mut self.builder);
            winner.advance(1);
        }
        if corrected {
            self.builder.mark_corrected();
        }
        for nth in same {
            if let Some(cursor) = self.cursors.get_mut(nth) {
                cursor.advance(1);
            }
        }
        self.collect();
        Ok(())
    }

    async fn refill(&mut self) -> Result<()> {
        let mut has_ended = false;
        for cursor in &mut self.cursors {
            if !cursor.has_rows() {
                cursor.fill().await?;
                has_ended |= !cursor.has_rows();
            }
        }
        if has_ended {
            self.cursors.retain(Cursor::has_rows);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.builder.close()?;
        self.collect();
        Ok(())
    }

    fn collect(&mut self) {
        while let Some(batch) = self.builder.next_full() {
            self.ready.push_back(batch);
        }
    }

    /// Hands a batch on in pieces of the size wanted, with the columns wanted.
    fn split(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        if rows <= self.batch_rows && batch.num_columns() == self.columns.schema().fields().len() {
            if rows > 0 {
                self.ready.push_back(batch.clone());
            }
            return Ok(());
        }
        let mut start = 0;
        while start < rows {
            let end = rows.min(start + self.batch_rows);
            self.ready.push_back(self.projection.slice(batch, start..end)?);
            start = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
