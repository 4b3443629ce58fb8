//! `/grants`: a patient lets a doctor in. What a doctor then reads is in [`patient`].
//!
//! Asking, answering and ending want a person's token: whoever holds a key must not be able to let others in.

mod overview;
pub mod patient;
pub mod schema;

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use engine::{FaultKind, Loc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::schema::{Accept, IncomingGrant, IncomingList, Invite, Narrow, OutgoingGrant, OutgoingList};
use super::fields::Fields;
use super::ids::is_id;
use super::time::rfc3339;
use crate::access::invitation::{self, GrantError, Invitation, status_at};
use crate::access::{Permission, Permissions, Status};
use crate::auth::{AuthError, Principal, Role};
use crate::control::entities::{grant, user};
use crate::control::repository::{grants, users};
use crate::error::ApiError;
use crate::extract::{Payload, Query, Reader};
use crate::state::AppState;

const PREFIX: &str = "grt_";

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(invite))
        .routes(routes!(incoming))
        .routes(routes!(outgoing))
        .routes(routes!(accept))
        .routes(routes!(decline))
        .routes(routes!(narrow))
        .routes(routes!(revoke))
        .merge(patient::router())
}

/// Asks a patient to be let in.
///
/// The answer is the same whether or not the address has an account; the invitation waits for one. For doctors.
#[utoipa::path(
    post, path = "/grants/invite", tag = "grants", request_body = Invite, security(("bearer" = [])),
    responses(
        (status = 201, description = "the invitation", body = OutgoingGrant),
        (status = 403, description = "came with a key, or from somebody who is no doctor"),
        (status = 409, description = "an invitation to this address is waiting already, or too many are"),
        (status = 422, description = "faults, located"),
    )
)]
async fn invite(
    principal: Principal,
    State(state): State<AppState>,
    body: Payload,
) -> Result<(StatusCode, Json<OutgoingGrant>), ApiError> {
    principal.require_token()?;
    if principal.role != Role::Doctor {
        return Err(ApiError::forbidden("only doctors invite patients"));
    }
    let mut fields = Fields::parse(&body)?;
    let patient_email = fields.email("patient_email");
    fields.require("permissions");
    let (permissions, _) = permissions_of(&mut fields).unwrap_or_default();
    let message = fields.note("message");
    let expires_at = fields.moment_us("expires_at");
    if expires_at.is_some_and(|expires_at| expires_at <= state.clock.now_us()) {
        fields.refuse("expires_at", "must be a time to come");
    }
    fields.finish()?;
    let invitation = Invitation { patient_email, permissions, message, expires_at };
    let row = invitation::invite(&state.control, &state.mail, principal.user.as_str(), invitation).await?;
    Ok((StatusCode::CREATED, Json(outgoing_of(row, Status::Pending, &HashMap::new()))))
}

/// What one was asked for, and by whom: what waits and what holds, unless `status` says otherwise.
#[utoipa::path(
    get, path = "/grants/incoming", tag = "grants",
    params(("status" = Option<String>, Query, description = "`pending`, `active`, `declined`, `revoked`, `expired` or `all`",
        pattern = "^(pending|active|declined|revoked|expired|all)$")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "grants", body = IncomingList), (status = 422, description = "faults, located"))
)]
async fn incoming(
    Reader(principal): Reader,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
) -> Result<Json<IncomingList>, ApiError> {
    let wanted = wanted_of(raw.as_deref(), &[Status::Pending, Status::Active])?;
    let (on, now_us) = (state.control.read(), state.clock.now_us());
    let patient_id = principal.user.as_str();
    let patient = users::by_id(on, patient_id).await?.ok_or(AuthError::Invalid)?;
    let rows =
        with_status(grants::incoming(on, patient_id, &patient.email, &stored_of(&wanted)).await?, &wanted, now_us)?;
    let people = grants::people(on, rows.iter().map(|(row, _)| row.doctor_id.clone()).collect()).await?;
    let grants = rows.into_iter().map(|(row, status)| incoming_of(row, status, &people)).collect();
    Ok(Json(IncomingList { grants }))
}

/// What one has asked for: what holds, unless `status` says otherwise.
#[utoipa::path(
    get, path = "/grants/outgoing", tag = "grants",
    params(("status" = Option<String>, Query, description = "`pending`, `active`, `declined`, `revoked`, `expired` or `all`",
        pattern = "^(pending|active|declined|revoked|expired|all)$")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "grants", body = OutgoingList), (status = 422, description = "faults, located"))
)]
async fn outgoing(
    Reader(principal): Reader,
    State(state): State<AppState>,
    RawQuery(raw): RawQuery,
) -> Result<Json<OutgoingList>, ApiError> {
    let wanted = wanted_of(raw.as_deref(), &[Status::Active])?;
    let (on, now_us) = (state.control.read(), state.clock.now_us());
    let rows = with_status(grants::outgoing(on, principal.user.as_str(), &stored_of(&wanted)).await?, &wanted, now_us)?;
    let people = grants::people(on, rows.iter().filter_map(|(row, _)| row.patient_id.clone()).collect()).await?;
    let grants = rows.into_iter().map(|(row, status)| outgoing_of(row, status, &people)).collect();
    Ok(Json(OutgoingList { grants }))
}

