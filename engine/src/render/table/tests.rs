//! Every format reads back to the same rows.

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, DurationSecondArray, Float32Array,
    Float64Array, Int8Array, ListArray, StringViewArray, StructArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Float64Type, Int8Type, Int32Type};
use arrow::ipc::reader::StreamReader;
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

use super::*;

fn batch() -> RecordBatch {
    let metric: DictionaryArray<Int32Type> = [Some("hrv"), None, Some("a\"b\n")].into_iter().collect();
    let small: DictionaryArray<Int8Type> = [Some("x"), Some("y"), None].into_iter().collect();
    let at = TimestampMicrosecondArray::from(vec![Some(0), Some(1_500_000), None]).with_timezone("UTC");
    let list = ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(1.0), None]), None, Some(vec![])]);
    let nested = StructArray::from(vec![(
        Arc::new(arrow::datatypes::Field::new("n", arrow::datatypes::DataType::Int8, true)),
        Arc::new(Int8Array::from(vec![Some(-1), None, Some(3)])) as ArrayRef,
    )]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("metric", Arc::new(metric)),
        ("small", Arc::new(small)),
        ("at", Arc::new(at)),
        ("ns", Arc::new(TimestampNanosecondArray::from(vec![1_000, 2_000, 3_000]))),
        ("day", Arc::new(Date32Array::from(vec![0, 20_000, -1]))),
        ("value", Arc::new(Float64Array::from(vec![62.0, f64::NAN, 0.1]))),
        ("single", Arc::new(Float32Array::from(vec![0.5, 1.5, -2.0]))),
        ("price", Arc::new(Decimal128Array::from(vec![125, 250, -1]).with_precision_and_scale(10, 2).unwrap())),
        ("n", Arc::new(Int8Array::from(vec![i8::MIN, 0, i8::MAX]))),
        ("big", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1]))),
        ("ok", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("view", Arc::new(StringViewArray::from(vec!["ü", "a longer text than a view holds", ""]))),
        ("list", Arc::new(list)),
        ("nested", Arc::new(nested)),
        ("took", Arc::new(DurationSecondArray::from(vec![1, 2, 3]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// The document of some batches, each taken as soon as it is written.
fn document(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
    let schema = batches[0].schema();
    let mut encoder = Encoder::new(format, &schema, &schema).unwrap();
    let mut out = Vec::new();
    for batch in batches {
        encoder.rows(batch).unwrap();
        out.extend_from_slice(&encoder.take(1));
    }
    out.extend_from_slice(&encoder.finish().unwrap());
    out
}

#[test]
fn json_has_every_type() {
    let text = document(Format::Json, &[batch(), batch()]);
    let parsed: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let types: Vec<&str> = parsed["columns"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    let expected = [
        "text",
        "text",
        "timestamp",
        "timestamp",
        "date",
        "number",
        "number",
        "number",
        "integer",
        "integer",
        "boolean",
        "text",
        "list",
        "object",
        "interval",
    ];
    assert_eq!(types, expected);
    assert_eq!(parsed["row_count"], 6);
    let rows = json!([
        ["hrv", "x", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000001Z", "1970-01-01", 62.0, 0.5, 1.25, -128,
            u64::MAX, true, "ü", [1.0, null], {"n": -1}, "PT1S"],
        [null, "y", "1970-01-01T00:00:01.500Z", "1970-01-01T00:00:00.000002Z", "2024-10-04", null, 1.5, 2.5, 0,
            0, false, "a longer text than a view holds", null, {"n": null}, "PT2S"],
        ["a\"b\n", null, null, "1970-01-01T00:00:00.000003Z", "1969-12-31", 0.1, -2.0, -0.01, 127,
            1, null, "", [], {"n": 3}, "PT3S"],
    ]);
    assert_eq!(parsed["rows"].as_array().unwrap()[..3], rows.as_array().unwrap()[..]);
    assert_eq!(parsed["rows"][4], rows[1]);
    assert!(String::from_utf8(text).unwrap().contains("62.0,"), "a whole value stays a float");
}

#[test]
fn csv_has_one_head_and_times_as_json_has_them() {
    let batch = batch().project(&[0, 2, 3, 4, 5]).unwrap();
    let text = String::from_utf8(document(Format::Csv, &[batch.clone(), batch.clone()])).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "metric,at,ns,day,value");
    assert_eq!(lines[1], "hrv,1970-01-01T00:00:00Z,1970-01-01T00:00:00.000001Z,1970-01-01,62.0");
    assert!(lines[2].starts_with(",1970-01-01T00:00:01.5"), "{}", lines[2]);
    assert_eq!(text.matches("metric,at").count(), 1);
    let encoder = Encoder::new(Format::Csv, &batch.schema(), &batch.schema()).unwrap();
    assert_eq!(encoder.finish().unwrap(), "metric,at,ns,day,value\n");
}

#[test]
fn arrow_and_parquet_read_back_to_the_same_batches() {
    let batch = batch().project(&[2, 4, 5, 8, 10]).unwrap();
    let batches = [batch.clone(), batch.slice(1, 2)];
    let stream = document(Format::Arrow, &batches);
    let read: Vec<_> = StreamReader::try_new(stream.as_slice(), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(format!("{read:?}"), format!("{batches:?}"));
    let file = Bytes::from(document(Format::Parquet, &batches));
    let read: usize = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap()
        .map(|batch| batch.unwrap().num_rows())
        .sum();
    assert_eq!(read, 5);
}

#[test]
fn an_empty_answer_is_a_whole_document() {
    let schema = batch().project(&[0, 5]).unwrap().schema();
    let plain = Arc::new(Schema::new(vec![
        arrow::datatypes::Field::new("metric", arrow::datatypes::DataType::Utf8, true),
        arrow::datatypes::Field::new("value", arrow::datatypes::DataType::Float64, true),
    ]));
    let whole = |format| Encoder::new(format, &schema, &plain).unwrap().finish().unwrap();
    let json =
        r#"{"columns":[{"name":"metric","type":"text"},{"name":"value","type":"number"}],"rows":[],"row_count":0}"#;
    assert_eq!(whole(Format::Json), json);
    assert_eq!(StreamReader::try_new(whole(Format::Arrow).as_ref(), None).unwrap().count(), 0);
    let file = ParquetRecordBatchReaderBuilder::try_new(whole(Format::Parquet)).unwrap();
    assert_eq!(file.schema().fields().len(), 2);
}
