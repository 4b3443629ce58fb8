//! Thirty days of raw heart rate of one person, after compaction: read from the storage, through the engine's plan, and
//! rendered.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]

use benches::{Drain as _, Fixture, WINDOW_END_US, WINDOW_START_US, user};
use criterion::{Criterion, criterion_group, criterion_main};
use engine::WindowQuery;
use futures::StreamExt as _;
use storage::{Columns, Selection, TimeRange, Users};

fn window(criterion: &mut Criterion) {
    let fixture = Fixture::compacted();
    let query = WindowQuery {
        metric: "heart_rate".to_owned(),
        times: TimeRange { start: WINDOW_START_US, end: WINDOW_END_US },
        source: None,
        limit: None,
        cursor: None,
    };
    let mut group = criterion.benchmark_group("window");
    let metric = fixture.engine.storage().metric("heart_rate").expect("a metric");
    group.bench_function("30 days of heart rate, times and values from the storage", |bencher| {
        let mut person = 0;
        bencher.iter(|| {
            person = (person + 1) % fixture.people;
            let selection = Selection { metric, users: Users::One(user(person)), times: query.times };
            let batches = fixture.engine.storage().snapshot().read(selection, Columns::default());
            let rows = fixture.wait(batches.fold(0, async |rows, batch| rows + batch.expect("a batch").num_rows()));
            assert!(rows > 1_000, "the answer holds a month");
        });
    });
    group.bench_function("30 days of heart rate, batches of the plan", |bencher| {
        let mut person = 0;
        bencher.iter(|| {
            person = (person + 1) % fixture.people;
            let snapshot = fixture.engine.storage().snapshot();
            let batches = fixture.engine.window_batches(snapshot, user(person), query.clone()).expect("a plan");
            let rows = fixture.wait(batches.fold(0, async |rows, batch| rows + batch.expect("a batch").num_rows()));
            assert!(rows > 1_000, "the answer holds a month");
        });
    });
    group.bench_function("30 days of heart rate", |bencher| {
        let mut person = 0;
        bencher.iter(|| {
            person = (person + 1) % fixture.people;
            let query = query.clone();
            let answer = async { fixture.engine.window(user(person), query).await.expect("an answer").drain().await };
            let bytes = fixture.wait(answer);
            assert!(bytes > 100_000, "the answer holds a month");
        });
    });
    group.finish();
}

criterion_group!(benches, window);
criterion_main!(benches);
