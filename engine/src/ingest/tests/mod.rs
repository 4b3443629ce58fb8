//! What is taken, what is refused and where, and that no body whatever breaks anything.

mod good;
mod refusals;

use std::fmt::Write as _;

use proptest::prelude::*;
use storage::Origins;

use super::malformed::{Finding, examine};
use super::*;
use crate::catalogue::OwnMetric;
use crate::error::{FAULTS_MAX, FaultKind, Loc};
use crate::time::{self, DAY_US, SECOND_US};

/// 2026-06-01T08:30:00Z
const NOW_US: i64 = 1_780_302_600 * SECOND_US;

const GOOD: &str = r#"{"metric":"heart_rate","value":62,"unit":"bpm","recorded_at":"2026-06-01T08:00:00Z","source":"garmin","source_device_id":"fenix-5"}"#;

fn user() -> UserId {
    UserId::parse("usr_7jRtHvBk").unwrap()
}

/// Ids that are not the places, so that mixing them up shows.
fn ids(catalogue: &Catalogue) -> Vec<MetricId> {
    (0..catalogue.len()).map(|place| MetricId(u16::try_from(place).unwrap() + 100)).collect()
}

fn bulk(body: impl AsRef<[u8]>) -> Result<PointBatch> {
    let catalogue = Catalogue::builtin();
    parse_bulk(&catalogue, &ids(&catalogue), user(), NOW_US, body.as_ref())
}

fn single(body: impl AsRef<[u8]>) -> Result<PointBatch> {
    let catalogue = Catalogue::builtin();
    parse_single(&catalogue, &ids(&catalogue), user(), NOW_US, body.as_ref())
}

fn body_of(points: &[&str]) -> String {
    format!(r#"{{"data_points":[{}]}}"#, points.join(","))
}

/// `place: type: message`, a line per fault; `ok` if there is none.
fn faults(outcome: Result<PointBatch>) -> String {
    let Err(error) = outcome else { return "ok".into() };
    let Error::Invalid(faults) = error else { panic!("{error}") };
    assert!(!faults.is_empty() && faults.len() <= FAULTS_MAX);
    let mut lines = Vec::new();
    for fault in faults {
        let mut line = String::new();
        for step in &fault.loc {
            match step {
                Loc::Key(key) => write!(line, "/{key}").unwrap(),
                Loc::Index(index) => write!(line, "/{index}").unwrap(),
            }
        }
        lines.push(format!("{line}: {}: {}", fault.kind.as_str(), fault.msg));
    }
    lines.join("\n")
}

/// [`GOOD`] with one field's value replaced by other JSON, or taken away.
fn with_field(field: &str, json: Option<&str>) -> String {
    let mut good: serde_json::Map<String, serde_json::Value> = serde_json::from_str(GOOD).unwrap();
    let value = good.remove(field);
    assert!(value.is_some(), "{field}");
    let mut fields: Vec<_> = good.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    fields.extend(json.map(|json| format!("\"{field}\":{json}")));
    format!("{{{}}}", fields.join(","))
}
