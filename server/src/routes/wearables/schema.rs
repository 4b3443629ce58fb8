//! The shapes of bodies and answers, for the API description alone: the engine parses and renders them by hand.

use utoipa::{IntoParams, ToSchema};

/// One measured value of the caller.
#[derive(Debug, ToSchema)]
pub struct Point {
    /// Key of the catalogue.
    #[schema(example = "heart_rate")]
    pub metric: String,
    /// In `unit`; within the metric's bounds.
    #[schema(example = 62.0)]
    pub value: f64,
    /// The metric's unit, or one that is converted.
    #[schema(example = "bpm")]
    pub unit: String,
    /// RFC 3339 with any offset; at most 24 hours ahead.
    #[schema(example = "2026-06-01T07:30:00Z", format = DateTime)]
    pub recorded_at: String,
    /// 1 to 64 characters, none of them a control character, not all of them blank.
    #[schema(
        example = "Garmin Fenix 7",
        min_length = 1,
        max_length = 64,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*[^\u0000-\u001F\u007F-\u009F\s][^\u0000-\u001F\u007F-\u009F]*$"
    )]
    pub source: String,
    /// 1 to 128 characters, as those of `source`; part of the point's identity.
    #[schema(
        example = "dev-1f0c",
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*[^\u0000-\u001F\u007F-\u009F\s][^\u0000-\u001F\u007F-\u009F]*$"
    )]
    pub source_device_id: Option<String>,
}

/// Many points. All are stored, or none.
#[derive(Debug, ToSchema)]
pub struct Points {
    /// 1 to 500 points.
    #[schema(min_items = 1, max_items = 500)]
    pub data_points: Vec<Point>,
}

/// How many points are durable now.
#[derive(Debug, ToSchema)]
pub struct Ingested {
    /// Points of the request.
    #[schema(example = 1)]
    pub ingested: u32,
}

/// Points of one metric, newest first; or, with `bucket`, figures per bucket.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum Reading {
    /// Without `bucket`.
    Window(Window),
    /// With `bucket`.
    Buckets(Buckets),
}

/// Points of one metric.
#[derive(Debug, ToSchema)]
pub struct Window {
    /// The metric's key.
    #[schema(example = "heart_rate")]
    pub metric: String,
    /// Its canonical unit.
    #[schema(example = "bpm")]
    pub unit: String,
    /// Newest first.
    pub data_points: Vec<WindowPoint>,
    /// With `limit`, if more follow: the next page's `cursor`.
    pub next_cursor: Option<String>,
}

/// A point of a window.
#[derive(Debug, ToSchema)]
pub struct WindowPoint {
    /// In the window's unit.
    #[schema(example = 62.0)]
    pub value: f64,
    /// UTC.
    #[schema(example = "2026-06-01T07:30:00Z", format = DateTime)]
    pub recorded_at: String,
    /// What measured it.
    #[schema(example = "Garmin Fenix 7")]
    pub source: String,
}

/// Figures per bucket of one metric.
#[derive(Debug, ToSchema)]
pub struct Buckets {
    /// The metric's key.
    #[schema(example = "heart_rate")]
    pub metric: String,
    /// Its canonical unit.
    #[schema(example = "bpm")]
    pub unit: String,
    /// As asked.
    #[schema(example = "1d")]
    pub bucket: String,
    /// Whose local days they are.
    #[schema(example = "Europe/Berlin")]
    pub tz: String,
    /// Newest first; empty ones are absent.
    pub buckets: Vec<Bucket>,
}

/// One bucket: its start, and the figures that `agg` asked for.
#[derive(Debug, ToSchema)]
pub struct Bucket {
    /// Its first moment.
    #[schema(example = "2026-06-01T00:00:00Z", format = DateTime)]
    pub start: String,
    /// Mean.
    pub avg: Option<f64>,
    /// Least.
    pub min: Option<f64>,
    /// Greatest.
    pub max: Option<f64>,
    /// Sum.
    pub sum: Option<f64>,
    /// Number of points.
    pub count: Option<u64>,
    /// Value of the earliest point.
    pub first: Option<f64>,
    /// Value of the latest point.
    pub last: Option<f64>,
    /// Median, interpolated.
    pub p50: Option<f64>,
    /// 95th percentile, interpolated.
    pub p95: Option<f64>,
    /// Sample standard deviation; absent with a single point.
    pub stddev: Option<f64>,
}

