//! `/wearables/*`: points in, points out. Thin: who asks, what they ask, the engine's bytes.

pub(crate) mod question;
pub mod schema;
mod stream;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use engine::JsonBody;
use futures::TryStreamExt;
use storage::PointBatch;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::question::{Question, range_to_delete};
use self::schema::{Catalogue, DeletionParams, Ingested, Latest, Points, Reading, ReadingParams};
use crate::error::ApiError;
use crate::extract::{Payload, Query, Reader, Writer};
use crate::state::AppState;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(ingest))
        .routes(routes!(bulk_ingest))
        .routes(routes!(stream::stream))
        .routes(routes!(read_metric, delete_metric))
        .routes(routes!(latest))
        .routes(routes!(metrics))
}

/// Stores one point.
///
/// It is durable when the answer comes. The same user, metric, time, source and device again replaces the value.
#[utoipa::path(
    post, path = "/wearables/ingest", tag = "wearables", request_body = schema::Point,
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 201, description = "the point is durable", body = Ingested),
        (status = 413, description = "the body is too long"),
        (status = 415, description = "`Content-Encoding` is not gzip, zstd or identity"),
        (status = 422, description = "faults, located"),
        (status = 507, description = "the server's disk is full; nothing was stored"),
    )
)]
async fn ingest(
    Writer(principal): Writer,
    State(state): State<AppState>,
    mut payload: Payload,
) -> Result<Response, ApiError> {
    let batch = state.engine.parse_single(principal.user, payload.bytes_mut())?;
    drop(payload);
    store(&state, batch).await
}

/// Stores 1 to 500 points, all or none.
///
/// They are durable when the answer comes. Sending the same points again changes nothing, so retries are safe.
#[utoipa::path(
    post, path = "/wearables/bulk-ingest", tag = "wearables", request_body = Points,
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 201, description = "the points are durable", body = Ingested),
        (status = 413, description = "the body is too long"),
        (status = 415, description = "`Content-Encoding` is not gzip, zstd or identity"),
        (status = 422, description = "faults, located; nothing was stored"),
        (status = 507, description = "the server's disk is full; nothing was stored"),
    )
)]
async fn bulk_ingest(
    Writer(principal): Writer,
    State(state): State<AppState>,
    mut payload: Payload,
) -> Result<Response, ApiError> {
    let batch = state.engine.parse_bulk(principal.user, payload.bytes_mut())?;
    // The points are in columns now; the room is the next request's.
    drop(payload);
    store(&state, batch).await
}

async fn store(state: &AppState, batch: PointBatch) -> Result<Response, ApiError> {
    let count = batch.len();
    state.engine.append(batch).await?;
    let body = Bytes::from(format!("{{\"ingested\":{count}}}"));
    Ok((StatusCode::CREATED, [(header::CONTENT_TYPE, JSON)], body).into_response())
}

/// Points of one metric, newest first; or figures per bucket.
///
/// Without `limit` the whole window comes, in pieces where it is long. Unknown parameters are refused.
#[utoipa::path(
    get, path = "/wearables/metric/{metric}", tag = "wearables",
    params(("metric" = String, Path, description = "key of the catalogue", example = "heart_rate"), ReadingParams),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "points, or figures", body = Reading),
        (status = 404, description = "no such metric"),
        (status = 422, description = "faults, located"),
    )
)]
async fn read_metric(
    Reader(principal): Reader,
    State(state): State<AppState>,
    Path(metric): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    known(&state, &metric)?;
    let question = Question::parse(metric, raw.as_deref(), state.clock.now_us())?;
    Ok(answer(question.ask(&state.engine, principal.user).await?))
}

/// Deletes the caller's points of one metric in a range.
///
/// They are invisible at once, and gone from the disk within a day. What is sent later is stored again.
#[utoipa::path(
    delete, path = "/wearables/metric/{metric}", tag = "wearables",
    params(("metric" = String, Path, description = "key of the catalogue", example = "heart_rate"), DeletionParams),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 204, description = "no such point is left"),
        (status = 404, description = "no such metric"),
        (status = 422, description = "faults, located"),
    )
)]
async fn delete_metric(
    Writer(principal): Writer,
    State(state): State<AppState>,
    Path(metric): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<StatusCode, ApiError> {
    known(&state, &metric)?;
    let times = range_to_delete(raw.as_deref())?;
    state.engine.delete(principal.user, &metric, times).await?;
    state.imports.forget(principal.user, &metric, times).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The newest point of each metric that has any.
///
/// Points later than now are left out.
#[utoipa::path(
    get, path = "/wearables/latest", tag = "wearables",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "the newest points", body = Latest))
)]
async fn latest(
    Reader(principal): Reader,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    if raw.is_some() {
        Query::parse(raw.as_deref(), &[])?;
    }
    Ok(answer(state.engine.latest(principal.user).await?))
}

/// The catalogue of metrics.
#[utoipa::path(
    get, path = "/wearables/metrics", tag = "wearables",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "all metrics", body = Catalogue))
)]
async fn metrics(
    Reader(_principal): Reader,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    Query::parse(raw.as_deref(), &[])?;
    Ok(answer(JsonBody::Whole(state.engine.catalogue().metrics_json())))
}

/// Refuses a metric that the catalogue does not have, before anything else is said about the request.
pub(super) fn known(state: &AppState, metric: &str) -> Result<(), ApiError> {
    match state.engine.catalogue().get(metric) {
        Some(_) => Ok(()),
        None => Err(engine::Error::UnknownMetric(metric.to_owned()).into()),
    }
}

/// The engine's bytes as they are: with their length if they are there, else in pieces. An error between two pieces
/// breaks the connection, so that nobody takes a part for the whole.
pub(super) fn answer(body: JsonBody) -> Response {
    let body = match body {
        JsonBody::Whole(bytes) => Body::from(bytes),
        JsonBody::Stream(pieces) => Body::from_stream(pieces.inspect_err(|error| {
            tracing::warn!(%error, "an answer broke off");
        })),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}
