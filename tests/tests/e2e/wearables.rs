//! Points in, points out.

use serde_json::{Value, json};
use tests::time::{ago, now, rfc3339};

use crate::setup::{bulk, heart_rate, options, server};

const BULK: &str = "/api/v1/wearables/bulk-ingest";
const INGEST: &str = "/api/v1/wearables/ingest";

fn values(answer: &Value) -> Vec<f64> {
    answer["data_points"].as_array().unwrap().iter().map(|point| point["value"].as_f64().unwrap()).collect()
}

#[tokio::test]
async fn a_point_can_be_read_as_soon_as_it_is_acknowledged() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let at = ago(60);
    let answer = ada.post(INGEST, &heart_rate(62.0, &at)).await.expect(201);
    assert_eq!(answer.json(), json!({"ingested": 1}));
    let window = ada.get("/api/v1/wearables/metric/heart_rate?days=30").await.expect(200);
    let point = json!({"value": 62.0, "recorded_at": at, "source": "watch"});
    assert_eq!(window.json(), json!({"metric": "heart_rate", "unit": "bpm", "data_points": [point]}));
    assert!(window.text.contains("62.0"), "{}", window.text);
    let latest = ada.get("/api/v1/wearables/latest").await.expect(200).json();
    assert_eq!(latest, json!({"latest": {"heart_rate": {"value": 62.0, "unit": "bpm", "recorded_at": at}}}));
}

#[tokio::test]
async fn values_read_back_as_they_were_written_and_counts_are_whole() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let written = [61.3, 62.0, 100.000_000_000_000_01, 0.1 + 62.2, 349.999_999_999_999_94];
    let points: Vec<_> = (0..).zip(written).map(|(nth, value)| heart_rate(value, &ago(600 - nth))).collect();
    ada.post(BULK, &bulk(&points)).await.expect(201);
    let window = ada.get("/api/v1/wearables/metric/heart_rate").await.expect(200).text;
    // By the standard library: serde_json without `float_roundtrip` may miss the last bit.
    let values = window.split(r#""value":"#).skip(1).map(|rest| rest.split(',').next().unwrap().parse::<f64>());
    let mut read = values.collect::<Result<Vec<_>, _>>().unwrap();
    read.reverse();
    assert_eq!(read, written);
    let steps = json!({"metric": "steps", "value": 9241, "unit": "steps", "recorded_at": ago(60), "source": "watch"});
    ada.post(INGEST, &steps).await.expect(201);
    let steps = ada.get("/api/v1/wearables/metric/steps").await.expect(200).text;
    assert!(steps.contains(r#""value":9241,"#), "{steps}");
}

#[tokio::test]
async fn a_window_is_newest_first_and_half_open() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let at = |minute: i64| rfc3339(1_717_228_800 + 60 * minute);
    let points: Vec<_> = [2, 0, 3, 1].map(|minute| heart_rate(60.0 + f64::from(minute), &at(i64::from(minute)))).into();
    ada.post(BULK, &bulk(&points)).await.expect(201);
    let path = |start, end| format!("/api/v1/wearables/metric/heart_rate?start={}&end={}", at(start), at(end));
    assert_eq!(values(&ada.get(&path(0, 4)).await.expect(200).json()), [63.0, 62.0, 61.0, 60.0]);
    assert_eq!(values(&ada.get(&path(1, 3)).await.expect(200).json()), [62.0, 61.0]);
    assert_eq!(ada.get(&path(1, 1)).await.locations(), [json!(["query", "end"])], "nothing lies in there");
    assert_eq!(values(&ada.get("/api/v1/wearables/metric/heart_rate?days=30").await.json()), [] as [f64; 0]);
    assert_eq!(values(&ada.get("/api/v1/wearables/metric/heart_rate?days=3650").await.json()).len(), 4);
}

#[tokio::test]
async fn any_offset_is_taken_and_utc_is_answered() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    ada.post(INGEST, &heart_rate(62.0, "2024-06-01T10:00:00.25+02:00")).await.expect(201);
    let answer = ada.get("/api/v1/wearables/latest").await.expect(200).json();
    assert_eq!(answer["latest"]["heart_rate"]["recorded_at"], "2024-06-01T08:00:00.250Z");
}

