//! Writers that remember, and a server that dies.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tests::time::rfc3339;
use tests::{Client, Options, Server};
use tokio::time::Instant;

const WRITERS: i64 = 8;
const BODY_POINTS: i64 = 50;
const ROUNDS: i64 = 6;
/// 2024-06-01T08:00:00Z; every writer counts seconds from here.
const START: i64 = 1_717_228_800;
const WHOLE: &str = "/api/v1/wearables/metric/heart_rate?start=2024-06-01T00:00:00Z&end=2025-06-01T00:00:00Z";

fn options() -> Options {
    Options::new(env!("CARGO_BIN_EXE_avycenna-under-test"))
}

/// Budgets so small that seal, flush and compaction go on all the time.
fn cramped() -> Options {
    options()
        .environment("AVYCENNA_STORAGE_SEAL_BYTES", "32768")
        .environment("AVYCENNA_STORAGE_LOG_FILE_BYTES", "131072")
        .environment("AVYCENNA_STORAGE_LEVEL0_FILES", "2")
        .environment("AVYCENNA_STORAGE_LEVEL1_RUNS", "2")
        .environment("AVYCENNA_STORAGE_LEVEL1_FILE_BYTES", "65536")
}

/// What one writer knows about the points of its source.
#[derive(Debug, Default)]
struct Memory {
    /// Second → value, of answered bodies.
    acknowledged: BTreeMap<i64, f64>,
    /// The body that was on its way when the server died: second → value.
    unanswered: BTreeMap<i64, f64>,
    next: i64,
}

/// One person, one source a writer.
#[derive(Debug)]
struct Writer {
    source: String,
    memory: Memory,
}

impl Writer {
    /// The next body: new seconds, and now and then the seconds before with other values.
    fn body(&mut self, generation: i64) -> (BTreeMap<i64, f64>, Value) {
        let again = self.memory.next > 0 && self.memory.next % (5 * BODY_POINTS) == 0;
        let first = if again { self.memory.next - BODY_POINTS } else { self.memory.next };
        self.memory.next = first + BODY_POINTS + i64::from(again);
        let points: BTreeMap<i64, f64> = (first..first + BODY_POINTS)
            .map(|at| (at, f64::from(u8::try_from(60 + (at * 7 + generation * 13) % 100).unwrap())))
            .collect();
        let list: Vec<_> = points
            .iter()
            .map(|(at, value)| {
                json!({"metric": "heart_rate", "value": value, "unit": "bpm", "recorded_at": rfc3339(START + at), "source": self.source})
            })
            .collect();
        (points, json!({ "data_points": list }))
    }

