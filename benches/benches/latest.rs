//! The newest value of every metric of one person, through the engine's plan.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]

use benches::{Drain as _, Fixture, user};
use criterion::{Criterion, criterion_group, criterion_main};

fn latest(criterion: &mut Criterion) {
    let fixture = Fixture::compacted();
    let mut group = criterion.benchmark_group("latest");
    group.bench_function("known to the cache", |bencher| {
        let mut person = 0;
        bencher.iter(|| {
            person = (person + 1) % fixture.people;
            let answer = async { fixture.engine.latest(user(person)).await.expect("an answer").drain().await };
            let bytes = fixture.wait(answer);
            assert!(bytes > 100, "the answer names metrics");
        });
    });
    group.finish();
}

criterion_group!(benches, latest);
criterion_main!(benches);
