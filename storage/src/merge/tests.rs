//! Properties of the merge against a naive model.

use futures::StreamExt;
use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::run::tests::{Model, RawPoint, assert_projected, columns, identity, raw_points, user};

fn collect(stream: PointStream) -> Vec<RecordBatch> {
    let batches: Vec<Result<RecordBatch>> =
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(stream.collect());
    batches.into_iter().map(|batch| batch.unwrap()).collect()
}

fn run(points: &[(u8, Vec<RawPoint>)], accepted: i64) -> Model {
    let mut model = Model::default();
    for (number, points) in points {
        for point in points {
            model.put(identity(user(*number), *point), (f64::from(point.1), accepted, false));
        }
    }
    model
}

fn projected(batches: &[RecordBatch], columns: Columns) -> Vec<RecordBatch> {
    let projection = Projection::to(columns);
    batches.iter().map(|batch| projection.slice(batch, 0..batch.num_rows()).unwrap()).collect()
}

proptest! {
    #[test]
    fn merged_runs_equal_the_model(
        runs in prop::collection::vec(
            (prop::collection::vec((0..4_u8, raw_points()), 0..4), 1..40_usize, any::<bool>()),
            0..5,
        ),
        columns in columns(),
        batch_rows in 1..64_usize,
    ) {
        let mut model = Model::default();
        let needed = columns_needed(columns, runs.len());
        let mut inputs = Vec::new();
        for (nth, (points, rows, is_stream)) in (0..).zip(&runs) {
            let run = run(points, nth);
            for (identity, content) in &run.0 {
                model.put(identity.clone(), *content);
            }
            let batches = projected(&run.batches(*rows), needed);
            inputs.push(if *is_stream {
                Input::from(stream::iter(batches.into_iter().map(Ok)).boxed())
            } else {
                Input::from(batches)
            });
        }
        inputs.reverse();
        let merged = collect(merge(inputs, columns, batch_rows));
        prop_assert!(merged.iter().all(|batch| (1..=batch_rows).contains(&batch.num_rows())));
        assert_projected(&merged, &model, columns);
    }
}

#[test]
fn long_slices_pass_without_a_copy() {
    let of = |number: u8| {
        let points: Vec<RawPoint> = (0..10_000).map(|time| (time, 1, 0, None)).collect();
        run(&[(number, points)], 0).batches(usize::MAX)
    };
    let (first, second) = (of(1), of(2));
    let address = |batch: &RecordBatch| batch.column(2).to_data().buffers()[0].as_ptr();
    let expected = [address(&first[0]), address(&second[0])];
    let merged = collect(merge(vec![second.into(), first.into()], Columns::ALL, BATCH_ROWS_MAX));
    assert_eq!(merged.iter().map(address).collect::<Vec<_>>(), expected);
}

#[test]
fn one_input_passes_as_it_is() {
    let batches = run(&[(1, vec![(1, 1, 0, None)])], 0).batches(usize::MAX);
    let narrow = projected(&batches, Columns::default());
    assert_eq!(collect(merge(vec![narrow.clone().into()], Columns::default(), 10)), narrow);
}

#[test]
fn an_error_of_an_input_ends_the_merge() {
    let sound = run(&[(1, vec![(1, 1, 0, None)])], 0).batches(usize::MAX);
    let broken: PointStream = stream::iter([Err(Error::Closed)]).boxed();
    let mut merged = merge(vec![sound.into(), broken.into()], Columns::ALL, 10);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = runtime.block_on(merged.next()).unwrap();
    assert!(matches!(first, Err(Error::Closed)));
}
