//! `/healthz` and `/readyz` for supervisors, `/metrics` for Prometheus.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;
use storage::Health;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::ApiError;
use crate::state::AppState;

/// `/healthz` and `/readyz`, at the root.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// `/metrics` alone, for an address of its own.
pub fn metrics_router(state: AppState) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(state)
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Status {
    /// `alive` or `ready`.
    #[schema(example = "ready")]
    pub status: &'static str,
}

/// Whether the process answers.
#[utoipa::path(
    get, path = "/healthz", tag = "operation", security(()),
    responses((status = 200, description = "it does", body = Status))
)]
async fn healthz() -> Json<Status> {
    Json(Status { status: "alive" })
}

/// Whether the server has recovered and takes points.
#[utoipa::path(
    get, path = "/readyz", tag = "operation", security(()),
    responses(
        (status = 200, description = "it does", body = Status),
        (status = 503, description = "it does not; `detail` says why"),
    )
)]
async fn readyz(State(state): State<AppState>) -> Result<Json<Status>, ApiError> {
    match state.engine.health() {
        Health::Writable => {}
        Health::Full => {
            return Err(ApiError::unavailable("the disk is full; free some space, writes go on by themselves"));
        }
        Health::Poisoned(_) => {
            let detail = "a write or sync failed, so nothing is acknowledged; the log says which; reads go on";
            return Err(ApiError::unavailable(detail));
        }
        Health::Closed => return Err(ApiError::unavailable("the server is stopping")),
    }
    if let Err(error) = state.control.changes().await {
        return Err(ApiError::unavailable("the control database does not answer").because(&error));
    }
    Ok(Json(Status { status: "ready" }))
}

async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    let text = state.metrics.render(&state.engine.health(), state.engine.storage().metrics());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
