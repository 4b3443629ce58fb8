//! Every point once and in order, whichever way, wherever a page ends and however often a snapshot does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use proptest::prelude::*;
use storage::disk::sim::SimDisk;
use storage::{ManualClock, Place as StoragePlace, StorageConfig};

use super::*;
use crate::time::DAY_US;
use crate::{Catalogue, Engine, EngineConfig};

/// 2026-06-20T00:00:00Z
const NOW_US: i64 = 1_781_913_600_000_000;
const SNAPSHOT_AGE: Duration = Duration::from_mins(15);

/// Time, metric, source, device: the order.
type Key = (i64, String, String, Option<String>);

/// What is known of a point beside its identity.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    value: f64,
    accepted_at_ms: i64,
    is_corrected: bool,
}

struct Fixture {
    engine: Engine,
    clock: Arc<ManualClock>,
    model: BTreeMap<Key, Known>,
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn user() -> UserId {
    UserId::parse("usr_0000000a").unwrap()
}

impl Fixture {
    fn new() -> Self {
        let (disk, clock) = (SimDisk::new(7), Arc::new(ManualClock::at(NOW_US)));
        let storage = StorageConfig {
            background: false,
            log_file_bytes: 1 << 18,
            snapshot_age_max: SNAPSHOT_AGE,
            ..StorageConfig::default()
        };
        let config = EngineConfig {
            storage,
            catalogue: Catalogue::builtin(),
            latest_cache_bytes: 1 << 20,
            query_memory_bytes: 64 << 20,
            query_time_max: Duration::from_secs(20),
            query_rows_max: 10_000,
        };
        let place_clock = Arc::clone(&clock) as Arc<dyn storage::Clock>;
        let place = StoragePlace { disk: Arc::new(disk), objects: None, ledger: None, clock: place_clock };
        Self { engine: Engine::open(place, config).unwrap(), clock, model: BTreeMap::new() }
    }

