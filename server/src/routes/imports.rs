//! `/imports`: files of one's own. What reads them is in [`crate::imports`].

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ids::is_id;
use super::shape::FileBytes;
use super::time::rfc3339;
use crate::control::entities::import::Model;
use crate::control::repository::imports;
use crate::error::ApiError;
use crate::extract::{Query, Reader, Writer};
use crate::imports::{APPLE_HEALTH, GARMIN, PREFIX, Report};
use crate::state::AppState;

/// Most sources of a priority.
const SOURCES_MAX: usize = 32;

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, remove))
}

/// An import that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub struct Queued {
    /// By which one asks for it.
    #[schema(example = "imp_7jRtHvBk0aB1cD2e")]
    pub id: String,
    /// `queued`.
    #[schema(example = "queued")]
    pub status: String,
}

/// An import.
#[derive(Debug, Serialize, ToSchema)]
pub struct Import {
    /// Its id.
    #[schema(example = "imp_7jRtHvBk0aB1cD2e")]
    pub id: String,
    /// `apple_health` or `garmin`.
    #[schema(example = "apple_health")]
    pub format: String,
    /// `queued`, `running`; `done`: read to its end; `partial`: broken or cancelled behind something that was kept, or
    /// broken in a part of it; `failed`: nothing was usable, or taken before it was cancelled.
    #[schema(example = "running")]
    pub status: String,
    /// How much of the file is read, 0 to 1.
    #[schema(example = 0.5, minimum = 0, maximum = 1)]
    pub progress: f64,
    /// What was taken, and what was skipped.
    #[serde(flatten)]
    pub report: Report,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the file was there.
    #[schema(example = "2026-06-01T08:00:00Z", format = DateTime)]
    pub created_at: String,
}

impl From<Model> for Import {
    fn from(row: Model) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "files are far below 2^53 bytes")]
        let part = row.bytes_read as f64 / row.bytes.max(1) as f64;
        Self {
            progress: part.clamp(0.0, 1.0),
            report: Report::parse(&row.report),
            created_at: rfc3339(row.created_at),
            id: row.id,
            format: row.format,
            // What was taken is being made durable.
            status: if row.status == imports::CANCELED { imports::RUNNING.to_owned() } else { row.status },
            error: row.error,
        }
    }
}

/// Imports of one's own.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportList {
    /// The newest first.
    pub imports: Vec<Import>,
}

/// Takes a file and imports it behind the answer. The body is the file as it is.
///
/// `priority` names sources, the best first, by commas: where several devices counted the same time, the first of them
/// counts. It holds for this person from then on; an empty one lets watches count before phones again.
#[utoipa::path(
    post, path = "/imports", tag = "imports",
    params(
        ("format" = String, Query, pattern = "^(apple_health|garmin)$", example = "garmin",
            description = "`apple_health`: the export of Apple's app Health, `export.zip` or the `export.xml` in it; \
                           `garmin`: a FIT file, a zip of them, or the export of an account"),
        ("priority" = Option<String>, Query, description = "sources, the best first, by commas"),
    ),
    request_body(content = FileBytes, content_type = "application/octet-stream", description = "the file"),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 202, description = "the file is durable, its import waits", body = Queued),
        (status = 409, description = "so many imports of yours wait or run that one must end first"),
        (status = 415, description = "`Content-Encoding` is not gzip, zstd or identity"),
        (status = 422, description = "faults, located"),
        (status = 507, description = "the server's disk has no room for the file"),
    )
)]
async fn create(
    Writer(principal): Writer,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Queued>), ApiError> {
    let mut query = Query::parse(raw.as_deref(), &["format", "priority"])?;
    let format = match query.text("format") {
        Some("apple_health") => APPLE_HEALTH,
        Some("garmin") => GARMIN,
        Some(_) => {
            query.refuse("format", "must be `apple_health` or `garmin`");
            GARMIN
        }
        None => {
            query.miss("format");
            GARMIN
        }
    };
    let priority = sources(&mut query);
    query.finish()?;
    let row = state.imports.take(principal.user, format, priority, &headers, body).await?;
    Ok((StatusCode::ACCEPTED, Json(Queued { id: row.id, status: row.status })))
}

/// The sources of a query, if it names some.
fn sources(query: &mut Query) -> Option<Vec<String>> {
    let text = query.text("priority")?;
    let sources: Vec<String> = text.split(',').map(|source| source.trim().to_owned()).collect();
    let sources: Vec<String> = sources.into_iter().filter(|source| !source.is_empty()).collect();
    let is_source = |source: &String| source.chars().count() <= engine::ingest::SOURCE_CHARS_MAX;
    if sources.len() > SOURCES_MAX || !sources.iter().all(is_source) {
        query.refuse("priority", format!("must name at most {SOURCES_MAX} sources of at most 64 characters each"));
    }
    Some(sources)
}

/// One's own imports: those that wait or run, and the last 100 that have ended.
#[utoipa::path(
    get, path = "/imports", tag = "imports", security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "the imports", body = ImportList))
)]
async fn list(Reader(principal): Reader, State(state): State<AppState>) -> Result<Json<ImportList>, ApiError> {
    let rows = imports::of_user(state.control.read(), principal.user.as_str()).await?;
    Ok(Json(ImportList { imports: rows.into_iter().map(Import::from).collect() }))
}

/// How far an import of one's own is, and what became of what was in the file.
#[utoipa::path(
    get, path = "/imports/{id}", tag = "imports", params(("id" = String, Path, description = "the import's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the import", body = Import),
        (status = 404, description = "no such import of yours"),
    )
)]
async fn get(
    Reader(principal): Reader,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Import>, ApiError> {
    known(&id)?;
    let row = imports::by_id(state.control.read(), principal.user.as_str(), &id).await?;
    Ok(Json(row.ok_or_else(unknown)?.into()))
}

/// Ends an import of one's own, behind the answer: it is `partial` or `failed` then, and says what was taken, which stays.
/// One that has ended is forgotten.
#[utoipa::path(
    delete, path = "/imports/{id}", tag = "imports", params(("id" = String, Path, description = "the import's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 204, description = "it ends, or is forgotten"), (status = 404, description = "no such import of yours"))
)]
async fn remove(
    Writer(principal): Writer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    known(&id)?;
    if state.imports.cancel(principal.user, &id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

fn known(id: &str) -> Result<(), ApiError> {
    if is_id(PREFIX, id) { Ok(()) } else { Err(unknown()) }
}

fn unknown() -> ApiError {
    ApiError::not_found("no such import")
}
