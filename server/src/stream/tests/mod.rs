//! Streams from outside: edge, router, grants and points in process.

mod faults;

use std::convert::Infallible;
use std::io::Write as _;

use axum::body::{BodyDataStream, Bytes};
use axum::http::Request as HttpRequest;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::*;
use crate::access::tests::{Header, PEER, Person, Stage};

/// A stream under way.
struct Open {
    /// Pieces of the body; dropped, the body ends.
    put: Option<UnboundedSender<Bytes>>,
    said: BodyDataStream,
    text: String,
}

impl Open {
    fn put(&self, text: impl Into<Bytes>) {
        self.put.as_ref().unwrap().send(text.into()).unwrap();
    }

    /// The next line of the answer; `None` at its end.
    async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let line = serde_json::from_str(line).unwrap();
                self.text = rest.to_owned();
                return Some(line);
            }
            let piece = self.said.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// Ends the body; every line that is left.
    async fn end(mut self) -> Vec<Value> {
        self.put = None;
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines
    }
}

async fn begin(stage: &Stage, who: &Header, query: &str, coding: &str) -> Result<Open, u16> {
    begin_with(stage, who, query, ("application/x-ndjson", coding)).await
}

async fn begin_with(stage: &Stage, who: &Header, query: &str, (kind, coding): (&str, &str)) -> Result<Open, u16> {
    let (put, mut pieces) = unbounded_channel::<Bytes>();
    let pieces = futures::stream::poll_fn(move |context| pieces.poll_recv(context)).map(Ok::<_, Infallible>);
    let request = HttpRequest::post(format!("/api/v1/wearables/stream{query}"))
        .header(who.0, &who.1)
        .header("content-type", kind)
        .header("content-encoding", coding)
        .body(Body::from_stream(pieces));
    let response = stage.edge.answer(request.unwrap(), PEER).await;
    if response.status() != 200 {
        return Err(response.status().as_u16());
    }
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    Ok(Open { put: Some(put), said: response.into_body().into_data_stream(), text: String::new() })
}

async fn open(stage: &Stage, who: &Header) -> Open {
    begin(stage, who, "", "identity").await.unwrap()
}

/// A line with a heart rate of so many days ago.
fn line(stage: &Stage, value: f64, days_ago: f64, of: Option<&Person>) -> String {
    let mut point = json!({"metric": "heart_rate", "value": value, "unit": "bpm", "recorded_at": stage.ago(days_ago), "source": "w"});
    if let Some(of) = of {
        point["user_id"] = json!(of.id);
    }
    format!("{point}\n")
}

async fn values(stage: &Stage, of: &Person) -> Vec<f64> {
    let window = stage.read(&of.token, "/wearables/metric/heart_rate").await;
    window["data_points"].as_array().unwrap().iter().map(|point| point["value"].as_f64().unwrap()).collect()
}

#[tokio::test]
async fn lines_are_acknowledged_while_the_body_is_open() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let mut stream = open(&stage, &ada.write_key).await;
    stream.put(line(&stage, 61.0, 2.0, None));
    assert_eq!(stream.line().await.unwrap(), json!({"acked_through": 1}));
    assert_eq!(values(&stage, &ada).await, [61.0], "what is acknowledged can be read");
    stream.put(line(&stage, 62.0, 1.0, None) + "\n" + line(&stage, 63.0, 0.5, None).trim());
    assert_eq!(stream.line().await.unwrap(), json!({"acked_through": 3}), "the last line has no end yet");
    assert_eq!(
        stream.end().await,
        [json!({"acked_through": 4}), json!({"done": true, "lines": 4, "ingested": 3, "skipped": 0})]
    );
    assert_eq!(values(&stage, &ada).await, [63.0, 62.0, 61.0]);
}