    /// Sends points a second after what was sent before, each body on its own, and notes what must be known of them.
    fn ingest(&mut self, points: &[(Key, f64)]) {
        for points in points.chunks(500) {
            self.clock.advance(Duration::from_secs(1));
            let mut body = String::from(r#"{"data_points":["#);
            for (nth, ((at_us, metric, source, device), value)) in points.iter().enumerate() {
                let comma = if nth == 0 { "" } else { "," };
                let unit = self.engine.catalogue().get(metric).unwrap().unit.clone();
                let at = crate::time::format(*at_us);
                let device = device.as_ref().map_or("null".to_owned(), |device| format!("{device:?}"));
                write!(
                    body,
                    r#"{comma}{{"metric":"{metric}","value":{value},"unit":"{unit}","recorded_at":"{at}","source":"{source}","source_device_id":{device}}}"#,
                )
                .unwrap();
            }
            body.push_str("]}");
            let batch = self.engine.parse_bulk(user(), &mut body.into_bytes()).unwrap();
            block_on(self.engine.append(batch)).unwrap();
            let accepted_at_ms = storage::Clock::now_us(&*self.clock) / 1_000;
            for (key, value) in points {
                let before = self.model.get(key);
                let differs = |known: &Known| known.is_corrected || known.value.to_bits() != value.to_bits();
                let known = Known { value: *value, accepted_at_ms, is_corrected: before.is_some_and(differs) };
                self.model.insert(key.clone(), known);
            }
        }
    }

    fn query(order: Order) -> ObserveQuery {
        let metrics = ["heart_rate", "hrv", "steps"].map(Arc::from).to_vec();
        ObserveQuery { metrics, times: TimeRange::ALL, order, after: None, keep: None, rows_about: 50 }
    }

    /// Everything of a query, in pages of so many points; `between` is called behind each page.
    fn paged(&self, mut query: ObserveQuery, page: usize, mut between: impl FnMut(&Self, usize)) -> Vec<(Key, Known)> {
        let mut all = Vec::new();
        for nth in 0.. {
            let mut observations = self.engine.observe(user(), query.clone()).unwrap();
            let mut left = page;
            let mut last = None;
            while left > 0
                && let Some(some) = block_on(observations.next()).unwrap()
            {
                let some = some.split_at(left).0;
                left -= some.len();
                all.extend(points_of(&some));
                last = some.last_place().unwrap();
            }
            let Some(last) = last else { break };
            query.after = Some(last);
            between(self, nth);
            assert!(nth <= 1_000, "it goes round in circles");
        }
        all
    }
}

fn points_of(observed: &Observed) -> Vec<(Key, Known)> {
    let columns = observed.columns().unwrap();
    let mut points = Vec::new();
    for run in columns.runs() {
        for Measured { recorded_at, value, accepted_at_ms, is_corrected } in run.points() {
            let key = (recorded_at, observed.metric.to_string(), run.source.to_owned(), run.device.map(str::to_owned));
            points.push((key, Known { value, accepted_at_ms, is_corrected }));
        }
    }
    assert_eq!(points.len(), observed.len());
    points
}

fn point() -> impl Strategy<Value = (Key, f64)> {
    let metric = prop::sample::select(vec!["heart_rate", "steps", "hrv"]);
    let device = prop::sample::select(vec![None, Some("a"), Some("b")]);
    (metric, 0..60_i64, 40..50_u8, prop::sample::select(vec!["phone", "watch"]), device).prop_map(
        |(metric, at, value, source, device)| {
            // Dense and sparse, and many at one moment.
            let at = NOW_US - at * at * DAY_US / 4;
            ((at, metric.to_owned(), source.to_owned(), device.map(str::to_owned)), f64::from(value))
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Ingest(Vec<(Key, f64)>),
    Delete(i64),
    Flush,
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(point(), 1..60).prop_map(Step::Ingest),
        1 => (0..25_i64).prop_map(Step::Delete),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
    ]
}

fn apply(fixture: &mut Fixture, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Ingest(points) => fixture.ingest(&points),
            Step::Delete(day) => {
                let times = TimeRange { start: NOW_US - day * DAY_US, end: NOW_US - (day - 3) * DAY_US };
                block_on(fixture.engine.delete(user(), "heart_rate", times)).unwrap();
                fixture.model.retain(|(at, metric, ..), _| metric != "heart_rate" || !times.contains(*at));
            }
            Step::Flush => fixture.engine.storage().flush().unwrap(),
            Step::Compact => fixture.engine.storage().compact().unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_point_is_observed_once_in_order_with_its_acceptance_wherever_pages_end(
        steps in prop::collection::vec(step(), 1..20),
        page in prop::sample::select(vec![1, 2, 3, 7, 50, 10_000]),
        is_descending: bool,
    ) {
        let mut fixture = Fixture::new();
        apply(&mut fixture, steps);
        let order = if is_descending { Order::Descending } else { Order::Ascending };
        let found = fixture.paged(Fixture::query(order), page, |_, _| ());
        let mut expected: Vec<_> = fixture.model.clone().into_iter().collect();
        if is_descending {
            expected.reverse();
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_condition_and_a_range_leave_what_fits_both(
        steps in prop::collection::vec(step(), 1..12),
        from in 0..900_i64,
        to in 0..900_i64,
        since in 0..12_i64,
    ) {
        let mut fixture = Fixture::new();
        apply(&mut fixture, steps);
        let times = TimeRange { start: NOW_US - from * DAY_US, end: NOW_US - to * DAY_US };
        let since_ms = NOW_US / 1_000 + since * 1_000;
        let keep: Keep = Arc::new(move |candidate: &Candidate<'_>| {
            candidate.measured.accepted_at_ms >= since_ms && candidate.device != Some("a")
        });
        let query = ObserveQuery { times, keep: Some(keep), ..Fixture::query(Order::Descending) };
        let found = fixture.paged(query, 5, |_, _| ());
        let fits = |key: &Key, known: &Known| {
            times.contains(key.0) && known.accepted_at_ms >= since_ms && key.3.as_deref() != Some("a")
        };
        let model = fixture.model.iter().rev().filter(|(key, known)| fits(key, known));
        let expected: Vec<_> = model.map(|(key, known)| (key.clone(), *known)).collect();
        prop_assert_eq!(found, expected);
    }
}

fn key(at: i64, metric: &str, source: &str) -> Key {
    (at, metric.to_owned(), source.to_owned(), None)
}

/// More than a slice holds, of two sources that take turns.
fn many() -> Vec<(Key, f64)> {
    let source = |nth: i64| if nth % 2 == 0 { "strap" } else { "watch" };
    (0..70_000_i64).map(|nth| (key(NOW_US - nth * 1_000, "heart_rate", source(nth)), 60.0)).collect()
}

#[test]
fn what_is_denser_than_a_slice_and_outlives_its_snapshots_comes_once() {
    for order in [Order::Ascending, Order::Descending] {
        let mut fixture = Fixture::new();
        fixture.ingest(&many());
        fixture.engine.storage().flush().unwrap();
        let mut observations = fixture.engine.observe(user(), Fixture::query(order)).unwrap();
        let mut found = Vec::new();
        let mut batches = 0;
        while let Some(some) = block_on(observations.next()).unwrap() {
            found.extend(points_of(&some));
            batches += 1;
            assert!(batches < 1_000, "it goes round in circles");
            fixture.clock.advance(SNAPSHOT_AGE);
            fixture.engine.storage().compact().unwrap();
        }
        assert!(batches >= 5, "{batches} batches");
        let mut expected: Vec<_> = fixture.model.into_iter().collect();
        if order == Order::Descending {
            expected.reverse();
        }
        assert!(found == expected, "{order:?}: {} of {} points", found.len(), expected.len());
    }
}

#[test]
fn what_is_sent_between_two_pages_moves_nothing() {
    let mut fixture = Fixture::new();
    let first: Vec<_> = (0..40).map(|nth| (key(NOW_US - nth * 2_000_000, "heart_rate", "watch"), 60.0)).collect();
    fixture.ingest(&first);
    let found = fixture.paged(Fixture::query(Order::Descending), 7, |fixture, nth| {
        let nth = i64::try_from(nth).unwrap();
        for at in [NOW_US + nth, NOW_US - 1_000_000 - nth * 2_000_000] {
            let at = crate::time::format(at);
            let body = format!(r#"{{"metric":"hrv","value":40,"unit":"ms","recorded_at":"{at}","source":"ring"}}"#);
            let batch = fixture.engine.parse_single(user(), &mut body.into_bytes()).unwrap();
            block_on(fixture.engine.append(batch)).unwrap();
        }
    });
    assert!(found.is_sorted_by(|a, b| a.0 > b.0));
    let hearts: Vec<_> = found.into_iter().filter(|(key, _)| key.1 == "heart_rate").map(|(key, _)| key).collect();
    assert_eq!(hearts, first.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
}

#[test]
fn a_metric_that_is_not_in_the_catalogue_is_named() {
    let fixture = Fixture::new();
    let query = ObserveQuery { metrics: vec!["glucose".into()], ..Fixture::query(Order::Ascending) };
    assert!(matches!(fixture.engine.observe(user(), query), Err(crate::Error::UnknownMetric(key)) if key == "glucose"));
}
