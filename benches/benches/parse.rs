//! A body of 500 points into validated columns, beside the least that any reader of that body must do: a padded copy,
//! and simd-json's tape with buffers that are used again.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]

use std::hint::black_box;

use benches::{WINDOW_END_US, body, user};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::{Catalogue, ingest};
use server::lifelike::BODY_POINTS;
use simd_json::{Buffers, INPUT_PADDING, Tape, fill_tape_padded};
use storage::MetricId;

fn parse(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(BODY_POINTS as u64));

    let mut padded = Vec::new();
    let mut buffers = Buffers::new(body.len());
    let mut spare = Tape(Vec::new());
    group.bench_function("null: tape alone", |bencher| {
        bencher.iter(|| {
            padded.clear();
            padded.extend_from_slice(&body);
            padded.resize(body.len() + INPUT_PADDING, 0);
            let mut tape = std::mem::replace(&mut spare, Tape(Vec::new())).reset();
            fill_tape_padded(&mut padded, body.len(), &mut buffers, &mut tape).expect("valid JSON");
            black_box(&tape);
            spare = tape.reset();
        });
    });

    let catalogue = Catalogue::builtin();
    let ids: Vec<MetricId> = (0..).map(MetricId).take(catalogue.len()).collect();
    group.bench_function("body into columns", |bencher| {
        bencher.iter(|| ingest::parse_bulk(&catalogue, &ids, user(0), WINDOW_END_US, &body).expect("a valid body"));
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
