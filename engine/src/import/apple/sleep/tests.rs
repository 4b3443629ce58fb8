//! Nights against a count of every minute.

use proptest::prelude::*;

use super::super::maker::Spelling;
use super::super::tests::Seen;
use super::*;
use crate::time::MINUTE_US;

/// Sources by number: a watch, a phone, an app.
const SOURCES: [&str; 3] = ["Watch", "iPhone", "App"];

/// (source, start, end in minutes, stage)
type Slept = (usize, i64, i64, Stage);

fn seen(slept: &[Slept], is_cut_off: bool) -> Seen {
    let mut makers = Makers::default();
    for source in SOURCES {
        makers.find(Spelling { source, ..Spelling::default() }).unwrap();
    }
    let mut sleep = Sleep::default();
    for (source, start, end, stage) in slept {
        sleep.add(start * MINUTE_US, end * MINUTE_US, *stage, *source).unwrap();
    }
    let mut seen = Seen::default();
    sleep.finish(&makers, None, is_cut_off, &mut seen).unwrap();
    seen
}

fn found(slept: &[Slept]) -> Vec<String> {
    seen(slept, false).found
}

#[test]
fn overlaps_of_one_source_count_once() {
    let slept =
        [(0, 0, 120, Stage::Core), (0, 60, 180, Stage::Asleep), (0, 60, 120, Stage::Deep), (0, 90, 150, Stage::Deep)];
    assert_eq!(
        found(&slept),
        [
            "sleep_duration 3 at 1970-01-01T03:00:00Z by Watch [-]",
            "sleep_deep 1.5 at 1970-01-01T03:00:00Z by Watch [-]",
            "sleep_rem 0 at 1970-01-01T03:00:00Z by Watch [-]",
        ]
    );
}

#[test]
fn a_night_is_one_source_with_stages_first_then_the_watch() {
    let staged_app = [(0, 0, 480, Stage::Asleep), (2, 30, 450, Stage::Core)];
    assert_eq!(found(&staged_app)[0], "sleep_duration 7 at 1970-01-01T07:30:00Z by App [-]");
    let plain = [(2, 0, 480, Stage::Asleep), (1, 0, 420, Stage::Asleep), (0, 0, 360, Stage::Asleep)];
    assert_eq!(found(&plain), ["sleep_duration 6 at 1970-01-01T06:00:00Z by Watch [-]"]);
    assert_eq!(seen(&plain, false).count(SEEN_BETTER), 2);
}

#[test]
fn a_watch_whose_battery_ended_is_no_night() {
    let night = |watch_minutes| [(0, 0, watch_minutes, Stage::Deep), (1, 0, 480, Stage::Asleep)];
    assert_eq!(found(&night(239)), ["sleep_duration 8 at 1970-01-01T08:00:00Z by iPhone [-]"]);
    assert_eq!(found(&night(240))[0], "sleep_duration 4 at 1970-01-01T04:00:00Z by Watch [-]");
}

#[test]
fn two_hours_awake_end_a_night_and_less_does_not() {
    let short = [(0, 0, 60, Stage::Asleep), (0, 179, 240, Stage::Asleep)];
    assert_eq!(found(&short), [format!("sleep_duration {} at 1970-01-01T04:00:00Z by Watch [-]", 121.0 / 60.0)]);
    let long = [(0, 180, 240, Stage::Asleep), (0, 0, 60, Stage::Asleep)];
    assert_eq!(found(&long).len(), 2);
}

#[test]
fn a_nap_that_another_source_joins_to_the_night_is_a_sleep_of_its_own() {
    // The phone lay still from the nap until the night; the watch knows better.
    let slept = [(0, 0, 60, Stage::Core), (1, 30, 400, Stage::Asleep), (0, 420, 900, Stage::Deep)];
    assert_eq!(
        found(&slept),
        [
            "sleep_duration 1 at 1970-01-01T01:00:00Z by Watch [-]",
            "sleep_deep 0 at 1970-01-01T01:00:00Z by Watch [-]",
            "sleep_rem 0 at 1970-01-01T01:00:00Z by Watch [-]",
            "sleep_duration 8 at 1970-01-01T15:00:00Z by Watch [-]",
            "sleep_deep 8 at 1970-01-01T15:00:00Z by Watch [-]",
            "sleep_rem 0 at 1970-01-01T15:00:00Z by Watch [-]",
        ]
    );
    assert_eq!(seen(&slept, false).count(SEEN_BETTER), 1);
}

