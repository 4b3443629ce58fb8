//! Arrow Flight SQL, for ADBC, JDBC and Grafana: the same people, rows, records and bounds as `/query`, columns instead of
//! JSON.
//!
//! ```text
//! GetFlightInfo ─▶ planned, put on the shelf ─▶ ticket (opaque, one caller's, once, a minute)
//! DoGet(ticket) ─▶ taken from the shelf ─▶ a place ─▶ records of all whom it reaches ─▶ columns
//! ```
//!
//! It has an address of its own (`listen.flight`), and is off without one. As with HTTP, TLS is the proxy's in front.

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
use tonic::transport::server::TcpIncoming;

use self::service::Service;
use crate::state::AppState;

/// Longest message that a client may send, bytes: a statement and its parameters.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Requests at once on one connection.
const STREAMS_MAX: u32 = 32;
/// How often a quiet connection is asked whether it is there, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Answers on `listener` until `stop`, then lets what is in flight end, `patience` long.
pub async fn serve(state: AppState, listener: TcpListener, stop: CancellationToken, patience: Duration) {
    let service =
        FlightServiceServer::from_arc(Arc::new(Service::new(state))).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let server = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_service(service);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = server.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
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
