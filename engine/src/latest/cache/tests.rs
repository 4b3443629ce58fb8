//! The cache against a list of everything that was accepted.

use std::sync::Arc;

use proptest::prelude::*;
use storage::{Accepted, Origins, Part, Seq};

use super::*;

const METRICS: [MetricId; 3] = [MetricId(0), MetricId(1), MetricId(2)];

fn user(nth: u8) -> UserId {
    UserId::parse(&format!("usr_{nth:08}")).unwrap()
}

fn accepted(user: UserId, points: &[(MetricId, i64, f64)]) -> Accepted {
    let mut parts: Vec<Part> = Vec::new();
    let mut sorted = points.to_vec();
    sorted.sort_by_key(|point| point.0);
    for (row, point) in (0..).zip(&sorted) {
        match parts.last_mut() {
            Some(part) if part.metric == point.0 => part.end = row + 1,
            _ => parts.push(Part { metric: point.0, start: row, end: row + 1 }),
        }
    }
    let mut origins = Origins::default();
    origins.intern("watch", None).unwrap();
    let batch = PointBatch::new(
        user,
        parts,
        sorted.iter().map(|point| point.1).collect(),
        sorted.iter().map(|point| point.2).collect(),
        vec![0; sorted.len()],
        origins,
    );
    Accepted { batch: Arc::new(batch.unwrap()), first_seq: Seq(1), accepted_at_ms: 0 }
}

fn look_up(cache: &LatestCache, user: UserId, now_us: i64) -> Vec<Reading> {
    let mut readings = Vec::new();
    cache.look_up(user, &METRICS, now_us, &mut readings);
    readings
}

/// Everything accepted, in order; what a scan would find.
#[derive(Default)]
struct Truth(Vec<(UserId, MetricId, i64, f64)>);

impl Truth {
    fn scan(&self, user: UserId, metric: MetricId, now_us: i64) -> Found {
        let mut found = Found::NOTHING;
        let mine = || self.0.iter().filter(|point| point.0 == user && point.1 == metric);
        for point in mine().filter(|point| point.2 <= now_us) {
            if found.newest.is_none_or(|newest| point.2 >= newest.recorded_at) {
                found.newest = Some(Newest { recorded_at: point.2, value: point.3 });
            }
        }
        found.pending = mine().map(|point| point.2).filter(|at| *at > now_us).min().unwrap_or(i64::MAX);
        found
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Told and visible at once.
    Accept(u8, Vec<(u8, i64, u8)>),
    /// Told, visible only after the next step.
    AcceptSlowly(u8, Vec<(u8, i64, u8)>),
    Delete(u8, Option<u8>),
    Advance(i64),
    SetBack(i64),
    Read(u8),
    /// A read whose scan ends only after the next step.
    ReadSlowly(u8),
}

fn step() -> impl Strategy<Value = Step> {
    // Times around now, some of them ahead.
    let points = || (0_u8..3, prop::collection::vec((0_u8..3, -20_i64..12, any::<u8>()), 1..5));
    prop_oneof![
        4 => points().prop_map(|(user, points)| Step::Accept(user, points)),
        3 => points().prop_map(|(user, points)| Step::AcceptSlowly(user, points)),
        1 => (0_u8..3, prop::option::of(0_u8..3)).prop_map(|(user, metric)| Step::Delete(user, metric)),
        2 => (1_i64..8).prop_map(Step::Advance),
        1 => (1_i64..5).prop_map(Step::SetBack),
        4 => (0_u8..3).prop_map(Step::Read),
        3 => (0_u8..3).prop_map(Step::ReadSlowly),
    ]
}

/// The cache, the truth, and what is on its way.
struct World {
    cache: LatestCache,
    truth: Truth,
    now_us: i64,
    invisible: Vec<(UserId, MetricId, i64, f64)>,
    scanned: Vec<(UserId, MetricId, Token, Found)>,
}

impl World {
    fn accept(&mut self, who: u8, points: &[(u8, i64, u8)]) {
        let point = |(metric, ahead, value): &(u8, i64, u8)| {
            (METRICS[usize::from(*metric)], self.now_us + ahead, f64::from(*value))
        };
        let mut points: Vec<_> = points.iter().map(point).collect();
        points.sort_by_key(|point| point.0);
        self.cache.observe(&Event::Accepted(&[accepted(user(who), &points)]), self.now_us);
        self.invisible.extend(points.iter().map(|point| (user(who), point.0, point.1, point.2)));
    }

