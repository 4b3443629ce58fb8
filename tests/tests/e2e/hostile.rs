//! Bodies and requests that mean harm. After each the server is ready, nothing is stored, memory is bounded.

use std::time::Duration;

use serde_json::json;
use tests::{Client, Server, gzip, raw};

use crate::setup::{bulk, heart_rate, options, server};

const BULK: &str = "/api/v1/wearables/bulk-ingest";

struct Victim {
    server: Server,
    client: Client,
    key: String,
}

async fn victim() -> Victim {
    with(server().await)
}

fn with(server: Server) -> Victim {
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    Victim { client: server.client().with_key(&key), server, key }
}

impl Victim {
    /// Fails if anything was stored or the server is not well.
    async fn unharmed(&self) {
        self.server.client().get("/readyz").await.expect(200);
        assert_eq!(self.client.get("/api/v1/wearables/latest").await.expect(200).json(), json!({"latest": {}}));
    }

    fn head(&self, length: &str) -> String {
        format!(
            "POST {BULK} HTTP/1.1\r\nHost: avycenna\r\nX-API-Key: {}\r\nContent-Type: application/json\r\n{length}\r\n",
            self.key
        )
    }

    async fn raw(&self, bytes: &[u8], is_cut: bool) -> raw::RawAnswer {
        raw::send(self.server.address(), bytes, is_cut, Duration::from_secs(20)).await
    }

    async fn encoded(&self, encoding: &str, body: Vec<u8>) -> u16 {
        let request = self.client.request("POST", BULK).header("content-type", "application/json");
        let request = request.header("content-encoding", encoding).body(body);
        // The server may close while the rest is still being sent.
        self.client.try_send(request).await.map_or(0, |answer| answer.status)
    }

