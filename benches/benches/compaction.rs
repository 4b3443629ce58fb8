//! Level 0 into level 1: the files of several flushes become one run a metric and month.
//!
//! Prints the bytes a point of level 1 and the write amplification beside the time a point.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "prints figures that criterion does not know")]
#![expect(clippy::disallowed_methods, reason = "times one step of an iteration")]

use std::time::{Duration, Instant};

use benches::{batches, is_measuring, memory_folder, storage};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Flushes before the compaction.
const FLUSHES: usize = 8;

fn compaction(criterion: &mut Criterion) {
    let mut figures = (0.0, 0.0);
    let people = if is_measuring() { 20 } else { 1 };
    let mut group = criterion.benchmark_group("compaction");
    group.sample_size(10);
    let points: usize = {
        let folder = memory_folder().expect("a folder");
        batches(&storage(folder.path()), people).iter().map(storage::PointBatch::len).sum()
    };
    group.throughput(Throughput::Elements(points as u64));
    group.bench_function("eight flushes into level 1", |bencher| {
        bencher.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                let folder = memory_folder().expect("a folder");
                let storage = storage(folder.path());
                let batches = batches(&storage, people);
                for part in batches.chunks(batches.len().div_ceil(FLUSHES)) {
                    for batch in part {
                        storage.append(batch.clone()).expect("room in the queue").wait().expect("an acknowledgement");
                    }
                    storage.flush().expect("a flush");
                }
                let start = Instant::now();
                storage.compact().expect("a compaction");
                spent += start.elapsed();
                let metrics = storage.metrics();
                let written = metrics.flushed_bytes.get() + metrics.compacted_bytes.get();
                let at_rest = metrics.file_bytes.get() as f64;
                figures = (at_rest / points as f64, written as f64 / at_rest);
            }
            spent
        });
    });
    group.finish();
    println!("  level 1: {:.2} B a point; Parquet written, of Parquet at rest: {:.2}", figures.0, figures.1);
}

criterion_group!(benches, compaction);
criterion_main!(benches);
