//! Streams that mean harm, against the real binary: each is told so in its answer, nothing is stored, memory is bounded.

use serde_json::{Value, json};
use tests::{Client, Server, gzip};

use crate::setup::server;

const LINES: &str = "application/x-ndjson";
const ARROW: &str = "application/vnd.apache.arrow.stream";
/// What the bombs come to.
const BOMB_BYTES: usize = 128 << 20;

/// Status and lines of the answer.
async fn streamed(client: &Client, query: &str, kind: &str, coding: Option<&str>, body: Vec<u8>) -> (u16, Vec<Value>) {
    let mut request = client.request("POST", &format!("/api/v1/wearables/stream{query}")).body(body);
    if !kind.is_empty() {
        request = request.header("content-type", kind);
    }
    if let Some(coding) = coding {
        request = request.header("content-encoding", coding);
    }
    let answer = client.send(request).await;
    let lines = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (answer.status, lines)
}

/// Peak resident memory, MiB.
fn memory_peak_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Bytes that follow no form, always the same.
fn rubbish(bytes: usize) -> Vec<u8> {
    let mut state: u64 = 7;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

#[tokio::test]
async fn streams_that_mean_harm_are_told_so_and_memory_stays_bounded() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    for kind in ["", "text/plain", "application/json", "application/x-ndjsonx", "multipart/form-data; boundary=x"] {
        assert_eq!(streamed(&ada, "", kind, None, b"{}".to_vec()).await.0, 415, "{kind}");
    }
    for coding in ["br", "deflate", "compress", "gzip, gzip", "rubbish"] {
        assert_eq!(streamed(&ada, "", LINES, Some(coding), b"{}".to_vec()).await.0, 415, "{coding}");
    }
    assert_eq!(streamed(&ada, "?on_error=ignore", LINES, None, Vec::new()).await.0, 422);
    for kind in [LINES, ARROW] {
        for coding in [None, Some("gzip"), Some("zstd")] {
            for bytes in [1, 100, 100_000] {
                let (status, said) = streamed(&ada, "", kind, coding, rubbish(bytes)).await;
                let last = said.last().unwrap();
                assert_eq!((status, &last["done"], &last["ingested"]), (200, &json!(false), &json!(0)), "{said:?}");
                assert!(!last["stopped"]["detail"].is_null(), "{kind} {coding:?} {bytes}: {last}");
            }
        }
    }
    let (_, said) = streamed(&ada, "", LINES, None, Vec::new()).await;
    assert_eq!(said, [json!({"done": true, "lines": 0, "ingested": 0, "skipped": 0})]);
    let before = memory_peak_mib(&server);
    let zeros = vec![b'0'; 1 << 20].repeat(BOMB_BYTES >> 20);
    let bombs = [("gzip", gzip::bomb(BOMB_BYTES)), ("zstd", zstd::encode_all(&zeros[..], 1).unwrap())];
    for (coding, bomb) in bombs {
        assert!(bomb.len() < 1 << 20, "the bomb itself is small: {} bytes", bomb.len());
        // The checksum of the one of gzip is wrong.
        for (query, done) in [("", false), ("?on_error=skip", coding == "zstd")] {
            let (_, said) = streamed(&ada, query, LINES, Some(coding), bomb.clone()).await;
            let last = said.last().unwrap();
            assert_eq!((&last["done"], &last["ingested"]), (&json!(done), &json!(0)), "{coding}: {last}");
        }
        let (_, said) = streamed(&ada, "", ARROW, Some(coding), bomb).await;
        assert_eq!(said.last().unwrap()["done"], false, "{coding}: {said:?}");
    }
    let grown = memory_peak_mib(&server) - before;
    assert!(grown < 48, "the bombs took {grown} MiB");
    server.client().get("/readyz").await.expect(200);
    assert_eq!(ada.get("/api/v1/wearables/latest").await.expect(200).json(), json!({"latest": {}}));
}
