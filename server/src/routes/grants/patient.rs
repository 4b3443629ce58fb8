//! `/grants/patient/{patient_id}/*`: what a doctor reads of a patient who let them in.
//!
//! Every handler asks [`crate::access::admit`] and answers behind its commit, so that no read goes unrecorded. Points are
//! read behind that commit, and the grant is looked at once more behind them.

use std::ops::RangeInclusive;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::overview;
use super::schema::{Overview, PatientCheckIns, PatientSymptoms, Summary};
use crate::access::{Look, Permission, Standing, Visitor, admit};
use crate::control::entities::check_in;
use crate::control::repository::{check_ins, symptoms};
use crate::error::ApiError;
use crate::extract::Query;
use crate::routes::check_ins::AHEAD_US_MAX;
use crate::routes::symptoms::DAYS_DEFAULT as SYMPTOM_DAYS_DEFAULT;
use crate::routes::wearables::question::Question;
use crate::routes::wearables::schema::{Latest, Reading, ReadingParams};
use crate::routes::wearables::{answer, known};
use crate::state::AppState;

/// Most days that a doctor's window has.
const DAYS: RangeInclusive<u32> = 1..=365;
const DAYS_DEFAULT: u32 = 30;

/// What lets points be read: [`Permission::CheckIns`] includes it.
static POINTS: [Permission; 1] = [Permission::Wearables];

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(read_check_ins))
        .routes(routes!(read_symptoms))
        .routes(routes!(read_metric))
        .routes(routes!(read_latest))
        .routes(routes!(read_overview))
}

