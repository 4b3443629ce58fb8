//! A run's columns, typed: what seal, merge, tombstones and the readers work on.
//!
//! [`Keys`] is the sorted part (user, time) in which rows are found by binary search; [`Rows`] adds what a merge
//! compares and copies. Both are views: making one copies nothing.

mod build;

pub(crate) use build::{BATCH_ROWS_MAX, KeyCache, OriginKeys, RunBuilder};

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int32Array, StringArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{Float64Type, Int32Type, SchemaRef, TimestampMicrosecondType, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};
use crate::point::{TimeRange, UserId};
use crate::selection::{Columns, Users};

/// Rows up to which a column of one text shares its keys with all others: those of the largest page.
const SAME_ROWS: usize = 16_384;

/// A dictionary column.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    keys: ScalarBuffer<i32>,
    nulls: Option<NullBuffer>,
    names: StringArray,
}

impl Text {
    fn of(batch: &RecordBatch, name: &'static str) -> Result<Self> {
        match batch.column_by_name(name) {
            Some(column) => Self::new(column),
            None => Err(Error::Batch { what: "a text column is missing" }),
        }
    }

    /// Looks at a column.
    ///
    /// # Errors
    /// [`Error::Batch`] if it is not a dictionary of texts.
    pub(crate) fn new(column: &ArrayRef) -> Result<Self> {
        let Some(column) = column.as_dictionary_opt::<Int32Type>() else {
            return Err(Error::Batch { what: "a text column is not a dictionary" });
        };
        let Some(names) = column.values().as_string_opt::<i32>() else {
            return Err(Error::Batch { what: "a dictionary is not of text" });
        };
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        Ok(Self { keys: column.keys().values().clone(), nulls, names: names.clone() })
    }

    /// One text for all of some rows. Cost: one small allocation, up to [`SAME_ROWS`] rows.
    pub(crate) fn same(name: &str, rows: usize) -> Self {
        static ZEROS: LazyLock<ScalarBuffer<i32>> = LazyLock::new(|| vec![0; SAME_ROWS].into());
        let keys = if rows <= SAME_ROWS { ZEROS.slice(0, rows) } else { vec![0; rows].into() };
        Self { keys, nulls: None, names: StringArray::from_iter_values([name]) }
    }

    /// The column that this is a view of.
    ///
    /// # Errors
    /// [`Error::Batch`] if a key has no name.
    pub(crate) fn column(&self) -> Result<ArrayRef> {
        let keys = Int32Array::new(self.keys.clone(), self.nulls.clone());
        let column = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(self.names.clone()));
        Ok(Arc::new(column.map_err(|_| Error::Batch { what: "a dictionary key has no name" })?))
    }

    /// The text of a row; `None` where it is null (or, in a damaged batch, without a name).
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        self.name(*self.keys.get(row)?)
    }

    /// Runs of equal texts in a range of rows: the text (`None` where it is null) and how many rows it has.
    pub(crate) fn runs(&self, rows: Range<usize>) -> impl Iterator<Item = (Option<&str>, usize)> {
        let mut row = rows.start;
        let end = rows.end.min(self.keys.len());
        std::iter::from_fn(move || {
            let key = *self.keys.get(row)?;
            let first = row;
            let is_null = |row: usize| self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            let null = is_null(first);
            row += 1;
            while row < end && self.keys.get(row) == Some(&key) && is_null(row) == null {
                row += 1;
            }
            (first < end).then(|| (if null { None } else { self.name(key) }, row - first))
        })
    }

    fn name(&self, key: i32) -> Option<&str> {
        let key = usize::try_from(key).ok().filter(|key| *key < self.names.len())?;
        Some(self.names.value(key))
    }
}

/// Identity of a point inside a run, in the order of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key<'a> {
    user: &'a str,
    time: i64,
    source: &'a str,
    device: Option<&'a str>,
}

impl<'a> Key<'a> {
    /// User, time, source, device.
    pub(crate) fn parts(self) -> (&'a str, i64, &'a str, Option<&'a str>) {
        (self.user, self.time, self.source, self.device)
    }
}

