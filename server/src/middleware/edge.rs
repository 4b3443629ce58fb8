//! The service in front of the router. See [`super`] for the order of things.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tower::Service;
use tower_http::compression::predicate::{And, NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{Compression, CompressionLevel};

use super::address::client_of;
use super::request_id::{self, RequestIds};
use super::security::secure;
use crate::error::{ApiError, Cause};
use crate::extract::ClientAddress;
use crate::extract::inflate::name_codings;
use crate::fhir::outcome::{in_fhir, is_fhir};
use crate::state::AppState;
use crate::stream::Growing;

/// Shorter answers are not compressed.
pub const COMPRESS_BYTES_MIN: u16 = 1_024;

/// Where files are sent to.
const FILES: &str = "/api/v1/imports";

/// What is compressed: what is long enough, has not been compressed already, and is not waited for line by line.
type Worthwhile = And<And<And<And<SizeAbove, NotForContentType>, NotForContentType>, NotForContentType>, Look>;
/// Looks at an answer's head.
type Look = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// Answers requests: every answer carries an id, and none is lost to a panic.
pub struct Edge {
    plain: Router,
    compressing: Compression<Router, Worthwhile>,
    ids: RequestIds,
    state: AppState,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").finish_non_exhaustive()
    }
}

impl Edge {
    /// Stands in front of `router`; limits are those of the state's configuration.
    pub fn new(router: Router, state: AppState) -> Self {
        let zips = NotForContentType::const_new("application/zip");
        let parquet = NotForContentType::const_new("application/vnd.apache.parquet");
        let is_whole: Look = |_, _, _, extensions| extensions.get::<Growing>().is_none();
        let long = SizeAbove::new(COMPRESS_BYTES_MIN);
        let worthwhile = long.and(NotForContentType::IMAGES).and(zips).and(parquet).and(is_whole);
        let compressing = Compression::new(router.clone()).quality(CompressionLevel::Fastest).compress_when(worthwhile);
        let ids = RequestIds::new(rand::random());
        Self { plain: router, compressing, ids, state }
    }

    /// Answers one request of a peer.
    pub async fn answer<B>(&self, mut request: Request<B>, peer: IpAddr) -> Response
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let began = self.state.clock.elapsed();
        let id = self.ids.of(request.headers());
        let seen = tracing::enabled!(tracing::Level::DEBUG).then(|| Seen::of(&request));
        let is_fhir = is_fhir(request.uri().path());
        let client = client_of(peer, request.headers(), &self.state.config.listen.trusted_proxies);
        let response = match self.admit(&request, client) {
            Ok(()) => {
                request.extensions_mut().insert(ClientAddress(client));
                self.state.metrics.in_flight.increment(1.0);
                let response = self.route(request).await;
                self.state.metrics.in_flight.decrement(1.0);
                response
            }
            Err(error) => error.into_response(),
        };
        let mut response = in_json(name_codings(response));
        if is_fhir {
            response = in_fhir(response);
        }
        log_cause(&mut response, &id);
        let took = self.state.clock.elapsed().saturating_sub(began);
        self.state.metrics.answered(response.status(), took);
        if let Some(seen) = seen {
            seen.log(&response, &id, took);
        }
        secure(response.headers_mut());
        response.headers_mut().insert(request_id::HEADER, id);
        response
    }

    /// Refuses what is too large or too frequent before anything else looks at it.
    fn admit<B>(&self, request: &Request<B>, client: IpAddr) -> Result<(), ApiError> {
        let limits = &self.state.config.limits;
        let headers = request.headers();
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let line_bytes = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if headers.len() > limits.headers_max || bytes + line_bytes > limits.header_bytes_max {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let (count, bytes) = (limits.headers_max, limits.header_bytes_max);
            return Err(ApiError::new(status, format!("at most {count} headers and {bytes} bytes of them")));
        }
        self.state.rates.admit_address(client, request.uri().path())
    }

    /// Longest time until an answer begins: that to a file comes behind the whole file.
    fn time_of<B>(&self, request: &Request<B>) -> Duration {
        let config = &self.state.config;
        let is_file = request.method() == Method::POST && request.uri().path() == FILES;
        let more = if is_file { config.imports.upload_time() } else { Duration::ZERO };
        config.limits.request_time().saturating_add(more)
    }

    /// The router's answer; a panic or a wait without end is an answer too.
    async fn route<B>(&self, request: Request<B>) -> Response
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let limit = self.time_of(&request);
        let asks_compression = request.headers().contains_key(header::ACCEPT_ENCODING);
        let answered = async {
            if asks_compression {
                match self.compressing.clone().call(request.map(Body::new)).await {
                    Ok(response) => response.map(Body::new),
                    Err(never) => match never {},
                }
            } else {
                match self.plain.clone().call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        };
        match tokio::time::timeout(limit, AssertUnwindSafe(answered).catch_unwind()).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                // The panic hook has logged message and place.
                self.state.metrics.panics.increment(1);
                ApiError::internal(Panicked).into_response()
            }
            Err(_) => ApiError::timed_out(format!("no answer within {} s", limit.as_secs())).into_response(),
        }
    }
}

/// A handler panicked.
#[derive(Debug, thiserror::Error)]
#[error("the handler panicked")]
struct Panicked;

/// The framework's own refusals are plain text; here they become the API's form.
fn in_json(response: Response) -> Response {
    let status = response.status();
    let is_refusal = status.is_client_error() || status.is_server_error();
    if !is_refusal {
        return response;
    }
    let is_plain = match response.headers().get(header::CONTENT_TYPE) {
        None => true,
        Some(kind) => kind.as_bytes().starts_with(b"text/plain"),
    };
    if !is_plain {
        return response;
    }
    let reason = status.canonical_reason().unwrap_or("refused").to_lowercase();
    let mut plain = ApiError::new(status, reason).into_response();
    for (name, value) in response.headers() {
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH {
            plain.headers_mut().insert(name, value.clone());
        }
    }
    plain
}

/// Writes why a request failed, once, beside the id that its client knows.
fn log_cause(response: &mut Response, id: &HeaderValue) {
    let Some(Cause(cause)) = response.extensions_mut().remove::<Cause>() else {
        return;
    };
    let (status, request_id) = (response.status().as_u16(), id.to_str().unwrap_or_default());
    if status == 500 {
        tracing::error!(request_id, status, %cause, "a request failed");
    } else {
        tracing::warn!(request_id, status, %cause, "a request was refused");
    }
}

/// What the access log says of a request: never its query, which may name people.
struct Seen {
    method: Method,
    path: String,
    version: Version,
}

impl Seen {
    fn of<B>(request: &Request<B>) -> Self {
        let path = request.uri().path().to_owned();
        Self { method: request.method().clone(), path, version: request.version() }
    }

    fn log(&self, response: &Response, id: &HeaderValue, took: Duration) {
        tracing::debug!(
            method = %self.method,
            path = %self.path,
            version = ?self.version,
            status = response.status().as_u16(),
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            request_id = id.to_str().unwrap_or_default(),
            "answered"
        );
    }
}
