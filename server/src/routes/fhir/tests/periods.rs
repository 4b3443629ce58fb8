//! Totals of days among searches by date: what is found, counted and paged is what R4 says of their periods.

use std::collections::BTreeSet;

use engine::time::{DAY_US, HOUR_US, MINUTE_US};
use jiff::civil::{self, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};

use super::*;

const PREFIXES: [&str; 9] = ["", "eq", "ne", "gt", "ge", "lt", "le", "sa", "eb"];

/// Numbers that look random and are the same in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }

    pub(super) fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[usize::try_from(self.below(some.len() as u64)).unwrap()]
    }
}

/// A value of `date`, and from when to when its date is.
pub(super) fn parameter(dice: &mut Dice, first: civil::Date, days: u64) -> (&'static str, String, (i64, i64)) {
    let day = first.checked_add(i32::try_from(dice.below(days)).unwrap().days()).unwrap();
    let begin = |day: civil::Date| day.to_zoned(TimeZone::UTC).unwrap().timestamp().as_microsecond();
    let prefix = dice.of(&PREFIXES);
    let (text, start, end) = match dice.below(4) {
        0 => (day.to_string(), begin(day), begin(day) + DAY_US),
        1 => {
            let next = day.first_of_month().checked_add(1.month()).unwrap();
            (day.to_string()[..7].to_owned(), begin(day.first_of_month()), begin(next))
        }
        _ => {
            // On the hour of some zone: where days of it begin, and beside.
            let (hour, offset) = (dice.of(&[0, 0, 0, 1, 12, 23]), dice.of(&[-12_i8, -5, -4, 0, 1, 2, 9, 13]));
            let start = begin(day) + hour * HOUR_US - i64::from(offset) * HOUR_US;
            let sign = if offset < 0 { "-" } else { "%2B" };
            (format!("{day}T{hour:02}:00{sign}{:02}:00", offset.abs()), start, start + MINUTE_US)
        }
    };
    (prefix, format!("{prefix}{text}"), (start, end))
}

/// R4's words about a resource from `start` to `end`.
pub(super) fn fits(prefix: &str, (from, to): (i64, i64), (start, end): (i64, i64)) -> bool {
    let contained = start >= from && end <= to;
    match prefix {
        "" | "eq" => contained,
        "ne" => !contained,
        "gt" => end > to,
        "ge" => end > to || contained,
        "lt" => start < from,
        "le" => start < from || contained,
        "sa" => start >= to,
        _ => end <= from,
    }
}

/// From when to when an observation says that it was.
pub(super) fn period(observation: &Value) -> (i64, i64) {
    let at = |value: &Value| engine::time::parse(value.as_str().unwrap()).unwrap();
    if let Some(moment) = observation.get("effectiveDateTime") {
        return (at(moment), at(moment) + 1);
    }
    let period = &observation["effectivePeriod"];
    (at(&period["start"]), at(&period["end"]))
}

/// Totals of fourteen days of a zone, a total that begins elsewhere, points, a check-in.
async fn fill(stage: &Stage, patient: &Person, zone: &TimeZone, first: civil::Date) {
    let point = |metric: &str, at: i64, source: &str, value: i64| {
        let unit = stage.state.engine.catalogue().get(metric).unwrap().unit.clone();
        json!({"metric": metric, "value": value, "unit": unit, "recorded_at": engine::time::format(at), "source": source})
    };
    let mut points = Vec::new();
    for nth in 0..14_i32 {
        let begin = first.checked_add(nth.days()).unwrap().to_zoned(zone.clone()).unwrap().timestamp().as_microsecond();
        points.push(point("steps", begin, "apple_health", 1_000 + i64::from(nth)));
        points.push(point("calories", begin, "garmin", 2_000 + i64::from(nth)));
        points.push(point("steps", begin + 1, "apple_health", 1));
        points.push(point("heart_rate", begin, "watch", 60));
        points.push(point("heart_rate", begin - 1, "watch", 61));
    }
    points.push(point("steps", points_begin(first) + 6 * HOUR_US, "garmin", 7));
    let (status, body) = stage.post(&patient.key, "/wearables/bulk-ingest", json!({"data_points": points})).await;
    assert_eq!(status, 201, "{body}");
    stage
        .check_in(patient, json!({"mood": 4, "steps": 5, "checked_in_at": engine::time::format(points_begin(first))}))
        .await;
}

fn points_begin(first: civil::Date) -> i64 {
    first.to_zoned(TimeZone::UTC).unwrap().timestamp().as_microsecond()
}

pub(super) async fn agrees(stage: &Stage, who: &Person, query: &str, expected: &BTreeSet<String>) {
    let whole = read(stage, &who.key, &format!("/Observation?_count=1000&{query}")).await;
    let found: BTreeSet<String> = whole.ids().into_iter().collect();
    assert_eq!(&found, expected, "{query}");
    assert_eq!((whole.matches().len(), &whole.body["total"]), (expected.len(), &json!(expected.len())), "{query}");
    let counted = read(stage, &who.key, &format!("/Observation?_summary=count&{query}")).await;
    assert_eq!(counted.body["total"], json!(expected.len()), "{query}");
    let mut paged = Vec::new();
    let mut next = Some(format!("/fhir/R4/Observation?_count=17&_total=accurate&{query}"));
    while let Some(path) = next {
        let page = read(stage, &who.key, &path).await;
        assert_eq!(page.body["total"], json!(expected.len()), "{query}");
        paged.extend(page.ids());
        next = page.link("next");
    }
    assert_eq!(paged, whole.ids(), "{query}");
}

