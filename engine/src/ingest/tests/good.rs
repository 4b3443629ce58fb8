//! Good bodies: what is taken, and as what.

use super::*;

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
fn a_number_too_large_in_an_unknown_field_hurts_nobody() {
    let body = GOOD.replacen('{', r#"{"a":[1e999,-1e400,99999999999999999999999],"b":"1e999","#, 1);
    assert_eq!(single(body).unwrap(), single(GOOD).unwrap());
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
    .prop_filter("not blanks alone", |text: &String| !text.trim().is_empty())
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
