//! `/check-ins`: what people say of their day. Their own word: no point is made of it.

use std::ops::RangeInclusive;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fields::Fields;
use super::ids::is_id;
use super::time::rfc3339;
use crate::auth::{Means, Principal, random};
use crate::control::entities::check_in::Model;
use crate::control::repository::check_ins;
use crate::control::repository::outbox::forget_subject;
use crate::error::ApiError;
use crate::extract::{Payload, Query, Reader, Writer};
use crate::state::AppState;
use crate::webhooks::outbox::{self, Cause};

const PREFIX: &str = "ci_";
const SCORES: RangeInclusive<i32> = 1..=5;
const SLEEP_HOURS: RangeInclusive<f64> = 0.0..=24.0;
const STEPS: RangeInclusive<i32> = 0..=200_000;
/// Most days that a listing of one's own goes back.
const DAYS: RangeInclusive<u32> = 1..=3_650;
const DAYS_DEFAULT: u32 = 30;

/// How far ahead of the server's clock somebody's may be.
pub(crate) const AHEAD_US_MAX: i64 = engine::time::DAY_US;

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, change, remove))
}

/// A day in a few words.
#[derive(Debug, ToSchema)]
pub struct NewCheckIn {
    /// 1 (low) to 5 (high).
    #[schema(minimum = 1, maximum = 5, example = 4)]
    pub mood: i32,
    /// 1 to 5.
    #[schema(minimum = 1, maximum = 5, example = 3)]
    pub energy: i32,
    /// 1 to 5.
    #[schema(minimum = 1, maximum = 5, example = 4)]
    pub focus: i32,
    /// 0 to 24.
    #[schema(minimum = 0, maximum = 24, example = 7.5)]
    pub sleep_hours: Option<f64>,
    /// 0 to 200,000.
    #[schema(minimum = 0, maximum = 200_000, example = 8200)]
    pub steps: Option<i32>,
    /// Up to 2,000 characters.
    #[schema(value_type = Option<super::shape::Note>)]
    pub note: Option<String>,
    /// RFC 3339 with any offset, at most 24 hours ahead; now by default.
    #[schema(example = "2026-06-01T07:30:00Z", format = DateTime)]
    pub checked_in_at: Option<String>,
}

/// What changes of a check-in. What is not there stays; null takes away what may be absent.
#[derive(Debug, ToSchema)]
pub struct ChangeCheckIn {
    /// 1 to 5.
    #[schema(nullable = false, minimum = 1, maximum = 5)]
    pub mood: Option<i32>,
    /// 1 to 5.
    #[schema(nullable = false, minimum = 1, maximum = 5)]
    pub energy: Option<i32>,
    /// 1 to 5.
    #[schema(nullable = false, minimum = 1, maximum = 5)]
    pub focus: Option<i32>,
    /// 0 to 24.
    #[schema(minimum = 0, maximum = 24)]
    pub sleep_hours: Option<f64>,
    /// 0 to 200,000.
    #[schema(minimum = 0, maximum = 200_000)]
    pub steps: Option<i32>,
    /// Up to 2,000 characters.
    #[schema(value_type = Option<super::shape::Note>)]
    pub note: Option<String>,
    /// RFC 3339.
    #[schema(nullable = false, format = DateTime)]
    pub checked_in_at: Option<String>,
}

/// A check-in.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckIn {
    /// Its id.
    #[schema(example = "ci_3fYqZ0dTnUe1xK9s")]
    pub id: String,
    /// Whose.
    #[schema(example = "usr_7jRtHvBk")]
    pub user_id: String,
    /// 1 to 5.
    pub mood: i32,
    /// 1 to 5.
    pub energy: i32,
    /// 1 to 5.
    pub focus: i32,
    /// Null if they did not say.
    pub sleep_hours: Option<f64>,
    /// Null if they did not say.
    pub steps: Option<i32>,
    /// Null if they did not say.
    pub note: Option<String>,
    /// The moment it speaks of.
    #[schema(example = "2026-06-01T07:30:00Z", format = DateTime)]
    pub checked_in_at: String,
    /// `mobile`, `web` or `api`: from what it was sent.
    #[schema(example = "web")]
    pub source: String,
}

/// One's own check-ins.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckInList {
    /// Newest first.
    pub check_ins: Vec<CheckIn>,
}

impl From<Model> for CheckIn {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            mood: row.mood,
            energy: row.energy,
            focus: row.focus,
            sleep_hours: row.sleep_hours,
            steps: row.steps,
            note: row.note,
            checked_in_at: rfc3339(row.checked_in_at),
            source: row.source,
        }
    }
}

