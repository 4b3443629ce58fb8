//! What the modules begin with.

use serde_json::{Value, json};
use tests::{Options, Server};

/// Options for the newest binary.
pub(crate) fn options() -> Options {
    Options::new(env!("CARGO_BIN_EXE_avycenna-under-test"))
}

/// The same, with webhooks that may lead to the loopback by `http`.
pub(crate) fn inward() -> Options {
    options()
        .environment("AVYCENNA_WEBHOOKS_ALLOW_HTTP", "true")
        .environment("AVYCENNA_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")
}

/// A server with the defaults of a test.
pub(crate) async fn server() -> Server {
    Server::start(options()).await
}

/// A heart rate of a watch.
pub(crate) fn heart_rate(value: f64, recorded_at: &str) -> Value {
    json!({"metric": "heart_rate", "value": value, "unit": "bpm", "recorded_at": recorded_at, "source": "watch"})
}

/// A body for `bulk-ingest`.
pub(crate) fn bulk(points: &[Value]) -> Value {
    json!({"data_points": points})
}
