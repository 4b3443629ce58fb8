//! `/integrations`: what other senders push. What they say is in [`engine::import`].

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request};
use storage::UserId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::ApiError;
use crate::extract::{Payload, Query, Writer};
use crate::imports::push::Pusher;
use crate::imports::{Imports, Report};
use crate::state::AppState;

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(garmin)).routes(routes!(health_auto_export))
}

/// A document that somebody's sender pushes: with a credential that may write, without a query.
struct Pushed {
    user: UserId,
    body: Payload,
    imports: Imports,
}

impl FromRequest<AppState> for Pushed {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let Writer(principal) = Writer::from_request_parts(&mut parts, state).await?;
        Query::parse(parts.uri.query(), &[])?;
        let body = Payload::from_request(Request::from_parts(parts, body), state).await?;
        Ok(Self { user: principal.user, body, imports: state.imports.clone() })
    }
}

impl Pushed {
    async fn take(self, pusher: Pusher) -> Result<Json<Report>, ApiError> {
        Ok(Json(self.imports.push(self.user, pusher, self.body).await?))
    }
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
async fn garmin(document: Pushed) -> Result<Json<Report>, ApiError> {
    document.take(Pusher::GARMIN).await
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
async fn health_auto_export(document: Pushed) -> Result<Json<Report>, ApiError> {
    document.take(Pusher::HEALTH_AUTO_EXPORT).await
}
