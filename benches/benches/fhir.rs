//! Observations of one person's points: read alone, read and written, and the ids alone; and a look at all of the person's
//! points for what measured them. Rows a second.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]

use std::hint::black_box;
use std::sync::Arc;

use benches::{Fixture, user};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use engine::observe::{ObserveQuery, Observed, Order};
use server::fhir::Fhir;
use server::fhir::day::Days;
use server::fhir::device::count_origins;
use server::fhir::id::{Ids, metric_mark, origin_mark};
use server::fhir::kind::Series;
use server::fhir::render::{Frame, ObservationWriter};
use storage::TimeRange;

/// Rows that are rendered at once, so that the buffer stays small.
const RENDERED_ROWS: usize = 1_024;
/// Ids of one round.
const IDS: i64 = 1_000;

/// All heart rates of one person, the newest first.
fn heart_rates(fixture: &Fixture) -> Vec<Observed> {
    observed(fixture, vec![Arc::from("heart_rate")])
}

/// All points of one person and some metrics, the newest first.
fn observed(fixture: &Fixture, metrics: Vec<Arc<str>>) -> Vec<Observed> {
    let query = ObserveQuery {
        metrics,
        times: TimeRange::ALL,
        order: Order::Descending,
        after: None,
        keep: None,
        rows_about: usize::MAX,
    };
    let mut points = fixture.engine.observe(user(0), query).expect("a metric");
    let mut all = Vec::new();
    while let Some(some) = fixture.wait(points.next()).expect("points") {
        all.push(some);
    }
    all
}

/// Writes observations, one a line; how many bytes.
fn render(fhir: &Arc<Fhir>, ids: &Ids, all: &[Observed]) -> usize {
    let days = Days::new("Europe/Berlin", benches::WINDOW_END_US);
    let mut writer = ObservationWriter::new(fhir, ids, user(0), days, Frame::Lines);
    let (mut out, mut bytes) = (Vec::new(), 0);
    for some in all {
        let mut left = some.clone();
        while !left.is_empty() {
            let (now, later) = left.split_at(RENDERED_ROWS);
            out.clear();
            writer.points(&now, &mut out).expect("rows");
            bytes += out.len();
            left = later;
        }
    }
    bytes
}

fn bench(criterion: &mut Criterion) {
    let fixture = Fixture::compacted();
    let fhir = Arc::new(Fhir::new(&server::config::Fhir::default(), fixture.engine.catalogue()));
    let ids = Ids::new(&[7; 32]);
    let all = heart_rates(&fixture);
    let rows: usize = all.iter().map(Observed::len).sum();
    let mut group = criterion.benchmark_group("fhir");
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function("read", |bencher| {
        bencher.iter_batched(
            || (),
            |()| assert_eq!(heart_rates(&fixture).is_empty(), rows == 0),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("write", |bencher| bencher.iter(|| assert!(render(&fhir, &ids, &all) > rows * 500)));
    group.bench_function("read and write", |bencher| {
        bencher.iter(|| assert!(render(&fhir, &ids, &heart_rates(&fixture)) > rows * 500));
    });
    let metrics = fhir.kinds().iter().filter_map(|kind| match &kind.series {
        Series::Metric(key) => Some(Arc::clone(key)),
        Series::Field(_) => None,
    });
    let points: usize = observed(&fixture, metrics.collect()).iter().map(Observed::len).sum();
    group.throughput(Throughput::Elements(points as u64));
    group.bench_function("devices", |bencher| {
        let count = || fixture.wait(count_origins(&fixture.engine, fhir.kinds(), user(0))).expect("points");
        let first = count();
        bencher.iter(|| assert_eq!(count(), first));
    });
    group.throughput(Throughput::Elements(IDS.unsigned_abs()));
    group.bench_function("ids", |bencher| {
        let mut namer = ids.namer(user(0));
        namer.begin(metric_mark("heart_rate"), origin_mark("watch", None));
        let times: Vec<i64> = (0..IDS).collect();
        let mut made = Vec::new();
        bencher.iter(|| {
            made.clear();
            namer.ids(black_box(&times), &mut made);
            assert_eq!(made.len(), times.len());
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
