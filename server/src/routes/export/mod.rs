//! `/export`: everything of one's own, as one document.

mod content;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use engine::time;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::content::Content;
use crate::auth::AuthError;
use crate::control::repository::users;
use crate::error::ApiError;
use crate::export::document::{Archive, Head, Json, Lines};
use crate::extract::{Query, Reader};
use crate::state::AppState;

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(export))
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Lines,
    Archive,
}

impl Format {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "json" => Some(Self::Json),
            "ndjson" => Some(Self::Lines),
            "zip-parquet" => Some(Self::Archive),
            _ => None,
        }
    }

    /// Media type, and how a file of it is called.
    fn kind(self) -> (HeaderValue, &'static str) {
        let (kind, extension) = match self {
            Self::Json => ("application/json", "json"),
            Self::Lines => ("application/x-ndjson", "ndjson"),
            Self::Archive => ("application/zip", "zip"),
        };
        (HeaderValue::from_static(kind), extension)
    }
}

/// Everything of one's own: account, check-ins, symptoms, grants, keys (without the keys), logins, who has read one's
/// data, and every point.
///
/// It is streamed. `json` is one object that ends with `"complete":true`; `ndjson` has a record a line, the last of type
/// `end`; `zip-parquet` has a Parquet file for each metric and JSON for the rest, with `manifest.json` as the last file.
/// If the server cannot go on in the middle, the connection breaks.
#[utoipa::path(
    get, path = "/export", tag = "export",
    params(
        ("format" = Option<String>, Query, description = "`json` by default, `ndjson` or `zip-parquet`",
            pattern = "^(json|ndjson|zip-parquet)$"),
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (
            status = 200, description = "everything",
            content(
                (serde_json::Value = "application/json"),
                (String = "application/x-ndjson"),
                (Vec<u8> = "application/zip"),
            )
        ),
        (status = 422, description = "faults, located"),
        (status = 503, description = "too many exports are running, or one of yours is"),
    )
)]
async fn export(
    Reader(principal): Reader,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Query::parse(raw.as_deref(), &["format"])?;
    let format = Format::parse(query.text("format").unwrap_or("json")).unwrap_or_else(|| {
        query.refuse("format", "must be `json`, `ndjson` or `zip-parquet`");
        Format::Json
    });
    query.finish()?;
    let found = users::by_id(state.control.read(), principal.user.as_str()).await?;
    let user = found.ok_or(AuthError::Invalid)?;
    let exported_at = time::format(state.clock.now_us());
    let (kind, extension) = format.kind();
    let day = exported_at.get(..10).unwrap_or_default();
    let name = format!("attachment; filename=\"avycenna-export-{day}.{extension}\"");
    let head = Head::new(&user.id, exported_at);
    let place = state.exports.begin(principal.user)?;
    let metrics = state.metrics.clone();
    let mut content = Content::new(state, principal, user)?;
    let body = place.start(metrics, move |sink| match format {
        Format::Json => content.write(Json::new(sink, &head)?),
        Format::Lines => content.write(Lines::new(sink, &head)?),
        Format::Archive => content.write(Archive::new(sink, head)?),
    });
    let mut response = Response::new(body.map_err(ApiError::internal)?);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::try_from(name).map_err(ApiError::internal)?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
