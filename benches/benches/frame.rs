//! One group of 64 batches of 500 points into a frame of the log, checksums included. Prints the bytes a point.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "prints figures that criterion does not know")]

use std::sync::Arc;

use benches::{batches, is_measuring, memory_folder, storage};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use storage::wal::frame;
use storage::{MetricId, PointBatch, Seq};

fn encode(criterion: &mut Criterion) {
    let folder = memory_folder().expect("a folder");
    let storage = storage(folder.path());
    let batches = batches(&storage, if is_measuring() { 4 } else { 1 });
    let group: Vec<Arc<PointBatch>> = batches.into_iter().take(64).map(Arc::new).collect();
    let names: Vec<Arc<str>> = (0..).map_while(|id| storage.metric_key(MetricId(id))).collect();
    let points: usize = group.iter().map(|batch| batch.len()).sum();
    let mut out = Vec::new();
    let mut bench = criterion.benchmark_group("frame");
    bench.throughput(Throughput::Elements(points as u64));
    bench.bench_function("encode and seal 64 batches", |bencher| {
        bencher.iter(|| {
            frame::encode(&mut out, Seq(1), Seq(0), 1, &group, &names).expect("a frame");
            frame::seal(&mut out, 7);
        });
    });
    bench.finish();
    println!("  frame: {:.2} B a point", out.len() as f64 / points as f64);
}

criterion_group!(benches, encode);
criterion_main!(benches);