/// The sorted part of a run: users and times.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    user: Text,
    times: ScalarBuffer<i64>,
}

impl Keys {
    /// Looks at a batch that has `user_id` and `recorded_at`.
    ///
    /// # Errors
    /// [`Error::Batch`] if it has not.
    pub(crate) fn of(batch: &RecordBatch) -> Result<Self> {
        let times = batch.column_by_name("recorded_at");
        let times = times.and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        let Some(times) = times else { return Err(Error::Batch { what: "no column of times" }) };
        Ok(Self { user: Text::of(batch, "user_id")?, times: times.values().clone() })
    }

    /// Of users and times.
    pub(crate) fn new(user: Text, times: ScalarBuffer<i64>) -> Self {
        Self { user, times }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// The times.
    pub(crate) fn times(&self) -> &[i64] {
        &self.times
    }

    /// The users.
    pub(crate) fn users(&self) -> &Text {
        &self.user
    }

    /// A row's user; empty in a damaged batch.
    pub(crate) fn user(&self, row: usize) -> &str {
        self.user.get(row).unwrap_or_default()
    }

    /// The rows of a user. O(log rows).
    pub(crate) fn rows_of(&self, user: &str) -> Range<usize> {
        let start = partition(0..self.len(), |row| self.user(row) < user);
        start..partition(start..self.len(), |row| self.user(row) <= user)
    }

    /// Of one user's rows, those in a range of time. O(log rows).
    pub(crate) fn rows_in(&self, rows: Range<usize>, times: TimeRange) -> Range<usize> {
        let start = partition(rows.clone(), |row| self.time(row) < times.start);
        start..partition(start..rows.end, |row| self.time(row) < times.end)
    }

    /// The rows that a selection wants, in order, none empty. O(log rows) per user wanted; for everybody's points
    /// in a range of time, per user there is.
    pub(crate) fn select(&self, users: &Users, times: TimeRange) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        let mut push = |rows: Range<usize>| {
            let rows = self.rows_in(rows, times);
            if !rows.is_empty() {
                ranges.push(rows);
            }
        };
        match users {
            Users::One(user) => push(self.rows_of(user.as_str())),
            Users::Sorted(users) => {
                let mut row = 0;
                let mut nth = 0;
                // Leapfrog: either side jumps to the other's next user, so that the shorter one sets the cost.
                while row < self.len() && nth < users.len() {
                    let here = self.user(row);
                    nth = partition(nth..users.len(), |nth| users.get(nth).is_some_and(|user| user.as_str() < here));
                    let Some(user) = users.get(nth).map(UserId::as_str) else { break };
                    let start = partition(row..self.len(), |row| self.user(row) < user);
                    let end = partition(start..self.len(), |row| self.user(row) <= user);
                    push(start..end);
                    row = end;
                    nth += 1;
                }
            }
            Users::All if times == TimeRange::ALL => {
                if self.len() > 0 {
                    ranges.push(0..self.len());
                }
            }
            Users::All => {
                let mut row = 0;
                while row < self.len() {
                    let user = self.user(row);
                    let end = gallop(row..self.len(), |row| self.user(row) <= user);
                    push(row..end);
                    row = end;
                }
            }
        }
        ranges
    }

    fn time(&self, row: usize) -> i64 {
        self.times.get(row).copied().unwrap_or_default()
    }
}

/// A run's rows with everything that a merge compares and copies.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    keys: Keys,
    values: ScalarBuffer<f64>,
    source: Text,
    device: Text,
    acceptance: Option<(ScalarBuffer<i64>, BooleanBuffer)>,
}

