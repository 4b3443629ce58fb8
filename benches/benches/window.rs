//! Thirty days of raw heart rate of one person, after compaction, through the engine's plan, rendered.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]

use benches::{Drain as _, Fixture, WINDOW_END_US, WINDOW_START_US, user};
use criterion::{Criterion, criterion_group, criterion_main};
use engine::WindowQuery;
use storage::TimeRange;

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
