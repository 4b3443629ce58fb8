//! Everything of one person out of the real binary, in every form, point by point; opened by pandas and DuckDB.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::{Client, python};

use crate::setup::{bulk, server};

/// 2024-06-01T00:00:00Z
const START_US: i64 = 1_717_200_000_000_000;

/// Metric, microseconds UTC, source, device. In the order of the catalogue, too.
type Points = BTreeMap<(&'static str, i64, &'static str, Option<&'static str>), f64>;

fn unit(metric: &str) -> &'static str {
    match metric {
        "heart_rate" => "bpm",
        "hrv" => "ms",
        "spo2" => "%",
        _ => "steps",
    }
}

fn time(at_us: i64) -> String {
    engine::time::format(at_us)
}

/// Metric, time, source and device; value.
type Point = ((&'static str, i64, &'static str, Option<&'static str>), f64);

/// Points over two years, many identities met more than once, values with all digits that an f64 has.
fn generated(seed: u64, count: usize) -> Vec<Point> {
    let mut state = seed;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let number = |whole: u64| f64::from(u32::try_from(whole).unwrap());
    let mut point = || {
        let metric = ["heart_rate", "hrv", "spo2", "steps"][usize::try_from(next(4)).unwrap()];
        let source = ["watch", "phone \"7\" ü"][usize::try_from(next(2)).unwrap()];
        let device = [None, Some("left"), Some("right\\")][usize::try_from(next(3)).unwrap()];
        let at_us = START_US + i64::try_from(next(2_000) * 31_557_000_000 + next(2) * 250_001).unwrap();
        let value = match metric {
            "steps" => number(next(20_000)),
            "spo2" => 30.0 + number(next(700)) / 10.0,
            _ => 15.0 + number(next(1 << 30)) / f64::from(1 << 22) / 3.0,
        };
        ((metric, at_us, source, device), value)
    };
    (0..count).map(|_| point()).collect()
}

async fn send(client: &Client, points: &[Point]) {
    for chunk in points.chunks(500) {
        let body: Vec<Value> = chunk
            .iter()
            .map(|((metric, at_us, source, device), value)| {
                let mut point = json!({
                    "metric": metric, "value": value, "unit": unit(metric), "recorded_at": time(*at_us), "source": source
                });
                if let Some(device) = device {
                    point["source_device_id"] = json!(device);
                }
                point
            })
            .collect();
        client.post("/api/v1/wearables/bulk-ingest", &bulk(&body)).await.expect(201);
    }
}

/// The lines that a document of these points has, digit by digit.
fn lines(points: &Points) -> Vec<String> {
    let line = |((metric, at_us, source, device), value): (&(&str, i64, &str, Option<&str>), &f64)| {
        let value = if *metric == "steps" { format!("{value}") } else { format!("{value:?}") };
        let (unit, at, source, device) = (unit(metric), time(*at_us), json!(source), json!(device));
        format!(
            r#"{{"metric":"{metric}","value":{value},"unit":"{unit}","recorded_at":"{at}","source":{source},"source_device_id":{device}}}"#
        )
    };
    points.iter().map(line).collect()
}

/// The rows that `opened.py` prints of these points.
fn rows(points: &Points) -> Value {
    let row = |((metric, at_us, source, device), value): (&(&str, i64, &str, Option<&str>), &f64)| {
        json!([metric, value.to_bits().cast_signed(), unit(metric), at_us, source, device])
    };
    points.iter().map(row).collect()
}

async fn download(client: &Client, format: &str) -> Vec<u8> {
    let request = client.request("GET", &format!("/api/v1/export?format={format}"));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.bytes().await.unwrap().to_vec()
}

fn run(python: &Path, arguments: &[&Path], environment: &[(&str, &str)]) -> String {
    let output = Command::new(python).args(arguments).envs(environment.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn assert_same(found: &[&str], expected: &[String], form: &str) {
    assert_eq!(found.len(), expected.len(), "{form}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "{form}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_point_comes_out_in_every_form_and_pandas_and_duckdb_open_it() {
    let mut server = server().await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let stranger = server.person("bob@example.org");
    send(&stranger, &generated(99, 1_000)).await;
    let mut model = Points::new();
    // The first half lies in Parquet, of two levels; the second in the log and in memory.
    for (seed, is_at_rest) in [(1, true), (2, true), (3, false)] {
        let (ada, points) = (server.client().with_key(&key), generated(seed, 5_000));
        send(&ada, &points).await;
        model.extend(points);
        if is_at_rest {
            assert!(server.stop().await.success());
            server.command_ok(&["compact"]);
            server.restart().await;
        }
    }
    assert!(model.len() < 15_000, "some replaced others");
    let ada = server.client().with_key(&key);
    ada.post("/api/v1/check-ins", &json!({"mood": 4, "energy": 3, "focus": 2, "note": "Ada's own"})).await.expect(201);
    let expected = lines(&model);

    let whole = String::from_utf8(download(&ada, "json").await).unwrap();
    let points: Vec<_> = whole.lines().filter(|line| line.starts_with(r#"{"metric""#)).collect();
    let points: Vec<_> = points.into_iter().map(|line| line.trim_end_matches(',')).collect();
    assert_same(&points, &expected, "json");
    let parsed: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(parsed["points"].as_array().unwrap().len(), model.len());
    assert_eq!(parsed["counts"]["points"], json!(model.len()));
    assert_eq!(parsed["check_ins"][0]["note"], "Ada's own");
    assert_eq!(parsed["complete"], json!(true));

    let text = String::from_utf8(download(&ada, "ndjson").await).unwrap();
    let of_points = text.lines().filter(|line| line.starts_with(r#"{"type":"point","#));
    let points: Vec<_> = of_points.map(|line| line.replacen(r#""type":"point","#, "", 1)).collect();
    assert_same(&points.iter().map(String::as_str).collect::<Vec<_>>(), &expected, "ndjson");
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["counts"]), (&json!("end"), &parsed["counts"]));

    let Some(python) = python::interpreter(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let folder = tempfile::tempdir().unwrap();
    let example = tests::root().join("docs/examples/python/export.py");
    let url = server.url();
    let said = run(&python, &[&example, folder.path()], &[("URL", &url), ("KEY", &key)]);
    assert!(said.contains(&format!("{} points of 4 metrics", model.len())), "{said}");
    let opened = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/opened.py");
    let printed = run(&python, &[&opened, folder.path()], &[]);
    for (printed, reader) in printed.lines().zip(["pandas", "DuckDB"]) {
        let (found, expected) = (serde_json::from_str::<Value>(printed).unwrap(), rows(&model));
        let (found, expected) = (found.as_array().unwrap(), expected.as_array().unwrap());
        assert_eq!(found.len(), expected.len(), "{reader}");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found, expected, "{reader}");
        }
    }
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.path().join("manifest.json")).unwrap()).unwrap();
    assert_eq!((&manifest["complete"], &manifest["counts"]), (&json!(true), &parsed["counts"]));
    assert!(!whole.contains("bob@example.org"));
}
