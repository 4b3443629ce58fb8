//! The points' part of an overview: the engine's own answers, put beside each other.

use std::collections::BTreeMap;

use engine::{Aggregate, BucketQuery, BucketWidth, Engine, JsonBody};
use futures::TryStreamExt;
use serde_json::Value;
use storage::{TimeRange, UserId};

use super::schema::MetricOverview;
use crate::error::ApiError;

/// Metrics of pieces of a day, whose day is their sum; those of a whole day or of a moment have a mean.
const PIECES: &str = "_sample";

/// The period, the one before it, and whose days they have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span<'a> {
    /// First moment of the period before.
    pub(super) before_us: i64,
    /// First moment of the period.
    pub(super) since_us: i64,
    /// Its last.
    pub(super) now_us: i64,
    /// IANA name.
    pub(super) tz: &'a str,
}

/// Newest values, and each metric's days with what changed.
pub(super) async fn of_points(
    engine: &Engine,
    user: UserId,
    span: Span<'_>,
) -> Result<(Value, BTreeMap<String, MetricOverview>), ApiError> {
    let mut latest = parsed(engine.latest(user).await?).await?;
    let latest = latest.get_mut("latest").map(Value::take).unwrap_or_default();
    let mut metrics = BTreeMap::new();
    // A metric without a newest point has none at all.
    let present = latest.as_object().into_iter().flat_map(|latest| latest.keys());
    for metric in present {
        let period = days(engine, user, metric, (span.since_us, span.now_us.saturating_add(1)), span.tz).await?;
        let before = days(engine, user, metric, (span.before_us, span.since_us), span.tz).await?;
        if period.is_empty() && before.is_empty() {
            continue;
        }
        let (avg, avg_before) = (mean_of(metric, &period), mean_of(metric, &before));
        let change = avg.zip(avg_before).map(|(avg, before)| avg - before);
        let unit = engine.catalogue().get(metric).map(|metric| metric.unit.to_string()).unwrap_or_default();
        metrics.insert(metric.clone(), MetricOverview { unit, days: period, avg, avg_before, change });
    }
    Ok((latest, metrics))
}

/// The figure that stands for a metric's day.
fn of_day(metric: &str) -> Aggregate {
    if metric.ends_with(PIECES) { Aggregate::Sum } else { Aggregate::Avg }
}

fn mean_of(metric: &str, days: &[Value]) -> Option<f64> {
    mean(days.iter().filter_map(|day| day.get(of_day(metric).as_str())?.as_f64()))
}

/// The mean; `None` of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

async fn days(
    engine: &Engine,
    user: UserId,
    metric: &str,
    (start, end): (i64, i64),
    tz: &str,
) -> Result<Vec<Value>, ApiError> {
    let query = BucketQuery {
        metric: metric.to_owned(),
        times: TimeRange { start, end },
        source: None,
        width: BucketWidth::Day,
        aggregates: vec![of_day(metric), Aggregate::Min, Aggregate::Max, Aggregate::Count],
        tz: tz.to_owned(),
    };
    let mut answer = parsed(engine.bucket(user, query).await?).await?;
    match answer.get_mut("buckets").map(Value::take) {
        Some(Value::Array(days)) => Ok(days),
        _ => Ok(Vec::new()),
    }
}

async fn parsed(body: JsonBody) -> Result<Value, ApiError> {
    match body {
        JsonBody::Whole(bytes) => serde_json::from_slice(&bytes),
        JsonBody::Stream(pieces) => {
            let pieces: Vec<_> = pieces.try_collect().await?;
            serde_json::from_slice(&pieces.concat())
        }
    }
    .map_err(ApiError::internal)
}
