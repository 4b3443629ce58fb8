//! Builds a run's batches column by column, from slices.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, DictionaryArray, Float64Array, Int32Array, NullBufferBuilder,
    StringBuilder, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{Int32Type, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::{Rows, Text, assemble};
use crate::error::{Error, Result};
use crate::point::BATCH_POINTS_MAX;
use crate::selection::Columns;

/// Most rows in a batch that a reader gets.
pub(crate) const BATCH_ROWS_MAX: usize = 65_536;
const _: () = assert!(BATCH_ROWS_MAX >= BATCH_POINTS_MAX, "a chunk is one slice of at most one batch more");

/// Distinct texts, numbered in order of appearance.
#[derive(Debug, Default)]
struct Interner {
    index: HashMap<Box<str>, i32>,
    names: StringBuilder,
}

impl Interner {
    fn intern(&mut self, name: &str) -> i32 {
        if let Some(key) = self.index.get(name) {
            return *key;
        }
        // A batch has fewer rows than an `i32` counts, and every name has a row.
        let key = i32::try_from(self.index.len()).unwrap_or(i32::MAX);
        self.index.insert(name.into(), key);
        self.names.append_value(name);
        key
    }

    fn column(&mut self, keys: Vec<i32>, nulls: Option<arrow::buffer::NullBuffer>) -> Result<ArrayRef> {
        self.index.clear();
        dictionary(keys, nulls, &mut self.names)
    }
}

fn dictionary(keys: Vec<i32>, nulls: Option<arrow::buffer::NullBuffer>, names: &mut StringBuilder) -> Result<ArrayRef> {
    let keys = Int32Array::new(keys.into(), nulls);
    let column = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(names.finish()));
    Ok(Arc::new(column.map_err(|_| Error::Batch { what: "a dictionary key has no name" })?))
}

const CACHE_SLOTS: usize = 64;

/// How one input's dictionary keys map to the builder's: a small direct-mapped table, so that a huge dictionary costs
/// nothing and a run of equal keys costs one look.
#[derive(Debug)]
pub(crate) struct KeyCache {
    generation: u64,
    slots: [(i32, i32); CACHE_SLOTS],
}

impl Default for KeyCache {
    fn default() -> Self {
        Self { generation: 0, slots: [(-1, 0); CACHE_SLOTS] }
    }
}

impl KeyCache {
    /// Forgets everything: the input has another dictionary now.
    pub(crate) fn clear(&mut self) {
        self.slots = [(-1, 0); CACHE_SLOTS];
    }

    fn at(&mut self, generation: u64) -> &mut Self {
        if self.generation != generation {
            self.clear();
            self.generation = generation;
        }
        self
    }

    fn map(&mut self, key: i32, text: &Text, interner: &mut Interner) -> i32 {
        let slot = usize::try_from(key).unwrap_or_default() % CACHE_SLOTS;
        match self.slots.get_mut(slot) {
            Some((cached, mapped)) if *cached == key => *mapped,
            Some(slot) => {
                let mapped = interner.intern(text.name(key).unwrap_or_default());
                *slot = (key, mapped);
                mapped
            }
            None => 0,
        }
    }
}

/// An origin (source and device) as the builder's dictionary keys; valid for one generation.
pub(crate) type OriginKeys = (i32, Option<i32>);

/// Takes sorted rows, gives batches of at most `rows_max` rows with the columns wanted.
#[derive(Debug)]
pub(crate) struct RunBuilder {
    columns: Columns,
    schema: SchemaRef,
    rows_max: usize,
    rows_expected: usize,
    generation: u64,
    user: String,
    users: StringBuilder,
    users_len: i32,
    user_keys: Vec<i32>,
    times: Vec<i64>,
    values: Vec<f64>,
    sources: Interner,
    source_keys: Vec<i32>,
    devices: Interner,
    device_keys: Vec<i32>,
    device_nulls: NullBufferBuilder,
    accepted: Vec<i64>,
    corrected: BooleanBufferBuilder,
    done: VecDeque<RecordBatch>,
}

