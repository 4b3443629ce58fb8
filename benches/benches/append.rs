//! Batches of 500 points, from the queue to the acknowledgement.
//!
//! In memory the sync costs nothing: what is left is the frame, the memtable and the way of the acknowledgement. On
//! the disk, one batch after the other, it is the sync; 64 at a time share it.

#![expect(clippy::expect_used, reason = "a bench without its fixture has nothing to measure")]
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "prints figures that criterion does not know")]

use std::path::Path;

use benches::{batches, folder, is_measuring, memory_folder, storage};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use storage::{PointBatch, Storage, Ticket};

/// Batches in flight at once.
const IN_FLIGHT: [usize; 2] = [1, 64];

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.sample_size(10);
    for (name, folder) in [("memory", memory_folder()), ("disk", folder())] {
        let folder = folder.expect("a folder");
        for in_flight in IN_FLIGHT {
            // A storage of its own each time, so that the memtable of one does not weigh on the next.
            let path = folder.path().join(in_flight.to_string());
            std::fs::create_dir(&path).expect("a folder");
            bench_one(&mut group, &path, name, in_flight);
        }
    }
    group.finish();
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn bench_one(group: &mut Group<'_>, path: &Path, name: &str, in_flight: usize) {
    let storage = storage(path);
    let batches = batches(&storage, if is_measuring() { 10 } else { 1 });
    let mut next = batches.iter().cycle();
    group.throughput(Throughput::Elements(in_flight as u64 * 500));
    group.bench_function(BenchmarkId::new(name, in_flight), |bencher| {
        bencher.iter_batched(
            || next.by_ref().take(in_flight).cloned().collect(),
            |batches: Vec<PointBatch>| send(&storage, batches),
            criterion::BatchSize::PerIteration,
        );
        // Keeps the memtable small; outside of what is measured.
        storage.flush().expect("a flush");
    });
    let metrics = storage.metrics();
    let points = metrics.points_accepted.get() as f64;
    println!("  log: {:.1} B a point", metrics.wal_bytes.get() as f64 / points);
    println!("  groups: {:.2} batches a sync", metrics.batches_accepted.get() as f64 / metrics.wal_groups.get() as f64);
}

fn send(storage: &Storage, batches: Vec<PointBatch>) {
    let tickets: Vec<Ticket> =
        batches.into_iter().map(|batch| storage.append(batch).expect("room in the queue")).collect();
    for ticket in tickets {
        ticket.wait().expect("an acknowledgement");
    }
}

criterion_group!(benches, append);
criterion_main!(benches);
