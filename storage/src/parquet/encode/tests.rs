//! What is encoded here is read back by the Parquet crate's own reader, whatever the columns look like.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use proptest::prelude::*;

use super::*;
use crate::run::tests::{Model, user};
use crate::schema::schema;

/// A file of the rows of `batches`, a page each; it is read by a reader that knows nothing of us.
fn round_trip(batches: &[RecordBatch], values: Values) -> Vec<RecordBatch> {
    let descriptor = ArrowSchemaConverter::new().convert(&schema()).unwrap();
    let mut writer = SerializedFileWriter::new(Vec::new(), descriptor.root_schema_ptr(), Arc::default()).unwrap();
    let mut compressor = Compressor::new(1).unwrap();
    let mut group = RowGroup::new(&descriptor, values).unwrap();
    for batch in batches {
        let rows = Rows::of(batch).unwrap();
        // In two pieces, as batches end anywhere in a page.
        let half = batch.num_rows() / 2;
        group.push(&rows, 0..half);
        group.push(&rows, half..batch.num_rows());
        group.end_page(&mut compressor).unwrap();
    }
    group.finish(&mut compressor, &mut writer).unwrap();
    let file = Bytes::from(writer.into_inner().unwrap());
    let options = parquet::arrow::arrow_reader::ArrowReaderOptions::new().with_schema(schema());
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
    reader.with_batch_size(100_000).build().unwrap().map(|batch| batch.unwrap()).collect()
}

/// A row but for its user: any time, any finite value, origins in runs or not, any acceptance.
type RawRow = (i64, f64, u8, Option<u8>, i64, bool);

fn raw_rows() -> impl Strategy<Value = Vec<RawRow>> {
    let finite = prop_oneof![
        (0..40_u8).prop_map(f64::from),
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        Just(-0.0),
    ];
    let time = prop_oneof![
        0..10_i64,
        any::<i64>().prop_filter("a time", |time| *time != i64::MAX),
        (0..1_000_i64).prop_map(|nth| nth * 300_000_000)
    ];
    let row = (
        time,
        finite,
        0..3_u8,
        prop::option::of(0..3_u8),
        prop_oneof![Just(0_i64), any::<i64>()],
        prop::bool::weighted(0.1),
    );
    let same = (0..3_u8, prop::option::of(0..3_u8), 1..700_i64).prop_map(|(source, device, count)| {
        (0..count).map(|nth| (nth * 60_000_000, 61.0, source, device, 7, false)).collect()
    });
    prop_oneof![prop::collection::vec(row, 1..400), same]
}

fn model(users: &[Vec<RawRow>]) -> Model {
    let mut model = Model::default();
    for (number, rows) in (0..).zip(users) {
        for (time, value, source, device, accepted, corrected) in rows {
            let device = device.map(|device| format!("device-{device}"));
            let identity = (user(number), *time, format!("source-{source}"), device);
            model.0.insert(identity, (*value, *accepted, *corrected));
        }
    }
    model
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_rows_are_read_back_bit_by_bit(
        users in prop::collection::vec(raw_rows(), 1..5), page_rows in prop_oneof![1..12_usize, Just(4_096)],
        values in prop_oneof![Just(Values::Few), Just(Values::Many)],
    ) {
        let model = model(&users);
        let read = round_trip(&model.batches(page_rows), values);
        let read = Model::of(&read);
        prop_assert_eq!(read.0.len(), model.0.len());
        for ((identity, content), (read_identity, read_content)) in model.0.iter().zip(&read.0) {
            prop_assert_eq!(identity, read_identity);
            prop_assert_eq!(content.0.to_bits(), read_content.0.to_bits());
            prop_assert_eq!((content.1, content.2), (read_content.1, read_content.2));
        }
    }
}

#[test]
fn the_footer_says_of_a_column_what_the_crate_s_own_writer_says() {
    let rows: Vec<RawRow> = (0..900_i64).map(|nth| (nth * 300_000_000, 60.0, 1, None, nth / 500, false)).collect();
    let batches = model(&[rows.clone(), rows]).batches(4_096);
    let mut theirs = ArrowWriter::try_new(Vec::new(), schema(), None).unwrap();
    for batch in &batches {
        theirs.write(batch).unwrap();
    }
    let theirs = theirs.close().unwrap();
    let descriptor = ArrowSchemaConverter::new().convert(&schema()).unwrap();
    let mut writer = SerializedFileWriter::new(Vec::new(), descriptor.root_schema_ptr(), Arc::default()).unwrap();
    let mut compressor = Compressor::new(1).unwrap();
    let mut group = RowGroup::new(&descriptor, Values::Few).unwrap();
    for batch in &batches {
        group.push(&Rows::of(batch).unwrap(), 0..batch.num_rows());
    }
    group.finish(&mut compressor, &mut writer).unwrap();
    let ours = writer.close().unwrap();
    assert_eq!(ours.file_metadata().schema_descr(), theirs.file_metadata().schema_descr());
    for column in [USER_ID, RECORDED_AT, VALUE, ACCEPTED_AT] {
        let (ours, theirs) = (ours.row_group(0).column(column), theirs.row_group(0).column(column));
        assert_eq!(ours.num_values(), theirs.num_values());
        let bytes = |statistics: Option<&Statistics>| {
            let bounds = |statistics: &Statistics| {
                (statistics.min_bytes_opt().map(<[u8]>::to_vec), statistics.max_bytes_opt().map(<[u8]>::to_vec))
            };
            statistics.map(bounds)
        };
        assert_eq!(bytes(ours.statistics()), bytes(theirs.statistics()), "column {column}");
    }
}
