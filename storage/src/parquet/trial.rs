//! Figures, not truths: size and speed on lifelike points. Run by hand, optimised:
//! `cargo test --release -p storage --lib trial -- --ignored --nocapture`.

#![expect(
    clippy::cast_precision_loss,
    clippy::too_many_lines,
    clippy::unchecked_time_subtraction,
    reason = "a measurement, read by a person"
)]

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::manifest::Level;
use crate::memtable::{Memtable, seal};
use crate::merge::{Input, merge};
use crate::point::{MetricId, Origins, Part, PointBatch, Seq, TimeRange, UserId};
use crate::run::BATCH_ROWS_MAX;
use crate::run::tests::{accepted, selection};
use crate::selection::{Columns, Selection, Users};
use crate::tombstone::Mask;

const USERS: u64 = 350;
const POINTS_PER_USER: u64 = 8_640;
const METRIC: MetricId = MetricId(0);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn user(number: u64) -> UserId {
    UserId::parse(&format!("usr_{:08}", number * 7_919 % 100_000_000)).unwrap()
}

/// Heart rates every five minutes with a jitter of seconds; bodies of 500 points, users in turn, 2 % late.
fn memtable() -> Arc<Memtable> {
    let memtable = Memtable::new();
    let mut random = Random(42);
    let mut seq = 1;
    let mut rates: Vec<u64> = (0..USERS).map(|_| 55 + random.below(30)).collect();
    let mut origins: Vec<Origins> = Vec::new();
    for number in 0..USERS {
        let mut origin = Origins::default();
        origin.intern("garmin", Some(&format!("device-{number}"))).unwrap();
        origins.push(origin);
    }
    let body = 500;
    for from in (0..POINTS_PER_USER).step_by(body) {
        for number in 0..usize::try_from(USERS).unwrap() {
            let (mut times, mut values) = (Vec::new(), Vec::new());
            for nth in from..(from + body as u64).min(POINTS_PER_USER) {
                let late = if random.below(50) == 0 { random.below(20) * 300 } else { 0 };
                let seconds = 1_780_000_000 + (nth * 300 + random.below(5)).saturating_sub(late);
                times.push(i64::try_from(seconds).unwrap() * 1_000_000);
                let rate = &mut rates[number];
                *rate = (*rate + random.below(9)).saturating_sub(4).clamp(45, 170);
                values.push(f64::from(u32::try_from(*rate).unwrap()));
            }
            let rows = times.len();
            let parts = vec![Part { metric: METRIC, start: 0, end: u32::try_from(rows).unwrap() }];
            let batch =
                PointBatch::new(user(number as u64), parts, times, values, vec![0; rows], origins[number].clone())
                    .unwrap();
            let at = i64::try_from(1_780_000_000_000 + from * 300_000).unwrap();
            memtable.push(&accepted(batch, seq, at + i64::try_from(number / 20).unwrap() * 3));
            seq += rows as u64;
        }
    }
    memtable.publish(Seq(seq - 1));
    Arc::new(memtable)
}

fn report(what: &str, took: Duration, points: usize) {
    let micros = took.as_secs_f64() * 1e6;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let points = points as f64;
    println!("{what}: {:.1} ms, {:.3} µs a point, {:.1} M points/s", micros / 1e3, micros / points, points / micros);
}