    fn read(&mut self, who: u8) -> Result<(), TestCaseError> {
        for (metric, reading) in METRICS.into_iter().zip(look_up(&self.cache, user(who), self.now_us)) {
            match reading {
                // Between telling and showing, either is right.
                Reading::Known(newest) if self.invisible.is_empty() => {
                    prop_assert_eq!(newest, self.truth.scan(user(who), metric, self.now_us).newest);
                }
                Reading::Known(_) => {}
                Reading::Unknown => {
                    let token = self.cache.mark(user(who), metric, self.now_us).unwrap();
                    let found = self.truth.scan(user(who), metric, self.now_us);
                    self.scanned.push((user(who), metric, token, found));
                }
            }
        }
        Ok(())
    }

    fn show(&mut self, invisible: Vec<(UserId, MetricId, i64, f64)>) {
        self.truth.0.extend(invisible);
    }

    fn finish(&mut self, scanned: Vec<(UserId, MetricId, Token, Found)>) {
        for (user, metric, token, found) in scanned {
            self.cache.put_back(user, metric, token, found);
        }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let (invisible, scanned) = (std::mem::take(&mut self.invisible), std::mem::take(&mut self.scanned));
        let mut is_shown = false;
        // The log thread shows one group before it tells of the next.
        if matches!(step, Step::Accept(..) | Step::AcceptSlowly(..) | Step::Delete(..)) {
            self.show(invisible.clone());
            is_shown = true;
        } else {
            self.invisible.clone_from(&invisible);
        }
        match step {
            Step::Accept(who, points) => {
                self.accept(who, &points);
                let shown = std::mem::take(&mut self.invisible);
                self.show(shown);
            }
            Step::AcceptSlowly(who, points) => self.accept(who, &points),
            Step::Delete(who, metric) => {
                let metric = metric.map(|metric| METRICS[usize::from(metric)]);
                self.truth.0.retain(|point| point.0 != user(who) || metric.is_some_and(|metric| metric != point.1));
                self.cache.observe(&Event::Deleted { user: user(who), metric }, self.now_us);
            }
            Step::Advance(by) => self.now_us += by,
            Step::SetBack(by) => self.now_us -= by,
            Step::Read(who) => {
                self.read(who)?;
                let scanned = std::mem::take(&mut self.scanned);
                self.finish(scanned);
            }
            Step::ReadSlowly(who) => self.read(who)?,
        }
        if !is_shown {
            self.invisible.clear();
            self.show(invisible);
        }
        self.finish(scanned);
        Ok(())
    }
}

proptest! {
    #[test]
    fn what_is_known_is_what_a_scan_would_find(
        steps in prop::collection::vec(step(), 1..80),
        bytes_max in prop::sample::select(vec![0, SHARDS * 500, SHARDS * 900, 1 << 20]),
    ) {
        let cache = LatestCache::new(bytes_max);
        let mut world = World { cache, truth: Truth::default(), now_us: 1_000, invisible: Vec::new(), scanned: Vec::new() };
        for step in steps {
            world.step(step)?;
            prop_assert!(world.cache.bytes() <= bytes_max);
        }
    }
}

fn mark(cache: &LatestCache, user: UserId) -> Token {
    assert_eq!(look_up(cache, user, 1_000)[0], Reading::Unknown);
    cache.mark(user, METRICS[0], 1_000).unwrap()
}

#[test]
fn what_was_put_back_is_known_and_follows_what_comes() {
    let cache = LatestCache::new(1 << 20);
    let (me, now_us) = (user(1), 1_000);
    let token = mark(&cache, me);
    cache.put_back(me, METRICS[0], token, Found::NOTHING);
    assert_eq!(look_up(&cache, me, now_us)[0], Reading::Known(None));
    cache.observe(&Event::Accepted(&[accepted(me, &[(METRICS[0], 900, 62.0)])]), now_us);
    let newest = Newest { recorded_at: 900, value: 62.0 };
    assert_eq!(look_up(&cache, me, now_us)[0], Reading::Known(Some(newest)));
    // A late arrival changes nothing; the same time again is a correction.
    cache.observe(&Event::Accepted(&[accepted(me, &[(METRICS[0], 800, 50.0)])]), now_us);
    assert_eq!(look_up(&cache, me, now_us)[0], Reading::Known(Some(newest)));
    cache.observe(&Event::Accepted(&[accepted(me, &[(METRICS[0], 900, 63.0)])]), now_us);
    assert_eq!(look_up(&cache, me, now_us)[0], Reading::Known(Some(Newest { value: 63.0, ..newest })));
}

#[test]
fn a_point_ahead_of_now_does_not_hide_the_newest_and_counts_when_its_time_comes() {
    let cache = LatestCache::new(1 << 20);
    let me = user(1);
    let token = mark(&cache, me);
    cache.put_back(me, METRICS[0], token, Found::NOTHING);
    cache.observe(&Event::Accepted(&[accepted(me, &[(METRICS[0], 2_000, 70.0), (METRICS[0], 900, 62.0)])]), 1_000);
    let newest = Newest { recorded_at: 900, value: 62.0 };
    assert_eq!(look_up(&cache, me, 1_999)[0], Reading::Known(Some(newest)));
    assert_eq!(look_up(&cache, me, 2_000)[0], Reading::Unknown);
}

#[test]
fn a_group_that_is_told_but_not_visible_yet_is_not_missed() {
    let cache = LatestCache::new(1 << 20);
    let me = user(1);
    cache.observe(&Event::Accepted(&[accepted(me, &[(METRICS[0], 900, 62.0)])]), 1_000);
    let token = mark(&cache, me);
    // The scan's snapshot was taken before the group became visible.
    cache.put_back(me, METRICS[0], token, Found::NOTHING);
    let newest = Newest { recorded_at: 900, value: 62.0 };
    assert_eq!(look_up(&cache, me, 1_000)[0], Reading::Known(Some(newest)));
}

#[test]
fn a_deletion_during_a_scan_drops_what_the_scan_found() {
    let cache = LatestCache::new(1 << 20);
    let me = user(1);
    let token = mark(&cache, me);
    cache.observe(&Event::Deleted { user: me, metric: Some(METRICS[0]) }, 1_000);
    let found = Found { newest: Some(Newest { recorded_at: 900, value: 62.0 }), pending: i64::MAX };
    cache.put_back(me, METRICS[0], token, found);
    assert_eq!(look_up(&cache, me, 1_000)[0], Reading::Unknown);
}

#[test]
fn those_who_are_read_outlive_those_who_are_not() {
    let bytes_max = SHARDS * 4 * (PERSON_BYTES + 3 * size_of::<Slot>());
    let cache = LatestCache::new(bytes_max);
    let fill = |who: UserId| {
        for (metric, reading) in METRICS.into_iter().zip(look_up(&cache, who, 0)) {
            if reading == Reading::Unknown {
                let token = cache.mark(who, metric, 0).unwrap();
                cache.put_back(who, metric, token, Found::NOTHING);
            }
        }
    };
    let favourite = UserId::parse("usr_favorite").unwrap();
    for nth in 0..5_000 {
        fill(favourite);
        fill(UserId::parse(&format!("usr_{nth:08}")).unwrap());
    }
    assert!(cache.bytes() <= bytes_max && cache.bytes() > bytes_max / 2);
    assert_eq!(look_up(&cache, favourite, 0)[0], Reading::Known(None));
}