impl RunBuilder {
    /// An empty one.
    pub(crate) fn new(columns: Columns, rows_max: usize) -> Self {
        Self {
            columns,
            schema: columns.schema(),
            rows_max: rows_max.max(1),
            rows_expected: 0,
            generation: 1,
            user: String::new(),
            users: StringBuilder::new(),
            users_len: 0,
            user_keys: Vec::new(),
            times: Vec::new(),
            values: Vec::new(),
            sources: Interner::default(),
            source_keys: Vec::new(),
            devices: Interner::default(),
            device_keys: Vec::new(),
            device_nulls: NullBufferBuilder::new(0),
            accepted: Vec::new(),
            corrected: BooleanBufferBuilder::new(0),
            done: VecDeque::new(),
        }
    }

    /// Rows that are not in a full batch yet.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// Changes with every batch: dictionary keys of one generation mean nothing in another.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Rows that still fit; closes the batch if none do.
    ///
    /// # Errors
    /// [`Error::Batch`] if the columns do not fit together.
    pub(crate) fn room(&mut self) -> Result<usize> {
        if self.len() >= self.rows_max {
            self.close()?;
        }
        Ok(self.rows_max - self.len())
    }

    /// Says how many rows are still to come, so that columns are allocated once and not too large.
    pub(crate) fn expect(&mut self, rows: usize) {
        self.rows_expected = rows;
        self.reserve();
    }

    fn reserve(&mut self) {
        let rows = self.rows_expected.min(self.rows_max.saturating_sub(self.len()));
        self.times.reserve_exact(rows);
        self.values.reserve_exact(rows);
        if self.columns.user_id {
            self.user_keys.reserve_exact(rows);
        }
        if self.columns.source {
            self.source_keys.reserve_exact(rows);
        }
        if self.columns.source_device_id {
            self.device_keys.reserve_exact(rows);
        }
        if self.columns.acceptance {
            self.accepted.reserve_exact(rows);
        }
    }

    /// The keys of an origin in this generation.
    pub(crate) fn origin(&mut self, source: &str, device: Option<&str>) -> OriginKeys {
        let source = if self.columns.source { self.sources.intern(source) } else { 0 };
        let device = device.map(|device| if self.columns.source_device_id { self.devices.intern(device) } else { 0 });
        (source, device)
    }

    /// Appends rows of one user and one acceptance, none corrected; their origins follow by [`Self::append_origin`].
    pub(crate) fn append_points(&mut self, user: &str, times: &[i64], values: &[f64], accepted_at_ms: i64) {
        self.append_user(user, times.len());
        self.times.extend_from_slice(times);
        self.values.extend_from_slice(values);
        if self.columns.acceptance {
            self.accepted.resize(self.times.len(), accepted_at_ms);
            self.corrected.append_n(times.len(), false);
        }
    }

    /// Appends one row of a user; its origin follows by [`Self::append_origin`].
    pub(crate) fn append_point(&mut self, user: &str, point: (i64, f64), accepted_at_ms: i64, corrected: bool) {
        self.append_user(user, 1);
        self.times.push(point.0);
        self.values.push(point.1);
        if self.columns.acceptance {
            self.accepted.push(accepted_at_ms);
            self.corrected.append(corrected);
        }
    }

    /// Appends the origin of `rows` rows.
    pub(crate) fn append_origin(&mut self, (source, device): OriginKeys, rows: usize) {
        if self.columns.source {
            self.source_keys.resize(self.source_keys.len() + rows, source);
        }
        if self.columns.source_device_id {
            self.device_keys.resize(self.device_keys.len() + rows, device.unwrap_or_default());
            match device {
                Some(_) => self.device_nulls.append_n_non_nulls(rows),
                None => self.device_nulls.append_n_nulls(rows),
            }
        }
    }

