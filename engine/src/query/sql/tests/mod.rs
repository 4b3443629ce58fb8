//! SQL from the inside: what is planned, what is read, what is refused.

mod bombs;

use std::fmt::Write as _;

use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use storage::disk::sim::SimDisk;
use storage::{ManualClock, Place as Folder, StorageConfig, UserId};

use super::*;
use crate::engine::{Engine, EngineConfig};
use crate::error::Place;
use crate::render::table::Format;
use crate::time::{DAY_US, HOUR_US};

const NOW_US: i64 = 1_782_000_000_000_000;

struct Fixture {
    engine: Engine,
    disk: SimDisk,
}

fn user(letter: char) -> UserId {
    UserId::parse(&format!("usr_0000000{letter}")).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

impl Fixture {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        let mut config = EngineConfig {
            storage: StorageConfig { background: false, log_file_bytes: 1 << 20, ..StorageConfig::default() },
            catalogue: Catalogue::builtin(),
            latest_cache_bytes: 1 << 20,
            query_memory_bytes: 64 << 20,
            query_time_max: Duration::from_secs(20),
            query_rows_max: 1_000_000,
        };
        change(&mut config);
        let disk = SimDisk::new(7);
        let clock = Arc::new(ManualClock::at(NOW_US));
        let folder = Folder { disk: Arc::new(disk.clone()), objects: None, ledger: None, clock };
        Self { engine: Engine::open(folder, config).unwrap(), disk }
    }

    /// One value an hour, back from now: 40 and the hour's number, again and again.
    fn hours(&self, user: UserId, metric: &str, hours: i64) {
        self.points(user, metric, hours, |hour| (40 + hour % 100).to_string());
    }

    /// One value an hour, back from now.
    fn points(&self, user: UserId, metric: &str, hours: i64, value: impl Fn(i64) -> String) {
        let unit = if metric == "hrv" { "ms" } else { "bpm" };
        for first in (0..hours).step_by(500) {
            let mut body = String::from(r#"{"data_points":["#);
            for hour in first..hours.min(first + 500) {
                let at = crate::time::format(NOW_US - hour * HOUR_US);
                let (comma, value) = (if hour == first { "" } else { "," }, value(hour));
                write!(body, r#"{comma}{{"metric":"{metric}","value":{value},"unit":"{unit}","#).unwrap();
                write!(body, r#""recorded_at":"{at}","source":"w"}}"#).unwrap();
            }
            body.push_str("]}");
            let batch = self.engine.parse_bulk(user, &mut body.into_bytes()).unwrap();
            block_on(self.engine.append(batch)).unwrap();
        }
    }

    fn statement(visible: &[UserId], sql: &str, params: Vec<Param>) -> Statement {
        Statement { visible: visible.into(), sql: sql.to_owned(), params, permit: None }
    }

    fn prepare(&self, visible: &[UserId], sql: &str) -> Result<Query> {
        block_on(self.engine.prepare(Self::statement(visible, sql, Vec::new())))
    }

    fn rows(&self, visible: &[UserId], sql: &str, params: Vec<Param>) -> Result<serde_json::Value> {
        block_on(async {
            let query = self.engine.prepare(Self::statement(visible, sql, params)).await?;
            let pieces: Vec<_> = query.encoded(Format::Json).try_collect().await?;
            let mut document: serde_json::Value = serde_json::from_slice(&pieces.concat()).unwrap();
            Ok(document["rows"].take())
        })
    }

    /// What `EXPLAIN ANALYZE` says.
    fn explained(&self, visible: &[UserId], sql: &str) -> String {
        self.explained_with(visible, sql, Vec::new())
    }

    fn explained_with(&self, visible: &[UserId], sql: &str, params: Vec<Param>) -> String {
        block_on(async {
            let query = self.engine.prepare(Self::statement(visible, &format!("EXPLAIN ANALYZE {sql}"), params));
            let batches: Vec<_> = query.await.unwrap().batches().try_collect().await.unwrap();
            pretty_format_batches(&batches).unwrap().to_string()
        })
    }
}

fn place(result: Result<impl std::fmt::Debug>) -> (String, Place) {
    match result.unwrap_err() {
        Error::Statement { msg, place } => (msg, place),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plan_reaches_whom_its_filters_leave_and_nobody_else() {
    let fixture = Fixture::new();
    let all = ['a', 'b', 'c'].map(user);
    for (sql, expected) in [
        ("SELECT count(*) FROM points", "abc"),
        ("SELECT count(*) FROM latest", "abc"),
        ("SELECT count(*) FROM metrics", ""),
        ("SELECT 1", ""),
        ("SELECT * FROM points WHERE user_id = 'usr_0000000b'", "b"),
        ("SELECT * FROM points WHERE user_id IN ('usr_0000000b', 'usr_0000000c', 'usr_0000000z') AND value > 3", "bc"),
        ("SELECT * FROM points WHERE user_id = 'usr_0000000b' OR value > 3", "abc"),
        ("SELECT * FROM points WHERE user_id = 'usr_0000000z'", ""),
        ("SELECT * FROM points WHERE user_id LIKE 'usr_0000000b'", "abc"),
        (
            "SELECT * FROM points WHERE user_id = 'usr_0000000a' UNION ALL SELECT * FROM points WHERE user_id = 'usr_0000000c'",
            "ac",
        ),
        ("SELECT (SELECT max(value) FROM points WHERE user_id = 'usr_0000000b') FROM metrics", "b"),
        ("SELECT * FROM metrics WHERE metric IN (SELECT metric FROM latest WHERE user_id = 'usr_0000000c')", "c"),
        ("SELECT p.value FROM points p JOIN latest l ON p.user_id = l.user_id WHERE p.user_id = 'usr_0000000a'", "a"),
        ("EXPLAIN SELECT * FROM points WHERE user_id = 'usr_0000000b'", "b"),
        ("EXPLAIN ANALYZE SELECT * FROM points", "abc"),
        ("WITH p AS (SELECT * FROM points) SELECT count(*) FROM p WHERE user_id = 'usr_0000000a'", "a"),
    ] {
        let query = fixture.prepare(&all, sql).unwrap();
        let reached: String = query.users().iter().filter_map(|user| user.as_str().chars().last()).collect();
        let is_enough = expected.chars().all(|letter| reached.contains(letter));
        // A join's filter may reach its other side, or not; never too few.
        assert!(reached == expected || (sql.contains("JOIN") && is_enough), "{sql}: {reached}, not {expected}");
    }
}

#[test]
fn what_is_read_is_what_existed_at_the_first_read() {
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 3);
    let query = fixture.prepare(&[user('a')], "SELECT count(*) AS n FROM points").unwrap();
    fixture.hours(user('a'), "heart_rate", 7);
    let pieces: Vec<_> = block_on(query.encoded(Format::Csv).try_collect()).unwrap();
    assert_eq!(pieces.concat(), b"n\n7\n", "a plan that waits holds nothing back");
}

#[test]
fn parameters_are_of_the_type_that_the_statement_wants() {
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 48);
    let mine = [user('a')];
    let text = |text: &str| Param::from(text.to_owned());
    let since = crate::time::format(NOW_US - 3 * HOUR_US);
    let sql = "SELECT count(*) FROM points WHERE metric = $2 AND recorded_at >= $1 AND value < $3";
    let count = fixture.rows(&mine, sql, vec![text(&since), text("heart_rate"), Param::from(43)]).unwrap();
    assert_eq!(count, serde_json::json!([[3]]));
    let count = fixture
        .rows(
            &mine,
            &sql.replace("$2", "?").replace("$1", "?").replace("$3", "?"),
            vec![text("heart_rate"), text(&since), Param::from(42.5)],
        )
        .unwrap();
    assert_eq!(count, serde_json::json!([[3]]));
    let zone = "2026-06-01T02:00:00+02:00";
    let bound = fixture.rows(&mine, "SELECT count(*) FROM points WHERE recorded_at > $1", vec![text(zone)]).unwrap();
    assert_eq!(bound, serde_json::json!([[48]]));
    assert_eq!(fixture.rows(&mine, "SELECT $1", vec![Param::NULL]).unwrap(), serde_json::json!([[null]]));
    assert_eq!(fixture.rows(&mine, "SELECT $1", vec![Param::from(true)]).unwrap(), serde_json::json!([[true]]));
    let quoted = fixture.rows(&mine, "SELECT $1", vec![text("'; DROP TABLE points --")]).unwrap();
    assert_eq!(quoted, serde_json::json!([["'; DROP TABLE points --"]]));

    let wrong = |sql: &str, params| place(fixture.rows(&mine, sql, params));
    assert_eq!(wrong("SELECT * FROM points WHERE recorded_at > $1", vec![text("yesterday")]).1, Place::Param(0));
    assert_eq!(wrong("SELECT * FROM points WHERE value > $1", vec![text("much")]).1, Place::Param(0));
    for (sql, params) in [
        ("SELECT $1, $2", vec![Param::NULL]),
        ("SELECT 1", vec![Param::NULL]),
        ("SELECT $2", vec![Param::NULL]),
        ("SELECT $name", vec![Param::NULL]),
        ("SELECT ?, $1", vec![Param::NULL, Param::NULL]),
        ("SELECT $0", vec![Param::NULL]),
    ] {
        wrong(sql, params);
    }
}

#[test]
fn a_statement_describes_itself_before_it_has_values() {
    let fixture = Fixture::new();
    let sql = "SELECT metric, avg(value) AS mean FROM points WHERE recorded_at > $1 AND metric = $2 GROUP BY metric";
    let described = block_on(fixture.engine.describe(Fixture::statement(&[user('a')], sql, Vec::new())));
    let (columns, params) = described.unwrap();
    let types = |schema: &SchemaRef| -> Vec<DataType> {
        schema.fields().iter().map(|field| field.data_type().clone()).collect()
    };
    assert_eq!(types(&columns), [DataType::Utf8, DataType::Float64]);
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(types(&params), [at, DataType::Utf8]);
    assert_eq!(params.field(1).name(), "$2");
}

#[test]
fn analysts_find_the_functions_that_they_know() {
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 72);
    for (sql, expected) in [
        ("SELECT count(DISTINCT date_bin(INTERVAL '1 hour', recorded_at)) FROM points", "72"),
        ("SELECT count(DISTINCT date_trunc('day', recorded_at)) FROM points", "4"),
        ("SELECT min(local_day(recorded_at, 'Asia/Tokyo')) FROM points", "\"2026-06-18\""),
        ("SELECT local_day(TIMESTAMP '2026-06-01T22:30:00Z', 'Europe/Berlin')", "\"2026-06-02\""),
        (
            "SELECT local_day(date_bin(INTERVAL '1 hour', recorded_at), 'UTC') FROM points ORDER BY 1 LIMIT 1",
            "\"2026-06-18\"",
        ),
        ("SELECT median(value) FROM points", "75.5"),
        ("SELECT round(approx_percentile_cont(value, 0.95)) FROM points", "108.0"),
        ("SELECT round(stddev(value), 3) FROM points", "20.928"),
        (
            "SELECT max(value - previous) FROM (SELECT value, lag(value) OVER (PARTITION BY user_id ORDER BY recorded_at) AS previous FROM points)",
            "-1.0",
        ),
        ("SELECT value FROM points WHERE recorded_at = (SELECT max(recorded_at) FROM points)", "40.0"),
        ("SELECT unit FROM metrics WHERE metric = 'heart_rate'", "\"bpm\""),
        ("SELECT count(*) FROM points WHERE recorded_at > now() - INTERVAL '9000 days'", "72"),
    ] {
        let rows = fixture.rows(&[user('a')], sql, Vec::new()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(rows[0][0].to_string(), expected, "{sql}");
    }
    let described = fixture.rows(&[user('a')], "DESCRIBE points", Vec::new()).unwrap();
    assert_eq!(described.as_array().unwrap().len(), 7);
    let (msg, _) = place(fixture.rows(&[user('a')], "SELECT local_day(recorded_at, 'Mars') FROM points", Vec::new()));
    assert!(msg.contains("Mars"), "{msg}");
}

#[test]
fn columns_of_texts_are_texts_to_every_function() {
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 3);
    let mine = [user('a')];
    for (sql, expected) in [
        ("SELECT approx_distinct(source) FROM points", "1"),
        ("SELECT approx_distinct(source) AS n FROM points GROUP BY metric HAVING approx_distinct(user_id) = 1", "1"),
        ("SELECT approx_distinct(metric) OVER () FROM points", "1"),
        ("SELECT sum(length(source)) FROM points", "3"),
        ("SELECT upper(source) || '-' || substr(metric, 1, 5) FROM points", "\"W-heart\""),
    ] {
        let rows = fixture.rows(&mine, sql, Vec::new()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(rows[0][0].to_string(), expected, "{sql}");
    }
    let (msg, _) = place(fixture.rows(&mine, "SELECT to_timestamp(source) FROM points", Vec::new()));
    assert!(msg.contains("'w'"), "it is the text that is no time: {msg}");
    // The name of a column does not show the cast.
    let sql = "SELECT approx_distinct(source) FROM points";
    let (columns, _) = block_on(fixture.engine.describe(Fixture::statement(&mine, sql, Vec::new()))).unwrap();
    assert_eq!(columns.field(0).name(), "approx_distinct(points.source)");
    for sql in ["DESCRIBE points", "DESCRIBE latest", "DESCRIBE SELECT * FROM points", "DESCRIBE metrics"] {
        let described = fixture.rows(&mine, sql, Vec::new()).unwrap().to_string();
        assert!(described.contains("Utf8") && !described.contains("Dictionary"), "{sql}: {described}");
    }
}

#[test]
fn a_clause_that_would_do_nothing_is_refused_where_it_stands() {
    let fixture = Fixture::new();
    for (sql, clause, at) in [
        ("SELECT count(*) FROM points TABLESAMPLE SYSTEM (10)", "TABLESAMPLE", "points"),
        ("SELECT 1 WHERE 1 IN (SELECT 1 FROM latest TABLESAMPLE BERNOULLI (1))", "TABLESAMPLE", "latest"),
        ("EXPLAIN SELECT * FROM points TABLESAMPLE SYSTEM (10)", "TABLESAMPLE", "points"),
        ("DESCRIBE SELECT * FROM points TABLESAMPLE SYSTEM (10)", "TABLESAMPLE", "points"),
        ("SELECT * FROM points\n  FOR UPDATE", "FOR UPDATE", "FOR"),
        ("SELECT * FROM points LIMIT 1 FOR SHARE NOWAIT", "FOR SHARE", "FOR"),
        ("WITH p AS (SELECT * FROM points FOR UPDATE) SELECT * FROM p", "FOR UPDATE", "FOR"),
        ("SELECT unit, sum(value) FROM points GROUP BY unit WITH ROLLUP", "GROUP BY", "SELECT"),
        ("SELECT * ILIKE 'm%' FROM points", "ILIKE", "SELECT"),
        ("SELECT abs(value) FILTER (WHERE value > 3) FROM points", "FILTER", "abs"),
        ("SELECT ABS(value) OVER () FROM points", "OVER", "ABS"),
        ("SELECT abs(DISTINCT value) FROM points", "DISTINCT", "abs"),
    ] {
        let (msg, place) = place(fixture.prepare(&[user('a')], sql));
        assert!(msg.contains(clause) && msg.contains("not supported"), "{sql}: {msg}");
        assert_eq!(place, Place::Byte(sql.rfind(at).unwrap()), "{sql}: {msg}");
    }
    fixture.hours(user('a'), "heart_rate", 2);
    for sql in [
        "SELECT sum(value) FILTER (WHERE value > 40) FROM points AS p",
        "SELECT count(DISTINCT value) - 1 FROM points",
        "SELECT count(value) - 1 FROM points GROUP BY ROLLUP (unit)",
        "SELECT first_value(source ORDER BY recorded_at) IS NOT NULL FROM points",
    ] {
        fixture.rows(&[user('a')], sql, Vec::new()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

#[test]
fn a_statement_that_is_no_query_is_told_that_sql_here_only_reads() {
    let fixture = Fixture::new();
    for sql in [
        "COPY points TO 'points.csv'",
        "EXPLAIN COPY points TO 'points.csv'",
        "INSERT INTO points VALUES (1)",
        "EXPLAIN ANALYZE INSERT INTO points VALUES (1)",
        "WITH p AS (SELECT 1) INSERT INTO points SELECT * FROM p",
        "SELECT * INTO mine FROM points",
        "UPDATE points SET nothing = 1",
        "DELETE FROM nowhere",
        "CREATE TABLE x (y INT)",
        "DROP TABLE nowhere",
        "SET x = 1",
        "RESET x",
        "SHOW TABLES",
        "BEGIN",
    ] {
        let (msg, _) = place(fixture.prepare(&[user('a')], sql));
        assert!(msg.contains("only reads"), "{sql}: {msg}");
    }
}

#[test]
fn a_function_that_takes_no_such_arguments_is_a_fault_in_plain_words() {
    let (msg, _) = place(Fixture::new().prepare(&[user('a')], "SELECT sum(metric) FROM points"));
    assert!(msg.contains("sum(Utf8)") && !msg.contains("nternal") && !msg.contains("bug"), "{msg}");
}

#[test]
fn a_fault_is_located_by_its_byte() {
    let fixture = Fixture::new();
    for (sql, word) in [
        ("SELECT valu FROM points", "valu"),
        ("SELECT 'ä',\n  valu FROM points", "valu"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT 1 FORM points WHERE", "points"),
    ] {
        let (msg, place) = place(fixture.prepare(&[user('a')], sql));
        assert_eq!(place, Place::Byte(sql.rfind(word).unwrap()), "{sql}: {msg}");
    }
    let (msg, _) = place(fixture.prepare(&[user('a')], "SELECT nosuchfunction(1)"));
    assert!(msg.contains("nosuchfunction") && !msg.contains("at Line"), "{msg}");
}

#[test]
fn what_a_window_keeps_is_counted() {
    let fixture = Fixture::with(|config| config.query_memory_bytes = 1 << 20);
    fixture.hours(user('a'), "heart_rate", 40_000);
    for sql in [
        "SELECT sum(value) OVER (), * FROM points",
        "SELECT max(recorded_at) FROM (SELECT sum(value) OVER (PARTITION BY source) AS total, recorded_at FROM points) WHERE total > 0",
        "SELECT * FROM points ORDER BY value, recorded_at",
        "SELECT array_agg(recorded_at) FROM points GROUP BY recorded_at",
    ] {
        let error = fixture.rows(&[user('a')], sql, Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Budget { bound: Bound::Size, .. }), "{sql}: {error:?}");
    }
    // One query's memory is its own: what others take is not missing here.
    let sql = "SELECT max(total) FROM (SELECT sum(value) OVER (ORDER BY recorded_at) AS total FROM points LIMIT 10)";
    fixture.rows(&[user('a')], sql, Vec::new()).unwrap_err();
    fixture.rows(&[user('a')], "SELECT avg(value) FROM points", Vec::new()).unwrap();
}

#[test]
fn a_query_that_nobody_waits_for_ends() {
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 2_000);
    let permit: Permit = Arc::new(());
    // Of what stands on the left of a join all is kept: so these take time alone, and no bound ends them soon.
    let heavy =
        "SELECT sum(a.value / v) FROM points a, (SELECT ln(b.value / c.value) + 9 AS v FROM points b, points c)";
    let endless = "SELECT a.value FROM points a, (SELECT b.value FROM points b, points c)";
    block_on(async {
        for sql in [heavy, endless] {
            let mut statement = Fixture::statement(&[user('a')], sql, Vec::new());
            statement.permit = Some(Arc::clone(&permit));
            let mut pieces = fixture.engine.prepare(statement).await.unwrap().encoded(Format::Csv);
            if sql == endless {
                pieces.try_next().await.unwrap().unwrap();
            }
            assert!(Arc::strong_count(&permit) > 1, "it runs");
            drop(pieces);
            let ended = async {
                while Arc::strong_count(&permit) > 1 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it ends");
        }
    });
}

#[test]
fn a_query_runs_on_threads_of_its_own() {
    let fixture = Fixture::new();
    let name = block_on(fixture.engine.sql.pool.run(async { Ok(std::thread::current().name().map(str::to_owned)) }));
    assert_eq!(name.unwrap().as_deref(), Some("avycenna-sql"));
    let panicked = block_on(fixture.engine.sql.pool.run::<()>(async { panic!("a bug") }));
    assert!(matches!(panicked, Err(Error::Query(_))));
}

#[test]
fn filters_keep_files_row_groups_and_pages_from_being_read() {
    let fixture = Fixture::new();
    let people: Vec<UserId> = (0..40).map(|nth| UserId::parse(&format!("usr_{nth:08}")).unwrap()).collect();
    for user in &people {
        // Nothing that could be left out of a file.
        let value = |hour: i64| format!("{}.{:02}", 40 + hour * 7_919 % 211, hour * 104_729 % 97);
        fixture.points(*user, "heart_rate", 2_400, value);
        fixture.points(*user, "hrv", 100, value);
    }
    fixture.engine.storage().flush().unwrap();
    fixture.engine.storage().compact().unwrap();
    let read = |sql: &str| {
        // Once to have the footers, once to count.
        fixture.rows(&people, sql, Vec::new()).unwrap();
        let before = fixture.disk.counters().read_bytes;
        let rows = fixture.rows(&people, sql, Vec::new()).unwrap();
        (rows[0][0].as_i64().unwrap(), fixture.disk.counters().read_bytes - before)
    };
    let (rows, all) = read("SELECT count(value) FROM points");
    assert_eq!(rows, 40 * 2_500);
    let since = |days: i64| crate::time::format(NOW_US - days * DAY_US);
    // At most so many tenths of the bytes: a page of a month holds about twelve people.
    for (filter, expected, tenths) in [
        ("metric = 'hrv'".to_owned(), 4_000, 2),
        ("user_id = 'usr_00000007'".to_owned(), 2_500, 5),
        ("metric = 'heart_rate' AND user_id IN ('usr_00000007', 'usr_00000031')".to_owned(), 4_800, 8),
        (format!("metric = 'heart_rate' AND recorded_at >= '{}'", since(1)), 40 * 25, 4),
        (format!("user_id = 'usr_00000007' AND metric = 'heart_rate' AND recorded_at < '{}'", since(60)), 959, 3),
    ] {
        let (rows, bytes) = read(&format!("SELECT count(value) FROM points WHERE {filter}"));
        assert_eq!(rows, expected, "{filter}");
        assert!(bytes * 10 <= all * tenths, "{filter}: {bytes} of {all} bytes");
    }
    // Whole comparisons are the read's own: no filter is left above it, and no column is read for one.
    let plan =
        fixture.explained(&people, "SELECT avg(value) FROM points WHERE metric = 'hrv' AND user_id = 'usr_00000007'");
    assert!(!plan.contains("FilterExec") && plan.contains("columns=[value]"), "{plan}");
    let scan = plan.lines().find(|line| line.contains("PointsExec")).unwrap();
    assert!(scan.contains("output_rows=100,") || scan.contains("output_rows=100]"), "{plan}");
}

#[test]
fn an_explanation_says_nothing_of_what_is_not_the_callers() {
    let fixture = Fixture::new();
    fixture.hours(user('a'), "heart_rate", 3);
    let sql = "SELECT metric, count(*) FROM points GROUP BY metric";
    let alone = fixture.explained(&[user('a')], sql);
    assert!(alone.contains("PointsExec") && alone.contains("output_rows=3"), "{alone}");
    fixture.hours(user('b'), "heart_rate", 500);
    fixture.hours(user('b'), "hrv", 500);
    fixture.engine.storage().compact().unwrap();
    let beside = fixture.explained(&[user('a')], sql);
    assert!(beside.contains("output_rows=3"), "{beside}");
    for secret in ["points/", ".parquet", "usr_0000000b", "500", "503"] {
        assert!(!beside.contains(secret), "{secret} in {beside}");
    }
}
