//! What is taken, what is refused and where, and that no body whatever breaks anything.

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

#[test]
fn a_good_body_becomes_columns_grouped_by_metric() {
    let second =
        r#"{"metric":"steps","value":9241,"unit":"count","recorded_at":"2026-05-31T22:00:00Z","source":"garmin"}"#;
    let third = r#"{"source":"garmin","source_device_id":"fenix-5","unit":"/min","value":61.5,"recorded_at":"2026-06-01T09:55:00.25+02:00","metric":"heart_rate"}"#;
    let fourth = r#"{"metric":"body_temperature","value":98.6,"unit":"°F","recorded_at":"2026-06-02T08:30:00Z","source":"o\u0308ra \ud83d\ude00","source_device_id":null}"#;
    let batch = bulk(body_of(&[GOOD, second, third, fourth])).unwrap();
    assert_eq!(batch.user(), user());
    let parts: Vec<_> = batch.parts().iter().map(|part| (part.metric.0, part.start, part.end)).collect();
    assert_eq!(parts, [(100, 0, 2), (103, 2, 3), (107, 3, 4)]);
    assert_eq!(batch.value(), [62.0, 61.5, 9241.0, 37.0]);
    let times: Vec<_> = batch.recorded_at().iter().map(|at_us| time::format(*at_us)).collect();
    assert_eq!(
        times,
        ["2026-06-01T08:00:00Z", "2026-06-01T07:55:00.250Z", "2026-05-31T22:00:00Z", "2026-06-02T08:30:00Z"]
    );
    assert_eq!(batch.origin(), [0, 0, 1, 2]);
    let origins: Vec<_> = batch.origins().iter().collect();
    assert_eq!(origins, [("garmin", Some("fenix-5")), ("garmin", None), ("o\u{308}ra \u{1F600}", None)]);
}

#[test]
fn a_single_point_is_a_batch_of_one() {
    let batch = single(GOOD).unwrap();
    assert_eq!((batch.len(), batch.value(), batch.parts().len()), (1, [62.0].as_slice(), 1));
    assert_eq!(bulk(body_of(&[GOOD])).unwrap(), batch);
}

#[test]
fn equal_identities_stay_in_order() {
    let other = with_field("value", Some("63"));
    let batch = bulk(body_of(&[GOOD, &other, GOOD])).unwrap();
    assert_eq!(batch.value(), [62.0, 63.0, 62.0]);
    assert_eq!(batch.origins().len(), 1);
}

