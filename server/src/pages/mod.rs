//! What people look at in a browser: the API's description as JSON, as Swagger UI, and as one plain page.
//!
//! Nothing is loaded from elsewhere, and each page's policy lets it do no more than it needs.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::openapi;
use crate::state::AppState;

const REFERENCE: &str = include_str!("reference.html");

/// Swagger UI draws with inline styles and images in URLs, and asks this server alone.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);

/// `/openapi.json`, `/docs` and `/redoc`.
pub fn router(api: &OpenApi) -> Router<AppState> {
    // The description is plain data, which always serialises.
    let json = Bytes::from(serde_json::to_vec(api).unwrap_or_default());
    let description = get(move || {
        let json = json.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], json) }
    });
    let swagger = SwaggerUi::new("/docs").config(Config::from(openapi::PATH));
    let docs = Router::<AppState>::from(swagger).layer(map_response(|mut response: Response| async move {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, DOCS_POLICY);
        response
    }));
    Router::new().route(openapi::PATH, description).route("/redoc", get(reference)).merge(docs)
}

/// The plain page. It brings its script and style with it; the policy names them by their hashes.
async fn reference() -> impl IntoResponse {
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; frame-ancestors 'none'; \
         base-uri 'none'; form-action 'none'",
        hash_of("<script>", "</script>"),
        hash_of("<style>", "</style>"),
    );
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, REFERENCE)
}

/// CSP's name for what stands between two marks of the page.
fn hash_of(open: &str, close: &str) -> String {
    let inner = REFERENCE.split_once(open).and_then(|(_, rest)| rest.split_once(close)).map_or("", |(inner, _)| inner);
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(inner.as_bytes())))
}