/// Writes a check-in down.
#[utoipa::path(
    post, path = "/check-ins", tag = "check-ins", request_body = NewCheckIn,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 201, description = "the check-in", body = CheckIn), (status = 422, description = "faults, located"))
)]
async fn create(
    Writer(principal): Writer,
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Payload,
) -> Result<(StatusCode, Json<CheckIn>), ApiError> {
    let now_us = state.clock.now_us();
    let mut fields = Fields::parse(&body)?;
    for key in ["mood", "energy", "focus"] {
        fields.require(key);
    }
    let mut row = Model {
        id: random::base62(PREFIX, 16).map_err(ApiError::internal)?,
        user_id: principal.user.as_str().to_owned(),
        mood: 0,
        energy: 0,
        focus: 0,
        sleep_hours: None,
        steps: None,
        note: None,
        checked_in_at: now_us,
        source: source_of(&principal, &headers).to_owned(),
        created_at: now_us,
        updated_at: now_us,
    };
    fill(&mut row, &mut fields, now_us);
    fields.finish()?;
    let write = state.control.write().await?;
    check_ins::insert(write.on(), row.clone()).await?;
    let owed = outbox::announce(write.on(), Cause::CheckIn(&row), state.clock.now_us()).await?;
    write.commit().await?;
    owed.tell(&state.webhooks);
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// One's own check-ins of the last days, newest first.
#[utoipa::path(
    get, path = "/check-ins", tag = "check-ins",
    params(("days" = Option<u32>, Query, description = "so many days back; 30 by default", minimum = 1, maximum = 3650)),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the check-ins", body = CheckInList),
        (status = 422, description = "faults, located"),
    )
)]
async fn list(
    Reader(principal): Reader,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
) -> Result<Json<CheckInList>, ApiError> {
    let since_us = Query::days(raw.as_deref(), DAYS, DAYS_DEFAULT)?.since_us(state.clock.now_us());
    let rows = check_ins::of_user(state.control.read(), principal.user.as_str(), since_us).await?;
    Ok(Json(CheckInList { check_ins: rows.into_iter().map(CheckIn::from).collect() }))
}

/// One check-in of one's own.
#[utoipa::path(
    get, path = "/check-ins/{id}", tag = "check-ins", params(("id" = String, Path, description = "the check-in's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the check-in", body = CheckIn),
        (status = 404, description = "no such check-in of yours"),
    )
)]
async fn get(
    Reader(principal): Reader,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<CheckIn>, ApiError> {
    if !is_id(PREFIX, &id) {
        return Err(unknown());
    }
    let found = check_ins::by_id(state.control.read(), principal.user.as_str(), &id).await?;
    Ok(Json(found.ok_or_else(unknown)?.into()))
}

/// Changes a check-in of one's own.
#[utoipa::path(
    patch, path = "/check-ins/{id}", tag = "check-ins", request_body = ChangeCheckIn,
    params(("id" = String, Path, description = "the check-in's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the check-in", body = CheckIn),
        (status = 404, description = "no such check-in of yours"),
        (status = 422, description = "faults, located; nothing was changed"),
    )
)]
async fn change(
    Writer(principal): Writer,
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Payload,
) -> Result<Json<CheckIn>, ApiError> {
    if !is_id(PREFIX, &id) {
        return Err(unknown());
    }
    let now_us = state.clock.now_us();
    let mut fields = Fields::parse(&body)?;
    let write = state.control.write().await?;
    let found = check_ins::hold(write.on(), principal.user.as_str(), &id).await?;
    let mut row = found.ok_or_else(unknown)?;
    for key in ["mood", "energy", "focus", "checked_in_at"] {
        if fields.has(key) {
            fields.require(key);
        }
    }
    fill(&mut row, &mut fields, now_us);
    fields.finish()?;
    row.updated_at = now_us;
    check_ins::update(write.on(), row.clone()).await?;
    write.commit().await?;
    Ok(Json(row.into()))
}

/// Deletes a check-in of one's own.
#[utoipa::path(
    delete, path = "/check-ins/{id}", tag = "check-ins",
    params(("id" = String, Path, description = "the check-in's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 204, description = "deleted"), (status = 404, description = "no such check-in of yours"))
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
    let is_deleted = check_ins::delete(write.on(), principal.user.as_str(), &id).await?;
    forget_subject(write.on(), principal.user.as_str(), &id).await?;
    write.commit().await?;
    if is_deleted { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

fn unknown() -> ApiError {
    ApiError::not_found("no such check-in")
}

/// Puts the fields that a body has into a row.
fn fill(row: &mut Model, fields: &mut Fields, now_us: i64) {
    row.mood = fields.integer("mood", &SCORES).unwrap_or(row.mood);
    row.energy = fields.integer("energy", &SCORES).unwrap_or(row.energy);
    row.focus = fields.integer("focus", &SCORES).unwrap_or(row.focus);
    if fields.has("sleep_hours") {
        row.sleep_hours = fields.number("sleep_hours", &SLEEP_HOURS);
    }
    if fields.has("steps") {
        row.steps = fields.integer("steps", &STEPS);
    }
    if fields.has("note") {
        row.note = fields.note("note");
    }
    if let Some(checked_in_at) = fields.moment_us("checked_in_at") {
        row.checked_in_at = checked_in_at;
        if checked_in_at > now_us.saturating_add(AHEAD_US_MAX) {
            fields.refuse("checked_in_at", "must be at most 24 hours ahead");
        }
    }
}

/// From what a check-in was sent: a key is a program; a person's client is taken at its `User-Agent`.
fn source_of(principal: &Principal, headers: &HeaderMap) -> &'static str {
    const MOBILE: [&str; 7] = ["Mobile", "Android", "iPhone", "iPad", "okhttp", "CFNetwork", "Dart/"];
    match &principal.means {
        Means::Key { .. } | Means::Client { .. } => "api",
        Means::Token { .. } => {
            let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            if MOBILE.iter().any(|word| agent.contains(word)) { "mobile" } else { "web" }
        }
    }
}
