//! Properties of memtable, view, seal and segment against a naive model.

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;
use crate::manifest::{Scope, Tombstone};
use crate::point::{BATCH_POINTS_MAX, Origins, Part, TimeRange};
use crate::run::tests::{
    Model, RawPoint, accepted, assert_projected, columns, identity, point_batch, raw_points, selection, times, user,
    users,
};
use crate::segment::Segment;
use crate::selection::{Columns, Users};
use crate::tombstone::{Mask, applicable};

const METRIC: MetricId = MetricId(0);

fn filled(requests: &[(u8, Vec<RawPoint>)]) -> (Arc<Memtable>, Model) {
    let memtable = Arc::new(Memtable::new());
    let mut model = Model::default();
    let mut seq = 1;
    for (nth, (number, points)) in (0..).zip(requests) {
        memtable.push(&accepted(point_batch(user(*number), METRIC, points), seq, nth));
        for point in points {
            model.put(identity(user(*number), *point), (f64::from(point.1), nth, false));
        }
        seq += points.len() as u64;
        memtable.publish(Seq(seq - 1));
    }
    (memtable, model)
}

fn requests() -> impl Strategy<Value = Vec<(u8, Vec<RawPoint>)>> {
    prop::collection::vec((0..6_u8, raw_points()), 0..12)
}

fn tombstones() -> impl Strategy<Value = Vec<Tombstone>> {
    let scope =
        (0..6_u8, prop::option::of((0..45_i64, 0..45_i64)), any::<bool>()).prop_map(|(number, times, is_other)| {
            match times {
                None => Scope::User(user(number)),
                Some((start, end)) => Scope::Range {
                    user: user(number),
                    metric: if is_other { "other" } else { "metric" }.to_owned(),
                    times: TimeRange { start, end },
                },
            }
        });
    let tombstone = (scope, prop::sample::select(vec![0_u64, u64::MAX]));
    prop::collection::vec(
        tombstone.prop_map(|(scope, seq)| Tombstone { seq: Seq(seq), version: 1, scope, created_ms: 0 }),
        0..4,
    )
}

fn without(model: &Model, tombstones: &[Tombstone]) -> Model {
    let is_dead = |who: UserId, time: i64| {
        tombstones.iter().any(|tombstone| match &tombstone.scope {
            Scope::User(user) => *user == who,
            Scope::Range { user, metric, times } => {
                *user == who && metric == "metric" && times.contains(time) && tombstone.seq.0 > 0
            }
        })
    };
    Model(model.0.iter().filter(|((user, time, ..), _)| !is_dead(*user, *time)).map(|(k, v)| (k.clone(), *v)).collect())
}

fn sealed(memtable: &Arc<Memtable>) -> Option<Segment> {
    seal(&memtable.view(), METRIC).unwrap()
}

fn rows_of(segment: &Segment) -> usize {
    segment.batches().map(|batch| batch.num_rows()).sum()
}

proptest! {
    #[test]
    fn a_view_reads_what_the_model_holds(
        requests in requests(), users in users(), times in times(), columns in columns(), tombstones in tombstones(),
    ) {
        let (memtable, model) = filled(&requests);
        let view = memtable.view();
        let mask = applicable(&tombstones, "metric", Seq(1));
        let expected = without(&model, &tombstones).select(&users, times);
        let read = |columns| view.read(&selection(&users, times), columns, &mask).unwrap();
        prop_assert_eq!(Model::of(&read(Columns::ALL)), expected.clone());
        assert_projected(&read(columns), &expected, columns);
    }

    #[test]
    fn a_segment_reads_what_the_model_holds(
        requests in requests(), users in users(), times in times(), columns in columns(), tombstones in tombstones(),
    ) {
        let (memtable, model) = filled(&requests);
        let segment = sealed(&memtable);
        prop_assert_eq!(segment.is_none(), model.0.is_empty());
        let Some(segment) = segment else { return Ok(()) };
        prop_assert_eq!(rows_of(&segment), model.0.len());
        prop_assert_eq!(segment.first_seq(), Seq(1));
        prop_assert_eq!(segment.last_seq(), memtable.view().visible());
        let mask = applicable(&tombstones, "metric", segment.last_seq());
        let expected = without(&model, &tombstones).select(&users, times);
        let read = |columns| segment.read(&selection(&users, times), columns, &mask).unwrap();
        prop_assert_eq!(Model::of(&read(Columns::ALL)), expected.clone());
        assert_projected(&read(columns), &expected, columns);
    }

    #[test]
    fn bounds_are_never_narrower_than_the_truth(requests in requests(), users in users(), times in times()) {
        let (memtable, model) = filled(&requests);
        let selection = selection(&users, times);
        let of_view = memtable.view().time_bounds(&selection);
        for (_, time, ..) in model.select(&users, times).0.keys() {
            prop_assert!(of_view.is_some_and(|(min, max)| min <= *time && *time <= max));
        }
    }
}

