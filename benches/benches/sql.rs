//! SQL after compaction: the fleet's daily average of 10 M points by somebody who may see all, and one person's 30 days.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]

use std::sync::Arc;
use std::time::Duration;

use benches::{Fixture, user};
use criterion::{Criterion, criterion_group, criterion_main};
use engine::Format;
use engine::query::sql::Statement;
use futures::StreamExt as _;
use storage::UserId;

/// The fleet's questions: how a day is found is what differs.
const FLEET: [(&str, &str); 4] = [
    (
        "fleet, avg a day, date_bin",
        "SELECT date_bin(INTERVAL '1 day', recorded_at) AS day, avg(value) FROM points WHERE metric = 'heart_rate' GROUP BY day",
    ),
    (
        "fleet, avg a day, date_trunc",
        "SELECT date_trunc('day', recorded_at) AS day, avg(value) FROM points WHERE metric = 'heart_rate' GROUP BY day",
    ),
    (
        "fleet, avg a day, local_day",
        "SELECT local_day(recorded_at, 'Europe/Berlin') AS day, avg(value) FROM points WHERE metric = 'heart_rate' GROUP BY day",
    ),
    (
        "fleet, avg a day, division",
        "SELECT CAST(recorded_at AS BIGINT) / 86400000000 AS day, avg(value) FROM points WHERE metric = 'heart_rate' GROUP BY day",
    ),
];

/// People of the fleet: 10 million points.
const FLEET_PEOPLE: u32 = 1_000;

fn statement(visible: &Arc<[UserId]>, sql: String) -> Statement {
    Statement { visible: Arc::clone(visible), sql, params: Vec::new(), permit: None }
}

/// Plans, runs and writes as JSON: bytes.
fn ask(fixture: &Fixture, visible: &Arc<[UserId]>, sql: String) -> usize {
    fixture.wait(async {
        let query = fixture.engine.prepare(statement(visible, sql)).await.expect("a plan");
        query.encoded(Format::Json).fold(0, async |bytes, piece| bytes + piece.expect("a piece").len()).await
    })
}

fn sql(criterion: &mut Criterion) {
    let fixture = Fixture::compacted_of(FLEET_PEOPLE);
    let everybody: Arc<[UserId]> = (0..fixture.people).map(user).collect();
    let mut group = criterion.benchmark_group("sql");
    group.sample_size(20).measurement_time(Duration::from_secs(8));
    for (name, sql) in FLEET {
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert!(ask(&fixture, &everybody, sql.to_owned()) > 500, "the answer holds 30 days"));
        });
    }
    group.sample_size(100).measurement_time(Duration::from_secs(5));
    let of = |person: u32| {
        let id = user(person);
        format!(
            "SELECT recorded_at, value FROM points WHERE metric = 'heart_rate' AND user_id = '{id}' ORDER BY recorded_at"
        )
    };
    group.bench_function("one person's 30 days of heart rate, planned only", |bencher| {
        let mut person = 0;
        bencher.iter(|| {
            person = (person + 1) % fixture.people;
            fixture.wait(fixture.engine.prepare(statement(&everybody, of(person)))).expect("a plan")
        });
    });
    group.bench_function("one person's 30 days of heart rate", |bencher| {
        let mut person = 0;
        bencher.iter(|| {
            person = (person + 1) % fixture.people;
            assert!(ask(&fixture, &everybody, of(person)) > 100_000, "the answer holds a month");
        });
    });
    group.finish();
}

criterion_group!(benches, sql);
criterion_main!(benches);