    /// Peak resident memory, MiB.
    fn memory_peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

fn body() -> String {
    bulk(&[heart_rate(62.0, "2024-06-01T08:00:00Z")]).to_string()
}

#[tokio::test]
async fn a_cut_body_stores_nothing() {
    let victim = victim().await;
    let body = body();
    for kept in [0, 1, body.len() / 2, body.len() - 1] {
        let head = victim.head(&format!("Content-Length: {}\r\n", body.len()));
        let answer = victim.raw(format!("{head}{}", &body[..kept]).as_bytes(), true).await;
        assert!(answer.status.is_none_or(|status| (400..500).contains(&status)), "{answer:?}");
    }
    let chunked = format!("{}10\r\n{}", victim.head("Transfer-Encoding: chunked\r\n"), &body[..10]);
    let answer = victim.raw(chunked.as_bytes(), true).await;
    assert!(answer.status.is_none_or(|status| (400..500).contains(&status)), "{answer:?}");
    victim.unharmed().await;
}

#[tokio::test]
async fn a_content_length_that_lies_stores_nothing() {
    let victim = victim().await;
    let body = body();
    // Shorter than the body: the rest is no request. The part is no JSON.
    let head = victim.head(&format!("Content-Length: {}\r\n", body.len() - 10));
    let answer = victim.raw(format!("{head}{body}").as_bytes(), true).await;
    assert_eq!(answer.status, Some(422), "{answer:?}");
    for length in [
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
    ] {
        let answer = victim.raw(format!("{}{body}", victim.head(length)).as_bytes(), true).await;
        assert!(answer.status.is_none_or(|status| (400..500).contains(&status)), "{length}: {answer:?}");
    }
    // Smuggling: two lengths at once must never be read as two requests.
    let both = format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", body.len());
    let answer = victim.raw(format!("{}0\r\n\r\n", victim.head(&both)).as_bytes(), true).await;
    assert_ne!(answer.status, Some(201), "{answer:?}");
    victim.unharmed().await;
}

#[tokio::test]
async fn a_huge_content_length_is_refused_before_the_body() {
    let victim = victim().await;
    let answer = victim.raw(victim.head("Content-Length: 1000000000000\r\n").as_bytes(), false).await;
    assert_eq!(answer.status, Some(413), "{answer:?}");
    victim.unharmed().await;
}

#[tokio::test]
async fn a_slow_body_times_out() {
    let server = Server::start(options().environment("AVYCENNA_LIMITS_BODY_S", "1")).await;
    let victim = with(server);
    let bytes = format!("{}{{\"data", victim.head("Content-Length: 1000\r\n"));
    let answer = victim.raw(bytes.as_bytes(), false).await;
    assert_eq!(answer.status, Some(408), "{answer:?}");
    victim.unharmed().await;
}

#[tokio::test]
async fn slow_headers_time_out() {
    let server = Server::start(options().environment("AVYCENNA_LIMITS_HEADER_S", "1")).await;
    let victim = with(server);
    let answer = victim.raw(b"GET /healthz HTTP/1.1\r\nHost: a", false).await;
    assert!(answer.is_closed || answer.status == Some(408), "{answer:?}");
    victim.unharmed().await;
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let victim = victim().await;
    let many = "X-Many: 1\r\n".repeat(2_000);
    let long = format!("X-Long: {}\r\n", "x".repeat(1 << 20));
    for headers in [many, long] {
        let answer = victim.raw(format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes(), false).await;
        assert!(answer.status.is_none_or(|status| [400, 431].contains(&status)), "{answer:?}");
        assert!(answer.status.is_some() || answer.is_closed, "{answer:?}");
    }
    victim.unharmed().await;
}

#[tokio::test]
async fn a_gigabyte_in_a_megabyte_is_refused_and_memory_stays_bounded() {
    const GIB: usize = 1 << 30;
    let victim = victim().await;
    let before = victim.memory_peak_mib();
    let zstd_bomb = {
        let mut packer = zstd::Encoder::new(Vec::new(), 1).unwrap();
        std::io::copy(&mut std::io::Read::take(std::io::repeat(0), GIB as u64), &mut packer).unwrap();
        packer.finish().unwrap()
    };
    for (encoding, bomb) in [("gzip", gzip::bomb(GIB)), ("zstd", zstd_bomb)] {
        assert!(bomb.len() < 2 << 20, "the bomb itself is small: {} bytes", bomb.len());
        let status = victim.encoded(encoding, bomb).await;
        assert_eq!(status, 413, "{encoding}");
    }
    let grown = victim.memory_peak_mib() - before;
    assert!(grown < 128, "the bombs took {grown} MiB");
    victim.unharmed().await;
}

#[tokio::test]
async fn compressed_rubbish_is_refused() {
    let victim = victim().await;
    let whole = gzip::stored(body().as_bytes());
    for (encoding, bytes) in [
        ("gzip", whole[..whole.len() / 2].to_vec()),
        ("gzip", body().into_bytes()),
        ("zstd", b"not zstd".to_vec()),
        ("gzip", Vec::new()),
    ] {
        let status = victim.encoded(encoding, bytes).await;
        assert!((400..500).contains(&status), "{encoding}: {status}");
    }
    victim.unharmed().await;
}

#[tokio::test]
async fn bodies_that_are_no_points_are_422() {
    let victim = victim().await;
    let point = r#""metric":"heart_rate","unit":"bpm","recorded_at":"2024-06-01T08:00:00Z","source":"watch""#;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("100,000 brackets", vec![b'['; 100_000]),
        ("100,000 objects", br#"{"a":"#.repeat(20_000)),
        ("nested data_points", [br#"{"data_points":"#.to_vec(), vec![b'['; 100_000]].concat()),
        ("1e999", format!(r#"{{"data_points":[{{{point},"value":1e999}}]}}"#).into_bytes()),
        ("-1e999", format!(r#"{{"data_points":[{{{point},"value":-1e999}}]}}"#).into_bytes()),
        ("NaN", format!(r#"{{"data_points":[{{{point},"value":NaN}}]}}"#).into_bytes()),
        ("not UTF-8", [br#"{"data_points":[{"metric":""#.to_vec(), vec![0xff, 0xfe], br#""}]}"#.to_vec()].concat()),
        (
            "a lone surrogate",
            format!(r#"{{"data_points":[{{{point},"value":62,"source_device_id":"\ud800"}}]}}"#).into_bytes(),
        ),
        ("a zero byte", b"\0".to_vec()),
        ("an array", b"[]".to_vec()),
        ("a string", b"\"data_points\"".to_vec()),
        ("null", b"null".to_vec()),
        ("no list", br#"{"data_points":{}}"#.to_vec()),
        ("a list of numbers", br#"{"data_points":[1,2,3]}"#.to_vec()),
        ("two bodies", [body(), body()].concat().into_bytes()),
        ("a tail", [body(), "x".to_owned()].concat().into_bytes()),
    ];
    for (name, bytes) in cases {
        let answer = victim.client.post_bytes(BULK, bytes).await;
        assert_eq!(answer.status, 422, "{name}: {}", answer.text);
        let faults = answer.json()["detail"].as_array().unwrap_or_else(|| panic!("{name}: {}", answer.text)).clone();
        assert!((1..=20).contains(&faults.len()), "{name}: {}", answer.text);
        assert!(faults.iter().all(|fault| fault["loc"][0] == "body"), "{name}: {}", answer.text);
    }
    victim.unharmed().await;
}

#[tokio::test]
async fn malformed_json_is_located_by_its_byte() {
    let victim = victim().await;
    let answer = victim.client.post_bytes(BULK, "{\"data_points\": [nonsense]}").await;
    let [loc] = &answer.locations()[..] else { panic!("one fault: {}", answer.text) };
    assert_eq!(loc[0], "body");
    assert!(loc[1].is_u64(), "{loc}");
}

#[tokio::test]
async fn duplicate_keys_store_one_point_or_none() {
    let victim = victim().await;
    let twice = r#"{"data_points":[{"metric":"heart_rate","metric":"heart_rate","value":61,"value":62,"unit":"bpm",
        "recorded_at":"2024-06-01T08:00:00Z","source":"watch"}]}"#;
    let answer = victim.client.post_bytes(BULK, twice).await;
    let window = victim.client.get("/api/v1/wearables/metric/heart_rate?days=3650").await.expect(200).json();
    let stored = window["data_points"].as_array().unwrap().len();
    match answer.status {
        201 => assert_eq!(stored, 1),
        status => assert_eq!((status, stored), (422, 0), "{}", answer.text),
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_one_below_it_is_read() {
    let victim = victim().await;
    let answer = victim.client.post_bytes(BULK, vec![b' '; 1 << 20]).await;
    assert_eq!(answer.status, 422, "a mebibyte is let in: {}", answer.text);
    let request = victim.client.request("POST", BULK).header("content-type", "application/json");
    let status = victim.client.try_send(request.body(vec![b' '; 64 << 20])).await.map_or(413, |answer| answer.status);
    assert_eq!(status, 413);
    victim.unharmed().await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_json() {
    let victim = victim().await;
    let absent = victim.client.get("/api/v1/nothing/here").await.expect(404);
    assert!(absent.json()["detail"].is_string());
    let wrong = victim.client.delete("/api/v1/wearables/latest").await.expect(405);
    assert!(wrong.header("allow").contains("GET"), "{:?}", wrong.headers);
    for path in
        ["/api/v1/wearables/metric/..%2f..%2fetc%2fpasswd", "/api/v1/wearables/metric/%00", "/docs/../../etc/passwd"]
    {
        let answer = victim.client.get(path).await;
        assert!(
            (400..500).contains(&answer.status) || answer.status == 200 && !answer.text.contains("root:"),
            "{path}"
        );
    }
    victim.unharmed().await;
}

#[tokio::test]
async fn a_thousand_requests_at_once_are_all_answered() {
    let victim = victim().await;
    let asked = (0..1_000).map(|_| {
        let client = victim.client.clone();
        async move { client.get("/api/v1/wearables/latest").await.status }
    });
    let statuses = futures::future::join_all(asked).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

#[tokio::test]
async fn rates_are_limited_unless_switched_off() {
    let options = options().environment("AVYCENNA_LIMITS_ENABLED", "true");
    let options =
        options.environment("AVYCENNA_LIMITS_AUTH_BURST", "3").environment("AVYCENNA_LIMITS_AUTH_PER_MINUTE", "1");
    let server = Server::start(options).await;
    let body = json!({"email": "ada@example.org", "password": "wrong horse"});
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let answer = server.client().post("/api/v1/auth/login", &body).await;
        if answer.status == 429 {
            assert!(
                answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0),
                "{:?}",
                answer.headers
            );
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..3], [401, 401, 401]);
    assert!(statuses[3..].contains(&429), "{statuses:?}");
    server.client().get("/healthz").await.expect(200);
}