#[test]
fn of_a_name_that_is_there_twice_the_last_value_counts() {
    let twice = GOOD.replace("\"value\":62", "\"value\":\"x\",\"value\":[1,{\"a\":2}],\"value\":63");
    assert_eq!(single(twice).unwrap().value(), [63.0]);
    let bodies = format!(r#"{{"data_points":[],"data_points":[{GOOD}],"other":{{"data_points":[]}}}}"#);
    assert_eq!(bulk(bodies).unwrap().len(), 1);
}

#[test]
fn unknown_fields_of_any_shape_are_ignored() {
    let extra =
        GOOD.replacen('{', r#"{"a":{"metric":"x","b":[1,[2,{}]]},"":null,"valu":1,"values":[],"Value":"x","#, 1);
    assert_eq!(single(&extra).unwrap(), single(GOOD).unwrap());
    let body = format!(r#"{{"a":[[]],"data_points":[{extra},{GOOD}],"z":{{"data_points":3}}}}"#);
    assert_eq!(bulk(body).unwrap().len(), 2);
}

/// A field's name, and the JSON that takes its value's place; `None` takes the field away.
const FAULTY: [(&str, Option<&str>); 36] = [
    ("metric", None),
    ("metric", Some("null")),
    ("metric", Some("7")),
    ("metric", Some(r#""pulse""#)),
    ("metric", Some(r#""""#)),
    ("value", None),
    ("value", Some("null")),
    ("value", Some("true")),
    ("value", Some(r#""62""#)),
    ("value", Some("[62]")),
    ("value", Some("14.999")),
    ("value", Some("350.001")),
    ("value", Some("-62")),
    ("value", Some("1e999")),
    ("value", Some("-1e999")),
    ("value", Some("123456789012345678901234567890")),
    ("unit", None),
    ("unit", Some("null")),
    ("unit", Some(r#""BPM""#)),
    ("unit", Some(r#""""#)),
    ("recorded_at", None),
    ("recorded_at", Some("1780302600")),
    ("recorded_at", Some(r#""yesterday""#)),
    ("recorded_at", Some(r#""2026-02-30T08:00:00Z""#)),
    ("recorded_at", Some(r#""2026-06-01T08:00:00""#)),
    ("recorded_at", Some(r#""1969-12-31T23:59:59.999999Z""#)),
    ("recorded_at", Some(r#""2026-06-02T08:30:00.000001Z""#)),
    ("source", None),
    ("source", Some("null")),
    ("source", Some("{}")),
    ("source", Some(r#""""#)),
    ("source", Some(r#""a\nb""#)),
    ("source", Some(r#""a\u0085b""#)),
    ("source_device_id", Some("5")),
    ("source_device_id", Some(r#""""#)),
    ("source_device_id", Some(r#""\u0000""#)),
];

#[test]
fn every_faulty_field_is_located() {
    let mut found = Vec::new();
    for (field, json) in FAULTY {
        let body = with_field(field, json);
        let alone = faults(single(&body));
        let third = faults(bulk(body_of(&[GOOD, GOOD, &body])));
        assert_eq!(third, alone.replace("/body/", "/body/data_points/2/"), "{body}");
        found.push(format!("{} {alone}", json.unwrap_or("-")));
    }
    insta::assert_snapshot!(found.join("\n"), @r#"
    - /body/metric: missing: is required
    null /body/metric: type_error: must be a string
    7 /body/metric: type_error: must be a string
    "pulse" /body/metric: value_error: unknown metric, GET /api/v1/wearables/metrics lists the known ones
    "" /body/metric: value_error: unknown metric, GET /api/v1/wearables/metrics lists the known ones
    - /body/value: missing: is required
    null /body/value: type_error: must be a number
    true /body/value: type_error: must be a number
    "62" /body/value: type_error: must be a number
    [62] /body/value: type_error: must be a number
    14.999 /body/value: value_error: must be between 15 and 350 bpm
    350.001 /body/value: value_error: must be between 15 and 350 bpm
    -62 /body/value: value_error: must be between 15 and 350 bpm
    1e999 /body/value: value_error: must be between 15 and 350 bpm
    -1e999 /body/value: value_error: must be between 15 and 350 bpm
    123456789012345678901234567890 /body/value: value_error: must be between 15 and 350 bpm
    - /body/unit: missing: is required
    null /body/unit: type_error: must be a string
    "BPM" /body/unit: value_error: unknown unit of heart_rate, accepted are `bpm`, `beats/min`, `/min`, `count/min`
    "" /body/unit: value_error: unknown unit of heart_rate, accepted are `bpm`, `beats/min`, `/min`, `count/min`
    - /body/recorded_at: missing: is required
    1780302600 /body/recorded_at: type_error: must be a string
    "yesterday" /body/recorded_at: value_error: must be an RFC 3339 time, such as 2026-06-01T08:30:00Z
    "2026-02-30T08:00:00Z" /body/recorded_at: value_error: must be an RFC 3339 time, such as 2026-06-01T08:30:00Z
    "2026-06-01T08:00:00" /body/recorded_at: value_error: must be an RFC 3339 time, such as 2026-06-01T08:30:00Z
    "1969-12-31T23:59:59.999999Z" /body/recorded_at: value_error: must not lie before 1970-01-01T00:00:00Z
    "2026-06-02T08:30:00.000001Z" /body/recorded_at: value_error: must not lie more than 24 hours ahead of now
    - /body/source: missing: is required
    null /body/source: type_error: must be a string
    {} /body/source: type_error: must be a string
    "" /body/source: value_error: must have 1 to 64 characters
    "a\nb" /body/source: value_error: must not hold control characters
    "a\u0085b" /body/source: value_error: must not hold control characters
    5 /body/source_device_id: type_error: must be a string
    "" /body/source_device_id: value_error: must have 1 to 128 characters
    "\u0000" /body/source_device_id: value_error: must not hold control characters
    "#);
}

#[test]
fn texts_are_measured_in_characters() {
    for (field, chars_max) in [("source", SOURCE_CHARS_MAX), ("source_device_id", DEVICE_CHARS_MAX)] {
        for letter in ["a", "é", "😀"] {
            let longest = with_field(field, Some(&format!("\"{}\"", letter.repeat(chars_max))));
            assert!(single(&longest).is_ok(), "{longest}");
            let longer = with_field(field, Some(&format!("\"{}\"", letter.repeat(chars_max + 1))));
            let fault = format!("/body/{field}: value_error: must have 1 to {chars_max} characters");
            assert_eq!(faults(single(longer)), fault);
        }
    }
}

#[test]
fn bounds_are_checked_after_conversion_and_are_inside() {
    for (metric, unit, json, is_taken) in [
        ("heart_rate", "bpm", "15", true),
        ("heart_rate", "bpm", "350.0", true),
        ("body_temperature", "°F", "68", true),
        ("body_temperature", "°F", "67.9", false),
        ("body_temperature", "°C", "67.9", false),
        ("spo2", "1", "0.3", true),
        ("spo2", "1", "97", false),
        ("spo2", "%", "0.97", false),
        ("hrv", "s", "1", true),
        ("hrv", "s", "1.001", false),
        ("sleep_duration", "min", "1440", true),
        ("sleep_duration", "hours", "1440", false),
    ] {
        let fields = [("value", json), ("metric", metric), ("unit", unit)];
        let mut body: serde_json::Value = serde_json::from_str(GOOD).unwrap();
        for (field, text) in fields {
            body[field] = if field == "value" { serde_json::from_str(text).unwrap() } else { text.into() };
        }
        assert_eq!(single(body.to_string()).is_ok(), is_taken, "{body}");
    }
    assert_eq!(
        faults(single(GOOD.replace("heart_rate", "spo2").replace("bpm", "1"))),
        "/body/value: value_error: must be between 30 and 100 %"
    );
}

#[test]
fn the_negative_zero_is_stored_as_zero() {
    let body = GOOD.replace("heart_rate", "steps").replace("bpm", "steps").replace("62", "-0.0");
    assert_eq!(single(body).unwrap().value()[0].to_bits(), 0);
}

#[test]
fn all_faults_of_a_body_come_at_once() {
    let bad = r#"{"metric":"pulse","value":"x","unit":7,"recorded_at":"now","source":"","source_device_id":[]}"#;
    insta::assert_snapshot!(faults(bulk(body_of(&[GOOD, bad, "[]", "{}", GOOD]))), @r"
    /body/data_points/1/metric: value_error: unknown metric, GET /api/v1/wearables/metrics lists the known ones
    /body/data_points/1/value: type_error: must be a number
    /body/data_points/1/unit: type_error: must be a string
    /body/data_points/1/recorded_at: value_error: must be an RFC 3339 time, such as 2026-06-01T08:30:00Z
    /body/data_points/1/source: value_error: must have 1 to 64 characters
    /body/data_points/1/source_device_id: type_error: must be a string
    /body/data_points/2: type_error: must be an object
    /body/data_points/3/metric: missing: is required
    /body/data_points/3/value: missing: is required
    /body/data_points/3/unit: missing: is required
    /body/data_points/3/recorded_at: missing: is required
    /body/data_points/3/source: missing: is required
    ");
}

#[test]
fn at_most_twenty_faults_are_listed() {
    let body = body_of(&[r#"{"metric":"pulse"}"#; 100]);
    let Err(Error::Invalid(faults)) = bulk(body) else { panic!("taken") };
    assert_eq!(faults.len(), FAULTS_MAX);
    assert_eq!(faults[19].loc[2], Loc::Index(3));
}

#[test]
fn the_frame_of_a_bulk_body_is_checked() {
    for (body, fault) in [
        ("[]", "/body: type_error: must be an object"),
        ("7", "/body: type_error: must be an object"),
        ("null", "/body: type_error: must be an object"),
        ("\"data_points\"", "/body: type_error: must be an object"),
        ("{}", "/body/data_points: missing: is required"),
        (GOOD, "/body/data_points: missing: is required"),
        (r#"{"data_points":null}"#, "/body/data_points: type_error: must be an array"),
        (r#"{"data_points":{}}"#, "/body/data_points: type_error: must be an array"),
        (r#"{"data_points":[]}"#, "/body/data_points: value_error: must hold 1 to 500 points, not 0"),
        (r#"{"data_points":[7]}"#, "/body/data_points/0: type_error: must be an object"),
    ] {
        assert_eq!(faults(bulk(body)), fault, "{body}");
    }
    assert_eq!(bulk(body_of(&[GOOD; POINTS_MAX])).unwrap().len(), POINTS_MAX);
    assert_eq!(
        faults(bulk(body_of(&[GOOD; POINTS_MAX + 1]))),
        "/body/data_points: value_error: must hold 1 to 500 points, not 501"
    );
    assert_eq!(faults(single("[]")), "/body: type_error: must be an object");
}

const MALFORMED: [&[u8]; 29] = [
    b"",
    b"   ",
    b"{\"a\":\"\x01\"}",
    b"{\"a\":tru}",
    b"{\"a\":nul",
    b"{\"a\" 1}",
    b"{\"a\":1,}",
    b"{a:1}",
    b"[1 2]",
    b"[1,]",
    b"{\"a\":01}",
    b"{\"a\":1.}",
    b"{\"a\":.5}",
    b"{\"a\":+1}",
    b"{\"a\":1e}",
    b"{\"a\":NaN}",
    b"{\"a\":0x1f}",
    b"{\"a\":\"\\x\"}",
    b"{\"a\":\"\\u12g4\"}",
    b"{\"a\":\"\\ud800\"}",
    b"{\"a\":\"\\ud800\\u0041\"}",
    b"{\"a\":\"open}",
    b"{}{}",
    b"{} x",
    b"{]",
    b"}",
    b"\xef\xbb\xbf{}",
    b"{'a':1}",
    b"{\"a\":1/*c*/}",
];

#[test]
fn malformed_json_is_located_by_its_byte() {
    let cut = &GOOD[..40];
    let brackets = "[".repeat(100_000);
    let objects = r#"{"a":"#.repeat(100_000);
    let deep_in_a_point = GOOD.replacen('{', &format!(r#"{{"a":{}{},"#, "[".repeat(31), "]".repeat(31)), 1);
    let too_deep = GOOD.replacen('{', &format!(r#"{{"a":{}{},"#, "[".repeat(32), "]".repeat(32)), 1);
    assert!(single(deep_in_a_point).is_ok());
    let not_utf8 = [br#"{"metric":""#.as_slice(), b"\xff\"}"].concat();
    let mut found = Vec::new();
    let made = [
        cut.as_bytes(),
        &GOOD.as_bytes()[..GOOD.len() - 1],
        not_utf8.as_slice(),
        brackets.as_bytes(),
        objects.as_bytes(),
        too_deep.as_bytes(),
    ];
    for body in MALFORMED.into_iter().chain(made) {
        let alone = faults(single(body));
        assert_eq!(faults(bulk(body)), alone);
        let shown: String = String::from_utf8_lossy(body).chars().take(24).collect();
        found.push(format!("{shown:?} {alone}"));
    }
    insta::assert_snapshot!(found.join("\n"), @r#"
    "" /body/0: json_invalid: malformed JSON: the body ends too early
    "   " /body/3: json_invalid: malformed JSON: the body ends too early
    "{\"a\":\"\u{1}\"}" /body/6: json_invalid: malformed JSON: a control character must be escaped
    "{\"a\":tru}" /body/8: json_invalid: malformed JSON: expected a value
    "{\"a\":nul" /body/8: json_invalid: malformed JSON: the body ends too early
    "{\"a\" 1}" /body/5: json_invalid: malformed JSON: expected `:`
    "{\"a\":1,}" /body/7: json_invalid: malformed JSON: expected a name in quotes
    "{a:1}" /body/1: json_invalid: malformed JSON: expected a name in quotes
    "[1 2]" /body/3: json_invalid: malformed JSON: expected `,` or `]`
    "[1,]" /body/3: json_invalid: malformed JSON: expected a value
    "{\"a\":01}" /body/6: json_invalid: malformed JSON: expected `,` or `}`
    "{\"a\":1.}" /body/7: json_invalid: malformed JSON: expected a digit
    "{\"a\":.5}" /body/5: json_invalid: malformed JSON: expected a value
    "{\"a\":+1}" /body/5: json_invalid: malformed JSON: expected a value
    "{\"a\":1e}" /body/7: json_invalid: malformed JSON: expected a digit
    "{\"a\":NaN}" /body/5: json_invalid: malformed JSON: expected a value
    "{\"a\":0x1f}" /body/6: json_invalid: malformed JSON: expected `,` or `}`
    "{\"a\":\"\\x\"}" /body/7: json_invalid: malformed JSON: no such escape
    "{\"a\":\"\\u12g4\"}" /body/10: json_invalid: malformed JSON: expected four hexadecimal digits
    "{\"a\":\"\\ud800\"}" /body/6: json_invalid: malformed JSON: half of a surrogate pair
    "{\"a\":\"\\ud800\\u0041\"}" /body/6: json_invalid: malformed JSON: half of a surrogate pair
    "{\"a\":\"open}" /body/11: json_invalid: malformed JSON: the body ends too early
    "{}{}" /body/2: json_invalid: malformed JSON: nothing may follow the value
    "{} x" /body/3: json_invalid: malformed JSON: nothing may follow the value
    "{]" /body/1: json_invalid: malformed JSON: expected a name in quotes
    "}" /body/0: json_invalid: malformed JSON: expected a value
    "\u{feff}{}" /body/0: json_invalid: malformed JSON: expected a value
    "{'a':1}" /body/1: json_invalid: malformed JSON: expected a name in quotes
    "{\"a\":1/*c*/}" /body/6: json_invalid: malformed JSON: expected `,` or `}`
    "{\"metric\":\"heart_rate\",\"" /body/40: json_invalid: malformed JSON: the body ends too early
    "{\"metric\":\"heart_rate\",\"" /body/130: json_invalid: malformed JSON: the body ends too early
    "{\"metric\":\"�\"}" /body/11: json_invalid: malformed JSON: not UTF-8
    "[[[[[[[[[[[[[[[[[[[[[[[[" /body/32: json_invalid: malformed JSON: nested deeper than 32 levels
    "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\"" /body/160: json_invalid: malformed JSON: nested deeper than 32 levels
    "{\"a\":[[[[[[[[[[[[[[[[[[[" /body/36: json_invalid: malformed JSON: nested deeper than 32 levels
    "#);
}

#[test]
fn a_number_too_large_in_an_unknown_field_hurts_nobody() {
    let body = GOOD.replacen('{', r#"{"a":[1e999,-1e400,99999999999999999999999],"b":"1e999","#, 1);
    assert_eq!(single(body).unwrap(), single(GOOD).unwrap());
}

#[test]
fn a_refused_body_leaves_nothing_for_the_next_one() {
    let good = bulk(body_of(&[GOOD])).unwrap();
    for bad in [with_field("value", None), "{".into(), "[".repeat(3_000_000)] {
        assert!(bulk(body_of(&[GOOD, &bad])).is_err());
        assert!(bulk(&bad).is_err());
        assert_eq!(bulk(body_of(&[GOOD])).unwrap(), good);
    }
}

#[test]
fn own_metrics_are_taken_by_their_own_rules() {
    let own =
        r#"[{"key":"blood_glucose","unit":"mg/dL","min":10,"max":1000,"units":[{"unit":"mmol/L","factor":18.0}]}]"#;
    let own: Vec<OwnMetric> = serde_json::from_str(own).unwrap();
    let catalogue = Catalogue::with_own(own).unwrap();
    let body = |value| GOOD.replace("heart_rate", "blood_glucose").replace("bpm", "mmol/L").replace("62", value);
    let parse = |body: String| parse_single(&catalogue, &ids(&catalogue), user(), NOW_US, body.as_bytes());
    let batch = parse(body("5.5")).unwrap();
    assert_eq!((batch.value(), batch.parts()[0].metric), ([99.0].as_slice(), MetricId(113)));
    assert_eq!(faults(parse(body("56"))), "/body/value: value_error: must be between 10 and 1000 mg/dL");
    // The thread's scratch has seen 14 metrics; the built-in catalogue has 13.
    assert!(single(body("5.5")).is_err());
}

#[test]
fn a_catalogue_without_ids_is_an_error_not_a_wrong_metric() {
    let outcome = parse_single(&Catalogue::builtin(), &[], user(), NOW_US, GOOD.as_bytes());
    assert!(matches!(outcome, Err(Error::Storage(storage::Error::Batch { .. }))));
}

/// A point as it will be written, and what is expected of it.
#[derive(Debug, Clone)]
struct Sample {
    metric: usize,
    unit: usize,
    value: f64,
    at_us: i64,
    offset_minutes: i32,
    source: String,
    device: Option<String>,
    order: usize,
    space: &'static str,
    is_escaped: bool,
}

fn text_of(chars_max: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(
        any::<char>().prop_filter("no control characters", |letter| !letter.is_control()),
        1..chars_max,
    )
    .prop_map(|letters| letters.into_iter().collect())
}

fn sample() -> impl Strategy<Value = Sample> {
    let origin = (
        prop_oneof![Just("garmin".to_owned()), text_of(SOURCE_CHARS_MAX + 1)],
        prop::option::of(prop_oneof![Just("fenix-5".to_owned()), text_of(DEVICE_CHARS_MAX + 1)]),
    );
    let place = (0..13_usize, 0..6_usize, 0.0..=1.0_f64);
    let when = (0..=NOW_US + DAY_US, -1_439..1_440);
    let looks = (0..720_usize, prop::sample::select(vec!["", " ", "\n\t", "\r\n  "]), any::<bool>());
    (place, when, origin, looks).prop_map(|((metric, unit, part), (at_us, offset_minutes), (source, device), looks)| {
        let (order, space, is_escaped) = looks;
        let catalogue = Catalogue::builtin();
        let known = catalogue.iter().nth(metric).unwrap();
        let unit = unit % known.units.len();
        // A canonical value that is inside for certain, taken back to the unit.
        let canonical = (known.max - known.min).mul_add(part * 0.98 + 0.01, known.min);
        let per_unit = known.units[unit].conversion.apply(1.0) - known.units[unit].conversion.apply(0.0);
        let value = (canonical - known.units[unit].conversion.apply(0.0)) / per_unit;
        Sample { metric, unit, value, at_us, offset_minutes, source, device, order, space, is_escaped }
    })
}

fn json_text(text: &str, is_escaped: bool) -> String {
    if !is_escaped {
        return serde_json::to_string(text).unwrap();
    }
    let mut json = "\"".to_owned();
    for unit in text.encode_utf16() {
        write!(json, "\\u{unit:04x}").unwrap();
    }
    json + "\""
}

impl Sample {
    fn render(&self) -> String {
        let catalogue = Catalogue::builtin();
        let metric = catalogue.iter().nth(self.metric).unwrap();
        let offset = jiff::tz::Offset::from_seconds(self.offset_minutes * 60).unwrap();
        let at = jiff::Timestamp::from_microsecond(self.at_us).unwrap().display_with_offset(offset).to_string();
        let text = |text: &str| json_text(text, self.is_escaped);
        let mut fields = vec![
            ("metric", text(&metric.key)),
            ("value", format!("{:?}", self.value)),
            ("unit", text(&metric.units[self.unit].name)),
            ("recorded_at", text(&at)),
            ("source", text(&self.source)),
            ("source_device_id", self.device.as_deref().map_or("null".into(), text)),
        ];
        // One of the 720 orders of six fields.
        let (mut order, mut shuffled) = (self.order, Vec::new());
        for left in (1..=fields.len()).rev() {
            shuffled.push(fields.remove(order % left));
            order /= left;
        }
        let space = self.space;
        let fields: Vec<_> =
            shuffled.iter().map(|(name, json)| format!("{space}{}{space}:{space}{json}{space}", text(name))).collect();
        format!("{{{}}}", fields.join(","))
    }
}

/// (metric id, canonical value's bits, time, source, device) of every row.
type Rows = Vec<(u16, u64, i64, String, Option<String>)>;

fn rows(batch: &PointBatch) -> Rows {
    let mut rows = Vec::new();
    for part in batch.parts() {
        for row in part.rows() {
            let (source, device) = batch.origins().get(batch.origin()[row].into()).unwrap();
            let value = batch.value()[row].to_bits();
            rows.push((part.metric.0, value, batch.recorded_at()[row], source.into(), device.map(Into::into)));
        }
    }
    rows
}

/// What the batch of these samples must hold: parts in order of first appearance.
fn expected(samples: &[Sample]) -> (Rows, Origins) {
    let catalogue = Catalogue::builtin();
    let mut order: Vec<usize> = Vec::new();
    let mut origins = Origins::default();
    for sample in samples {
        if !order.contains(&sample.metric) {
            order.push(sample.metric);
        }
        origins.intern(&sample.source, sample.device.as_deref());
    }
    let mut rows = Vec::new();
    for metric in order {
        for sample in samples.iter().filter(|sample| sample.metric == metric) {
            let known = catalogue.iter().nth(metric).unwrap();
            let value = known.units[sample.unit].conversion.apply(sample.value);
            let id = u16::try_from(metric).unwrap() + 100;
            rows.push((id, value.to_bits(), sample.at_us, sample.source.clone(), sample.device.clone()));
        }
    }
    (rows, origins)
}

proptest! {
    #[test]
    fn rendered_points_parse_back(samples in prop::collection::vec(sample(), 1..40)) {
        let points: Vec<_> = samples.iter().map(Sample::render).collect();
        let points: Vec<_> = points.iter().map(String::as_str).collect();
        let batch = bulk(body_of(&points)).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let (expected_rows, expected_origins) = expected(&samples);
        prop_assert_eq!(rows(&batch), expected_rows);
        prop_assert_eq!(batch.origins(), &expected_origins);
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(bulk(&body).is_err());
        prop_assert!(single(&body).is_err());
    }

    #[test]
    fn random_json_like_text_is_refused_where_serde_json_refuses_it(text in r#"([\[\]{},:]|"[a\\u/"]{0,3}"|-?[0-9.eE+]{1,4}|true|null|[ \n]){0,12}"#) {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let finding = examine(text.as_bytes());
        prop_assert_eq!(matches!(finding, Finding::Valid { .. }), is_json, "{:?}", finding);
        let Err(Error::Invalid(faults)) = bulk(&text) else { return Err(TestCaseError::fail("taken")) };
        prop_assert_eq!(faults[0].kind == FaultKind::Json, !is_json, "{:?}", faults);
    }

    #[test]
    fn a_changed_body_never_panics_and_is_refused_as_a_whole_or_taken_as_a_whole(
        places in prop::collection::vec((0_usize..400, any::<u8>()), 1..4),
        cut in prop::option::of(0_usize..400),
    ) {
        let mut body = body_of(&[GOOD, &with_field("source_device_id", None), GOOD]).into_bytes();
        for (place, byte) in places {
            if let Some(changed) = body.get_mut(place) {
                *changed = byte;
            }
        }
        body.truncate(cut.unwrap_or(body.len()));
        let is_json = std::str::from_utf8(&body).is_ok() && serde_json::from_slice::<serde_json::Value>(&body).is_ok();
        match bulk(&body) {
            Ok(batch) => prop_assert!(is_json && batch.len() == 3),
            Err(Error::Invalid(faults)) => {
                prop_assert!(!faults.is_empty() && faults.len() <= FAULTS_MAX);
                if is_json {
                    prop_assert!(faults.iter().all(|fault| fault.kind != FaultKind::Json), "{:?}", faults);
                }
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }
}

/// A body of 500 points as a watch sends them: a run of heart rates, then a few of the others.
fn lifelike_body() -> String {
    let mut points = Vec::new();
    for nth in 0..i64::try_from(POINTS_MAX).unwrap() {
        let (metric, unit, value) = match nth % 50 {
            47 => ("hrv", "ms", format!("{}.5", 40 + nth % 20)),
            48 => ("spo2", "%", format!("{}", 94 + nth % 6)),
            49 => ("respiratory_rate", "breaths/min", format!("{}.2", 12 + nth % 5)),
            _ => ("heart_rate", "bpm", format!("{}", 55 + nth % 40)),
        };
        let at = time::format(NOW_US - DAY_US + nth * 300 * SECOND_US);
        points.push(format!(
            r#"{{"metric":"{metric}","value":{value},"unit":"{unit}","recorded_at":"{at}","source":"garmin","source_device_id":"fenix-5-{}"}}"#,
            7
        ));
    }
    let points: Vec<_> = points.iter().map(String::as_str).collect();
    body_of(&points)
}

#[test]
#[ignore = "prints a time, which only a release build makes meaningful"]
#[expect(clippy::disallowed_methods, reason = "measures itself")]
fn microseconds_a_point() {
    let body = lifelike_body();
    let now_us = NOW_US + 30 * DAY_US;
    let catalogue = Catalogue::builtin();
    let ids = ids(&catalogue);
    let (mut best, mut best_tape) = (f64::INFINITY, f64::INFINITY);
    let mut buffers = Buffers::default();
    for _ in 0..50 {
        let mut scratch = body.clone().into_bytes();
        let mut tape = Tape(Vec::new());
        let begun = std::time::Instant::now();
        for _ in 0..40 {
            scratch.copy_from_slice(body.as_bytes());
            let mut filled = tape.reset();
            simd_json::fill_tape(&mut scratch, &mut buffers, &mut filled).unwrap();
            tape = filled.reset();
        }
        best_tape = best_tape.min(begun.elapsed().as_secs_f64() * 1e6 / 40.0 / 500.0);
        let begun = std::time::Instant::now();
        for _ in 0..40 {
            let batch = parse_bulk(&catalogue, &ids, user(), now_us, body.as_bytes()).unwrap();
            std::hint::black_box(batch);
        }
        best = best.min(begun.elapsed().as_secs_f64() * 1e6 / 40.0 / 500.0);
    }
    println!("{best:.3} µs a point, of that the tape {best_tape:.3}; {} bytes a body", body.len());
}