    /// Appends a slice of another run, at most [`Self::room`] rows.
    pub(crate) fn append_rows(&mut self, rows: &Rows, range: Range<usize>, caches: &mut [KeyCache; 2]) {
        self.append_users_of(rows, range.clone());
        self.times.extend_from_slice(rows.keys.times.get(range.clone()).unwrap_or_default());
        self.values.extend_from_slice(rows.values.get(range.clone()).unwrap_or_default());
        let [source_cache, device_cache] = caches;
        if self.columns.source {
            let cache = source_cache.at(self.generation);
            append_text(&mut self.source_keys, &rows.source, range.clone(), |key| {
                cache.map(key, &rows.source, &mut self.sources)
            });
        }
        if self.columns.source_device_id {
            let cache = device_cache.at(self.generation);
            append_text(&mut self.device_keys, &rows.device, range.clone(), |key| {
                cache.map(key, &rows.device, &mut self.devices)
            });
            match &rows.device.nulls {
                None => self.device_nulls.append_n_non_nulls(range.len()),
                Some(nulls) => self.device_nulls.append_buffer(&nulls.slice(range.start, range.len())),
            }
        }
        if self.columns.acceptance {
            if let Some((accepted, corrected)) = &rows.acceptance {
                self.accepted.extend_from_slice(accepted.get(range.clone()).unwrap_or_default());
                self.corrected.append_buffer(&corrected.slice(range.start, range.len()));
            } else {
                self.accepted.resize(self.times.len(), 0);
                self.corrected.append_n(range.len(), false);
            }
        }
    }

    /// Marks the row appended last as corrected.
    pub(crate) fn mark_corrected(&mut self) {
        if self.columns.acceptance
            && let Some(last) = self.corrected.len().checked_sub(1)
        {
            self.corrected.set_bit(last, true);
        }
    }

    /// A batch that is full, if there is one.
    pub(crate) fn next_full(&mut self) -> Option<RecordBatch> {
        self.done.pop_front()
    }

    /// Ends the batch in the making, full or not; an empty one gives none.
    ///
    /// # Errors
    /// [`Error::Batch`] if the columns do not fit together.
    pub(crate) fn close(&mut self) -> Result<()> {
        let rows = self.len();
        if rows == 0 {
            return Ok(());
        }
        self.generation += 1;
        self.user.clear();
        self.users_len = 0;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(7);
        if self.columns.user_id {
            columns.push(dictionary(std::mem::take(&mut self.user_keys), None, &mut self.users)?);
        }
        let times = TimestampMicrosecondArray::from(std::mem::take(&mut self.times));
        columns.push(Arc::new(times.with_timezone("UTC")));
        columns.push(Arc::new(Float64Array::from(std::mem::take(&mut self.values))));
        if self.columns.source {
            columns.push(self.sources.column(std::mem::take(&mut self.source_keys), None)?);
        }
        if self.columns.source_device_id {
            let nulls = self.device_nulls.finish();
            columns.push(self.devices.column(std::mem::take(&mut self.device_keys), nulls)?);
        }
        if self.columns.acceptance {
            let accepted = TimestampMillisecondArray::from(std::mem::take(&mut self.accepted));
            columns.push(Arc::new(accepted.with_timezone("UTC")));
            columns.push(Arc::new(BooleanArray::new(self.corrected.finish(), None)));
        }
        self.done.push_back(assemble(Arc::clone(&self.schema), columns)?);
        self.rows_expected = self.rows_expected.saturating_sub(rows);
        self.reserve();
        Ok(())
    }

    fn append_users_of(&mut self, rows: &Rows, range: Range<usize>) {
        if !self.columns.user_id {
            return;
        }
        let keys = rows.keys.user.keys.get(range).unwrap_or_default();
        for run in keys.chunk_by(|a, b| a == b) {
            let user = run.first().and_then(|key| rows.keys.user.name(*key)).unwrap_or_default();
            self.append_user(user, run.len());
        }
    }

    fn append_user(&mut self, user: &str, rows: usize) {
        if !self.columns.user_id {
            return;
        }
        // Rows come sorted, so that a user is new or the last one.
        if self.users_len == 0 || self.user != user {
            self.user.clear();
            self.user.push_str(user);
            self.users.append_value(user);
            self.users_len += 1;
        }
        self.user_keys.resize(self.user_keys.len() + rows, self.users_len - 1);
    }
}

fn append_text(to: &mut Vec<i32>, text: &Text, range: Range<usize>, mut map: impl FnMut(i32) -> i32) {
    let start = range.start;
    let keys = text.keys.get(range).unwrap_or_default();
    if let Some(nulls) = &text.nulls {
        // What a null's key says is not defined, so it must not reach the dictionary.
        to.extend(keys.iter().enumerate().map(|(nth, key)| if nulls.is_null(start + nth) { 0 } else { map(*key) }));
        return;
    }
    for run in keys.chunk_by(|a, b| a == b) {
        if let Some(key) = run.first() {
            to.resize(to.len() + run.len(), map(*key));
        }
    }
}
