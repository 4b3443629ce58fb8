//! The columns of points, read row by row in the order that was asked for.

use std::ops::Range;

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use arrow::util::bit_iterator::BitIterator;
use storage::Columns;

use super::Order;
use crate::error::Result;
use crate::query::malformed;
use crate::query::window::{Origin, RECORDED_AT, VALUE};

/// Those of a walk's batches: as a window's, and behind them when it was accepted and whether it was corrected.
pub(super) const COLUMNS: Columns = Columns { user_id: false, source: true, source_device_id: true, acceptance: true };

const ACCEPTED_AT: usize = 4;
const CORRECTED: usize = 5;

/// What differs from point to point of one metric, source and device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// When measured, microseconds UTC.
    pub recorded_at: i64,
    /// In the metric's canonical unit.
    pub value: f64,
    /// When it became durable, milliseconds UTC.
    pub accepted_at_ms: i64,
    /// Whether it displaced a different value.
    pub is_corrected: bool,
}

/// A batch, read.
pub struct ObservedColumns<'a> {
    order: Order,
    times: &'a [i64],
    values: &'a [f64],
    accepted: &'a [i64],
    corrected: &'a BooleanArray,
    origin: Origin<'a>,
}

impl std::fmt::Debug for ObservedColumns<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObservedColumns").field("rows", &self.times.len()).finish_non_exhaustive()
    }
}

impl<'a> ObservedColumns<'a> {
    /// Of a batch with the columns of [`COLUMNS`], ascending.
    pub(super) fn new(batch: &'a RecordBatch, order: Order) -> Result<Self> {
        let column = |nth: usize| batch.columns().get(nth).ok_or_else(|| malformed("columns"));
        let times = column(RECORDED_AT)?.as_primitive_opt::<TimestampMicrosecondType>();
        let values = column(VALUE)?.as_primitive_opt::<Float64Type>();
        let accepted = column(ACCEPTED_AT)?.as_primitive_opt::<TimestampMillisecondType>();
        Ok(Self {
            order,
            times: times.ok_or_else(|| malformed("recorded_at"))?.values(),
            values: values.ok_or_else(|| malformed("value"))?.values(),
            accepted: accepted.ok_or_else(|| malformed("accepted_at"))?.values(),
            corrected: column(CORRECTED)?.as_boolean_opt().ok_or_else(|| malformed("corrected"))?,
            origin: Origin::new(batch)?,
        })
    }

    /// When measured, ascending whatever the order is.
    pub fn times(&self) -> &'a [i64] {
        self.times
    }

    /// The points in their order, those of one source and device that stand beside each other together.
    pub fn runs(&self) -> impl Iterator<Item = OriginRun<'_, 'a>> {
        let mut left = 0..self.times.len();
        std::iter::from_fn(move || {
            if left.is_empty() {
                return None;
            }
            let range = match self.order {
                Order::Ascending => {
                    let end = (left.start + 1..left.end).find(|row| !self.origin.is_same(left.start, *row));
                    left.start..end.unwrap_or(left.end)
                }
                Order::Descending => {
                    let last = left.end - 1;
                    let before = (left.start..last).rev().find(|row| !self.origin.is_same(last, *row));
                    before.map_or(left.start, |row| row + 1)..left.end
                }
            };
            left = if self.order == Order::Ascending { range.end..left.end } else { left.start..range.start };
            let (source, device) = self.origin.of(range.start);
            Some(OriginRun { columns: self, range, source, device })
        })
    }

    /// Rows of a range that lies in the batch, ascending.
    fn measured(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = Measured> + use<'a> {
        let corrected = self.corrected.values();
        let corrected = BitIterator::new(corrected.values(), corrected.offset() + range.start, range.len());
        let times = self.times.get(range.clone()).unwrap_or_default();
        let values = self.values.get(range.clone()).unwrap_or_default();
        let accepted = self.accepted.get(range).unwrap_or_default();
        let rows = times.iter().zip(values).zip(accepted.iter().zip(corrected));
        rows.map(|((recorded_at, value), (accepted_at_ms, is_corrected))| Measured {
            recorded_at: *recorded_at,
            value: *value,
            accepted_at_ms: *accepted_at_ms,
            is_corrected,
        })
    }

    /// A row, counted in ascending order.
    pub(super) fn row(&self, row: usize) -> Option<Measured> {
        Some(Measured {
            recorded_at: *self.times.get(row)?,
            value: *self.values.get(row)?,
            accepted_at_ms: *self.accepted.get(row)?,
            is_corrected: row < self.corrected.len() && self.corrected.value(row),
        })
    }

    /// Source and device of a row, counted in ascending order.
    pub(super) fn origin(&self, row: usize) -> (&'a str, Option<&'a str>) {
        self.origin.of(row)
    }
}

/// Points of one source and device, one behind the other.
#[derive(Debug)]
pub struct OriginRun<'b, 'a> {
    columns: &'b ObservedColumns<'a>,
    range: Range<usize>,
    /// Who measured them.
    pub source: &'a str,
    /// By what.
    pub device: Option<&'a str>,
}

impl OriginRun<'_, '_> {
    /// Each in its order.
    pub fn points(&self) -> impl Iterator<Item = Measured> {
        let mut rows = self.columns.measured(self.range.clone());
        let is_ascending = self.columns.order == Order::Ascending;
        std::iter::from_fn(move || if is_ascending { rows.next() } else { rows.next_back() })
    }
}
