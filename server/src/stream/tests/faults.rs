//! What a stream says when the disk fails under it, and what is there when it is sent again.

use arrow::array::{Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::ipc::writer::StreamWriter;

use super::*;

/// Points of a stream.
const POINTS: u32 = 6;

/// Newest first. By a key: behind a restart there are other secrets of tokens.
async fn heart_rates(stage: &Stage, who: &Header) -> Vec<f64> {
    let window = stage.read(who, "/wearables/metric/heart_rate").await;
    window["data_points"].as_array().unwrap().iter().map(|point| point["value"].as_f64().unwrap()).collect()
}

/// Tells which point it is.
fn value(nth: u32) -> f64 {
    60.0 + f64::from(nth)
}

/// How points are sent.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Lines,
    Arrow,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Lines, Self::Arrow];

    fn media_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// The points behind the first `from`, a piece of the body for each; the value tells which it is.
    fn pieces(self, stage: &Stage, from: usize) -> Vec<Vec<u8>> {
        let points = (0..POINTS).skip(from);
        match self {
            Self::Lines => {
                points.map(|nth| line(stage, value(nth), 5.0 - f64::from(nth) / 10.0, None).into_bytes()).collect()
            }
            Self::Arrow => {
                let batch = |nth: u32| {
                    let at = stage.state.clock.now_us() - i64::from(POINTS - nth) * 1_000_000_000;
                    RecordBatch::try_from_iter([
                        ("metric", Arc::new(StringArray::from(vec!["heart_rate"])) as _),
                        ("value", Arc::new(Float64Array::from(vec![value(nth)])) as _),
                        ("recorded_at", Arc::new(TimestampMicrosecondArray::from(vec![at])) as _),
                        ("source", Arc::new(StringArray::from(vec!["w"])) as _),
                    ])
                    .unwrap()
                };
                let batches: Vec<_> = points.map(batch).collect();
                let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
                let write = |batch: &RecordBatch| {
                    writer.write(batch).unwrap();
                    std::mem::take(writer.get_mut())
                };
                batches.iter().map(write).collect()
            }
        }
    }

    async fn open(self, stage: &Stage, who: &Header) -> Open {
        begin_with(stage, who, "", (self.media_type(), "identity")).await.unwrap()
    }
}

#[tokio::test]
async fn a_chunk_whose_sync_fails_is_never_acknowledged_and_a_resent_stream_ends_with_each_point_once() {
    for kind in Kind::ALL {
        for (acked, failing) in [(0, 1), (1, 1), (1, 2), (3, 1)] {
            fails_and_is_sent_again(kind, acked, failing).await;
        }
    }
}

/// After so many acknowledged points the `failing`th sync from then fails.
async fn fails_and_is_sent_again(kind: Kind, acked: usize, failing: usize) {
    let what = format!("{kind:?} {acked} {failing}");
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let pieces = kind.pieces(&stage, 0);
    let mut stream = kind.open(&stage, &ada.key).await;
    for (nth, piece) in pieces[..acked].iter().enumerate() {
        stream.put(piece.clone());
        assert_eq!(stream.line().await.unwrap(), json!({"acked_through": nth + 1}), "{what}");
    }
    stage.disk.fail_sync_at(u64::try_from(failing).unwrap());
    // One by one, so that there is a sync that can fail; nothing is answered behind the failing one.
    let mut said = Vec::new();
    for piece in &pieces[acked..] {
        let Some(put) = &stream.put else { break };
        if put.send(piece.clone().into()).is_err() {
            break;
        }
        let line = stream.line().await.unwrap();
        let is_end = line.get("done").is_some();
        said.push(line);
        if is_end {
            break;
        }
    }
    let (last, before) = said.split_last().unwrap();
    let durable = acked + failing - 1;
    let acks: Vec<_> = before.iter().map(|line| &line["acked_through"]).collect();
    assert_eq!(
        acks,
        (acked + 1..=durable).map(Value::from).collect::<Vec<_>>().iter().collect::<Vec<_>>(),
        "{what}: {said:?}"
    );
    assert_eq!(
        (&last["done"], &last["lines"], &last["ingested"]),
        (&json!(false), &json!(durable), &json!(durable)),
        "{what}"
    );
    assert!(last["stopped"]["detail"].is_string() && last["stopped"].get("line").is_none(), "{what}: {last}");
    assert!(stream.line().await.is_none(), "{what}: it is the end");
    // Another is refused as well, until the server has started again.
    let again = kind.open(&stage, &ada.key).await;
    for piece in &pieces {
        again.put(piece.clone());
    }
    let refused = again.end().await;
    assert_eq!(
        (refused.len(), &refused[0]["done"], &refused[0]["lines"]),
        (1, &json!(false), &json!(0)),
        "{refused:?}"
    );

    let stage = stage.restarted().await;
    let there = heart_rates(&stage, &ada.key).await.len();
    assert!(there >= durable, "{what}: {there} of {durable} acknowledged points are there");
    // It goes on behind what was acknowledged: what the log holds beyond that is sent twice.
    let stream = kind.open(&stage, &ada.key).await;
    for piece in kind.pieces(&stage, durable) {
        stream.put(piece);
    }
    let left = pieces.len() - durable;
    let done = json!({"done": true, "lines": left, "ingested": left, "skipped": 0});
    assert_eq!(stream.end().await.last().unwrap(), &done, "{what}");
    let all: Vec<f64> = (0..POINTS).rev().map(value).collect();
    assert_eq!(heart_rates(&stage, &ada.key).await, all, "{what}");
}