/// Lets a doctor in: with all that was asked for, or a part of it.
///
/// An earlier grant of the same doctor ends.
#[utoipa::path(
    post, path = "/grants/{id}/accept", tag = "grants", request_body = Accept,
    params(("id" = String, Path, description = "the grant's id")), security(("bearer" = [])),
    responses(
        (status = 200, description = "the grant, active", body = IncomingGrant),
        (status = 403, description = "came with a key, or from the doctor"),
        (status = 404, description = "no such grant of yours"),
        (status = 409, description = "the grant is not pending"),
        (status = 422, description = "faults, located; more than was asked for is one"),
    )
)]
async fn accept(
    principal: Principal,
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Payload,
) -> Result<Json<IncomingGrant>, ApiError> {
    principal.require_token()?;
    let mut fields = Fields::parse_optional(&body)?;
    let part = permissions_of(&mut fields);
    fields.finish()?;
    known(&id)?;
    let (part, words) = part.unzip();
    let row = invitation::accept(&state.control, &state.webhooks, principal.user.as_str(), &id, part).await;
    let row = row.map_err(|error| located(error, &words.unwrap_or_default()))?;
    answer(&state, row).await
}

/// Says no to a doctor.
#[utoipa::path(
    post, path = "/grants/{id}/decline", tag = "grants",
    params(("id" = String, Path, description = "the grant's id")), security(("bearer" = [])),
    responses(
        (status = 200, description = "the grant, declined", body = IncomingGrant),
        (status = 403, description = "came with a key, or from the doctor"),
        (status = 404, description = "no such grant of yours"),
        (status = 409, description = "the grant is not pending"),
    )
)]
async fn decline(
    principal: Principal,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<IncomingGrant>, ApiError> {
    principal.require_token()?;
    known(&id)?;
    answer(&state, invitation::decline(&state.control, principal.user.as_str(), &id).await?).await
}

/// Takes permissions back. Holds from the next request on.
#[utoipa::path(
    patch, path = "/grants/{id}", tag = "grants", request_body = Narrow,
    params(("id" = String, Path, description = "the grant's id")), security(("bearer" = [])),
    responses(
        (status = 200, description = "the grant, narrower", body = IncomingGrant),
        (status = 403, description = "came with a key, or from the doctor"),
        (status = 404, description = "no such grant of yours"),
        (status = 409, description = "the grant is not active"),
        (status = 422, description = "faults, located; more than was granted is one"),
    )
)]
async fn narrow(
    principal: Principal,
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Payload,
) -> Result<Json<IncomingGrant>, ApiError> {
    principal.require_token()?;
    let mut fields = Fields::parse(&body)?;
    fields.require("permissions");
    let (part, words) = permissions_of(&mut fields).unwrap_or_default();
    fields.finish()?;
    known(&id)?;
    let row = invitation::narrow(&state.control, principal.user.as_str(), &id, part).await;
    answer(&state, row.map_err(|error| located(error, &words))?).await
}

