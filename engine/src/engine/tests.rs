//! The whole engine over a simulated disk, compared with the plainest model: one ordered map per user and metric.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use proptest::prelude::*;
use storage::disk::sim::SimDisk;
use storage::{ManualClock, Place, TimeRange};

use super::*;
use crate::error::ErrorKind;
use crate::query::BucketWidth;

const DAY_US: i64 = 86_400_000_000;
/// 2026-06-20T00:00:00Z
const NOW_US: i64 = 1_781_913_600_000_000;
const METRICS: [&str; 2] = ["heart_rate", "steps"];
const SOURCES: [&str; 2] = ["phone", "watch"];
const DEVICES: [Option<&str>; 3] = [None, Some("a"), Some("b")];

struct Fixture {
    engine: Engine,
    disk: SimDisk,
}

fn config() -> EngineConfig {
    EngineConfig {
        storage: StorageConfig {
            background: false,
            log_file_bytes: 1 << 18,
            level1_file_bytes: 1 << 16,
            ..StorageConfig::default()
        },
        catalogue: Catalogue::builtin(),
        latest_cache_bytes: 1 << 20,
        query_memory_bytes: 64 << 20,
        query_time_max: Duration::from_secs(20),
        query_rows_max: 10_000,
    }
}

fn open(disk: &SimDisk, config: EngineConfig) -> Engine {
    let clock = Arc::new(ManualClock::at(NOW_US));
    Engine::open(Place { disk: Arc::new(disk.clone()), objects: None, ledger: None, clock }, config).unwrap()
}

impl Fixture {
    fn new() -> Self {
        let disk = SimDisk::new(7);
        Self { engine: open(&disk, config()), disk }
    }

    fn reopen(&mut self) {
        self.engine.close();
        self.engine = open(&self.disk, config());
    }

