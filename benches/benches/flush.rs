//! Seal and flush: the memtable becomes sorted segments, the segments become Parquet.
//!
//! Prints the bytes a point of level 0 beside the time a point.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "prints figures that criterion does not know")]
#![expect(clippy::disallowed_methods, reason = "times one step of an iteration")]

use std::time::{Duration, Instant};

use benches::{batches, is_measuring, memory_folder, storage};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn flush(criterion: &mut Criterion) {
    let folder = memory_folder().expect("a folder");
    let storage = storage(folder.path());
    let batches = batches(&storage, if is_measuring() { 20 } else { 1 });
    let points: usize = batches.iter().map(storage::PointBatch::len).sum();
    let mut group = criterion.benchmark_group("flush");
    group.sample_size(10).throughput(Throughput::Elements(points as u64));
    group.bench_function("seal and write level 0", |bencher| {
        bencher.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                for batch in &batches {
                    storage.append(batch.clone()).expect("room in the queue").wait().expect("an acknowledgement");
                }
                let start = Instant::now();
                storage.flush().expect("a flush");
                spent += start.elapsed();
            }
            spent
        });
    });
    group.finish();
    let metrics = storage.metrics();
    let bytes = metrics.flushed_bytes.get() as f64 / metrics.flushed_points.get() as f64;
    println!("  level 0: {bytes:.2} B a point");
}

criterion_group!(benches, flush);
criterion_main!(benches);