    /// Sends until the server dies; the number of bodies that were answered.
    async fn write(&mut self, client: &Client, generation: i64) -> i64 {
        for answered in 0.. {
            let (points, body) = self.body(31 * generation + answered);
            let request = client.request("POST", "/api/v1/wearables/bulk-ingest").json(&body);
            match client.try_send(request).await {
                Ok(answer) if answer.status == 201 => self.memory.acknowledged.extend(points),
                Ok(answer) => {
                    // Backpressure is an answer: nothing of the body may be stored.
                    assert_eq!(answer.status, 503, "{}", answer.text);
                    self.memory.next -= BODY_POINTS;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(_) => {
                    self.memory.unanswered = points;
                    return answered;
                }
            }
        }
        0
    }

    /// Compares what the server has with what this writer knows, and takes over what the unanswered body became.
    fn check(&mut self, found: &BTreeMap<i64, f64>) {
        let unanswered = std::mem::take(&mut self.memory.unanswered);
        let stored = unanswered.iter().filter(|(at, value)| found.get(at) == Some(value)).count();
        let displaced = unanswered.iter().filter(|(at, value)| self.memory.acknowledged.get(at) == Some(value)).count();
        if stored == unanswered.len() {
            self.memory.acknowledged.extend(unanswered);
        } else {
            assert_eq!(stored, displaced, "{}: a part of a body is stored: {unanswered:?}", self.source);
        }
        for (at, value) in &self.memory.acknowledged {
            let place = rfc3339(START + at);
            assert_eq!(found.get(at), Some(value), "{} {place}: an acknowledged point is lost or changed", self.source);
        }
        assert_eq!(found.len(), self.memory.acknowledged.len(), "{}: points that nobody sent", self.source);
    }
}

/// The stored points of one source, by second.
async fn stored(client: &Client, source: &str) -> BTreeMap<i64, f64> {
    let answer = client.get(&format!("{WHOLE}&source={source}")).await.expect(200).json();
    let points = answer["data_points"].as_array().unwrap();
    let found: BTreeMap<i64, f64> = points
        .iter()
        .map(|point| (seconds(point["recorded_at"].as_str().unwrap()), point["value"].as_f64().unwrap()))
        .collect();
    assert_eq!(found.len(), points.len(), "{source}: an identity came twice");
    found
}

/// Seconds since [`START`], of a time of the following days.
fn seconds(text: &str) -> i64 {
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    assert!(text.starts_with("2024-06-") && text.len() == 20, "{text}");
    let at = 86_400 * (number(8, 10) - 1) + 3_600 * number(11, 13) + 60 * number(14, 16) + number(17, 19);
    at - 8 * 3_600
}

/// Kills the server `rounds` times while all writers write, each time a little later than before.
async fn rounds(options: Options, life: impl Fn(u64) -> Duration) {
    let mut server = Server::start(options).await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let mut writers: Vec<_> =
        (0..WRITERS).map(|nth| Writer { source: format!("writer-{nth}"), memory: Memory::default() }).collect();
    let mut answered = 0;
    for round in 0..ROUNDS {
        let client = server.client().with_key(&key);
        let writing = futures::future::join_all(writers.iter_mut().map(|writer| writer.write(&client, round)));
        let (counts, ()) = tokio::join!(writing, async {
            tokio::time::sleep(life(round.unsigned_abs())).await;
            server.kill();
        });
        answered += counts.iter().sum::<i64>();
        server.restart().await;
        let client = server.client().with_key(&key);
        for writer in &mut writers {
            writer.check(&stored(&client, &writer.source).await);
        }
    }
    assert!(answered >= 3 * WRITERS, "only {answered} bodies were answered: the test proves little");

    // And through all that the files are sound.
    server.kill();
    server.command_ok(&["verify"]);
    server.command_ok(&["compact"]);
    server.command_ok(&["verify"]);
    server.restart().await;
    let client = server.client().with_key(&key);
    for writer in &mut writers {
        writer.check(&stored(&client, &writer.source).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_point_survives_sigkill() {
    rounds(options(), |round| Duration::from_millis(150 + 170 * round)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_during_flush_and_compaction_loses_nothing() {
    rounds(cramped(), |round| Duration::from_millis(300 + 210 * round)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigkill_while_the_log_is_replayed_loses_nothing() {
    let mut server = Server::start(options()).await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let client = server.client().with_key(&key);
    let mut writer = Writer { source: "writer".to_owned(), memory: Memory::default() };
    for generation in 0..40 {
        let (points, body) = writer.body(generation);
        client.post("/api/v1/wearables/bulk-ingest", &body).await.expect(201);
        writer.memory.acknowledged.extend(points);
    }
    // Each start is killed a little later than the one before, wherever it is then.
    for millis in (0..200).step_by(20) {
        server.kill();
        server.launch();
        let until = Instant::now() + Duration::from_millis(millis);
        tokio::time::sleep_until(until).await;
    }
    server.kill();
    server.restart().await;
    let client = server.client().with_key(&key);
    writer.check(&stored(&client, &writer.source).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_survives_sigkill() {
    let mut server = Server::start(cramped()).await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let mut writer = Writer { source: "writer".to_owned(), memory: Memory::default() };
    for round in 0..4_i64 {
        let client = server.client().with_key(&key);
        for generation in 0..10 {
            let (points, body) = writer.body(generation);
            client.post("/api/v1/wearables/bulk-ingest", &body).await.expect(201);
            writer.memory.acknowledged.extend(points);
        }
        let (start, end) = (100 * round, 100 * round + 60);
        let range = format!("start={}&end={}", rfc3339(START + start), rfc3339(START + end));
        let deleted = client.delete(&format!("/api/v1/wearables/metric/heart_rate?{range}")).await;
        assert!([200, 204].contains(&deleted.status), "{}", deleted.text);
        writer.memory.acknowledged.retain(|at, _| !(start..end).contains(at));
        server.kill();
        server.restart().await;
        let client = server.client().with_key(&key);
        writer.check(&stored(&client, &writer.source).await);
    }
}
