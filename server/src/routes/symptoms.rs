//! `/symptoms`: what people suffer from, from when to when.

use std::ops::RangeInclusive;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::check_ins::AHEAD_US_MAX;
use super::fields::Fields;
use super::ids::is_id;
use super::time::rfc3339;
use crate::auth::random;
use crate::control::entities::symptom::Model;
use crate::control::repository::outbox::forget_subject;
use crate::control::repository::symptoms;
use crate::error::ApiError;
use crate::extract::{Payload, Query, Reader, Writer};
use crate::state::AppState;
use crate::webhooks::outbox::{self, Cause};

const PREFIX: &str = "sym_";
const SEVERITIES: [&str; 4] = ["mild", "moderate", "severe", "critical"];
/// Most days that a listing of one's own goes back.
const DAYS: RangeInclusive<u32> = 1..=3_650;
/// Days that a listing goes back if nothing says how many.
pub(super) const DAYS_DEFAULT: u32 = 90;

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, change, remove))
}

/// Something that began.
#[derive(Debug, ToSchema)]
pub struct NewSymptom {
    /// 1 to 200 characters.
    #[schema(value_type = super::shape::Name)]
    pub name: String,
    /// `mild`, `moderate`, `severe` or `critical`.
    #[schema(value_type = super::shape::Severity)]
    pub severity: String,
    /// When it began: RFC 3339 with any offset, at most 24 hours ahead.
    #[schema(example = "2026-06-01T07:30:00Z", format = DateTime)]
    pub onset_at: String,
    /// When it was over, if it is; not before it began.
    #[schema(format = DateTime)]
    pub resolved_at: Option<String>,
    /// Up to 2,000 characters.
    #[schema(value_type = Option<super::shape::Note>)]
    pub notes: Option<String>,
}

/// What changes of a symptom. What is not there stays; null takes away what may be absent.
#[derive(Debug, ToSchema)]
pub struct ChangeSymptom {
    /// 1 to 200 characters.
    #[schema(required = false, value_type = super::shape::Name)]
    pub name: Option<String>,
    /// `mild`, `moderate`, `severe` or `critical`.
    #[schema(required = false, value_type = super::shape::Severity)]
    pub severity: Option<String>,
    /// When it began.
    #[schema(nullable = false, format = DateTime)]
    pub onset_at: Option<String>,
    /// When it was over; null if it came back.
    #[schema(example = "2026-06-02T07:30:00Z", format = DateTime)]
    pub resolved_at: Option<String>,
    /// Up to 2,000 characters.
    #[schema(value_type = Option<super::shape::Note>)]
    pub notes: Option<String>,
}

/// A symptom.
#[derive(Debug, Serialize, ToSchema)]
pub struct Symptom {
    /// Its id.
    #[schema(example = "sym_3fYqZ0dTnUe1xK9s")]
    pub id: String,
    /// Whose.
    #[schema(example = "usr_7jRtHvBk")]
    pub user_id: String,
    /// What they call it.
    #[schema(example = "headache")]
    pub name: String,
    /// `mild`, `moderate`, `severe` or `critical`.
    #[schema(value_type = super::shape::Severity)]
    pub severity: String,
    /// When it began.
    #[schema(example = "2026-06-01T07:30:00Z", format = DateTime)]
    pub onset_at: String,
    /// When it was over; null while it lasts.
    #[schema(format = DateTime)]
    pub resolved_at: Option<String>,
    /// Null if they did not say.
    pub notes: Option<String>,
}

/// One's own symptoms.
#[derive(Debug, Serialize, ToSchema)]
pub struct SymptomList {
    /// The last that began first.
    pub symptoms: Vec<Symptom>,
}

impl From<Model> for Symptom {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            name: row.name,
            severity: row.severity,
            onset_at: rfc3339(row.onset_at),
            resolved_at: row.resolved_at.map(rfc3339),
            notes: row.notes,
        }
    }
}

