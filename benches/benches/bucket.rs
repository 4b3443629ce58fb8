//! Daily mean, least and greatest heart rate of one person over 30 days, after compaction, rendered.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]

use benches::{Drain as _, Fixture, WINDOW_END_US, WINDOW_START_US, user};
use criterion::{Criterion, criterion_group, criterion_main};
use engine::{Aggregate, BucketQuery, BucketWidth};
use storage::TimeRange;

fn bucket(criterion: &mut Criterion) {
    let fixture = Fixture::compacted();
    let mut group = criterion.benchmark_group("bucket");
    for tz in ["UTC", "Europe/Berlin"] {
        let query = BucketQuery {
            metric: "heart_rate".to_owned(),
            times: TimeRange { start: WINDOW_START_US, end: WINDOW_END_US },
            source: None,
            width: BucketWidth::Day,
            aggregates: vec![Aggregate::Avg, Aggregate::Min, Aggregate::Max],
            tz: tz.to_owned(),
        };
        group.bench_function(format!("30 days, {tz}"), |bencher| {
            let mut person = 0;
            bencher.iter(|| {
                person = (person + 1) % fixture.people;
                let query = query.clone();
                let answer =
                    async { fixture.engine.bucket(user(person), query).await.expect("an answer").drain().await };
                let bytes = fixture.wait(answer);
                assert!(bytes > 1_000, "the answer holds 30 days");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bucket);
criterion_main!(benches);
