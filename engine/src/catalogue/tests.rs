//! The table is what the API's description says; own metrics are checked; conversions round as little as they can.

use proptest::prelude::*;

use super::*;

fn glucose() -> OwnMetric {
    OwnMetric {
        key: "blood_glucose".into(),
        unit: "mg/dL".into(),
        description: "Glucose in the \"blood\" \\ plasma".into(),
        min: 10.0,
        max: 1000.0,
        units: vec![OwnUnit { unit: "mmol/L".into(), factor: 18.0156, offset: 0.0 }],
        loinc: vec!["2339-0".into()],
        ucum: Some("mg/dL".into()),
        count: false,
    }
}

#[test]
fn the_built_in_metrics_are_the_documented_ones() {
    let catalogue = Catalogue::builtin();
    let rows: Vec<String> = catalogue
        .iter()
        .map(|metric| {
            let units: Vec<_> = metric.units.iter().map(|unit| &*unit.name).collect();
            let (min, max, ucum) = (metric.min, metric.max, metric.ucum.as_deref().unwrap_or("-"));
            format!("{} | {} | {min}..{max} | {} | {ucum}", metric.key, units.join(", "), metric.loinc.join(", "))
        })
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    heart_rate | bpm, beats/min, /min, count/min | 15..350 | 8867-4 | /min
    hrv | ms, ms (RMSSD), s | 0..1000 |  | ms
    spo2 | %, 1 | 30..100 | 59408-5, 2708-6 | %
    steps | steps, count | 0..200000 | 41950-7 | {steps}/d
    sleep_duration | hours, h, min, minutes, s | 0..24 | 93832-4 | h
    sleep_deep | hours, h, min, minutes, s | 0..24 | 93831-6 | h
    sleep_rem | hours, h, min, minutes, s | 0..24 | 93829-0 | h
    body_temperature | °C, C, degC, °F, F, degF | 20..50 | 8310-5 | Cel
    respiratory_rate | breaths/min, brpm, /min, count/min | 1..120 | 9279-1 | /min
    calories | kcal, Cal, kJ, J | 0..30000 | 41981-2 | kcal
    hrv_sdnn | ms, ms (SDNN), s | 0..1000 | 80404-7 | ms
    steps_sample | count, steps | 0..200000 | 55423-8 | {steps}
    calories_sample | kcal, Cal, kJ, J | 0..30000 |  | kcal
    ");
}

#[test]
fn built_in_metrics_pass_the_checks_of_own_ones() {
    for metric in &Catalogue::builtin() {
        assert!(metric.loinc.iter().all(|code| config::is_loinc(code)), "{}", metric.key);
        assert_eq!(
            metric.units.first().map(|unit| (&unit.name, unit.conversion)),
            Some((&metric.unit, Conversion::Same))
        );
        assert!(metric.min < metric.max);
        for unit in &metric.units {
            assert_eq!(metric.units.iter().filter(|other| other.name == unit.name).count(), 1, "{}", unit.name);
        }
    }
    let counts: Vec<_> = Catalogue::builtin().iter().filter(|m| m.is_count).map(|m| m.key.clone()).collect();
    assert_eq!(counts, ["steps".into(), "steps_sample".into()]);
}

#[test]
fn every_key_is_found_and_no_other() {
    let own = (0..1_000).map(|nth| OwnMetric { key: format!("own_metric_{nth}"), ..glucose() }).collect();
    let catalogue = Catalogue::with_own(own).unwrap();
    for (place, metric) in (0..).zip(&catalogue) {
        assert_eq!(catalogue.place(&metric.key), Some(place), "{}", metric.key);
        assert_eq!(catalogue.get(&metric.key), Some(metric));
        assert_eq!(catalogue.get(&format!("{}_", metric.key)), None);
        assert_eq!(catalogue.get(&metric.key[1..]), None);
    }
    assert_eq!(catalogue.get(""), None);
    assert_eq!(catalogue.get("own_metric_1000"), None);
    assert_eq!(catalogue.at(catalogue.len().try_into().unwrap()), None);
}

