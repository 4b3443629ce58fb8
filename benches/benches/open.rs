//! Opening a storage whose points are all in the log: the replay after a kill.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]
#![expect(clippy::disallowed_methods, reason = "times one step of an iteration")]

use std::time::{Duration, Instant};

use benches::{batches, folder, is_measuring, storage};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn open(criterion: &mut Criterion) {
    let folder = folder().expect("a folder");
    let filled = storage(folder.path());
    let batches = batches(&filled, if is_measuring() { 100 } else { 1 });
    let points: usize = batches.iter().map(storage::PointBatch::len).sum();
    let tickets: Vec<_> = batches.into_iter().map(|batch| filled.append(batch).expect("room in the queue")).collect();
    for ticket in tickets {
        ticket.wait().expect("an acknowledgement");
    }
    filled.close();
    drop(filled);

    let mut group = criterion.benchmark_group("open");
    group.sample_size(10).throughput(Throughput::Elements(points as u64));
    group.bench_function("replay", |bencher| {
        bencher.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                let start = Instant::now();
                let storage = storage(folder.path());
                spent += start.elapsed();
                storage.close();
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);