#[tokio::test]
async fn the_same_identity_again_replaces_the_value() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let at = ago(60);
    let mut other_device = heart_rate(70.0, &at);
    other_device["source_device_id"] = json!("wrist-2");
    let body = bulk(&[heart_rate(61.0, &at), heart_rate(62.0, &at), other_device]);
    assert_eq!(ada.post(BULK, &body).await.expect(201).json(), json!({"ingested": 3}));
    ada.post(BULK, &body).await.expect(201);
    let mut read = values(&ada.get("/api/v1/wearables/metric/heart_rate").await.expect(200).json());
    read.sort_by(f64::total_cmp);
    assert_eq!(read, [62.0, 70.0], "within a body the last wins, and no device is a device of its own");
}

#[tokio::test]
async fn one_bad_point_and_none_is_stored() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let mut points: Vec<_> = (0..10).map(|nth| heart_rate(60.0, &ago(600 + nth))).collect();
    points[3]["value"] = json!(1000.0);
    points[5]["unit"] = json!("furlongs");
    points[7]["metric"] = json!("aura");
    let answer = ada.post(BULK, &bulk(&points)).await;
    let expected =
        [(3, "value"), (5, "unit"), (7, "metric")].map(|(nth, key)| json!(["body", "data_points", nth, key]));
    assert_eq!(answer.locations(), expected);
    assert_eq!(ada.get("/api/v1/wearables/latest").await.expect(200).json(), json!({"latest": {}}));
}

#[tokio::test]
async fn every_refusal_is_located() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let good = heart_rate(60.0, &ago(60));
    let long = |len: usize| "x".repeat(len);
    let cases: [(&str, Value); 12] = [
        ("metric", json!("aura")),
        ("metric", json!(3)),
        ("value", json!(14.9)),
        ("value", json!(350.1)),
        ("value", json!("62")),
        ("value", Value::Null),
        ("unit", json!("kg")),
        ("recorded_at", json!("yesterday")),
        ("recorded_at", json!(rfc3339(now() + 86_400 + 600))),
        ("source", json!("")),
        ("source", json!(long(65))),
        ("source_device_id", json!(long(129))),
    ];
    for (key, value) in cases {
        let mut point = good.clone();
        point[key] = value.clone();
        let answer = ada.post(INGEST, &point).await;
        assert_eq!(answer.locations(), [json!(["body", key])], "{key} = {value}");
    }
    for key in ["metric", "value", "unit", "recorded_at", "source"] {
        let mut point = good.clone();
        point.as_object_mut().unwrap().remove(key);
        let answer = ada.post(INGEST, &point).await;
        assert_eq!(answer.locations(), [json!(["body", key])], "{key} is missing");
    }
    let many: Vec<_> = (0..30).map(|_| heart_rate(1000.0, &ago(60))).collect();
    assert_eq!(ada.post(BULK, &bulk(&many)).await.locations().len(), 20);
    assert_eq!(ada.post(BULK, &bulk(&[])).await.locations(), [json!(["body", "data_points"])]);
    let too_many: Vec<_> = (0..501).map(|nth| heart_rate(60.0, &ago(nth))).collect();
    assert_eq!(ada.post(BULK, &bulk(&too_many)).await.locations(), [json!(["body", "data_points"])]);
    ada.post(BULK, &bulk(&too_many[..500])).await.expect(201);
    let latest = ada.get("/api/v1/wearables/metric/heart_rate").await.json();
    assert_eq!(values(&latest).len(), 500);
}

#[tokio::test]
async fn bad_questions_are_located() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    for (query, key) in [
        ("days=0", "days"),
        ("days=3651", "days"),
        ("days=many", "days"),
        ("start=yesterday", "start"),
        ("limit=0", "limit"),
        ("limit=1000001", "limit"),
        ("limit=10&cursor=rubbish", "cursor"),
        ("bucket=3d", "bucket"),
        ("bucket=1d&agg=avg,nonsense", "agg"),
        ("bucket=1d&tz=Mars/Olympus", "tz"),
    ] {
        let answer = ada.get(&format!("/api/v1/wearables/metric/heart_rate?{query}")).await;
        assert_eq!(answer.locations(), [json!(["query", key])], "{query}");
    }
    let unknown = ada.get("/api/v1/wearables/metric/aura").await;
    assert!([404, 422].contains(&unknown.status), "{}", unknown.text);
}

