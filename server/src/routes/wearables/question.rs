//! What a read of one metric asks, out of its query string.

use engine::{Aggregate, BucketQuery, BucketWidth, Engine, JsonBody, WindowQuery};
use storage::{TimeRange, UserId};

use crate::error::ApiError;
use crate::extract::Query;

/// Most days that `days` may ask for.
const DAYS_MAX: u32 = 3_650;
/// Days that are answered when nothing says how many.
const DAYS_DEFAULT: u32 = 30;
/// Most points of one page.
const LIMIT_MAX: u32 = 1_000_000;
/// Longest `source`, characters.
const SOURCE_CHARS_MAX: usize = 64;

const DAY_US: i64 = 86_400_000_000;

const PARAMETERS: [&str; 9] = ["days", "start", "end", "source", "limit", "cursor", "bucket", "agg", "tz"];

/// The figures of a bucket when `agg` does not name them.
const AGGREGATES_DEFAULT: [Aggregate; 4] = [Aggregate::Avg, Aggregate::Min, Aggregate::Max, Aggregate::Count];

/// A read of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// Raw points.
    Window(WindowQuery),
    /// Figures per bucket.
    Bucket(BucketQuery),
}

impl Question {
    /// Reads the query string of a `GET`.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn parse(metric: String, raw: Option<&str>, now_us: i64) -> Result<Self, ApiError> {
        let mut query = Query::parse(raw, &PARAMETERS)?;
        let times = window_of(&mut query, now_us);
        let source = query.text("source").map(str::to_owned);
        if source.as_ref().is_some_and(|source| source.is_empty() || source.chars().count() > SOURCE_CHARS_MAX) {
            query.refuse("source", "must be 1 to 64 characters");
        }
        if query.has("bucket") {
            for name in ["limit", "cursor"] {
                if query.has(name) {
                    query.refuse(name, "does not go with bucket");
                }
            }
            let width = width_of(&mut query);
            let aggregates = aggregates_of(&mut query);
            let tz = query.text("tz").unwrap_or("UTC").to_owned();
            query.finish()?;
            return Ok(Self::Bucket(BucketQuery { metric, times, source, width, aggregates, tz }));
        }
        for name in ["agg", "tz"] {
            if query.has(name) {
                query.refuse(name, "goes with bucket alone");
            }
        }
        let limit = query.integer("limit", 1..=LIMIT_MAX).and_then(|limit| usize::try_from(limit).ok());
        let cursor = query.text("cursor").map(str::to_owned);
        query.finish()?;
        Ok(Self::Window(WindowQuery { metric, times, source, limit, cursor }))
    }
}

impl Question {
    /// When measured.
    pub(crate) fn times(&self) -> TimeRange {
        match self {
            Self::Window(query) => query.times,
            Self::Bucket(query) => query.times,
        }
    }

    /// The engine's answer about a user's points. Who may ask is the caller's to decide.
    ///
    /// # Errors
    /// As [`Engine::window`] and [`Engine::bucket`].
    pub(crate) async fn ask(self, engine: &Engine, user: UserId) -> engine::Result<JsonBody> {
        match self {
            Self::Window(query) => engine.window(user, query).await,
            Self::Bucket(query) => engine.bucket(user, query).await,
        }
    }
}

/// The range that a `DELETE` names.
///
/// # Errors
/// 422 with every fault; both ends must be there.
pub(super) fn range_to_delete(raw: Option<&str>) -> Result<TimeRange, ApiError> {
    let mut query = Query::parse(raw, &["start", "end"])?;
    for name in ["start", "end"] {
        if !query.has(name) {
            query.miss(name);
        }
    }
    let (start, end) = (query.moment_us("start"), query.moment_us("end"));
    let times = ordered(&mut query, start.unwrap_or(0), end.unwrap_or(1), start.is_some() && end.is_some());
    query.finish()?;
    Ok(times)
}

/// The window: `days` up to now, or from `start` (30 days before the end by default) to `end` (now by default).
fn window_of(query: &mut Query, now_us: i64) -> TimeRange {
    // The end is exclusive, and what was measured in this very microsecond belongs to the window.
    let now_us = now_us.saturating_add(1);
    let days = query.integer("days", 1..=DAYS_MAX);
    let (start, end) = (query.moment_us("start"), query.moment_us("end"));
    let has_ends = query.has("start") || query.has("end");
    if query.has("days") && has_ends {
        query.refuse("days", "does not go with start or end");
    }
    let end_us = end.unwrap_or(now_us);
    let back_us = i64::from(days.unwrap_or(DAYS_DEFAULT)) * DAY_US;
    let start_us = start.unwrap_or_else(|| end_us.saturating_sub(back_us));
    ordered(query, start_us, end_us, has_ends)
}

fn ordered(query: &mut Query, start_us: i64, end_us: i64, check: bool) -> TimeRange {
    if check && start_us >= end_us {
        query.refuse("end", "must be later than start");
    }
    TimeRange { start: start_us, end: end_us }
}

