//! Everything of one person and nothing of anybody else's, wherever the points lie and however often a snapshot ends.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use arrow::array::{Array, DictionaryArray, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use storage::disk::sim::SimDisk;
use storage::{ManualClock, Place, StorageConfig};

use super::*;
use crate::catalogue::OwnMetric;
use crate::{Catalogue, Engine, EngineConfig, Error, PointFile, PointWriter, Style};

/// 2026-06-20T00:00:00Z
const NOW_US: i64 = 1_781_913_600_000_000;
const SNAPSHOT_AGE: Duration = Duration::from_mins(15);

/// Metric, time, source and device: what a point is identified by.
type Key = (String, i64, String, Option<String>);

struct Fixture {
    engine: Engine,
    clock: Arc<ManualClock>,
}

fn open(disk: &SimDisk, clock: &Arc<ManualClock>, catalogue: Catalogue) -> Engine {
    let storage = StorageConfig {
        background: false,
        log_file_bytes: 1 << 18,
        snapshot_age_max: SNAPSHOT_AGE,
        ..StorageConfig::default()
    };
    let config = EngineConfig {
        storage,
        catalogue,
        latest_cache_bytes: 1 << 20,
        query_memory_bytes: 64 << 20,
        query_time_max: Duration::from_secs(20),
        query_rows_max: 10_000,
    };
    let clock = Arc::clone(clock) as Arc<dyn storage::Clock>;
    Engine::open(Place { disk: Arc::new(disk.clone()), objects: None, ledger: None, clock }, config).unwrap()
}

impl Fixture {
    fn new() -> Self {
        let (disk, clock) = (SimDisk::new(7), Arc::new(ManualClock::at(NOW_US)));
        Self { engine: open(&disk, &clock, Catalogue::builtin()), clock }
    }