#[test]
fn a_night_says_when_it_began_and_when_its_document_was_written() {
    let mut makers = Makers::default();
    makers.find(Spelling { source: "Watch", ..Spelling::default() }).unwrap();
    let mut sleep = Sleep::default();
    sleep.add(5 * MINUTE_US, 90 * MINUTE_US, Stage::Asleep, 0).unwrap();
    sleep.add(100 * MINUTE_US, 120 * MINUTE_US, Stage::Asleep, 0).unwrap();
    let mut seen = Seen::default();
    sleep.finish(&makers, Some(77), false, &mut seen).unwrap();
    assert_eq!(seen.nights, [(5 * MINUTE_US, 120 * MINUTE_US, Some(77))]);
}

#[test]
fn a_file_that_breaks_off_leaves_the_night_out_in_which_it_does() {
    let slept = [(0, 0, 60, Stage::Asleep), (0, 1_000, 1_060, Stage::Asleep)];
    let seen = seen(&slept, true);
    assert_eq!(seen.found, ["sleep_duration 1 at 1970-01-01T01:00:00Z by Watch [-]"]);
    assert_eq!(seen.count(CUT_OFF), 1);
}

#[test]
fn sleep_without_an_end_is_refused() {
    let mut sleep = Sleep::default();
    assert_eq!(sleep.add(0, 0, Stage::Asleep, 0), Err(TOO_LONG));
    assert_eq!(sleep.add(1, 0, Stage::Asleep, 0), Err(TOO_LONG));
    assert_eq!(sleep.add(0, INTERVAL_US_MAX, Stage::Asleep, 0), Ok(()));
    assert_eq!(sleep.add(0, INTERVAL_US_MAX + 1, Stage::Asleep, 0), Err(TOO_LONG));
}

#[test]
fn intervals_are_bounded() {
    let mut sleep = Sleep::default();
    for start in 0..i64::try_from(INTERVALS_MAX).unwrap() {
        sleep.add(start, start + 1, Stage::Asleep, 0).unwrap();
    }
    assert_eq!(sleep.add(0, 1, Stage::Asleep, 0), Err(TOO_MANY));
}

fn stages() -> impl Strategy<Value = Stage> {
    prop::sample::select(vec![Stage::Asleep, Stage::Core, Stage::Deep, Stage::Rem])
}

proptest! {
    /// One source: every minute is looked at by itself.
    #[test]
    fn the_union_is_what_counting_minutes_gives(slept in prop::collection::vec((0_i64..600, 1_i64..200, stages()), 1..20)) {
        let slept: Vec<Slept> = slept.into_iter().map(|(start, length, stage)| (0, start, start + length, stage)).collect();
        let minute = |at: i64, stage: Option<Stage>| {
            slept.iter().any(|(_, start, end, found)| (*start..*end).contains(&at) && stage.is_none_or(|stage| stage == *found))
        };
        let mut expected = Vec::new();
        let mut night: Vec<i64> = Vec::new();
        for at in 0..1_200 {
            if minute(at, None) {
                night.push(at);
            }
            let is_over = night.last().is_some_and(|last| at - last >= 120) || at == 1_199;
            if is_over && !night.is_empty() {
                let end = crate::time::format((night.last().unwrap() + 1) * MINUTE_US);
                let hours = |minutes: usize| f64::from(u32::try_from(minutes).unwrap()) / 60.0;
                let of = |stage| hours(night.iter().filter(|at| minute(**at, Some(stage))).count());
                expected.push(format!("sleep_duration {} at {end} by Watch [-]", hours(night.len())));
                let in_night = |start: i64| (night[0]..=*night.last().unwrap()).contains(&start);
                if slept.iter().any(|(_, start, _, stage)| in_night(*start) && *stage != Stage::Asleep) {
                    expected.push(format!("sleep_deep {} at {end} by Watch [-]", of(Stage::Deep)));
                    expected.push(format!("sleep_rem {} at {end} by Watch [-]", of(Stage::Rem)));
                }
                night.clear();
            }
        }
        prop_assert_eq!(found(&slept), expected);
    }

    /// Several sources: each night is one of them alone, whatever the order.
    #[test]
    fn sources_are_never_summed_and_their_order_is_nothing(slept in prop::collection::vec((0_usize..3, 0_i64..3_000, 1_i64..200, stages()), 1..30)) {
        let mut slept: Vec<Slept> = slept.into_iter().map(|(source, start, length, stage)| (source, start, start + length, stage)).collect();
        let forward = found(&slept);
        slept.reverse();
        prop_assert_eq!(&forward, &found(&slept));
        let alone: Vec<String> = (0..3).flat_map(|source| {
            let own: Vec<Slept> = slept.iter().filter(|slept| slept.0 == source).copied().collect();
            found(&own)
        }).collect();
        let total = |found: &[String]| found.iter().filter(|line| line.starts_with("sleep_duration"))
            .map(|line| line.split(' ').nth(1).unwrap().parse::<f64>().unwrap()).sum::<f64>();
        prop_assert!(total(&forward) <= total(&alone) + 1e-9);
    }
}