#[tokio::test]
async fn what_is_found_by_date_is_what_r4_says_of_periods_in_every_zone() {
    let stage = Stage::new().await;
    // Days of 23, 25 and 23½ hours, and one that there never was, are among these.
    let places = [
        ("Europe/Berlin", date(2026, 3, 22)),
        ("Europe/Berlin", date(2025, 10, 19)),
        ("America/New_York", date(2025, 10, 27)),
        ("Australia/Lord_Howe", date(2025, 9, 28)),
        ("Pacific/Apia", date(2011, 12, 24)),
        ("UTC", date(2026, 2, 22)),
    ];
    let mut lengths = BTreeSet::new();
    let mut dice = Dice(7);
    for (nth, (name, first)) in places.into_iter().enumerate() {
        let patient = stage.patient(&format!("P{nth}")).await;
        let (status, body) =
            stage.send(Some(&patient.token), "PATCH", "/users/me", Some(&json!({"timezone": name}))).await;
        assert_eq!(status, 200, "{body}");
        fill(&stage, &patient, &TimeZone::get(name).unwrap(), first).await;
        let all = read(&stage, &patient.token, "/Observation?_count=1000").await;
        let known: Vec<(String, (i64, i64))> =
            all.matches().iter().map(|one| (one["id"].as_str().unwrap().to_owned(), period(one))).collect();
        lengths.extend(known.iter().map(|(_, (start, end))| SignedDuration::from_micros(end - start).as_mins()));
        for _ in 0..24 {
            let from = first.checked_sub(2.days()).unwrap();
            let one = parameter(&mut dice, from, 18);
            let other = parameter(&mut dice, from, 18);
            let is = |one: &(&str, String, (i64, i64)), period| fits(one.0, one.2, period);
            let that = |holds: &dyn Fn((i64, i64)) -> bool| {
                known.iter().filter(|(_, period)| holds(*period)).map(|(id, _)| id.clone()).collect::<BTreeSet<_>>()
            };
            let (query, expected) = match dice.below(3) {
                0 => (format!("date={}", one.1), that(&|period| is(&one, period))),
                1 => {
                    (format!("date={}&date={}", one.1, other.1), that(&|period| is(&one, period) && is(&other, period)))
                }
                _ => (format!("date={},{}", one.1, other.1), that(&|period| is(&one, period) || is(&other, period))),
            };
            let sort = dice.of(&["", "&_sort=date", "&_sort=code"]);
            agrees(&stage, &patient, &format!("{query}{sort}"), &expected).await;
            // Those that are asked for by their ids are compared alike.
            let some: Vec<&str> = known.iter().step_by(3).map(|(id, _)| id.as_str()).take(90).collect();
            let of_some = expected.iter().filter(|id| some.contains(&id.as_str())).cloned().collect();
            agrees(&stage, &patient, &format!("{query}&_id={}", some.join(",")), &of_some).await;
        }
    }
    let lengths: Vec<i64> = lengths.into_iter().collect();
    assert_eq!(lengths, [0, 23 * 60, 23 * 60 + 30, 24 * 60, 25 * 60], "minutes");
}

#[tokio::test]
async fn a_day_lies_in_a_date_of_its_own_zone_and_reaches_into_two_of_utc() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    stage.send(Some(&ada.token), "PATCH", "/users/me", Some(&json!({"timezone": "Europe/Berlin"}))).await;
    let unit = stage.state.engine.catalogue().get("steps").unwrap().unit.clone();
    let total = json!({"metric": "steps", "value": 9_000, "unit": unit,
        "recorded_at": "2025-06-01T00:00:00+02:00", "source": "apple_health"});
    assert_eq!(stage.post(&ada.key, "/wearables/ingest", total).await.0, 201);
    for (query, is_found) in [
        ("date=2025-06-01", false),
        ("date=ne2025-06-01", true),
        ("date=2025-06", false),
        ("date=le2025-06-01", true),
        ("date=lt2025-06-01", true),
        ("date=ge2025-06-01", false),
        ("date=gt2025-05-31", true),
        ("date=ge2025-05-31&date=le2025-06-01", true),
        ("date=ge2025-06-01T00:00:00%2B02:00&date=lt2025-06-02T00:00:00%2B02:00", true),
        ("date=ge2025-06-01T12:00:00Z", true),
        ("date=gt2025-06-01T12:00:00Z&date=lt2025-06-01T12:00:00Z", true),
        ("date=gt2025-06-01T22:00:00Z", false),
        ("date=sa2025-05-31T21:59", true),
        ("date=sa2025-05-31", false),
        ("date=eb2025-06-02", true),
        ("date=eb2025-06-01T22:00:00Z", true),
        ("date=eb2025-06-01", false),
    ] {
        let found = read(&stage, &ada.token, &format!("/Observation?code=41950-7&{query}")).await;
        assert_eq!(found.matches().len() == 1, is_found, "{query}");
    }
}
