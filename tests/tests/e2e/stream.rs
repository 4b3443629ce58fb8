//! Streams against the real binary: real clients, and a server that dies in the middle.

use std::path::Path;
use std::process::Command;

use futures::StreamExt as _;
use serde_json::{Value, json};
use tests::time::{now, rfc3339};

use crate::setup::server;

const STREAM: &str = "/api/v1/wearables/stream";

/// So many heart rates, a second apart, the first one so many seconds ago.
fn lines(count: i64, ago: i64) -> String {
    let begin = now() - ago;
    let line = |nth: i64| {
        let point = json!({
            "metric": "heart_rate", "value": 60 + nth % 40, "unit": "bpm", "recorded_at": rfc3339(begin + nth), "source": "w",
        });
        format!("{point}\n")
    };
    (0..count).map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_acknowledged_is_there_after_the_server_was_killed() {
    let mut server = server().await;
    let ada = server.person("ada@example.org");
    let (put, pieces) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(4);
    let pieces = futures::stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) });
    let request = ada.request("POST", STREAM).header("content-type", "application/x-ndjson");
    let body = reqwest::Body::wrap_stream(Box::pin(pieces));
    let sending = tokio::spawn(async move {
        for nth in 0_i64.. {
            if put.send(Ok(lines(2_000, 400_000 - 2_000 * nth))).await.is_err() {
                break;
            }
        }
    });
    let mut said = request.body(body).send().await.unwrap().bytes_stream();
    let mut text = String::new();
    let mut acked = 0;
    while acked < 20_000 {
        text.push_str(std::str::from_utf8(&said.next().await.unwrap().unwrap()).unwrap());
        let (whole, rest) = text.rsplit_once('\n').unwrap_or(("", &text));
        for line in whole.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            acked = line["acked_through"].as_i64().unwrap_or_else(|| panic!("{line}"));
        }
        text = rest.to_owned();
    }
    server.kill();
    sending.abort();
    server.restart().await;
    let window = ada.moved_to(&server.url()).get("/api/v1/wearables/metric/heart_rate?bucket=1mo&agg=count").await;
    let buckets = window.expect(200).json();
    let stored: i64 =
        buckets["buckets"].as_array().unwrap().iter().map(|bucket| bucket["count"].as_i64().unwrap()).sum();
    assert!(stored >= acked, "{stored} of {acked} acknowledged points are there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataframe_is_streamed_by_the_example() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let Some(python) = tests::python::interpreter(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let key = server.key("ada@example.org");
    let file = tests::root().join("docs/examples/python/stream.py");
    let output = Command::new(python).arg(file).env("URL", server.url()).env("KEY", key).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "43200 of 43200 points are durable\n");
    let buckets = ada.get("/api/v1/wearables/metric/heart_rate?bucket=1mo&agg=count,avg").await.expect(200).json();
    let counts = buckets["buckets"].as_array().unwrap().iter().map(|bucket| bucket["count"].as_i64().unwrap());
    assert_eq!(counts.sum::<i64>(), 43_200, "{buckets}");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_streams_a_file() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("points.ndjson");
    std::fs::write(&file, lines(10_000, 20_000)).unwrap();
    let secret = server.key("ada@example.org");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail-with-body", "-T"])
        .arg(&file)
        .args(["-X", "POST", "-H", "Content-Type: application/x-ndjson", "-H"])
        .arg(format!("X-API-Key: {secret}"))
        .arg(format!("{}{STREAM}", server.url()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last, json!({"done": true, "lines": 10_000, "ingested": 10_000, "skipped": 0}));
    let latest = ada.get("/api/v1/wearables/latest").await.expect(200).json();
    assert!(latest["latest"]["heart_rate"].is_object(), "{latest}");
}
