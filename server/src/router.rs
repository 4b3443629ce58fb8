//! All routes, and the pages that describe them.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::error::ApiError;
use crate::fhir::outcome::is_fhir;
use crate::state::AppState;
use crate::{fhir, openapi, pages, routes};

/// Where the API begins.
pub const BASE: &str = "/api/v1";

/// Longest body of an operation that does not take points, bytes.
pub const SMALL_BODY_BYTES_MAX: usize = 64 << 10;

/// The router of a server; [`crate::middleware::Edge`] belongs in front of it.
pub fn router(state: AppState) -> Router {
    let (router, api) = documented();
    router
        .merge(pages::router(&api))
        .merge(routes::fhir::router())
        .merge(fhir::smart::router())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(SMALL_BODY_BYTES_MAX))
        .with_state(state)
}

/// The API's description.
pub fn description() -> OpenApi {
    documented().1
}

fn documented() -> (Router<AppState>, OpenApi) {
    let api = OpenApiRouter::new()
        .merge(routes::wearables::router())
        .merge(routes::auth::router())
        .merge(routes::sessions::router())
        .merge(routes::api_keys::router())
        .merge(routes::users::router())
        .merge(routes::check_ins::router())
        .merge(routes::symptoms::router())
        .merge(routes::grants::router())
        .merge(routes::webhooks::router())
        .merge(routes::audit::router())
        .merge(routes::export::router())
        .merge(routes::imports::router())
        .merge(routes::integrations::router())
        .merge(routes::query::router());
    let (router, api) =
        OpenApiRouter::with_openapi(openapi::basis()).nest(BASE, api).merge(routes::health::router()).split_for_parts();
    (router, openapi::complete(api))
}

async fn no_such_path(uri: Uri) -> ApiError {
    ApiError::not_found(if is_fhir(uri.path()) {
        "no such path; /fhir/R4/metadata says what there is"
    } else {
        "no such path; /docs lists them all"
    })
}

async fn no_such_method() -> ApiError {
    ApiError::new(axum::http::StatusCode::METHOD_NOT_ALLOWED, "not with this method; Allow names those that are")
}