#[tokio::test]
async fn a_faulty_line_stops_the_stream_or_is_skipped() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let lines = [line(&stage, 61.0, 3.0, None), line(&stage, 900.0, 2.0, None), line(&stage, 63.0, 1.0, None)].concat();
    let detail = json!([{"loc": ["body", 2, "value"], "msg": "must be between 15 and 350 bpm", "type": "value_error"}]);
    let stream = open(&stage, &ada.key).await;
    stream.put(lines.clone());
    let stopped = json!({"line": 2, "detail": detail});
    assert_eq!(
        stream.end().await,
        [
            json!({"acked_through": 1}),
            json!({"done": false, "lines": 1, "ingested": 1, "skipped": 0, "stopped": stopped})
        ]
    );
    assert_eq!(values(&stage, &ada).await, [61.0]);
    let stream = begin(&stage, &ada.key, "?on_error=skip", "identity").await.unwrap();
    stream.put(lines);
    assert_eq!(
        stream.end().await,
        [
            json!({"skipped": stopped}),
            json!({"acked_through": 3}),
            json!({"done": true, "lines": 3, "ingested": 2, "skipped": 1})
        ]
    );
    assert_eq!(values(&stage, &ada).await, [63.0, 61.0]);
}

#[tokio::test]
async fn a_pipeline_writes_for_those_who_allow_it_and_that_stands_in_their_trail() {
    let stage = Stage::new().await;
    let (ada, bob, eve) = (stage.patient("Ada").await, stage.patient("Bob").await, stage.patient("Eve").await);
    let doctor = stage.doctor("Doc").await;
    stage.grant(&doctor, &ada, &["wearables_write"]).await;
    stage.grant(&doctor, &bob, &["wearables", "check_ins", "symptoms"]).await;
    let stream = begin(&stage, &doctor.write_key, "?on_error=skip", "identity").await.unwrap();
    for (of, value) in [(&ada, 61.0), (&bob, 62.0), (&eve, 63.0), (&ada, 64.0), (&doctor, 65.0)] {
        stream.put(line(&stage, value, 5.0 - value / 100.0, Some(of)));
    }
    let said = stream.end().await;
    let skipped: Vec<_> = said.iter().filter_map(|said| said["skipped"]["line"].as_u64()).collect();
    assert_eq!(skipped, [2, 3], "{said:?}");
    assert_eq!(said.last().unwrap(), &json!({"done": true, "lines": 5, "ingested": 3, "skipped": 2}));
    assert_eq!(values(&stage, &ada).await, [64.0, 61.0]);
    assert_eq!(values(&stage, &doctor).await, [65.0]);
    for other in [&bob, &eve] {
        assert_eq!(values(&stage, other).await, [0.0; 0]);
        assert_eq!(stage.read(&other.token, "/audit").await["records"], json!([]));
    }
    let trail = stage.read(&ada.token, "/audit").await;
    let records = trail["records"].as_array().unwrap();
    assert_eq!(records.len(), 1, "once a stream: {trail}");
    assert_eq!((&records[0]["what"], &records[0]["actor_id"]), (&json!("wearables_write"), &json!(doctor.id)));
}

#[tokio::test]
async fn nobody_writes_for_another_without_being_a_doctor() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.patient("Ada").await, stage.patient("Bob").await);
    let stream = open(&stage, &bob.key).await;
    stream.put(line(&stage, 61.0, 1.0, Some(&ada)));
    let said = stream.end().await;
    assert_eq!(said.last().unwrap()["stopped"]["line"], 1, "{said:?}");
    assert_eq!(values(&stage, &ada).await, [0.0; 0]);
    assert_eq!(begin(&stage, &ada.read_key, "", "identity").await.err(), Some(403), "a key that only reads");
}

#[tokio::test]
async fn the_end_of_a_grant_ends_the_writing_within_a_second() {
    let stage = Stage::new().await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let grant = stage.grant(&doctor, &ada, &["wearables_write"]).await;
    let mut stream = open(&stage, &doctor.key).await;
    stream.put(line(&stage, 61.0, 3.0, Some(&ada)));
    assert_eq!(stream.line().await.unwrap(), json!({"acked_through": 1}));
    stage.revoke(&ada, &grant).await;
    stage.clock.advance(Duration::from_secs(1));
    stream.put(line(&stage, 62.0, 2.0, Some(&ada)));
    let said = stream.end().await;
    assert_eq!(said[0]["stopped"]["line"], 2, "{said:?}");
    assert_eq!(values(&stage, &ada).await, [61.0]);
}