impl Rows {
    /// Looks at a batch that has at least the key columns and `value`.
    ///
    /// # Errors
    /// [`Error::Batch`] if it has not.
    pub(crate) fn of(batch: &RecordBatch) -> Result<Self> {
        let values = batch.column_by_name("value").and_then(|values| values.as_primitive_opt::<Float64Type>());
        let Some(values) = values else { return Err(Error::Batch { what: "no column of values" }) };
        let accepted = batch.column_by_name("accepted_at");
        let accepted = accepted.and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
        let corrected = batch.column_by_name("corrected").and_then(|column| column.as_boolean_opt());
        Ok(Self {
            keys: Keys::of(batch)?,
            values: values.values().clone(),
            source: Text::of(batch, "source")?,
            device: Text::of(batch, "source_device_id")?,
            acceptance: accepted.zip(corrected).map(|(accepted, corrected): (_, &BooleanArray)| {
                (accepted.values().clone(), corrected.values().clone())
            }),
        })
    }

    /// The sorted part.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// All values.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// The sources.
    pub(crate) fn source(&self) -> &Text {
        &self.source
    }

    /// The device ids.
    pub(crate) fn device(&self) -> &Text {
        &self.device
    }

    /// Times of acceptance (milliseconds UTC) and `corrected` bits, where the batch has them.
    pub(crate) fn acceptance(&self) -> Option<(&[i64], &BooleanBuffer)> {
        self.acceptance.as_ref().map(|(accepted, corrected)| (accepted.as_ref(), corrected))
    }

    /// A row's identity.
    pub(crate) fn key(&self, row: usize) -> Key<'_> {
        Key {
            user: self.keys.user(row),
            time: self.keys.time(row),
            source: self.source.get(row).unwrap_or_default(),
            device: self.device.get(row),
        }
    }

    /// The first row of `rows` whose key is not below `bound`. Galloping: cheap when it is near.
    pub(crate) fn first_from(&self, rows: Range<usize>, bound: &Key<'_>) -> usize {
        gallop(rows, |row| self.key(row) < *bound)
    }

    /// A row's value.
    pub(crate) fn value(&self, row: usize) -> f64 {
        self.values.get(row).copied().unwrap_or_default()
    }

    /// A row's `corrected` bit; unset where the batch has no acceptance columns.
    pub(crate) fn is_corrected(&self, row: usize) -> bool {
        self.acceptance.as_ref().is_some_and(|(_, corrected)| row < corrected.len() && corrected.value(row))
    }
}

/// Leaves out of batches what a reader does not want.
#[derive(Debug, Clone)]
pub(crate) struct Projection {
    schema: SchemaRef,
}

impl Projection {
    /// To the columns wanted.
    pub(crate) fn to(columns: Columns) -> Self {
        Self { schema: columns.schema() }
    }

    /// Rows `rows` of a batch that has at least the columns wanted. Copies no rows.
    ///
    /// # Errors
    /// [`Error::Batch`] if it has not.
    pub(crate) fn slice(&self, batch: &RecordBatch, rows: Range<usize>) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().map(|field| {
            let column = batch.column_by_name(field.name())?;
            Some(if rows.len() == batch.num_rows() { Arc::clone(column) } else { column.slice(rows.start, rows.len()) })
        });
        let Some(columns) = columns.collect::<Option<Vec<_>>>() else {
            return Err(Error::Batch { what: "a column that is wanted is missing" });
        };
        assemble(Arc::clone(&self.schema), columns)
    }
}

/// A batch of columns that belong together.
///
/// # Errors
/// [`Error::Batch`] if they do not.
pub(crate) fn assemble(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    RecordBatch::try_new(schema, columns).map_err(|_| Error::Batch { what: "columns do not fit the schema" })
}

/// The first index of `range` where `is_before` is false, of a range where it is never true again: binary search.
pub(crate) fn partition(range: Range<usize>, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end.max(range.start));
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// As [`partition`], in O(log distance): doubles the step from the start before it halves.
pub(crate) fn gallop(range: Range<usize>, is_before: impl Fn(usize) -> bool) -> usize {
    let mut low = range.start;
    let mut step = 1;
    while low < range.end && is_before(low) {
        let next = low.saturating_add(step).min(range.end);
        if next == range.end || !is_before(next) {
            return partition(low + 1..next, is_before);
        }
        low = next;
        step *= 2;
    }
    low
}

#[cfg(test)]
pub(crate) mod tests;