    fn ingest(&self, user: UserId, points: &[Point]) {
        let mut body = String::from(r#"{"data_points":["#);
        for (nth, point) in points.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            let at = jiff::Timestamp::from_microsecond(point.at_us).unwrap();
            write!(
                body,
                r#"{comma}{{"metric":"{}","value":{},"unit":"{}","recorded_at":"{at}","source":"{}""#,
                point.metric,
                point.value,
                if point.metric == "steps" { "steps" } else { "bpm" },
                point.source
            )
            .unwrap();
            if let Some(device) = point.device {
                write!(body, r#","source_device_id":"{device}""#).unwrap();
            }
            body.push('}');
        }
        body.push_str("]}");
        let batch = self.engine.parse_bulk(user, &mut body.into_bytes()).unwrap();
        block_on(self.engine.append(batch)).unwrap();
    }

    fn window(&self, user: UserId, query: WindowQuery) -> serde_json::Value {
        parsed(block_on(self.engine.window(user, query)).unwrap())
    }

    fn sql(&self, visible: &[UserId], sql: &str) -> Result<String> {
        block_on(async {
            let stream = self.engine.sql(visible.into(), sql).await?;
            let batches: Vec<_> = stream.try_collect().await?;
            Ok(pretty_format_batches(&batches).unwrap().to_string())
        })
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn parsed(body: JsonBody) -> serde_json::Value {
    let bytes = match body {
        JsonBody::Whole(bytes) => bytes.to_vec(),
        JsonBody::Stream(pieces) => block_on(pieces.try_collect::<Vec<_>>()).unwrap().concat(),
    };
    serde_json::from_slice(&bytes).unwrap()
}

fn user(letter: char) -> UserId {
    UserId::parse(&format!("usr_0000000{letter}")).unwrap()
}

#[derive(Debug, Clone)]
struct Point {
    metric: &'static str,
    at_us: i64,
    value: u8,
    source: &'static str,
    device: Option<&'static str>,
}

#[derive(Debug, Clone)]
enum Step {
    Ingest(char, Vec<Point>),
    Delete(char, &'static str, TimeRange),
    Flush,
    Compact,
    Reopen,
}

fn point() -> impl Strategy<Value = Point> {
    // Few times, so that identities meet; quarter hours, so that buckets hold several.
    (0..2_usize, 0..200_i64, 40..200_u8, 0..2_usize, 0..3_usize).prop_map(|(metric, at, value, source, device)| Point {
        metric: METRICS[metric],
        at_us: NOW_US - at * DAY_US / 8,
        value,
        source: SOURCES[source],
        device: DEVICES[device],
    })
}

fn step() -> impl Strategy<Value = Step> {
    let letters = prop::sample::select(vec!['a', 'b']);
    prop_oneof![
        6 => (letters.clone(), prop::collection::vec(point(), 1..40)).prop_map(|(user, points)| Step::Ingest(user, points)),
        1 => (letters, 0..2_usize, 0..25_i64, 1..5_i64).prop_map(|(user, metric, day, days)| {
            let start = NOW_US - day * DAY_US;
            Step::Delete(user, METRICS[metric], TimeRange { start, end: start + days * DAY_US })
        }),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

type Identity = (i64, &'static str, Option<&'static str>);

/// What must be there: per user and metric, identity → value.
#[derive(Default)]
struct Model(BTreeMap<(char, &'static str), BTreeMap<Identity, u8>>);

impl Model {
    fn of(&self, user: char, metric: &'static str) -> Vec<(Identity, u8)> {
        let points = self.0.get(&(user, metric)).into_iter().flatten();
        // Newest first; at one time by source and device, no device last.
        points.rev().map(|((at, source, _), value)| ((*at, *source, None), *value)).collect()
    }

    fn play(&mut self, fixture: &mut Fixture, step: &Step) {
        match step {
            Step::Ingest(letter, points) => {
                fixture.ingest(user(*letter), points);
                for point in points {
                    let metric = self.0.entry((*letter, point.metric)).or_default();
                    metric.insert((point.at_us, point.source, point.device), point.value);
                }
            }
            Step::Delete(letter, metric, times) => {
                block_on(fixture.engine.delete(user(*letter), metric, *times)).unwrap();
                if let Some(points) = self.0.get_mut(&(*letter, *metric)) {
                    points.retain(|(at, ..), _| !times.contains(*at));
                }
            }
            Step::Flush => fixture.engine.storage().flush().unwrap(),
            Step::Compact => fixture.engine.storage().compact().unwrap(),
            Step::Reopen => fixture.reopen(),
        }
    }

    fn check_windows(&self, fixture: &Fixture, days: i64, limit: usize) {
        for letter in ['a', 'b'] {
            for metric in METRICS {
                let times = TimeRange { start: NOW_US - days * DAY_US, end: NOW_US + 1 };
                let expected: Vec<_> =
                    self.of(letter, metric).into_iter().filter(|((at, ..), _)| times.contains(*at)).collect();
                let query = WindowQuery { metric: metric.to_owned(), times, source: None, limit: None, cursor: None };
                assert_eq!(rows(&fixture.window(user(letter), query.clone())), expected, "{letter} {metric}");

                let of_watch =
                    fixture.window(user(letter), WindowQuery { source: Some("watch".into()), ..query.clone() });
                let watch: Vec<_> = expected.iter().filter(|((_, source, _), _)| *source == "watch").copied().collect();
                assert_eq!(rows(&of_watch), watch, "{letter} {metric} of the watch");

                let (mut paged, mut cursor) = (Vec::new(), None);
                loop {
                    let page =
                        fixture.window(user(letter), WindowQuery { limit: Some(limit), cursor, ..query.clone() });
                    let rows = rows(&page);
                    assert!(rows.len() <= limit);
                    paged.extend(rows);
                    cursor = page["next_cursor"].as_str().map(str::to_owned);
                    if cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(paged, expected, "{letter} {metric} in pages of {limit}");
            }
        }
    }

    fn check_buckets(&self, fixture: &Fixture, days: i64) {
        for (width, tz) in [(BucketWidth::Day, "Europe/Berlin"), (BucketWidth::Hour, "UTC"), (BucketWidth::Week, "UTC")]
        {
            let times = TimeRange { start: NOW_US - days * DAY_US, end: NOW_US + 1 };
            let zone = TimeZone::get(tz).unwrap();
            let mut expected: BTreeMap<String, Vec<f64>> = BTreeMap::new();
            for ((at, ..), value) in self.of('a', "heart_rate").into_iter().filter(|((at, ..), _)| times.contains(*at))
            {
                expected.entry(start_of(at, width, &zone)).or_default().push(f64::from(value));
            }
            let query = BucketQuery {
                metric: "heart_rate".to_owned(),
                times,
                source: None,
                width,
                aggregates: vec![Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max, Aggregate::P50],
                tz: tz.to_owned(),
            };
            let answer = parsed(block_on(fixture.engine.bucket(user('a'), query)).unwrap());
            let buckets = answer["buckets"].as_array().unwrap();
            assert_eq!(buckets.len(), expected.len(), "{width:?} {tz}");
            for (bucket, (start, mut values)) in buckets.iter().zip(expected.into_iter().rev()) {
                values.sort_by(f64::total_cmp);
                let middle = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
                assert_eq!(bucket["start"].as_str(), Some(start.as_str()), "{width:?} {tz}");
                assert_eq!(bucket["count"].as_u64(), Some(values.len() as u64), "{start}");
                assert_eq!(bucket["sum"].as_f64(), Some(values.iter().sum()), "{start}");
                assert_eq!(bucket["min"].as_f64(), values.first().copied(), "{start}");
                assert_eq!(bucket["max"].as_f64(), values.last().copied(), "{start}");
                assert_eq!(bucket["p50"].as_f64(), Some(middle), "{start}");
            }
        }
    }

    fn check_latest(&self, fixture: &Fixture) {
        for letter in ['a', 'b'] {
            let answer = parsed(block_on(fixture.engine.latest(user(letter))).unwrap());
            for metric in METRICS {
                let found = &answer["latest"][metric];
                match self.of(letter, metric).first() {
                    None => assert!(found.is_null(), "{letter} {metric}: {found}"),
                    Some(((newest, ..), _)) => {
                        let at = found["recorded_at"].as_str().unwrap();
                        assert_eq!(crate::time::parse(at), Some(*newest), "{letter} {metric}");
                        // Which of several at the newest moment is not promised.
                        let values: Vec<f64> = self
                            .of(letter, metric)
                            .iter()
                            .filter(|((at, ..), _)| at == newest)
                            .map(|(_, value)| f64::from(*value))
                            .collect();
                        assert!(values.contains(&found["value"].as_f64().unwrap()), "{letter} {metric}: {found}");
                    }
                }
            }
        }
    }

    fn check_sql(&self, fixture: &Fixture) {
        for metric in METRICS {
            let points = self.of('b', metric);
            let sum: u64 = points.iter().map(|(_, value)| u64::from(*value)).sum();
            let sql =
                format!("SELECT count(*) AS n, coalesce(sum(value), 0) AS total FROM points WHERE metric = '{metric}'");
            let table = fixture.sql(&[user('b')], &sql).unwrap();
            let figures: Vec<_> = table.lines().nth(3).unwrap().split('|').map(str::trim).collect();
            assert_eq!(figures[1..3], [points.len().to_string(), format!("{sum}.0")], "{metric}: {table}");
        }
    }
}

/// Rows of a window's answer, as the model has them.
fn rows(answer: &serde_json::Value) -> Vec<(Identity, u8)> {
    answer["data_points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| {
            let at = crate::time::parse(point["recorded_at"].as_str().unwrap()).unwrap();
            let source = SOURCES.into_iter().find(|source| point["source"] == *source).expect("a source that was sent");
            // The device tells identities apart, and is not part of the answer.
            ((at, source, None), value(&point["value"]))
        })
        .collect()
}

/// A value that the model has: whole and small.
fn value(json: &serde_json::Value) -> u8 {
    let value = json.as_f64().unwrap();
    (0..=u8::MAX).find(|small| (f64::from(*small) - value).abs() < f64::EPSILON).expect("a value that was sent")
}

/// The start of the bucket that holds a moment, by the calendar of jiff.
fn start_of(at_us: i64, width: BucketWidth, zone: &TimeZone) -> String {
    let local = jiff::Timestamp::from_microsecond(at_us).unwrap().to_zoned(zone.clone());
    let start = match width {
        BucketWidth::Hour => {
            local.round(jiff::ZonedRound::new().smallest(jiff::Unit::Hour).mode(jiff::RoundMode::Trunc)).unwrap()
        }
        BucketWidth::Day => local.start_of_day().unwrap(),
        _ => {
            let day = local.start_of_day().unwrap();
            let back = i64::from(day.weekday().to_monday_zero_offset());
            day.checked_sub(jiff::Span::new().days(back)).unwrap()
        }
    };
    start.timestamp().to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_equals_the_naive_model_wherever_the_points_lie(
        steps in prop::collection::vec(step(), 1..12),
        days in 1..30_i64,
        limit in 1..30_usize,
    ) {
        let (mut fixture, mut model) = (Fixture::new(), Model::default());
        for step in &steps {
            model.play(&mut fixture, step);
            model.check_latest(&fixture);
        }
        model.check_windows(&fixture, days, limit);
        model.check_buckets(&fixture, days);
        model.check_sql(&fixture);
        fixture.engine.storage().compact().unwrap();
        fixture.reopen();
        model.check_windows(&fixture, days, limit);
        model.check_buckets(&fixture, days);
        model.check_latest(&fixture);
        model.check_sql(&fixture);
    }
}

fn at(hours_ago: i64, value: u8) -> Point {
    Point { metric: "heart_rate", at_us: NOW_US - hours_ago * DAY_US / 24, value, source: "watch", device: None }
}

#[test]
fn sql_sees_the_callers_rows_alone_whatever_it_asks() {
    let fixture = Fixture::new();
    fixture.ingest(user('a'), &[at(1, 61), at(2, 62)]);
    fixture.engine.storage().compact().unwrap();
    fixture.ingest(user('b'), &[at(1, 161)]);
    let escapes = [
        "SELECT count(*) AS n FROM points",
        "SELECT count(*) AS n FROM points WHERE user_id = 'usr_0000000b' OR 1 = 1",
        "SELECT count(*) AS n FROM points a LEFT JOIN points b ON a.recorded_at = b.recorded_at WHERE b.user_id IS NOT NULL",
        "SELECT count(*) AS n FROM (SELECT * FROM points UNION ALL SELECT * FROM points) x WHERE recorded_at < now() OR true",
        "WITH p AS (SELECT user_id FROM points) SELECT count(*) AS n FROM p WHERE user_id IN ('usr_0000000a', 'usr_0000000b')",
        "SELECT count(*) AS n FROM avycenna.public.points",
    ];
    for sql in escapes {
        let table = fixture.sql(&[user('a')], sql).unwrap();
        let n: u64 = table.lines().nth(3).unwrap().trim_matches(['|', ' ']).parse().unwrap();
        assert!(n == 2 || n == 4, "{sql}: {table}");
        assert!(!fixture.sql(&[user('a')], "SELECT * FROM points").unwrap().contains("161"));
    }
    assert!(!fixture.sql(&[user('a')], "SELECT * FROM latest").unwrap().contains("161"));
    let nobody = fixture.sql(&[], "SELECT count(*) FROM points").unwrap();
    assert!(nobody.contains("| 0 "), "{nobody}");
    let both = fixture.sql(&[user('a'), user('b')], "SELECT count(*) FROM points").unwrap();
    assert!(both.contains("| 3 "), "{both}");
}

#[test]
fn sql_reads_and_does_nothing_else() {
    let fixture = Fixture::new();
    fixture.ingest(user('a'), &[at(1, 61)]);
    for sql in [
        "INSERT INTO points SELECT * FROM points",
        "DELETE FROM points",
        "UPDATE points SET value = 1",
        "DROP TABLE points",
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc/passwd'",
        "CREATE VIEW v AS SELECT * FROM points",
        "COPY points TO '/tmp/points.parquet'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM read_parquet('x')",
        "SELECT repeat('x', 1000000000)",
        "SELECT 1; SELECT 2",
        "SELECT FROM WHERE",
        "",
    ] {
        let error = fixture.sql(&[user('a')], sql).unwrap_err();
        assert!(matches!(error, Error::Statement { .. }), "{sql}: {error:?}");
    }
}

#[test]
fn sql_is_bounded_in_rows_memory_and_length() {
    let disk = SimDisk::new(1);
    let config = EngineConfig { query_rows_max: 100, query_memory_bytes: 1 << 20, ..config() };
    let fixture = Fixture { engine: open(&disk, config), disk };
    let points: Vec<Point> = (0..499).map(|hour| at(hour, 60)).collect();
    fixture.ingest(user('a'), &points);
    let too_much = [
        "SELECT * FROM points".to_owned(),
        "SELECT a.value FROM points a, points b, points c ORDER BY a.value + b.value * c.value".to_owned(),
        format!("SELECT {}", "1,".repeat(200_000)),
    ];
    for sql in too_much {
        let error = fixture.sql(&[user('a')], &sql).unwrap_err();
        assert!(matches!(error, Error::Budget { .. }), "{}: {error}", &sql[..40.min(sql.len())]);
        assert_eq!(error.kind(), ErrorKind::Budget);
    }
    fixture.sql(&[user('a')], "SELECT * FROM points LIMIT 100").unwrap();
}

#[test]
fn a_metric_that_is_not_there_is_unknown() {
    let fixture = Fixture::new();
    let query = WindowQuery { metric: "mood".into(), times: TimeRange::ALL, source: None, limit: None, cursor: None };
    let error = block_on(fixture.engine.window(user('a'), query)).unwrap_err();
    assert!(matches!(&error, Error::UnknownMetric(key) if key == "mood"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert!(block_on(fixture.engine.delete(user('a'), "mood", TimeRange::ALL)).is_err());
}

#[test]
fn an_operators_metric_is_taken_converted_and_answered() {
    let own: Vec<crate::catalogue::OwnMetric> = serde_json::from_str(
        r#"[{"key":"blood_glucose","unit":"mg/dL","min":10,"max":1000,"units":[{"unit":"mmol/L","factor":18.0}]}]"#,
    )
    .unwrap();
    let twice = Catalogue::with_own([own.clone(), own.clone()].concat()).unwrap_err();
    assert!(matches!(&twice, Error::Catalogue { key, .. } if key == "blood_glucose"), "{twice}");

    let disk = SimDisk::new(1);
    let config = EngineConfig { catalogue: Catalogue::with_own(own).unwrap(), ..config() };
    let fixture = Fixture { engine: open(&disk, config), disk };
    let body = br#"{"metric":"blood_glucose","value":5.5,"unit":"mmol/L","recorded_at":"2026-06-19T08:00:00Z","source":"cgm"}"#;
    let batch = fixture.engine.parse_single(user('a'), &mut body.to_vec()).unwrap();
    block_on(fixture.engine.append(batch)).unwrap();
    let answer = parsed(block_on(fixture.engine.latest(user('a'))).unwrap());
    assert_eq!(answer["latest"]["blood_glucose"]["value"], 99.0);
    assert_eq!(answer["latest"]["blood_glucose"]["unit"], "mg/dL");
}