/// Writes a symptom down.
#[utoipa::path(
    post, path = "/symptoms", tag = "symptoms", request_body = NewSymptom,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 201, description = "the symptom", body = Symptom), (status = 422, description = "faults, located"))
)]
async fn create(
    Writer(principal): Writer,
    State(state): State<AppState>,
    body: Payload,
) -> Result<(StatusCode, Json<Symptom>), ApiError> {
    let now_us = state.clock.now_us();
    let mut fields = Fields::parse(&body)?;
    for key in ["name", "severity", "onset_at"] {
        fields.require(key);
    }
    let mut row = Model {
        id: random::base62(PREFIX, 16).map_err(ApiError::internal)?,
        user_id: principal.user.as_str().to_owned(),
        name: String::new(),
        severity: String::new(),
        onset_at: i64::MIN,
        resolved_at: None,
        notes: None,
        created_at: now_us,
        updated_at: now_us,
    };
    fill(&mut row, &mut fields, now_us);
    fields.finish()?;
    let write = state.control.write().await?;
    symptoms::insert(write.on(), row.clone()).await?;
    let owed = outbox::announce(write.on(), Cause::Symptom(&row), state.clock.now_us()).await?;
    write.commit().await?;
    owed.tell(&state.webhooks);
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// One's own symptoms that began in the last days.
#[utoipa::path(
    get, path = "/symptoms", tag = "symptoms",
    params(("days" = Option<u32>, Query, description = "so many days back; 90 by default", minimum = 1, maximum = 3650)),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the symptoms", body = SymptomList),
        (status = 422, description = "faults, located"),
    )
)]
async fn list(
    Reader(principal): Reader,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
) -> Result<Json<SymptomList>, ApiError> {
    let since_us = Query::days(raw.as_deref(), DAYS, DAYS_DEFAULT)?.since_us(state.clock.now_us());
    let rows = symptoms::of_user(state.control.read(), principal.user.as_str(), since_us).await?;
    Ok(Json(SymptomList { symptoms: rows.into_iter().map(Symptom::from).collect() }))
}

/// One symptom of one's own.
#[utoipa::path(
    get, path = "/symptoms/{id}", tag = "symptoms", params(("id" = String, Path, description = "the symptom's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the symptom", body = Symptom),
        (status = 404, description = "no such symptom of yours"),
    )
)]
async fn get(
    Reader(principal): Reader,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Symptom>, ApiError> {
    if !is_id(PREFIX, &id) {
        return Err(unknown());
    }
    let found = symptoms::by_id(state.control.read(), principal.user.as_str(), &id).await?;
    Ok(Json(found.ok_or_else(unknown)?.into()))
}

/// Changes a symptom of one's own: that it is over, for one.
#[utoipa::path(
    patch, path = "/symptoms/{id}", tag = "symptoms", request_body = ChangeSymptom,
    params(("id" = String, Path, description = "the symptom's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the symptom", body = Symptom),
        (status = 404, description = "no such symptom of yours"),
        (status = 422, description = "faults, located; nothing was changed"),
    )
)]
async fn change(
    Writer(principal): Writer,
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Payload,
) -> Result<Json<Symptom>, ApiError> {
    if !is_id(PREFIX, &id) {
        return Err(unknown());
    }
    let now_us = state.clock.now_us();
    let mut fields = Fields::parse(&body)?;
    let write = state.control.write().await?;
    let found = symptoms::hold(write.on(), principal.user.as_str(), &id).await?;
    let mut row = found.ok_or_else(unknown)?;
    for key in ["name", "severity", "onset_at"] {
        if fields.has(key) {
            fields.require(key);
        }
    }
    fill(&mut row, &mut fields, now_us);
    fields.finish()?;
    row.updated_at = now_us;
    symptoms::update(write.on(), row.clone()).await?;
    write.commit().await?;
    Ok(Json(row.into()))
}

/// Deletes a symptom of one's own.
#[utoipa::path(
    delete, path = "/symptoms/{id}", tag = "symptoms", params(("id" = String, Path, description = "the symptom's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 204, description = "deleted"), (status = 404, description = "no such symptom of yours"))
)]
async fn remove(
    Writer(principal): Writer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    if !is_id(PREFIX, &id) {
        return Err(unknown());
    }
    let write = state.control.write().await?;
    let is_deleted = symptoms::delete(write.on(), principal.user.as_str(), &id).await?;
    forget_subject(write.on(), principal.user.as_str(), &id).await?;
    write.commit().await?;
    if is_deleted { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

fn unknown() -> ApiError {
    ApiError::not_found("no such symptom")
}

/// Puts the fields that a body has into a row.
fn fill(row: &mut Model, fields: &mut Fields, now_us: i64) {
    if let Some(name) = fields.optional_name("name") {
        row.name = name;
    }
    if let Some(severity) = fields.optional_text("severity") {
        if !SEVERITIES.contains(&severity.as_str()) {
            fields.refuse("severity", "must be `mild`, `moderate`, `severe` or `critical`");
        }
        row.severity = severity;
    }
    if let Some(onset_at) = fields.moment_us("onset_at") {
        row.onset_at = onset_at;
        if onset_at > now_us.saturating_add(AHEAD_US_MAX) {
            fields.refuse("onset_at", "must be at most 24 hours ahead");
        }
    }
    let names_end = fields.has("resolved_at");
    if names_end {
        row.resolved_at = fields.moment_us("resolved_at");
    }
    if row.resolved_at.is_some_and(|resolved_at| resolved_at < row.onset_at) {
        let key = if names_end { "resolved_at" } else { "onset_at" };
        fields.refuse(key, "a symptom ends after it began");
    }
    if fields.has("notes") {
        row.notes = fields.note("notes");
    }
}
