//! Arrow Flight SQL, for ADBC, JDBC and Grafana: the same people, rows, records and bounds as `/query`, columns instead of
//! JSON.
//!
//! ```text
//! GetFlightInfo ─▶ planned, put on the shelf ─▶ ticket (opaque, one caller's, once, a minute)
//! DoGet(ticket) ─▶ taken from the shelf ─▶ a place ─▶ records of all whom it reaches ─▶ columns
//! ```
//!
//! It has an address of its own (`listen.flight`), and is off without one. As with HTTP, TLS is the proxy's in front.

mod connections;
mod credentials;
mod metadata;
mod prepared;
mod service;
mod shelf;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use self::service::Service;
use crate::config::Config;
use crate::state::AppState;

/// Longest message that a client may send, bytes: a statement and its parameters.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Requests at once on one connection; further ones wait. Each may hold a message and an answer that its client does not
/// take.
pub const STREAMS_MAX: u32 = 16;
/// How often a quiet connection is asked whether it is there, and how long it may take to say so, seconds.
pub const KEEP_ALIVE_S: u64 = 20;
/// Age at which a connection takes no more requests, and its client opens another, seconds: one on which nobody asks
/// anything keeps no place for ever.
pub const CONNECTION_AGE_MAX_S: u64 = 1_800;

/// What connections and requests may take.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Most open connections.
    connections_max: usize,
    /// Longest time until a connection has begun to speak.
    opening: Duration,
    /// Longest time until a request is there and its answer begins.
    request: Duration,
    /// Longest metadata of a request, bytes.
    header_bytes_max: u32,
    /// Age at which a connection takes no more requests.
    age_max: Duration,
    /// How long answers may then go on.
    age_grace: Duration,
}

impl Bounds {
    fn of(config: &Config) -> Self {
        let limits = &config.limits;
        let query = Duration::from_secs(config.storage.query_s);
        Self {
            connections_max: config.listen.flight_connections_max,
            opening: limits.header_time(),
            request: limits.request_time(),
            header_bytes_max: u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX),
            age_max: Duration::from_secs(CONNECTION_AGE_MAX_S),
            // A query has its own bound of time; who takes none of its answer is not waited for.
            age_grace: limits.request_time().saturating_add(query),
        }
    }
}

/// Answers on `listener` until `stop`, then lets what is in flight end, `patience` long.
pub async fn serve(state: AppState, listener: TcpListener, stop: CancellationToken, patience: Duration) {
    let bounds = Bounds::of(&state.config);
    serve_within(bounds, state, listener, stop, patience).await;
}

async fn serve_within(
    bounds: Bounds,
    state: AppState,
    listener: TcpListener,
    stop: CancellationToken,
    patience: Duration,
) {
    let connections = connections::accepted(listener, bounds.connections_max, bounds.opening, state.metrics.clone());
    let service =
        FlightServiceServer::from_arc(Arc::new(Service::new(state))).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let keep_alive = Some(Duration::from_secs(KEEP_ALIVE_S));
    let server = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(bounds.header_bytes_max)
        .http2_keepalive_interval(keep_alive)
        .http2_keepalive_timeout(keep_alive)
        .timeout(bounds.request)
        .max_connection_age(bounds.age_max)
        .max_connection_age_grace(bounds.age_grace)
        .add_service(service);
    let serving = server.serve_with_incoming_shutdown(connections, stop.clone().cancelled_owned());
    let cut_off = async {
        stop.cancelled().await;
        tokio::time::sleep(patience).await;
    };
    tokio::select! {
        ended = serving => {
            if let Err(error) = ended {
                tracing::error!(%error, "the address of Flight SQL answers no more");
            }
        }
        () = cut_off => tracing::warn!(patience_s = patience.as_secs(), "queries of Flight SQL were cut off"),
    }
}
