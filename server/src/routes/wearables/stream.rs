//! `POST /wearables/stream`: points without end, for oneself or for many.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::{Extension, debug_handler};
use engine::ingest::stream::{Format, OnError};

use crate::access::writing::Writing;
use crate::error::ApiError;
use crate::extract::inflate::Coding;
use crate::extract::{ClientAddress, Query, Writer};
use crate::state::AppState;
use crate::stream::{Request, run};

const LINES: &str = "application/x-ndjson";
const ARROW: &str = "application/vnd.apache.arrow.stream";

/// Stores a stream of points of any length, acknowledged in chunks.
///
/// A point of NDJSON is one of `/wearables/ingest` with a `user_id` where it is another's: their grant must hold
/// `wearables_write`. The answer grows while the body is read; `{"acked_through":N}` says that everything up to line N is
/// durable. After a broken connection go on behind the last of these; what is sent twice changes nothing.
#[utoipa::path(
    post, path = "/wearables/stream", tag = "wearables",
    params(("on_error" = Option<String>, Query, description = "`stop` at a faulty line, which is the default, or `skip` it",
        pattern = "^(stop|skip)$")),
    request_body(content((String = "application/x-ndjson"), (String = "application/vnd.apache.arrow.stream"))),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "one JSON object a line, as chunks become durable", body = String,
            content_type = "application/x-ndjson"),
        (status = 415, description = "neither NDJSON nor an Arrow stream, or in a coding that is not gzip or zstd"),
        (status = 422, description = "faults of the query, located"),
    )
)]
#[debug_handler(state = AppState)]
pub(super) async fn stream(
    Writer(principal): Writer,
    State(state): State<AppState>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut query = Query::parse(raw.as_deref(), &["on_error"])?;
    let on_error = match query.text("on_error") {
        None | Some("stop") => OnError::Stop,
        Some("skip") => OnError::Skip,
        Some(_) => {
            query.refuse("on_error", "must be `stop` or `skip`");
            OnError::Stop
        }
    };
    query.finish()?;
    let coding = Coding::of(&headers)?;
    let format = format_of(&headers)?;
    let place = state.streams.begin(principal.user)?;
    let writing = Writing::new(&state.control, principal, address);
    run(state, place, writing, Request { format, on_error, coding, headers }, body)
}

fn format_of(headers: &HeaderMap) -> Result<Format, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(LINES) {
        Ok(Format::Lines)
    } else if kind.eq_ignore_ascii_case(ARROW) {
        Ok(Format::Arrow)
    } else {
        let detail = format!("Content-Type must be {LINES} or {ARROW}");
        Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
    }
}
