//! `/integrations`: what other senders push. What they say is in [`engine::import`].

use axum::Json;
use axum::extract::{RawQuery, State};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::ApiError;
use crate::extract::{Payload, Query, Writer};
use crate::imports::Report;
use crate::imports::push::Pusher;
use crate::state::AppState;

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(garmin)).routes(routes!(health_auto_export))
}

/// Takes summaries of Garmin's Health API: `dailies`, `epochs`, `sleeps`, `hrv`, `pulseox`, `allDayRespiration`.
///
/// All or nothing; durable and in the totals of days when the answer comes. A summary that is sent again replaces.
#[utoipa::path(
    post, path = "/integrations/garmin/push", tag = "imports",
    request_body(content = serde_json::Value, description = "summaries by their kind"),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "what was taken, and what was skipped", body = Report),
        (status = 415, description = "`Content-Encoding` is not gzip, zstd or identity"),
        (status = 422, description = "not such a document; nothing was stored"),
        (status = 507, description = "the server's disk is full"),
    )
)]
async fn garmin(
    Writer(principal): Writer,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
    body: Payload,
) -> Result<Json<Report>, ApiError> {
    Query::parse(raw.as_deref(), &[])?;
    Ok(Json(state.imports.push(principal.user, Pusher::Garmin, body).await?))
}

/// Takes a document of the app Health Auto Export, version 2.
///
/// All or nothing; durable and in the totals of days when the answer comes. What is sent again replaces.
#[utoipa::path(
    post, path = "/integrations/health-auto-export", tag = "imports",
    request_body(content = serde_json::Value, description = "the app's JSON"),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "what was taken, and what was skipped", body = Report),
        (status = 415, description = "`Content-Encoding` is not gzip, zstd or identity"),
        (status = 422, description = "not such a document; nothing was stored"),
        (status = 507, description = "the server's disk is full"),
    )
)]
async fn health_auto_export(
    Writer(principal): Writer,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
    body: Payload,
) -> Result<Json<Report>, ApiError> {
    Query::parse(raw.as_deref(), &[])?;
    Ok(Json(state.imports.push(principal.user, Pusher::HealthAutoExport, body).await?))
}