    fn ingest(&self, user: UserId, points: &[(Key, f64)]) {
        for points in points.chunks(500) {
            let mut body = String::from(r#"{"data_points":["#);
            for (nth, ((metric, at_us, source, device), value)) in points.iter().enumerate() {
                let comma = if nth == 0 { "" } else { "," };
                let unit = self.engine.catalogue().get(metric).unwrap().unit.clone();
                let at = crate::time::format(*at_us);
                let device = device.as_ref().map_or("null".to_owned(), |device| format!("{device:?}"));
                write!(
                    body,
                    r#"{comma}{{"metric":"{metric}","value":{value},"unit":"{unit}","recorded_at":"{at}","source":"{source}","source_device_id":{device}}}"#,
                )
                .unwrap();
            }
            body.push_str("]}");
            let batch = self.engine.parse_bulk(user, &mut body.into_bytes()).unwrap();
            block_on(self.engine.append(batch)).unwrap();
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn user(letter: char) -> UserId {
    UserId::parse(&format!("usr_0000000{letter}")).unwrap()
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let array = batch.column(column).as_dictionary::<Int32Type>();
    let texts = array.downcast_dict::<StringArray>().unwrap();
    array.is_valid(row).then(|| texts.values().value(usize::try_from(array.keys().value(row)).unwrap()).to_owned())
}

fn rows(series: &Series, batch: &RecordBatch) -> Vec<(Key, f64)> {
    let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    let values = batch.column(1).as_primitive::<arrow::datatypes::Float64Type>();
    let of = |row| {
        let key = (series.key.to_string(), times.value(row), text(batch, 2, row).unwrap(), text(batch, 3, row));
        (key, values.value(row))
    };
    (0..batch.num_rows()).map(of).collect()
}

/// Everything of a user; `between` is called behind each batch.
fn exported(engine: &Engine, user: UserId, mut between: impl FnMut(usize)) -> Vec<(Key, f64)> {
    let mut export = engine.export(user).unwrap();
    let (mut all, mut batches) = (Vec::new(), 0);
    for series in export.series().iter() {
        let mut points = export.points(series);
        while let Some(batch) = block_on(points.next()).unwrap() {
            all.extend(rows(series, &batch));
            between(batches);
            batches += 1;
        }
    }
    all
}

/// Heart rates of two sources and two devices at every time, over `days` days.
fn heart_rates(days: i64, a_day: i64) -> Vec<(Key, f64)> {
    let origins = [("watch", None), ("watch", Some("left")), ("strap", Some("left"))];
    let times = (0..days * a_day).map(|nth| NOW_US - days * DAY_US + nth * DAY_US / a_day);
    let key = |at, (source, device): (&str, Option<&str>)| {
        ("heart_rate".to_owned(), at, source.to_owned(), device.map(str::to_owned))
    };
    times
        .flat_map(|at| origins.map(|origin| (key(at, origin), 60.0 + f64::from(i8::try_from(at % 7).unwrap()) / 4.0)))
        .collect()
}

#[derive(Debug, Clone)]
enum Step {
    Ingest(char, Vec<(Key, f64)>),
    Delete(char, i64),
    Flush,
    Compact,
}

fn point() -> impl Strategy<Value = (Key, f64)> {
    let metric = prop::sample::select(vec!["heart_rate", "steps", "hrv"]);
    let device = prop::sample::select(vec![None, Some("a"), Some("b")]);
    (metric, 0..900_i64, 40..200_u8, prop::sample::select(vec!["phone", "watch"]), device).prop_map(
        |(metric, at, value, source, device)| {
            let at = NOW_US - at * at * DAY_US / 64;
            ((metric.to_owned(), at, source.to_owned(), device.map(str::to_owned)), f64::from(value))
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let letter = || prop::sample::select(vec!['a', 'b']);
    prop_oneof![
        6 => (letter(), prop::collection::vec(point(), 1..60)).prop_map(|(user, points)| Step::Ingest(user, points)),
        1 => (letter(), 0..25_i64).prop_map(|(user, day)| Step::Delete(user, day)),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_export_holds_everything_of_its_person_once_and_in_order(
        steps in prop::collection::vec(step(), 1..20),
        expire_at in prop::collection::vec(0..12_usize, 0..6),
    ) {
        let fixture = Fixture::new();
        let mut model: BTreeMap<char, BTreeMap<Key, f64>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Ingest(letter, points) => {
                    fixture.ingest(user(letter), &points);
                    model.entry(letter).or_default().extend(points);
                }
                Step::Delete(letter, day) => {
                    let times = TimeRange { start: NOW_US - day * DAY_US, end: NOW_US - (day - 3) * DAY_US };
                    block_on(fixture.engine.delete(user(letter), "heart_rate", times)).unwrap();
                    let points = model.entry(letter).or_default();
                    points.retain(|(metric, at, ..), _| metric != "heart_rate" || !times.contains(*at));
                }
                Step::Flush => fixture.engine.storage().flush().unwrap(),
                Step::Compact => fixture.engine.storage().compact().unwrap(),
            }
        }
        for letter in ['a', 'b'] {
            let mut found = exported(&fixture.engine, user(letter), |nth| {
                if expire_at.contains(&nth) {
                    fixture.clock.advance(SNAPSHOT_AGE);
                    fixture.engine.storage().compact().unwrap();
                }
            });
            for series in found.chunk_by(|a, b| a.0.0 == b.0.0) {
                prop_assert!(series.is_sorted_by(|a, b| a.0 < b.0), "{:?}", series);
            }
            found.sort_by(|a, b| a.0.cmp(&b.0));
            let expected: Vec<_> = model.remove(&letter).unwrap_or_default().into_iter().collect();
            prop_assert_eq!(found, expected);
        }
    }
}

#[test]
fn an_export_that_outlives_its_snapshots_goes_on_behind_its_last_point() {
    let fixture = Fixture::new();
    // Three batches and more of a slice, cut between points of one time.
    let points = heart_rates(40, 800);
    fixture.ingest(user('a'), &points);
    fixture.engine.storage().flush().unwrap();
    let mut renewed = 0;
    let found = exported(&fixture.engine, user('a'), |_| {
        renewed += 1;
        assert!(renewed < 1_000, "it goes round in circles");
        fixture.clock.advance(SNAPSHOT_AGE);
        // What is written meanwhile lies before or behind; the files that the old snapshot held may go.
        fixture.ingest(user('a'), &[(("hrv".to_owned(), NOW_US - renewed, "ring".to_owned(), None), 40.0)]);
        fixture.engine.storage().compact().unwrap();
    });
    assert!(renewed >= 5, "{renewed} batches");
    let mut expected = points;
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let of_hearts: Vec<_> = found.iter().filter(|(key, _)| key.0 == "heart_rate").cloned().collect();
    assert!(of_hearts == expected, "{} of {} heart rates", of_hearts.len(), expected.len());
}

#[test]
fn rows_behind_a_position_are_those_that_sort_behind_it() {
    let series = Series { key: "heart_rate".into(), unit: None, is_count: false, id: MetricId(0) };
    let origins = [("strap", None), ("strap", Some("a")), ("watch", None), ("watch", Some("a")), ("watch", Some("b"))];
    let cells: Vec<_> = (0..4_i64).flat_map(|at| origins.map(|(source, device)| (at, source, device))).collect();
    let sources: DictionaryArray<Int32Type> = cells.iter().map(|cell| Some(cell.1)).collect();
    let devices: DictionaryArray<Int32Type> = cells.iter().map(|cell| cell.2).collect();
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(cells.iter().map(|cell| cell.0)).with_timezone("UTC")),
        Arc::new(Float64Array::from_iter_values((0..20).map(f64::from))),
        Arc::new(sources),
        Arc::new(devices),
    ];
    let batch = RecordBatch::try_new(COLUMNS.schema(), columns).unwrap();
    for cut in 0..batch.num_rows() {
        let rest = behind(&batch, &position(&batch, cut).unwrap()).unwrap();
        assert_eq!(rows(&series, &rest), rows(&series, &batch)[cut + 1..], "behind row {cut}");
    }
    let nothing_yet = Position { recorded_at: -1, source: String::new(), device: None };
    assert_eq!(behind(&batch, &nothing_yet).unwrap().num_rows(), 20);
}

#[test]
fn points_of_a_metric_that_the_catalogue_has_no_more_are_exported_without_a_unit() {
    let (disk, clock) = (SimDisk::new(7), Arc::new(ManualClock::at(NOW_US)));
    let own = serde_json::json!([{"key": "glucose", "unit": "mg/dL", "min": 10.0, "max": 1000.0}]);
    let own: Vec<OwnMetric> = serde_json::from_value(own).unwrap();
    for (ago, is_flushed) in [(2, true), (1, false)] {
        let engine = open(&disk, &clock, Catalogue::with_own(own.clone()).unwrap());
        let fixture = Fixture { engine, clock: Arc::clone(&clock) };
        fixture.ingest(user('a'), &[(("glucose".to_owned(), NOW_US - ago, "cgm".to_owned(), None), 90.5)]);
        if is_flushed {
            fixture.engine.storage().flush().unwrap();
        }
        fixture.engine.close();
        let engine = open(&disk, &clock, Catalogue::builtin());
        let found = exported(&engine, user('a'), |_| ());
        assert_eq!(found.len(), if is_flushed { 1 } else { 2 }, "at rest, then in the log too");
        let series = engine.export(user('a')).unwrap().series();
        assert_eq!(series.iter().find(|series| &*series.key == "glucose").unwrap().unit, None);
        engine.close();
    }
}

#[test]
fn a_point_is_written_in_the_form_in_which_it_is_sent() {
    let fixture = Fixture::new();
    let points = [
        (("heart_rate".to_owned(), NOW_US - 500_000, "a \\\"b\\\"".to_owned(), Some("left".to_owned())), 61.5),
        (("heart_rate".to_owned(), NOW_US, "watch".to_owned(), None), 62.0),
        (("steps".to_owned(), NOW_US, "watch".to_owned(), None), 9_241.0),
    ];
    fixture.ingest(user('a'), &points);
    let written = |style| {
        let mut export = fixture.engine.export(user('a')).unwrap();
        let (mut writer, mut out) = (PointWriter::new(style), Vec::new());
        for series in export.series().iter() {
            writer.begin(series);
            let mut points = export.points(series);
            while let Some(batch) = block_on(points.next()).unwrap() {
                writer.rows(&batch, &mut out).unwrap();
            }
        }
        String::from_utf8(out).unwrap()
    };
    insta::assert_snapshot!(written(Style::Lines), @r#"
    {"type":"point","metric":"heart_rate","value":61.5,"unit":"bpm","recorded_at":"2026-06-19T23:59:59.500Z","source":"a \"b\"","source_device_id":"left"}
    {"type":"point","metric":"heart_rate","value":62.0,"unit":"bpm","recorded_at":"2026-06-20T00:00:00Z","source":"watch","source_device_id":null}
    {"type":"point","metric":"steps","value":9241,"unit":"steps","recorded_at":"2026-06-20T00:00:00Z","source":"watch","source_device_id":null}
    "#);
    let elements = written(Style::Lines).replace(r#""type":"point","#, "").trim_end().replace('\n', ",\n");
    assert_eq!(written(Style::Elements), format!("\n{elements}"));
    // What was exported can be sent again, and changes nothing.
    let mut body = format!(r#"{{"data_points":[{}]}}"#, written(Style::Elements)).into_bytes();
    let batch = fixture.engine.parse_bulk(user('a'), &mut body).unwrap();
    let before = exported(&fixture.engine, user('a'), |_| ());
    block_on(fixture.engine.append(batch)).unwrap();
    assert_eq!(exported(&fixture.engine, user('a'), |_| ()), before);
}

#[test]
fn a_parquet_file_holds_what_was_read_whatever_the_row_groups() {
    let fixture = Fixture::new();
    let points = heart_rates(50, 1_000);
    fixture.ingest(user('a'), &points);
    let mut export = fixture.engine.export(user('a')).unwrap();
    let series = export.series()[0].clone();
    let mut out = Vec::new();
    let mut file = PointFile::new(&series, &mut out).unwrap();
    let mut batches = export.points(&series);
    while let Some(batch) = block_on(batches.next()).unwrap() {
        file.rows(&batch).unwrap();
    }
    file.finish().unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(out)).unwrap();
    assert_eq!(builder.metadata().num_row_groups(), points.len().div_ceil(122_880));
    let names: Vec<_> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["metric", "value", "unit", "recorded_at", "source", "source_device_id"]);
    let mut found = Vec::new();
    for batch in builder.build().unwrap() {
        let batch = batch.unwrap();
        let text = |column: usize| batch.column(column).as_string::<i32>().clone();
        let (metric, unit, source, device) = (text(0), text(2), text(4), text(5));
        let times = batch.column(3).as_primitive::<TimestampMicrosecondType>();
        let values = batch.column(1).as_primitive::<arrow::datatypes::Float64Type>();
        for row in 0..batch.num_rows() {
            assert_eq!((metric.value(row), unit.value(row)), ("heart_rate", "bpm"));
            let device = device.is_valid(row).then(|| device.value(row).to_owned());
            let key = ("heart_rate".to_owned(), times.value(row), source.value(row).to_owned(), device);
            found.push((key, values.value(row)));
        }
    }
    let mut expected = points;
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found == expected, "{} of {} points", found.len(), expected.len());
}

/// Takes so many bytes and no more.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_parquet_file_that_cannot_be_written_is_an_error() {
    let fixture = Fixture::new();
    fixture.ingest(user('a'), &heart_rates(2, 100));
    for room in [0, 100, 500] {
        let mut export = fixture.engine.export(user('a')).unwrap();
        let series = export.series()[0].clone();
        let batch = block_on(export.points(&series).next()).unwrap().unwrap();
        let written = PointFile::new(&series, Full(room)).and_then(|mut file| {
            file.rows(&batch)?;
            file.finish()
        });
        assert!(matches!(written, Err(Error::Parquet(_))), "{room} bytes: {written:?}");
    }
    let mut points = fixture.engine.export(user('b')).unwrap();
    let series = points.series()[0].clone();
    assert!(block_on(points.points(&series).next()).unwrap().is_none(), "nobody else has any");
}