#[tokio::test]
async fn the_end_of_a_key_ends_its_stream_within_a_second() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let mut stream = open(&stage, &ada.write_key).await;
    stream.put(line(&stage, 61.0, 3.0, None));
    assert_eq!(stream.line().await.unwrap(), json!({"acked_through": 1}));
    let keys = stage.read(&ada.token, "/api-keys").await;
    for key in keys["api_keys"].as_array().unwrap() {
        let path = format!("/api-keys/{}", key["id"].as_str().unwrap());
        assert_eq!(stage.send(Some(&ada.token), "DELETE", &path, None).await.0, 204);
    }
    stage.clock.advance(Duration::from_secs(1));
    stream.put(line(&stage, 62.0, 2.0, None));
    let said = stream.end().await;
    assert_eq!(said[0]["done"], false, "{said:?}");
    assert_eq!(values(&stage, &ada).await, [61.0]);
}

#[tokio::test]
async fn a_stopping_server_ends_a_stream_behind_what_it_acknowledged() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let mut stream = open(&stage, &ada.key).await;
    stream.put(line(&stage, 61.0, 3.0, None));
    assert_eq!(stream.line().await.unwrap(), json!({"acked_through": 1}));
    stage.state.streams.close();
    let last = stream.line().await.unwrap();
    assert_eq!((&last["done"], &last["lines"]), (&json!(false), &json!(1)), "{last}");
    assert!(stream.line().await.is_none());
}

#[tokio::test]
async fn bodies_are_inflated_as_they_come_and_a_cut_one_is_told() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let text: String = (0..3_000).map(|nth| line(&stage, 60.0, f64::from(nth) / 1_000.0, None)).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for (coding, bytes) in [("gzip", gzip), ("zstd", zstd)] {
        let stream = begin(&stage, &ada.key, "", coding).await.unwrap();
        for piece in bytes.chunks(1_000) {
            stream.put(piece.to_vec());
        }
        let last = stream.end().await.pop().unwrap();
        assert_eq!(last, json!({"done": true, "lines": 3_000, "ingested": 3_000, "skipped": 0}), "{coding}");
        let stream = begin(&stage, &ada.key, "", coding).await.unwrap();
        stream.put(bytes[..bytes.len() - 10].to_vec());
        let last = stream.end().await.pop().unwrap();
        assert_eq!(last["stopped"]["detail"], format!("the body is not valid {coding}, or was cut"));
    }
    assert_eq!(begin(&stage, &ada.key, "", "br").await.err(), Some(415));
}

#[tokio::test]
async fn a_bomb_is_read_in_small_parts() {
    let zeros = vec![b'0'; 64 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&zeros).unwrap();
    for (coding, bomb) in
        [(Coding::Gzip, gzip.finish().unwrap()), (Coding::Zstd, zstd::encode_all(&zeros[..], 1).unwrap())]
    {
        let mut inflate = Inflate::new(Some(coding)).unwrap();
        let mut bytes = 0;
        for piece in bomb.chunks(16 << 10) {
            inflate.push(Bytes::copy_from_slice(piece));
            while let Some(plain) = inflate.next().unwrap() {
                assert!(plain.len() <= 2 << 20, "{coding:?}: {}", plain.len());
                bytes += plain.len();
            }
        }
        inflate.finish().unwrap();
        assert_eq!(bytes, zeros.len(), "{coding:?}");
    }
}

#[tokio::test]
async fn one_account_has_four_streams_at_once() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.patient("Ada").await, stage.patient("Bob").await);
    let mut streams = Vec::new();
    for _ in 0..STREAMS_PER_PERSON_MAX {
        streams.push(open(&stage, &ada.key).await);
    }
    assert_eq!(begin(&stage, &ada.key, "", "identity").await.err(), Some(503));
    drop(open(&stage, &bob.key).await.end().await);
    let one = streams.pop().unwrap();
    assert_eq!(one.end().await.len(), 1);
    // The place is given back by the task that reads, a moment behind the answer.
    while stage.state.streams.begin(UserId::parse(&ada.id).unwrap()).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_holds_nothing_up() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let stream = open(&stage, &ada.key).await;
    let chunk: String = (0..2_000).map(|nth| line(&stage, 60.0, f64::from(nth) / 1_000.0, None)).collect();
    for _ in 0..20 {
        stream.put(chunk.clone());
    }
    let said = stream.end().await;
    assert_eq!(said.last().unwrap(), &json!({"done": true, "lines": 40_000, "ingested": 40_000, "skipped": 0}));
    let acked: Vec<_> = said.iter().filter_map(|said| said["acked_through"].as_u64()).collect();
    assert!(acked.is_sorted() && acked.last() == Some(&40_000), "{acked:?}");
}
