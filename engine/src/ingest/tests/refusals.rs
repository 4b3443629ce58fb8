//! Bodies that are refused: where, and why; and that nothing is taken of them.

use super::*;

/// A field's name, and the JSON that takes its value's place; `None` takes the field away.
const FAULTY: [(&str, Option<&str>); 38] = [
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
    ("source", Some(r#"" \u00a0""#)),
    ("source_device_id", Some("5")),
    ("source_device_id", Some(r#""""#)),
    ("source_device_id", Some(r#""\u0000""#)),
    ("source_device_id", Some(r#"" ""#)),
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
    " \u00a0" /body/source: value_error: must not be blank
    5 /body/source_device_id: type_error: must be a string
    "" /body/source_device_id: value_error: must have 1 to 128 characters
    "\u0000" /body/source_device_id: value_error: must not hold control characters
    " " /body/source_device_id: value_error: must not be blank
    "#);
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
fn a_refused_body_leaves_nothing_for_the_next_one() {
    let good = bulk(body_of(&[GOOD])).unwrap();
    for bad in [with_field("value", None), "{".into(), "[".repeat(3_000_000)] {
        assert!(bulk(body_of(&[GOOD, &bad])).is_err());
        assert!(bulk(&bad).is_err());
        assert_eq!(bulk(body_of(&[GOOD])).unwrap(), good);
    }
}

proptest! {
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
