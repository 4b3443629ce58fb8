//! Many conditions at once: what is found, counted and paged is what each of them says by itself.

use std::collections::BTreeSet;

use jiff::civil::date;

use super::periods::{Dice, agrees, fits, parameter, period};
use super::totals::{all, filled};
use super::*;

/// Searches of one run.
const SEARCHES: usize = 120;

const CODES: [&str; 12] = [
    "8867-4",
    "2708-6",
    "http://loinc.org|59408-5",
    "urn:avycenna:codes|hrv",
    "41950-7",
    "41981-2",
    "93832-4",
    "mood",
    "44250-9",
    "http://loinc.org|",
    "urn:avycenna:codes|",
    "nothing",
];
const CATEGORIES: [&str; 3] = ["vital-signs", "activity", "laboratory"];
const STATUSES: [&str; 5] = ["final", "corrected", "amended", "preliminary", "cancelled"];

/// A condition: how a query says it, and whether it holds of an observation.
struct Condition(String, Box<dyn Fn(&Value) -> bool>);

/// A token parameter, either way: one of some values must fit, or none of them may.
fn token(dice: &mut Dice, name: &str, values: &[&'static str], has: fn(&Value, &str) -> bool) -> Condition {
    let some: Vec<&str> = (0..=dice.below(3)).map(|_| dice.of(values)).collect();
    let (is_wanted, modifier) = dice.of(&[(true, ""), (true, ""), (false, ":not")]);
    let text = format!("{name}{modifier}={}", some.join(","));
    Condition(text, Box::new(move |one| some.iter().any(|value| has(one, value)) == is_wanted))
}

fn has_code(one: &Value, value: &str) -> bool {
    let (system, code) = value.split_once('|').map_or((None, value), |(system, code)| (Some(system), code));
    one["code"]["coding"].as_array().unwrap().iter().any(|coding| {
        system.is_none_or(|system| coding["system"] == system) && (code.is_empty() || coding["code"] == code)
    })
}

fn has_category(one: &Value, value: &str) -> bool {
    one["category"][0]["coding"][0]["code"] == value
}

fn has_status(one: &Value, value: &str) -> bool {
    one["status"] == value
}

/// When it was measured, or since when it is as it is.
fn time(dice: &mut Dice, known: &[Value]) -> Condition {
    if dice.below(3) > 0 {
        let (prefix, text, range) = parameter(dice, date(2026, 6, 7), 5);
        return Condition(format!("date={text}"), Box::new(move |one| fits(prefix, range, period(one))));
    }
    let nth = usize::try_from(dice.below(known.len() as u64)).unwrap();
    let text = known[nth]["meta"]["lastUpdated"].as_str().unwrap();
    let at = |one: &Value| engine::time::parse(one["meta"]["lastUpdated"].as_str().unwrap()).unwrap();
    let digits = text.trim_end_matches('Z').split_once('.').map_or(0, |(_, digits)| digits.len());
    let from = at(&known[nth]);
    let range = (from, from + 10_i64.pow(6 - u32::try_from(digits).unwrap()));
    let prefix = dice.of(&["", "ne", "gt", "ge", "lt", "le"]);
    let holds = move |one: &Value| fits(prefix, range, (at(one), at(one) + 1));
    Condition(format!("_lastUpdated={prefix}{text}"), Box::new(holds))
}

/// Points of several metrics and origins at the same moments, some of them corrected later.
async fn crowd(stage: &Stage, ada: &Person) {
    let mut points = Vec::new();
    for at in ["2026-06-09T22:00:00Z", "2026-06-10T06:00:00Z", "2026-06-10T06:00:00.000001Z"] {
        for (metric, value) in [("heart_rate", 60.0), ("spo2", 97.0), ("hrv", 41.0), ("steps", 100.0)] {
            for (source, device) in [("watch", Some("left")), ("watch", Some("right")), ("watch", None), ("ring", None)]
            {
                let unit = stage.state.engine.catalogue().get(metric).unwrap().unit.clone();
                points
                    .push(json!({"metric": metric, "value": value, "unit": unit, "recorded_at": at, "source": source,
                    "source_device_id": device}));
            }
        }
    }
    for step in [1, 5] {
        let some: Vec<Value> = points.iter().step_by(step).cloned().collect();
        let (status, body) = stage.post(&ada.key, "/wearables/bulk-ingest", json!({"data_points": some})).await;
        assert_eq!(status, 201, "{body}");
        stage.clock.advance(std::time::Duration::from_mins(1));
        for point in &mut points {
            point["value"] = json!(point["value"].as_f64().unwrap() + 1.0);
        }
    }
}

#[tokio::test]
async fn many_conditions_at_once_find_what_each_of_them_says() {
    let (stage, ada) = filled().await;
    crowd(&stage, &ada).await;
    let known = all(&stage, &ada).await;
    let states: BTreeSet<&str> = known.iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(states.into_iter().collect::<Vec<_>>(), ["amended", "corrected", "final", "preliminary"]);
    let (mut dice, mut found) = (Dice(11), 0);
    for _ in 0..SEARCHES {
        let mut conditions = Vec::new();
        for _ in 0..=dice.below(3) {
            conditions.push(match dice.below(5) {
                0 | 1 => token(&mut dice, "code", &CODES, has_code),
                2 => token(&mut dice, "category", &CATEGORIES, has_category),
                3 => token(&mut dice, "status", &STATUSES, has_status),
                _ => time(&mut dice, &known),
            });
        }
        let holds = |one: &&Value| conditions.iter().all(|Condition(_, holds)| holds(one));
        let expected: BTreeSet<String> =
            known.iter().filter(holds).map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        found += usize::from(!expected.is_empty() && expected.len() < known.len());
        let query: Vec<&str> = conditions.iter().map(|Condition(text, _)| text.as_str()).collect();
        let sort = dice.of(&["", "&_sort=date", "&_sort=code"]);
        agrees(&stage, &ada, &format!("{}{sort}", query.join("&")), &expected).await;
    }
    assert!(found > SEARCHES / 3, "{found} searches found some and not all");
}