#[tokio::test]
async fn accepted_units_become_the_canonical_one() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    for (metric, value, unit, expected, canonical) in [
        ("body_temperature", 98.6, "°F", 37.0, "°C"),
        ("spo2", 0.97, "1", 97.0, "%"),
        ("sleep_duration", 450.0, "min", 7.5, "hours"),
        ("hrv", 0.042, "s", 42.0, "ms"),
        ("calories", 4184.0, "kJ", 1000.0, "kcal"),
        ("respiratory_rate", 15.0, "brpm", 15.0, "breaths/min"),
    ] {
        let point = json!({"metric": metric, "value": value, "unit": unit, "recorded_at": ago(60), "source": "watch"});
        ada.post(INGEST, &point).await.expect(201);
        let window = ada.get(&format!("/api/v1/wearables/metric/{metric}")).await.expect(200).json();
        assert_eq!(window["unit"], canonical);
        let read = window["data_points"][0]["value"].as_f64().unwrap();
        assert!((read - expected).abs() < 1e-9, "{metric}: {read}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let points: Vec<_> = (0..25).map(|nth| heart_rate(60.0 + f64::from(nth), &ago(600 + i64::from(nth)))).collect();
    ada.post(BULK, &bulk(&points)).await.expect(201);
    let mut read = Vec::new();
    let mut cursor = String::new();
    for _ in 0..10 {
        let page = ada.get(&format!("/api/v1/wearables/metric/heart_rate?limit=10{cursor}")).await.expect(200).json();
        read.extend(values(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<_> = (0..25).map(|nth| 60.0 + f64::from(nth)).collect();
    assert_eq!(read, expected);
}

#[tokio::test]
async fn a_source_can_be_asked_for() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let mut strap = heart_rate(71.0, &ago(60));
    strap["source"] = json!("strap");
    ada.post(BULK, &bulk(&[heart_rate(70.0, &ago(60)), strap])).await.expect(201);
    let window = ada.get("/api/v1/wearables/metric/heart_rate?source=strap").await.expect(200).json();
    assert_eq!(values(&window), [71.0]);
}

#[tokio::test]
async fn local_days_follow_summer_time() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    // 2024-03-31 has 23 hours in Berlin: from 23:00Z on the 30th to 22:00Z on the 31st.
    let points = [
        heart_rate(60.0, "2024-03-30T22:59:59Z"),
        heart_rate(70.0, "2024-03-30T23:00:00Z"),
        heart_rate(80.0, "2024-03-31T21:59:59Z"),
        heart_rate(90.0, "2024-03-31T22:00:00Z"),
    ];
    ada.post(BULK, &bulk(&points)).await.expect(201);
    let path = "/api/v1/wearables/metric/heart_rate?start=2024-03-29T00:00:00Z&end=2024-04-02T00:00:00Z";
    let berlin = ada.get(&format!("{path}&bucket=1d&agg=avg,min,max,count&tz=Europe/Berlin")).await.expect(200).json();
    assert_eq!((&berlin["bucket"], &berlin["tz"]), (&json!("1d"), &json!("Europe/Berlin")));
    let figures: Vec<_> = berlin["buckets"].as_array().unwrap().iter().map(|bucket| bucket["avg"].clone()).collect();
    assert_eq!(figures, [json!(90.0), json!(75.0), json!(60.0)], "newest first, the empty day absent: {berlin}");
    assert_eq!(berlin["buckets"][1]["count"].as_u64(), Some(2));
    assert!(berlin["buckets"][1].get("p95").is_none(), "only what agg asked");
    let utc = ada.get(&format!("{path}&bucket=1d&agg=count")).await.expect(200).json();
    assert_eq!(utc["buckets"].as_array().unwrap().len(), 2);
    let hours = ada.get(&format!("{path}&bucket=1h&agg=max")).await.expect(200).json();
    assert_eq!(hours["buckets"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn latest_leaves_out_what_is_later_than_now() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let points = [heart_rate(62.0, &ago(60)), heart_rate(99.0, &rfc3339(now() + 3_600))];
    ada.post(BULK, &bulk(&points)).await.expect(201);
    let latest = ada.get("/api/v1/wearables/latest").await.expect(200).json();
    assert_eq!(latest["latest"]["heart_rate"]["value"], 62.0);
    assert_eq!(values(&ada.get("/api/v1/wearables/metric/heart_rate").await.json()), [62.0]);
}

#[tokio::test]
async fn the_catalogue_lists_the_ten_metrics_and_their_codes() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let text = ada.get("/api/v1/wearables/metrics").await.expect(200).text;
    for word in [
        "heart_rate",
        "hrv",
        "spo2",
        "steps",
        "sleep_duration",
        "sleep_deep",
        "sleep_rem",
        "body_temperature",
        "respiratory_rate",
        "calories",
        "hrv_sdnn",
        "steps_sample",
        "calories_sample",
        "8867-4",
        "59408-5",
        "2708-6",
    ] {
        assert!(text.contains(&format!("\"{word}\"")), "{word} in {text}");
    }
}

#[tokio::test]
async fn the_catalogue_of_the_documentation_is_complete_and_true() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let page = std::fs::read_to_string(tests::root().join("docs/src/concepts.md")).unwrap();
    let rows: Vec<Vec<String>> = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    let answer = ada.get("/api/v1/wearables/metrics").await.expect(200).json();
    for metric in answer["metrics"].as_array().unwrap() {
        let texts =
            |list: &Value| list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
        let key = metric["key"].as_str().unwrap();
        let row = rows.iter().find(|row| row[0] == key).unwrap_or_else(|| panic!("{key} is not documented"));
        let units: Vec<String> = texts(&metric["units"]);
        assert_eq!(row[1], units[0], "{key}");
        assert_eq!(row[2].replace(" (a fraction)", ""), units[1..].join(", "), "{key}");
        let bounds =
            format!("{} to {}", metric["bounds"]["min"].as_f64().unwrap(), metric["bounds"]["max"].as_f64().unwrap());
        assert_eq!(row[3].replace(',', ""), bounds, "{key}");
        let codes: Vec<String> = texts(&metric["loinc"]);
        assert_eq!(row[4], codes.join(", "), "{key}");
    }
}

#[tokio::test]
async fn a_deleted_range_is_gone_and_stays_gone() {
    let mut server = server().await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let ada = server.client().with_key(&key);
    let bob = server.person("bob@example.org");
    let points: Vec<_> =
        (0..10).map(|nth| heart_rate(60.0 + f64::from(nth), &rfc3339(1_717_228_800 + i64::from(nth)))).collect();
    for person in [&ada, &bob] {
        person.post(BULK, &bulk(&points)).await.expect(201);
    }
    let path = "/api/v1/wearables/metric/heart_rate?start=2024-06-01T08:00:03Z&end=2024-06-01T08:00:07Z";
    let deleted = ada.delete(path).await;
    assert!([200, 204].contains(&deleted.status), "{}", deleted.text);
    let whole = "/api/v1/wearables/metric/heart_rate?days=3650";
    let left = [69.0, 68.0, 67.0, 62.0, 61.0, 60.0];
    assert_eq!(values(&ada.get(whole).await.expect(200).json()), left);
    assert_eq!(values(&bob.get(whole).await.expect(200).json()).len(), 10, "another person's points stay");
    server.kill();
    server.restart().await;
    let ada = server.client().with_key(&key);
    assert_eq!(values(&ada.get(whole).await.expect(200).json()), left);
    // What comes afterwards is not covered.
    ada.post(INGEST, &points[4]).await.expect(201);
    assert_eq!(values(&ada.get(whole).await.expect(200).json()).len(), 7);
}

#[tokio::test]
async fn people_see_their_own_points_alone() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let bob = server.person("bob@example.org");
    ada.post(INGEST, &heart_rate(62.0, &ago(60))).await.expect(201);
    assert_eq!(bob.get("/api/v1/wearables/latest").await.expect(200).json(), json!({"latest": {}}));
    assert_eq!(values(&bob.get("/api/v1/wearables/metric/heart_rate").await.json()), [] as [f64; 0]);
}

#[tokio::test]
async fn compressed_bodies_are_taken() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    for (encoding, value) in [("gzip", 61.0), ("zstd", 62.0)] {
        let plain = bulk(&[heart_rate(value, &ago(60))]).to_string();
        let packed = match encoding {
            "gzip" => tests::gzip::stored(plain.as_bytes()),
            _ => zstd::encode_all(plain.as_bytes(), 3).unwrap(),
        };
        let request = ada.request("POST", BULK).header("content-type", "application/json");
        ada.send(request.header("content-encoding", encoding).body(packed)).await.expect(201);
        let latest = ada.get("/api/v1/wearables/latest").await.json();
        assert_eq!(latest["latest"]["heart_rate"]["value"], value, "{encoding}");
    }
    let request = ada.request("POST", BULK).header("content-type", "application/json");
    ada.send(request.header("content-encoding", "br").body("x")).await.expect(415);
}