/// Ends a grant, from either side. When the answer is there no read by it begins any more.
#[utoipa::path(
    post, path = "/grants/{id}/revoke", tag = "grants",
    params(("id" = String, Path, description = "the grant's id")), security(("bearer" = [])),
    responses(
        (status = 200, description = "the grant, revoked", body = IncomingGrant),
        (status = 403, description = "came with a key"),
        (status = 404, description = "no such grant of yours"),
        (status = 409, description = "the grant is not active"),
    )
)]
async fn revoke(
    principal: Principal,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<IncomingGrant>, ApiError> {
    principal.require_token()?;
    known(&id)?;
    let row = invitation::revoke(&state.control, &state.webhooks, principal.user.as_str(), &id).await?;
    answer(&state, row).await
}

fn known(id: &str) -> Result<(), GrantError> {
    if is_id(PREFIX, id) { Ok(()) } else { Err(GrantError::Unknown) }
}

/// A grant that has just moved.
async fn answer(state: &AppState, row: grant::Model) -> Result<Json<IncomingGrant>, ApiError> {
    let status = status_at(&row, state.clock.now_us())?;
    let people = grants::people(state.control.read(), vec![row.doctor_id.clone()]).await?;
    Ok(Json(incoming_of(row, status, &people)))
}

/// Permissions of a body, if it has the field, and their words as they were sent.
fn permissions_of(fields: &mut Fields) -> Option<(Permissions, Vec<String>)> {
    let words = fields.optional_texts("permissions")?;
    let mut permissions = Permissions::NONE;
    for (nth, word) in words.iter().enumerate() {
        match Permission::parse(word) {
            Some(permission) if !permissions.names(permission) => permissions = permissions.with(permission),
            Some(_) => fields.refuse_item("permissions", nth, "is there twice"),
            None => fields.refuse_item(
                "permissions",
                nth,
                "must be `check_ins`, `symptoms`, `wearables` or `wearables_write`",
            ),
        }
    }
    if words.is_empty() {
        fields.refuse("permissions", "must not be empty");
    }
    Some((permissions, words))
}

/// Says which of the words goes too far.
fn located(error: GrantError, words: &[String]) -> ApiError {
    let GrantError::NotPart(beyond) = &error else { return error.into() };
    let is_beyond = |word: &String| beyond.iter().any(|one| one.as_str() == word);
    let places = words.iter().enumerate().filter(|(_, word)| is_beyond(word)).map(|(nth, _)| nth);
    let faults: Vec<_> = places
        .map(|nth| engine::Fault {
            loc: vec![Loc::Key("body"), Loc::Key("permissions"), Loc::Index(nth)],
            msg: "was not asked for, or is not granted".into(),
            kind: FaultKind::Value,
        })
        .collect();
    if faults.is_empty() { error.into() } else { ApiError::validation(&faults) }
}

/// Which statuses a listing is asked for.
fn wanted_of(raw: Option<&str>, default: &[Status]) -> Result<Vec<Status>, ApiError> {
    let mut query = Query::parse(raw, &["status"])?;
    let wanted = match query.text("status") {
        None => default.to_vec(),
        Some("all") => Status::ALL.to_vec(),
        Some(word) => Status::parse(word).into_iter().collect(),
    };
    if wanted.is_empty() {
        query.refuse("status", "must be `pending`, `active`, `declined`, `revoked`, `expired` or `all`");
    }
    query.finish()?;
    Ok(wanted)
}

/// The statuses that rows may be stored with for these: one that has run out may still say what it was before.
fn stored_of(wanted: &[Status]) -> Vec<&'static str> {
    let all = Status::ALL.into_iter();
    let can_be = |stored: &Status| wanted.contains(stored) || wanted.contains(&stored.at(i64::MAX, Some(0)));
    all.filter(can_be).map(Status::as_str).collect()
}

fn with_status(
    rows: Vec<grant::Model>,
    wanted: &[Status],
    now_us: i64,
) -> Result<Vec<(grant::Model, Status)>, ApiError> {
    let mut kept = Vec::new();
    for row in rows {
        let status = status_at(&row, now_us)?;
        if wanted.contains(&status) {
            kept.push((row, status));
        }
    }
    Ok(kept)
}

/// As its doctor sees it; `people` holds the patient, if the grant was accepted.
pub(super) fn outgoing_of(row: grant::Model, status: Status, people: &HashMap<String, user::Model>) -> OutgoingGrant {
    OutgoingGrant {
        id: row.id,
        patient_name: row.patient_id.as_ref().and_then(|id| people.get(id)).map(|patient| patient.name.clone()),
        patient_id: row.patient_id,
        patient_email: row.patient_email,
        permissions: Permissions::stored(&row.permissions).words(),
        status: status.as_str(),
        created_at: rfc3339(row.created_at),
        accepted_at: row.accepted_at.map(rfc3339),
        expires_at: row.expires_at.map(rfc3339),
    }
}

/// As its patient sees it; `people` holds the doctor.
pub(super) fn incoming_of(row: grant::Model, status: Status, people: &HashMap<String, user::Model>) -> IncomingGrant {
    let doctor = people.get(&row.doctor_id);
    IncomingGrant {
        id: row.id,
        doctor_name: doctor.map(|doctor| doctor.name.clone()),
        doctor_email: doctor.map(|doctor| doctor.email.clone()),
        doctor_id: row.doctor_id,
        patient_id: row.patient_id,
        patient_email: row.patient_email,
        permissions: Permissions::stored(&row.permissions).words(),
        message: row.message,
        status: status.as_str(),
        created_at: rfc3339(row.created_at),
        accepted_at: row.accepted_at.map(rfc3339),
        ended_at: row.ended_at.map(rfc3339),
        expires_at: row.expires_at.map(rfc3339),
    }
}