#[test]
fn own_metrics_are_refused_with_key_and_reason() {
    let unit = |unit: &str, factor, offset| OwnUnit { unit: unit.into(), factor, offset };
    let mut faults = Vec::new();
    for own in [
        OwnMetric { key: String::new(), ..glucose() },
        OwnMetric { key: "a".repeat(65), ..glucose() },
        OwnMetric { key: "Blood-Glucose".into(), ..glucose() },
        OwnMetric { key: "heart_rate".into(), ..glucose() },
        OwnMetric { min: 5.0, max: 5.0, ..glucose() },
        OwnMetric { min: f64::NAN, ..glucose() },
        OwnMetric { max: f64::INFINITY, ..glucose() },
        OwnMetric { unit: String::new(), ..glucose() },
        OwnMetric { unit: "mg\ndL".into(), ..glucose() },
        OwnMetric { ucum: Some(String::new()), ..glucose() },
        OwnMetric { description: "\0".into(), ..glucose() },
        OwnMetric { loinc: vec!["2339-1".into()], ..glucose() },
        OwnMetric { loinc: vec!["glucose".into()], ..glucose() },
        OwnMetric { loinc: vec!["2339-0".into(); 65], ..glucose() },
        OwnMetric { units: vec![unit("mg/dL", 1.0, 0.0)], ..glucose() },
        OwnMetric { units: vec![unit("", 1.0, 0.0)], ..glucose() },
        OwnMetric { units: vec![unit("g", 0.0, 0.0)], ..glucose() },
        OwnMetric { units: vec![unit("g", f64::NAN, 0.0)], ..glucose() },
        OwnMetric { units: vec![unit("g", 1.0, f64::INFINITY)], ..glucose() },
        OwnMetric { units: (0..65).map(|nth| unit(&nth.to_string(), 1.0, 0.0)).collect(), ..glucose() },
    ] {
        faults.push(Catalogue::with_own(vec![own]).unwrap_err().to_string());
    }
    faults.push(Catalogue::with_own(vec![glucose(), glucose()]).unwrap_err().to_string());
    let many = (0..1_024).map(|nth| OwnMetric { key: format!("m{nth}"), ..glucose() }).collect();
    faults.push(Catalogue::with_own(many).unwrap_err().to_string());
    insta::assert_snapshot!(faults.join("\n"), @r"
    metric ``: the key must have 1 to 64 characters
    metric `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`: the key must have 1 to 64 characters
    metric `Blood-Glucose`: the key may hold only `a` to `z`, `0` to `9` and `_`
    metric `heart_rate`: the key is a built-in metric's
    metric `blood_glucose`: `min` (5) must be less than `max` (5)
    metric `blood_glucose`: `min` must be a number between -1e15 and 1e15
    metric `blood_glucose`: `max` must be a number between -1e15 and 1e15
    metric `blood_glucose`: `unit` must have 1 to 256 bytes and no control characters
    metric `blood_glucose`: `unit` must have 1 to 256 bytes and no control characters
    metric `blood_glucose`: `ucum` must have 1 to 256 bytes and no control characters
    metric `blood_glucose`: `description` may have at most 256 bytes and no control characters
    metric `blood_glucose`: `2339-1` is no LOINC code (digits, `-`, and the check digit that belongs to them)
    metric `blood_glucose`: `glucose` is no LOINC code (digits, `-`, and the check digit that belongs to them)
    metric `blood_glucose`: `loinc` may hold at most 64 codes
    metric `blood_glucose`: the unit `mg/dL` is there twice
    metric `blood_glucose`: a unit in `units` must have 1 to 256 bytes and no control characters
    metric `blood_glucose`: `factor` of `g` must have a magnitude between 1e-9 and 1e9
    metric `blood_glucose`: `factor` of `g` must have a magnitude between 1e-9 and 1e9
    metric `blood_glucose`: `offset` of `g` must be a number between -1e15 and 1e15
    metric `blood_glucose`: `units` may hold at most 64 units
    metric `blood_glucose`: the key is there twice
    metric `m1011`: there are 1,024 metrics already
    ");
}

#[test]
fn an_own_metric_reads_from_the_configuration_and_is_rendered() {
    let text = r#"[{"key":"water","unit":"mL","min":0,"max":20000,"units":[{"unit":"L","factor":1000}],"count":true}]"#;
    let own: Vec<OwnMetric> = serde_json::from_str(text).unwrap();
    let catalogue = Catalogue::with_own([own, vec![glucose()]].concat()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&catalogue.metrics_json()).unwrap();
    let metrics = json["metrics"].as_array().unwrap();
    assert_eq!(metrics.len(), catalogue.len());
    insta::assert_snapshot!(metrics[0], @r#"{"bounds":{"max":350.0,"min":15.0},"description":"Heart rate","key":"heart_rate","loinc":["8867-4"],"ucum":"/min","unit":"bpm","units":["bpm","beats/min","/min","count/min"]}"#);
    insta::assert_snapshot!(metrics[3], @r#"{"bounds":{"max":200000,"min":0},"description":"Steps of a local day, at its start","key":"steps","loinc":["41950-7"],"ucum":"{steps}/d","unit":"steps","units":["steps","count"]}"#);
    insta::assert_snapshot!(metrics[13], @r#"{"bounds":{"max":20000,"min":0},"description":"","key":"water","loinc":[],"ucum":null,"unit":"mL","units":["mL","L"]}"#);
    insta::assert_snapshot!(metrics[14], @r#"{"bounds":{"max":1000.0,"min":10.0},"description":"Glucose in the \"blood\" \\ plasma","key":"blood_glucose","loinc":["2339-0"],"ucum":"mg/dL","unit":"mg/dL","units":["mg/dL","mmol/L"]}"#);
    assert!(catalogue.metrics_json().windows(18).any(|text| text == b"\"bounds\":{\"min\":0,"));

    let unknown_field = r#"{"key":"water","unit":"mL","min":0,"max":1,"maximum":2}"#;
    assert!(serde_json::from_str::<OwnMetric>(unknown_field).is_err());
}

#[test]
fn conversions_give_what_a_person_expects() {
    let catalogue = Catalogue::builtin();
    for (metric, unit, value, canonical) in [
        ("calories", "kJ", 0.0_f64, 0.0_f64),
        ("heart_rate", "/min", 61.5, 61.5),
        ("hrv", "s", 0.042, 42.0),
        ("hrv", "ms (RMSSD)", 42.1, 42.1),
        ("spo2", "1", 0.97, 97.0),
        ("spo2", "1", 0.58, 58.0),
        ("sleep_duration", "min", 450.0, 7.5),
        ("sleep_duration", "minutes", 7.0, 7.0 / 60.0),
        ("sleep_rem", "s", 5_400.0, 1.5),
        ("sleep_deep", "h", 1.1, 1.1),
        ("body_temperature", "°F", 98.6, 37.0),
        ("body_temperature", "F", 212.0 - 100.0, 400.0 / 9.0),
        ("body_temperature", "degC", 36.6, 36.6),
        ("calories", "kJ", 8_368.0, 2_000.0),
        ("calories", "J", 4_184.0, 1.0),
        ("calories_sample", "Cal", 12.5, 12.5),
    ] {
        let conversion = catalogue.get(metric).unwrap().conversion(unit).unwrap();
        assert_eq!(conversion.apply(value).to_bits(), canonical.to_bits(), "{value} {unit} of {metric}");
    }
    assert_eq!(catalogue.get("hrv").unwrap().conversion("ms (SDNN)"), None);
    assert_eq!(catalogue.get("heart_rate").unwrap().conversion("BPM"), None);
}

#[test]
fn a_configured_factor_of_one_part_of_a_whole_divides() {
    assert_eq!(Conversion::linear(1.0 / 60.0, 0.0), Conversion::over(60.0));
    assert_eq!(Conversion::linear(0.001, 0.0), Conversion::over(1_000.0));
    assert_eq!(Conversion::linear(18.0156, 0.0), Conversion::times(18.0156));
    assert_eq!(Conversion::linear(1.0, 0.0), Conversion::Same);
    assert_eq!(Conversion::linear(1.0, -273.15).apply(310.15).to_bits(), (310.15_f64 - 273.15).to_bits());
}

proptest! {
    #[test]
    fn the_canonical_unit_leaves_values_untouched(bits: u64) {
        for metric in &Catalogue::builtin() {
            let conversion = metric.conversion(&metric.unit).unwrap();
            prop_assert_eq!(conversion.apply(f64::from_bits(bits)).to_bits(), bits);
        }
    }

    #[test]
    fn a_division_rounds_once(value in 0.0..1e6_f64, divisor in prop::sample::select(vec![60.0, 3_600.0, 4_184.0])) {
        let quotient = Conversion::over(divisor).apply(value);
        // A quotient rounded once is off by half a unit in its last place at most; `mul_add` gives that rest exactly.
        let rest = quotient.mul_add(divisor, -value).abs();
        prop_assert!(rest <= quotient.abs() * f64::EPSILON / 2.0 * divisor);
    }

    #[test]
    fn fahrenheit_is_off_by_at_most_three_roundings(tenths in 680_i32..1_220) {
        let catalogue = Catalogue::builtin();
        let conversion = catalogue.get("body_temperature").unwrap().conversion("°F").unwrap();
        let exact = f64::from((tenths - 320) * 5) / 90.0;
        prop_assert!((conversion.apply(f64::from(tenths) / 10.0) - exact).abs() <= exact * f64::EPSILON * 3.0);
    }
}
