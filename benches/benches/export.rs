//! Everything of one person, after compaction: read, and written as JSON or Parquet. Rows a second.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]

use benches::{Fixture, user};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use engine::{PointFile, PointWriter, Style};

/// Rows that are rendered at once, as the server does it.
const RENDERED_ROWS: usize = 1_024;

/// Points of one person, in which form; how many there were.
fn export(fixture: &Fixture, person: u32, form: &str) -> u64 {
    let mut export = fixture.engine.export(user(person)).expect("an export");
    let (mut json, mut out, mut rows) = (PointWriter::new(Style::Lines), Vec::new(), 0);
    for series in export.series().iter() {
        json.begin(series);
        let mut points = export.points(series);
        let mut file = (form == "Parquet").then(|| PointFile::new(series, std::io::sink()).expect("a file"));
        while let Some(batch) = fixture.wait(points.next()).expect("points") {
            rows += batch.num_rows() as u64;
            if let Some(file) = &mut file {
                file.rows(&batch).expect("rows");
            } else if form == "JSON" {
                for start in (0..batch.num_rows()).step_by(RENDERED_ROWS) {
                    out.clear();
                    let part = batch.slice(start, RENDERED_ROWS.min(batch.num_rows() - start));
                    json.rows(&part, &mut out).expect("rows");
                }
            }
        }
        if let Some(file) = file {
            file.finish().expect("a footer");
        }
    }
    rows
}

fn bench(criterion: &mut Criterion) {
    let fixture = Fixture::compacted();
    let mut group = criterion.benchmark_group("export");
    for form in ["read", "JSON", "Parquet"] {
        group.throughput(Throughput::Elements(export(&fixture, 0, form)));
        group.bench_function(form, |bencher| {
            bencher.iter_batched(|| 0, |person| assert!(export(&fixture, person, form) > 5_000), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
