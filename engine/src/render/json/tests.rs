//! Bytes as the API shows them.

use arrow::array::{DictionaryArray, Int32Array, StringArray};
use proptest::prelude::*;
use storage::{Columns, MetricId};

use super::*;

fn entry(key: &str, unit: &str, is_count: bool) -> Entry {
    Entry { id: MetricId(0), key: key.into(), unit: unit.into(), is_count }
}

/// A batch as windows give it, one dictionary entry per row: newest first here, ascending there.
fn window_batch(rows: &[(i64, f64, &str)]) -> RecordBatch {
    let rows: Vec<_> = rows.iter().rev().collect();
    let columns = Columns { source: true, source_device_id: true, ..Columns::default() };
    let keys = Int32Array::from_iter_values(0..i32::try_from(rows.len()).unwrap());
    let sources = StringArray::from_iter_values(rows.iter().map(|row| row.2));
    let devices: DictionaryArray<Int32Type> = rows.iter().map(|_| None::<&str>).collect();
    RecordBatch::try_new(
        columns.schema(),
        vec![
            Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0)).with_timezone("UTC")),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(DictionaryArray::new(keys, Arc::new(sources))),
            Arc::new(devices),
        ],
    )
    .unwrap()
}

fn window(metric: &Entry, batches: &[RecordBatch], next: Next<'_>) -> String {
    let mut out = Vec::new();
    let mut writer = WindowWriter::new(metric);
    writer.begin(&mut out);
    for batch in batches {
        writer.begin(&mut out);
        writer.rows(batch, &mut out).unwrap();
    }
    WindowWriter::finish(next, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_window_is_written_as_the_api_shows_it() {
    let june = 1_780_272_000_000_000;
    let batches = [
        window_batch(&[(june, 62.0, "watch"), (june - 500_000, 61.5, "a \"b\"\\\n\u{1}ü")]),
        window_batch(&[(0, 60.0, "ring")]),
    ];
    insta::assert_snapshot!(
        window(&entry("heart_rate", "bpm", false), &batches, Next::NotAsked),
        @r#"{"metric":"heart_rate","unit":"bpm","data_points":[{"value":62.0,"recorded_at":"2026-06-01T00:00:00Z","source":"watch"},{"value":61.5,"recorded_at":"2026-05-31T23:59:59.500Z","source":"a \"b\"\\\n\u0001ü"},{"value":60.0,"recorded_at":"1970-01-01T00:00:00Z","source":"ring"}]}"#
    );
}

#[test]
fn counts_have_no_fraction_and_pages_have_a_cursor() {
    let metric = entry("steps", "steps", true);
    let batch = window_batch(&[(0, 9_241.0, "watch")]);
    insta::assert_snapshot!(
        window(&metric, &[batch], Next::Page("AbC-_")),
        @r#"{"metric":"steps","unit":"steps","data_points":[{"value":9241,"recorded_at":"1970-01-01T00:00:00Z","source":"watch"}],"next_cursor":"AbC-_"}"#
    );
    assert_eq!(
        window(&metric, &[], Next::Nothing),
        r#"{"metric":"steps","unit":"steps","data_points":[],"next_cursor":null}"#
    );
}

#[test]
fn buckets_name_what_was_asked_and_leave_out_what_is_not_defined() {
    let aggregates: Arc<[Aggregate]> = Arc::new([Aggregate::Avg, Aggregate::Count, Aggregate::Stddev]);
    let starts = TimestampMicrosecondArray::from(vec![1_780_272_000_000_000, 0]);
    let column = |values: Vec<Option<f64>>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
    let batch = RecordBatch::try_from_iter([
        ("start", Arc::new(starts) as ArrayRef),
        ("avg", column(vec![Some(61.25), Some(60.0)])),
        ("count", column(vec![Some(288.0), Some(1.0)])),
        ("stddev", column(vec![Some(0.5), None])),
    ]);
    let mut out = Vec::new();
    let mut writer = BucketWriter::new(&entry("heart_rate", "bpm", false), BucketWidth::Day, "UTC", aggregates);
    writer.begin(&mut out);
    writer.rows(&batch.unwrap(), &mut out).unwrap();
    BucketWriter::finish(&mut out);
    insta::assert_snapshot!(
        String::from_utf8(out).unwrap(),
        @r#"{"metric":"heart_rate","unit":"bpm","bucket":"1d","tz":"UTC","buckets":[{"start":"2026-06-01T00:00:00Z","avg":61.25,"count":288,"stddev":0.5},{"start":"1970-01-01T00:00:00Z","avg":60.0,"count":1}]}"#
    );
}

#[test]
fn nobody_without_points_has_latest_values() {
    let mut out = Vec::new();
    write_latest(None, &Metrics::new(Box::new([])), &mut out).unwrap();
    assert_eq!(out, br#"{"latest":{}}"#);
}

#[test]
fn a_batch_of_another_shape_is_an_error() {
    let batch = RecordBatch::try_from_iter([("x", Arc::new(StringArray::from(vec!["y"])) as ArrayRef)]).unwrap();
    assert!(write_latest(Some(&batch), &Metrics::new(Box::new([])), &mut Vec::new()).is_err());
    assert!(WindowWriter::new(&entry("hrv", "ms", false)).rows(&batch, &mut Vec::new()).is_err());
}

proptest! {
    #[test]
    fn every_text_reads_back(text: String) {
        let mut out = Vec::new();
        write_string(&text, &mut out);
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }

    #[test]
    fn every_window_is_json_that_says_what_the_rows_say(
        rows in prop::collection::vec((0_i64..4_000_000_000_000_000, -1e6_f64..1e6, "\\PC{1,8}"), 0..50),
    ) {
        let rows: Vec<_> = rows.iter().map(|row| (row.0, row.1, row.2.as_str())).collect();
        let text = window(&entry("heart_rate", "bpm", false), &[window_batch(&rows)], Next::NotAsked);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let points = json["data_points"].as_array().unwrap();
        prop_assert_eq!(points.len(), rows.len());
        // serde_json without `float_roundtrip` may miss the last bit: the digits are read by the standard library.
        let values = text.split(r#"{"value":"#).skip(1).map(|rest| rest.split(',').next().unwrap().parse::<f64>());
        for ((point, (at, value, source)), written) in points.iter().zip(&rows).zip(values) {
            prop_assert_eq!(written, Ok(*value));
            prop_assert_eq!(crate::time::parse(point["recorded_at"].as_str().unwrap()), Some(*at));
            prop_assert_eq!(point["source"].as_str(), Some(*source));
        }
    }
}