/// The newest point of each metric that has any.
#[derive(Debug, ToSchema)]
pub struct Latest {
    /// By the metric's key.
    #[schema(example = json!({"heart_rate": {"value": 62.0, "unit": "bpm", "recorded_at": "2026-06-01T07:30:00Z"}}))]
    pub latest: std::collections::BTreeMap<String, LatestPoint>,
}

/// The newest point of a metric.
#[derive(Debug, ToSchema)]
pub struct LatestPoint {
    /// In `unit`.
    #[schema(example = 62.0)]
    pub value: f64,
    /// The metric's canonical unit.
    #[schema(example = "bpm")]
    pub unit: String,
    /// UTC.
    #[schema(example = "2026-06-01T07:30:00Z", format = DateTime)]
    pub recorded_at: String,
}

/// The catalogue.
#[derive(Debug, ToSchema)]
pub struct Catalogue {
    /// All metrics.
    pub metrics: Vec<Metric>,
}

/// A metric of the catalogue.
#[derive(Debug, ToSchema)]
pub struct Metric {
    /// Its key.
    #[schema(example = "heart_rate")]
    pub key: String,
    /// Canonical unit: what answers are in.
    #[schema(example = "bpm")]
    pub unit: String,
    /// What it is.
    pub description: String,
    /// What a value may be.
    pub bounds: Bounds,
    /// Units that are taken.
    #[schema(example = json!(["bpm", "beats/min"]))]
    pub units: Vec<String>,
    /// LOINC codes.
    #[schema(example = json!(["8867-4"]))]
    pub loinc: Vec<String>,
    /// Unit in UCUM.
    #[schema(example = "/min")]
    pub ucum: Option<String>,
}

/// What a value may be, both ends included.
#[derive(Debug, ToSchema)]
pub struct Bounds {
    /// Least.
    #[schema(example = 15.0)]
    pub min: f64,
    /// Greatest.
    #[schema(example = 350.0)]
    pub max: f64,
}

/// Which points of a metric, and in which form.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReadingParams {
    /// The last so many days, up to now. Not together with `start` or `end`.
    #[param(minimum = 1, maximum = 3650, default = 30, example = 30)]
    pub days: Option<u32>,
    /// First moment (RFC 3339); 30 days before the end by default.
    #[param(format = DateTime)]
    pub start: Option<String>,
    /// First moment after the last (RFC 3339); now by default.
    #[param(format = DateTime)]
    pub end: Option<String>,
    /// Only what this source measured.
    #[param(min_length = 1, max_length = 64)]
    pub source: Option<String>,
    /// Most points of the page. Without it the whole window comes.
    #[param(minimum = 1, maximum = 1_000_000)]
    pub limit: Option<u32>,
    /// The page before's `next_cursor`.
    pub cursor: Option<String>,
    /// `15m`, `1h`, `1d`, `7d` (from Monday) or `1mo`: figures per bucket instead of points.
    #[param(pattern = "^(15m|1h|1d|7d|1mo)$")]
    pub bucket: Option<String>,
    /// With `bucket`: some of `avg,min,max,sum,count,first,last,p50,p95,stddev`; `avg,min,max,count` by default.
    #[param(
        pattern = "^(avg|min|max|sum|count|first|last|p50|p95|stddev)(,(avg|min|max|sum|count|first|last|p50|p95|stddev))*$"
    )]
    pub agg: Option<String>,
    /// With `bucket`: whose local days, as an IANA name; `UTC` by default.
    #[param(example = "Europe/Berlin")]
    pub tz: Option<String>,
}

/// Which points are deleted.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeletionParams {
    /// First moment (RFC 3339).
    #[param(format = DateTime)]
    pub start: String,
    /// First moment after the last (RFC 3339).
    #[param(format = DateTime)]
    pub end: String,
}