#[test]
#[ignore = "a measurement, to be run by hand"]
fn trial() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let clock = SystemClock::default();
    let memtable = memtable();
    let points = usize::try_from(memtable.points()).unwrap();
    let view = memtable.view();
    let since = clock.elapsed();
    let segment = seal(&view, METRIC).unwrap().unwrap();
    report("seal", clock.elapsed() - since, points);
    let rows: usize = segment.batches().map(|batch| batch.num_rows()).sum();
    let bytes: usize = segment.batches().map(|batch| batch.get_array_memory_size()).sum();
    println!("segment: {rows} rows, {:.1} B a row", bytes as f64 / rows as f64);
    for users in [Users::One(user(3)), Users::All] {
        let since = clock.elapsed();
        let batches = view.read(&selection(&users, TimeRange::ALL), Columns::ALL, &Mask::default()).unwrap();
        let rows: usize = batches.iter().map(arrow::record_batch::RecordBatch::num_rows).sum();
        report("view", clock.elapsed() - since, rows);
    }
    runtime.block_on(async {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for level in [Level::Zero, Level::One { month: 0 }] {
            let target = Target {
                path: format!("{level:?}.parquet"),
                metric: "heart_rate".to_owned(),
                level,
                first_seq: Seq(1),
                last_seq: Seq(9),
            };
            let batches: Vec<_> = segment.batches().map(Ok).collect();
            let mut feed = Feed::new(stream::iter(batches).boxed());
            let since = clock.elapsed();
            let written = write(store.as_ref(), &target, &mut feed, u64::MAX).await.unwrap().unwrap();
            report(&format!("write {level:?}"), clock.elapsed() - since, rows);
            println!("  {:.3} B a point", written.bytes as f64 / written.rows as f64);
            let file = Arc::new(tests::meta(&target, &written));
            let footers = Arc::new(Footers::new(64 << 20));
            let footer = footers.get(store.as_ref(), &file).await.unwrap();
            println!("  footer: {} B in memory", footer.bytes());
            for column in 0..7 {
                let bytes: u64 = footer.pages.iter().map(|page| u64::from(page.places[column].bytes)).sum();
                println!("  column {column}: {:.3} B a point in pages", bytes as f64 / written.rows as f64);
            }
            for (what, users, columns, times) in [
                ("one user's values", Users::One(user(30)), Columns::default(), 2_000),
                ("one user's rows", Users::One(user(30)), Columns::ALL, 2_000),
                ("everything", Users::All, Columns::ALL, 1),
            ] {
                let mut rows = 0;
                let since = clock.elapsed();
                for _ in 0..times {
                    let selection = Selection { metric: METRIC, users: users.clone(), times: TimeRange::ALL };
                    let (store, file, footers) = (Arc::clone(&store), Arc::clone(&file), Arc::clone(&footers));
                    let mut batches = read(store, file, footers, selection, columns, Mask::default());
                    rows = 0;
                    while let Some(batch) = batches.next().await {
                        rows += batch.unwrap().num_rows();
                    }
                }
                report(&format!("  read {what}, {rows} rows"), (clock.elapsed() - since) / times, rows);
            }
        }
        // Four runs, each with a quarter of every user's times, in slices of about 500 rows in turn.
        let selection = Selection { metric: METRIC, users: Users::All, times: TimeRange::ALL };
        for quarter_rows in [2_160, 500, 5] {
            let mut inputs: Vec<Vec<arrow::record_batch::RecordBatch>> = vec![Vec::new(); 4];
            let mut builders: Vec<_> =
                (0..4).map(|_| crate::run::RunBuilder::new(Columns::ALL, BATCH_ROWS_MAX)).collect();
            let mut caches: [[crate::run::KeyCache; 2]; 4];
            for batch in segment.read(&selection, Columns::ALL, &Mask::default()).unwrap() {
                let rows = crate::run::Rows::of(&batch).unwrap();
                caches = Default::default();
                for (nth, start) in (0..batch.num_rows()).step_by(quarter_rows).enumerate() {
                    let end = batch.num_rows().min(start + quarter_rows);
                    let builder = &mut builders[nth % 4];
                    let room = builder.room().unwrap();
                    let middle = end.min(start + room);
                    builder.append_rows(&rows, start..middle, &mut caches[nth % 4]);
                    builder.room().unwrap();
                    builder.append_rows(&rows, middle..end, &mut caches[nth % 4]);
                }
            }
            for (input, mut builder) in inputs.iter_mut().zip(builders) {
                builder.close().unwrap();
                input.extend(std::iter::from_fn(|| builder.next_full()));
            }
            let since = clock.elapsed();
            let merged = merge(inputs.into_iter().map(Input::from).collect(), Columns::ALL, BATCH_ROWS_MAX);
            let rows: usize = merged.map(|batch| batch.unwrap().num_rows()).fold(0, |a, b| async move { a + b }).await;
            report(&format!("merge of slices of {quarter_rows}"), clock.elapsed() - since, rows);
        }
    });
}
