//! What of a caller's filters may narrow the read: plain comparisons on metric, user and time, and nothing else.
//!
//! A comparison that is taken here whole ("exact") is answered by the read itself; of one that is taken in part
//! ("inexact") the filter stays above the scan as well. Anything that computes stays there alone, where it sees the
//! caller's rows only: below, its error or its time could tell of others' rows.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, Operator, TableProviderFilterPushDown};
use storage::TimeRange;

/// What a read is narrowed to; `None` is not narrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Narrowed {
    /// Keys of metrics.
    pub(super) metrics: Option<BTreeSet<String>>,
    /// Ids of users.
    pub(super) users: Option<BTreeSet<String>>,
    /// Times.
    pub(super) times: TimeRange,
}

impl Narrowed {
    /// By all of these filters.
    pub(super) fn by<'a>(filters: impl IntoIterator<Item = &'a Expr>) -> Self {
        let mut narrowed = Self { metrics: None, users: None, times: TimeRange::ALL };
        for filter in filters {
            narrowed.add(filter);
        }
        narrowed
    }

    /// Whether a filter narrows the read, and whether nothing of it is left to be done above.
    pub(super) fn grade(filter: &Expr) -> TableProviderFilterPushDown {
        use TableProviderFilterPushDown::{Exact, Inexact, Unsupported};
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                match (Self::grade(left), Self::grade(right)) {
                    (Exact, Exact) => Exact,
                    (Unsupported, Unsupported) => Unsupported,
                    _ => Inexact,
                }
            }
            _ if texts(filter).is_some() || times(filter).is_some() => Exact,
            _ => Unsupported,
        }
    }

    fn add(&mut self, filter: &Expr) {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) = filter {
            self.add(left);
            self.add(right);
        } else if let Some((column, texts)) = texts(filter) {
            let known = match column {
                Text::Metric => &mut self.metrics,
                Text::User => &mut self.users,
            };
            *known = Some(match known.take() {
                Some(known) => known.intersection(&texts).cloned().collect(),
                None => texts,
            });
        } else if let Some(times) = times(filter) {
            self.times.start = self.times.start.max(times.start);
            self.times.end = self.times.end.min(times.end);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Metric,
    User,
}

/// `column = 'a'`, `column IN ('a', 'b')`, and what an optimizer makes of it: `column = 'a' OR column = 'b'`.
fn texts(filter: &Expr) -> Option<(Text, BTreeSet<String>)> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (column, text) = match (text_column(left), text_column(right)) {
                (Some(column), None) => (column, literal_text(right)?),
                (None, Some(column)) => (column, literal_text(left)?),
                _ => return None,
            };
            Some((column, BTreeSet::from([text])))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let ((column, mut all), (other, more)) = (texts(left)?, texts(right)?);
            all.extend(more);
            (column == other).then_some((column, all))
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            let all = list.iter().map(literal_text).collect::<Option<_>>()?;
            Some((text_column(expr)?, all))
        }
        _ => None,
    }
}

fn text_column(expr: &Expr) -> Option<Text> {
    match expr {
        Expr::Column(column) if column.name == "metric" => Some(Text::Metric),
        Expr::Column(column) if column.name == "user_id" => Some(Text::User),
        Expr::Cast(Cast { expr, field }) if is_text(field.data_type()) => text_column(expr),
        _ => None,
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn literal_text(expr: &Expr) -> Option<String> {
    let Expr::Literal(scalar, _) = expr else { return None };
    scalar.try_as_str().flatten().map(str::to_owned)
}

/// A comparison of `recorded_at` with a time.
fn times(filter: &Expr) -> Option<TimeRange> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if is_time_column(left) {
                compared(*op, micros(right)?)
            } else if is_time_column(right) {
                compared(op.swap()?, micros(left)?)
            } else {
                None
            }
        }
        Expr::Between(Between { expr, negated: false, low, high }) if is_time_column(expr) => {
            Some(TimeRange { start: micros(low)?.1, end: micros(high)?.0.saturating_add(1) })
        }
        _ => None,
    }
}

/// The range that `recorded_at op time` holds in, the time given by its neighbours below and above: both are the time
/// itself where it is one of whole microseconds.
fn compared(op: Operator, (below, above): (i64, i64)) -> Option<TimeRange> {
    // No point is measured at the last of all microseconds.
    let behind = below.saturating_add(1);
    match op {
        Operator::Eq => Some(TimeRange { start: above, end: behind }),
        Operator::Gt => Some(TimeRange { start: behind, ..TimeRange::ALL }),
        Operator::GtEq => Some(TimeRange { start: above, ..TimeRange::ALL }),
        Operator::Lt => Some(TimeRange { end: above, ..TimeRange::ALL }),
        Operator::LtEq => Some(TimeRange { end: behind, ..TimeRange::ALL }),
        _ => None,
    }
}

fn is_time_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => column.name == "recorded_at",
        // A coarser unit would cut times off, and the bounds would lie elsewhere.
        Expr::Cast(Cast { expr, field }) => {
            let is_fine =
                matches!(field.data_type(), DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _));
            is_fine && is_time_column(expr)
        }
        _ => false,
    }
}

/// A time literal in microseconds, rounded down and up.
fn micros(expr: &Expr) -> Option<(i64, i64)> {
    let Expr::Literal(scalar, _) = expr else { return None };
    match scalar {
        ScalarValue::TimestampNanosecond(Some(ns), _) => {
            let below = ns.div_euclid(1_000);
            Some((below, below + i64::from(ns.rem_euclid(1_000) > 0)))
        }
        ScalarValue::TimestampMicrosecond(Some(us), _) => Some((*us, *us)),
        ScalarValue::TimestampMillisecond(Some(ms), _) => ms.checked_mul(1_000).map(|us| (us, us)),
        ScalarValue::TimestampSecond(Some(seconds), _) => seconds.checked_mul(1_000_000).map(|us| (us, us)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