fn width_of(query: &mut Query) -> BucketWidth {
    match query.text("bucket") {
        Some("15m") => BucketWidth::QuarterHour,
        Some("1h") => BucketWidth::Hour,
        Some("1d") => BucketWidth::Day,
        Some("7d") => BucketWidth::Week,
        Some("1mo") => BucketWidth::Month,
        _ => {
            query.refuse("bucket", "must be 15m, 1h, 1d, 7d or 1mo");
            BucketWidth::Day
        }
    }
}

fn aggregates_of(query: &mut Query) -> Vec<Aggregate> {
    let Some(text) = query.text("agg") else {
        return AGGREGATES_DEFAULT.to_vec();
    };
    let mut aggregates = Vec::new();
    for word in text.split(',') {
        match aggregate_of(word.trim()) {
            Some(aggregate) if !aggregates.contains(&aggregate) => aggregates.push(aggregate),
            _ => {
                query.refuse("agg", "must name some of avg,min,max,sum,count,first,last,p50,p95,stddev, each once");
                break;
            }
        }
    }
    aggregates
}

fn aggregate_of(word: &str) -> Option<Aggregate> {
    Some(match word {
        "avg" => Aggregate::Avg,
        "min" => Aggregate::Min,
        "max" => Aggregate::Max,
        "sum" => Aggregate::Sum,
        "count" => Aggregate::Count,
        "first" => Aggregate::First,
        "last" => Aggregate::Last,
        "p50" => Aggregate::P50,
        "p95" => Aggregate::P95,
        "stddev" => Aggregate::Stddev,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_780_000_000_000_000;

    fn window(raw: &str) -> WindowQuery {
        match Question::parse("hrv".to_owned(), Some(raw), NOW_US).unwrap() {
            Question::Window(query) => query,
            Question::Bucket(query) => panic!("{query:?}"),
        }
    }

    fn bucket(raw: &str) -> BucketQuery {
        match Question::parse("hrv".to_owned(), Some(raw), NOW_US).unwrap() {
            Question::Bucket(query) => query,
            Question::Window(query) => panic!("{query:?}"),
        }
    }

    #[test]
    fn a_window_ends_now_unless_it_says_otherwise() {
        assert_eq!(window("").times, TimeRange { start: NOW_US + 1 - 30 * DAY_US, end: NOW_US + 1 });
        assert_eq!(window("days=1").times, TimeRange { start: NOW_US + 1 - DAY_US, end: NOW_US + 1 });
        let second = "1970-01-01T00:00:01Z";
        assert_eq!(window(&format!("start={second}")).times, TimeRange { start: 1_000_000, end: NOW_US + 1 });
        let back = TimeRange { start: 1_000_000 - 30 * DAY_US, end: 1_000_000 };
        assert_eq!(window(&format!("end={second}")).times, back);
        let both = format!("start=1970-01-01T00:00:00Z&end={second}");
        assert_eq!(window(&both).times, TimeRange { start: 0, end: 1_000_000 });
    }

    #[test]
    fn a_page_has_a_limit_and_a_cursor() {
        let query = window("limit=100&cursor=abc&source=Garmin+Fenix%207");
        assert_eq!(query.limit, Some(100));
        assert_eq!(query.cursor.as_deref(), Some("abc"));
        assert_eq!(query.source.as_deref(), Some("Garmin Fenix 7"));
    }

    #[test]
    fn a_bucket_has_its_figures_in_the_order_asked() {
        let query = bucket("bucket=1mo&agg=p95,count,avg&tz=Europe/Berlin");
        assert_eq!(query.width, BucketWidth::Month);
        assert_eq!(query.aggregates, [Aggregate::P95, Aggregate::Count, Aggregate::Avg]);
        assert_eq!(query.tz, "Europe/Berlin");
        let query = bucket("bucket=15m");
        assert_eq!(query.aggregates, AGGREGATES_DEFAULT);
        assert_eq!(query.tz, "UTC");
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let long = format!("source={}", "x".repeat(65));
        for raw in [
            "days=0",
            "days=3651",
            "days=x",
            "days=3&end=2026-01-01T00:00:00Z",
            "start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z",
            "start=2026-01-02T00:00:00Z&end=2026-01-02T00:00:00Z",
            "limit=0",
            "limit=1000001",
            "source=",
            &long,
            "agg=avg",
            "tz=UTC",
            "bucket=2h",
            "bucket=1d&limit=3",
            "bucket=1d&cursor=x",
            "bucket=1d&agg=",
            "bucket=1d&agg=avg,avg",
            "bucket=1d&agg=mean",
            "unknown=1",
            "days=3&days=3",
        ] {
            assert!(Question::parse("hrv".to_owned(), Some(raw), NOW_US).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_deletion_names_both_ends() {
        let times = range_to_delete(Some("start=1970-01-01T00:00:00Z&end=1970-01-01T00:00:01Z")).unwrap();
        assert_eq!(times, TimeRange { start: 0, end: 1_000_000 });
        for raw in ["", "start=1970-01-01T00:00:00Z", "end=1970-01-01T00:00:00Z", "start=x&end=y", "days=3"] {
            assert!(range_to_delete(Some(raw)).is_err(), "{raw}");
        }
    }
}