/// A patient's check-ins of the last days, and their averages. Wants the permission `check_ins`.
#[utoipa::path(
    get, path = "/grants/patient/{patient_id}/check-ins", tag = "grants",
    params(
        ("patient_id" = String, Path, description = "the patient's id"),
        ("days" = Option<u32>, Query, description = "so many days back; 30 by default", minimum = 1, maximum = 365),
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "check-ins and averages", body = PatientCheckIns),
        (status = 403, description = "no active grant allows it; alike for patients who are not there"),
        (status = 422, description = "faults, located"),
    )
)]
async fn read_check_ins(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(patient_id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Json<PatientCheckIns>, ApiError> {
    let days = Query::days(raw.as_deref(), DAYS, DAYS_DEFAULT)?;
    let now_us = state.clock.now_us();
    let since_us = days.since_us(now_us);
    let look = Look { what: "check_ins", metric: None, range: Some((since_us, shown_until_us(now_us))) };
    let admitted = admit(&state.control, &visitor, &patient_id, &[Permission::CheckIns], look).await?;
    let rows = check_ins::of_user(admitted.on(), &patient_id, since_us).await?;
    let (patient, _) = admitted.commit().await?;
    let summary = summary_of(&rows, days.0);
    Ok(Json(PatientCheckIns {
        patient_id: patient.id,
        patient_name: patient.name,
        check_ins: rows.into_iter().map(Into::into).collect(),
        summary,
    }))
}

/// A patient's symptoms that began in the last days. Wants the permission `symptoms`.
#[utoipa::path(
    get, path = "/grants/patient/{patient_id}/symptoms", tag = "grants",
    params(
        ("patient_id" = String, Path, description = "the patient's id"),
        ("days" = Option<u32>, Query, description = "so many days back; 90 by default", minimum = 1, maximum = 365),
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "symptoms", body = PatientSymptoms),
        (status = 403, description = "no active grant allows it; alike for patients who are not there"),
        (status = 422, description = "faults, located"),
    )
)]
async fn read_symptoms(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(patient_id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Json<PatientSymptoms>, ApiError> {
    let now_us = state.clock.now_us();
    let since_us = Query::days(raw.as_deref(), DAYS, SYMPTOM_DAYS_DEFAULT)?.since_us(now_us);
    let look = Look { what: "symptoms", metric: None, range: Some((since_us, shown_until_us(now_us))) };
    let admitted = admit(&state.control, &visitor, &patient_id, &[Permission::Symptoms], look).await?;
    let rows = symptoms::of_user(admitted.on(), &patient_id, since_us).await?;
    let (patient, _) = admitted.commit().await?;
    let symptoms = rows.into_iter().map(Into::into).collect();
    Ok(Json(PatientSymptoms { patient_id: patient.id, patient_name: patient.name, symptoms }))
}

/// A patient's points of one metric, or figures per bucket. Wants the permission `wearables` or `check_ins`.
///
/// The same parameters and the same answer as the patient's own read.
#[utoipa::path(
    get, path = "/grants/patient/{patient_id}/wearables/metric/{metric}", tag = "grants",
    params(
        ("patient_id" = String, Path, description = "the patient's id"),
        ("metric" = String, Path, description = "key of the catalogue", example = "heart_rate"),
        ReadingParams,
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "points, or figures", body = Reading),
        (status = 403, description = "no active grant allows it; alike for patients who are not there"),
        (status = 404, description = "no such metric"),
        (status = 422, description = "faults, located"),
    )
)]
async fn read_metric(
    visitor: Visitor,
    State(state): State<AppState>,
    Path((patient_id, metric)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    known(&state, &metric)?;
    let question = Question::parse(metric.clone(), raw.as_deref(), state.clock.now_us())?;
    let times = question.times();
    let look = Look { what: "wearables", metric: Some(metric), range: Some((times.start, times.end)) };
    let admitted = admit(&state.control, &visitor, &patient_id, &POINTS, look).await?;
    let (_, user) = admitted.commit().await?;
    let standing = Standing::new(&state.control, &visitor, &patient_id, &POINTS);
    let found = standing.behind(question.ask(&state.engine, user)).await?;
    Ok(standing.guard(answer(found)))
}

/// The newest point of each of a patient's metrics. Wants the permission `wearables` or `check_ins`.
#[utoipa::path(
    get, path = "/grants/patient/{patient_id}/wearables/latest", tag = "grants",
    params(("patient_id" = String, Path, description = "the patient's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the newest points", body = Latest),
        (status = 403, description = "no active grant allows it; alike for patients who are not there"),
    )
)]
async fn read_latest(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(patient_id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    Query::parse(raw.as_deref(), &[])?;
    let look = Look { what: "wearables_latest", metric: None, range: None };
    let admitted = admit(&state.control, &visitor, &patient_id, &POINTS, look).await?;
    let (_, user) = admitted.commit().await?;
    let standing = Standing::new(&state.control, &visitor, &patient_id, &POINTS);
    Ok(answer(standing.behind(state.engine.latest(user)).await?))
}

/// What a doctor opens first: averages, newest values, daily figures of each metric, what changed.
///
/// Wants the permission `wearables` or `check_ins`; the averages of the check-ins are there with `check_ins` alone. Days
/// are those of the patient's time zone.
#[utoipa::path(
    get, path = "/grants/patient/{patient_id}/overview", tag = "grants",
    params(
        ("patient_id" = String, Path, description = "the patient's id"),
        ("days" = Option<u32>, Query, description = "so many days back; 30 by default", minimum = 1, maximum = 365),
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the overview", body = Overview),
        (status = 403, description = "no active grant allows it; alike for patients who are not there"),
        (status = 422, description = "faults, located"),
    )
)]
async fn read_overview(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(patient_id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Overview>, ApiError> {
    let days = Query::days(raw.as_deref(), DAYS, DAYS_DEFAULT)?;
    let now_us = state.clock.now_us();
    let (since_us, before_us) = (days.since_us(now_us), now_us.saturating_sub(2 * days.us()));
    let look = Look { what: "overview", metric: None, range: Some((before_us, shown_until_us(now_us))) };
    let admitted = admit(&state.control, &visitor, &patient_id, &POINTS, look).await?;
    let summaries = if admitted.also_allows(Permission::CheckIns) {
        let rows = check_ins::of_user(admitted.on(), &patient_id, before_us).await?;
        // Newest first: the period's own stand before those of the period before.
        let (period, before) = rows.split_at(rows.partition_point(|row| row.checked_in_at >= since_us));
        Some((summary_of(period, days.0), summary_of(before, days.0)))
    } else {
        None
    };
    let (patient, user) = admitted.commit().await?;
    let (summary, summary_before) = summaries.unzip();
    let span = overview::Span { before_us, since_us, now_us, tz: &patient.timezone };
    let still: &'static [Permission] = if summary.is_some() { &[Permission::CheckIns] } else { &POINTS };
    let standing = Standing::new(&state.control, &visitor, &patient_id, still);
    let (latest, metrics) = standing.behind(overview::of_points(&state.engine, user, span)).await?;
    Ok(Json(Overview {
        patient_id: patient.id,
        patient_name: patient.name,
        days: days.0,
        tz: patient.timezone,
        summary,
        summary_before,
        latest,
        metrics,
    }))
}

/// The first moment behind what a listing may show: what people say of their day may be a little ahead of our clock, and
/// a record must not say less than was read.
fn shown_until_us(now_us: i64) -> i64 {
    now_us.saturating_add(AHEAD_US_MAX).saturating_add(1)
}

/// Averages over what is present.
fn summary_of(rows: &[check_in::Model], days: u32) -> Summary {
    let of = |value: fn(&check_in::Model) -> Option<f64>| overview::mean(rows.iter().filter_map(value));
    Summary {
        avg_mood: of(|row| Some(f64::from(row.mood))),
        avg_energy: of(|row| Some(f64::from(row.energy))),
        avg_focus: of(|row| Some(f64::from(row.focus))),
        avg_sleep_hours: of(|row| row.sleep_hours),
        avg_steps: of(|row| row.steps.map(f64::from)),
        total_check_ins: rows.len(),
        days_requested: days,
    }
}