#[tokio::test]
async fn long_answers_are_compressed_for_who_asks() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let points: Vec<_> = (0..500).map(|nth| heart_rate(60.0, &ago(nth))).collect();
    ada.post(BULK, &bulk(&points)).await.expect(201);
    let path = "/api/v1/wearables/metric/heart_rate";
    let plain = ada.get(path).await.expect(200);
    let packed = ada.request("GET", path).header("accept-encoding", "zstd").send().await.unwrap();
    assert_eq!(packed.headers().get("content-encoding").unwrap(), "zstd");
    let packed = packed.bytes().await.unwrap();
    assert!(packed.len() * 3 < plain.text.len(), "{} of {}", packed.len(), plain.text.len());
    assert_eq!(zstd::decode_all(packed.as_ref()).unwrap(), plain.text.as_bytes());
}

#[tokio::test]
async fn answers_are_the_same_wherever_the_points_lie() {
    let mut server = server().await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let ada = server.client().with_key(&key);
    let points: Vec<_> =
        (0..400).map(|nth| heart_rate(60.0 + f64::from(nth % 50), &ago(600 + i64::from(nth)))).collect();
    ada.post(BULK, &bulk(&points)).await.expect(201);
    let path = format!("/api/v1/wearables/metric/heart_rate?start={}&end={}", ago(3_600), ago(0));
    let buckets = format!("{path}&bucket=15m&agg=avg,count");
    let before = [ada.get(&path).await.expect(200).text, ada.get(&buckets).await.expect(200).text];
    assert_eq!(before[0].matches("recorded_at").count(), 400);

    // From the log, then from Parquet level 1.
    server.kill();
    server.restart().await;
    let ada = server.client().with_key(&key);
    assert_eq!([ada.get(&path).await.text, ada.get(&buckets).await.text], before);
    assert!(server.stop().await.success());
    server.command_ok(&["compact"]);
    server.command_ok(&["verify"]);
    server.restart().await;
    let ada = server.client().with_key(&key);
    assert_eq!([ada.get(&path).await.text, ada.get(&buckets).await.text], before);
    // The same identities again, over the files.
    ada.post(BULK, &bulk(&points)).await.expect(201);
    assert_eq!([ada.get(&path).await.text, ada.get(&buckets).await.text], before);
}

#[tokio::test]
async fn an_operators_own_metric_needs_no_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("avycenna.toml");
    let text = "[[metrics]]\nkey = \"glucose\"\nunit = \"mg/dL\"\nmin = 10\nmax = 1000\n";
    std::fs::write(&file, text).unwrap();
    let server = tests::Server::start(options().environment("AVYCENNA_CONFIG", file.to_str().unwrap())).await;
    let ada = server.person("ada@example.org");
    let point = json!({"metric": "glucose", "value": 99.0, "unit": "mg/dL", "recorded_at": ago(60), "source": "cgm"});
    ada.post(INGEST, &point).await.expect(201);
    let latest = ada.get("/api/v1/wearables/latest").await.expect(200).json();
    assert_eq!(latest["latest"]["glucose"]["value"], 99.0);
}