#[test]
fn chunks_have_distinct_places_without_gaps() {
    let mut last = (0, 0, 0);
    for index in 1..300_000 {
        let next = place(index);
        let (directory, block, slot) = last;
        let is_last_slot = slot == 127;
        let is_last_block = block + 1 == 16 << directory;
        let is_next = next
            == match (is_last_slot, is_last_block) {
                (false, _) => (directory, block, slot + 1),
                (true, false) => (directory, block + 1, 0),
                (true, true) => (directory + 1, 0, 0),
            };
        assert!(is_next, "{last:?} then {next:?}");
        last = next;
    }
    assert!(place(u32::MAX).0 < DIRECTORIES);
}

#[test]
fn what_is_not_published_is_not_seen() {
    let memtable = Arc::new(Memtable::new());
    memtable.push(&accepted(point_batch(user(1), METRIC, &[(1, 1, 0, None)]), 1, 5));
    assert!(memtable.view().metrics().is_empty());
    memtable.publish(Seq(1));
    let early = memtable.view();
    memtable.push(&accepted(point_batch(user(1), METRIC, &[(1, 2, 0, None), (2, 2, 0, None)]), 2, 6));
    memtable.publish(Seq(3));
    let read = |view: &MemtableView| {
        let batches = view.read(&selection(&Users::All, TimeRange::ALL), Columns::ALL, &Mask::default()).unwrap();
        Model::of(&batches).0.into_values().collect::<Vec<_>>()
    };
    assert_eq!(read(&early), [(1.0, 5, false)]);
    assert_eq!(read(&memtable.view()), [(2.0, 6, true), (2.0, 6, false)]);
    assert_eq!(early.metrics(), [METRIC]);
    assert_eq!((memtable.points(), memtable.accepted_max_ms()), (3, 6));
}

#[test]
fn every_metric_of_a_batch_is_found() {
    let memtable = Arc::new(Memtable::new());
    let last = u16::try_from(METRICS_MAX - 1).unwrap();
    let parts = vec![Part { metric: MetricId(3), start: 0, end: 2 }, Part { metric: MetricId(last), start: 2, end: 3 }];
    let mut origins = Origins::default();
    origins.intern("watch", None).unwrap();
    let batch = PointBatch::new(user(1), parts, vec![1, 2, 3], vec![1.0, 2.0, 3.0], vec![0; 3], origins).unwrap();
    memtable.push(&accepted(batch, 10, 0));
    memtable.publish(Seq(12));
    assert_eq!(memtable.view().metrics(), [MetricId(3), MetricId(last)]);
    let first = seal(&memtable.view(), MetricId(3)).unwrap().unwrap();
    let second = seal(&memtable.view(), MetricId(last)).unwrap().unwrap();
    assert_eq!((rows_of(&first), first.first_seq(), first.last_seq()), (2, Seq(10), Seq(11)));
    assert_eq!((rows_of(&second), second.first_seq(), second.last_seq()), (1, Seq(12), Seq(12)));
}

#[test]
fn batches_hold_no_more_rows_than_they_may() {
    let memtable = Arc::new(Memtable::new());
    let mut origins = Origins::default();
    origins.intern("watch", None).unwrap();
    for nth in 0..3_u64 {
        let start = i64::try_from(nth).unwrap() * 60_000;
        let times: Vec<i64> = (start..).take(BATCH_POINTS_MAX).collect();
        let parts = vec![Part { metric: METRIC, start: 0, end: u32::try_from(times.len()).unwrap() }];
        let values = vec![1.0; times.len()];
        let batch = PointBatch::new(user(1), parts, times, values, vec![0; BATCH_POINTS_MAX], origins.clone()).unwrap();
        memtable.push(&accepted(batch, 1 + nth * BATCH_POINTS_MAX as u64, 0));
    }
    memtable.publish(Seq(u64::MAX));
    let segment = sealed(&memtable).unwrap();
    let rows: Vec<usize> = segment.batches().map(|batch| batch.num_rows()).collect();
    assert_eq!(rows.iter().sum::<usize>(), 120_000 + BATCH_POINTS_MAX);
    assert!(rows.iter().all(|rows| *rows <= BATCH_POINTS_MAX), "{rows:?}");
}

#[test]
fn readers_see_whole_groups_while_the_writer_goes_on() {
    let memtable = Arc::new(Memtable::new());
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for nth in 0..2_000_u64 {
                let time = i64::try_from(nth).unwrap();
                for half in 0..2 {
                    let batch = point_batch(user(half), METRIC, &[(time, 1, 0, None)]);
                    memtable.push(&accepted(batch, 1 + 2 * nth + u64::from(half), 0));
                }
                memtable.publish(Seq(2 + 2 * nth));
            }
            is_done.store(true, Ordering::Release);
        });
        let mut before = 0;
        while !is_done.load(Ordering::Acquire) {
            let view = memtable.view();
            let rows = |number| {
                let selection = selection(&Users::One(user(number)), TimeRange::ALL);
                let batches = view.read(&selection, Columns::default(), &Mask::default()).unwrap();
                batches.iter().map(arrow::record_batch::RecordBatch::num_rows).sum::<usize>()
            };
            let (first, second) = (rows(0), rows(1));
            assert_eq!(first, second);
            assert!(first >= before);
            before = first;
        }
    });
    assert_eq!(rows_of(&sealed(&memtable).unwrap()), 4_000);
}
