//! `/users/me`: one's own account.

use std::str::FromStr;

use arrow::array::timezone::Tz;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fields::Fields;
use super::time::rfc3339;
use crate::auth::{AuthError, Principal, normal_email};
use crate::control::entities::user;
use crate::control::repository::{days, users};
use crate::error::ApiError;
use crate::extract::Payload;
use crate::state::AppState;

/// A day: no configuration lets a deletion wait longer before it is physical.
const GONE_AFTER_US: i64 = 24 * 3600 * 1_000_000;

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(me, change_me, erase_me))
}

/// An account, as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    /// Their id.
    #[schema(example = "usr_7jRtHvBk")]
    pub id: String,
    /// Their name.
    pub name: String,
    /// Their address.
    #[schema(example = "ada@example.org")]
    pub email: String,
    /// `patient` or `doctor`.
    #[schema(value_type = crate::auth::Role)]
    pub role: String,
    /// IANA name.
    #[schema(example = "Europe/Berlin")]
    pub timezone: String,
    /// When the account was made.
    #[schema(example = "2026-06-01T08:00:00Z", format = DateTime)]
    pub created_at: String,
}

/// What a change says; what is not there stays.
#[derive(Debug, ToSchema)]
pub struct ChangeUser {
    /// 1 to 200 characters.
    #[schema(value_type = Option<super::shape::Name>)]
    pub name: Option<String>,
    /// IANA name.
    #[schema(example = "Europe/Berlin")]
    pub timezone: Option<String>,
}

/// Says once more whose account is meant.
#[derive(Debug, ToSchema)]
pub struct ConfirmErasure {
    /// The address of the account.
    #[schema(example = "ada@example.org")]
    pub confirm: String,
}

/// What is gone, and when the rest is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Erased {
    /// Whose data it was; `avycenna verify --erased` takes it.
    #[schema(example = "usr_7jRtHvBk")]
    pub user_id: String,
    /// Points are invisible at once and gone from every file by then.
    #[schema(example = "2026-06-02T08:00:00Z", format = DateTime)]
    pub gone_by: String,
}

impl From<user::Model> for User {
    fn from(row: user::Model) -> Self {
        let created_at = rfc3339(row.created_at);
        Self { id: row.id, name: row.name, email: row.email, role: row.role, timezone: row.timezone, created_at }
    }
}

/// One's own account.
#[utoipa::path(
    get, path = "/users/me", tag = "accounts",
    responses((status = 200, description = "the account", body = User), (status = 401, description = "not logged in"))
)]
async fn me(principal: Principal, State(state): State<AppState>) -> Result<Json<User>, ApiError> {
    principal.require_read()?;
    Ok(Json(find(&state, &principal).await?.into()))
}

/// Changes name and time zone.
///
/// Totals of days that were made of imported pieces move with the zone, behind the answer.
#[utoipa::path(
    patch, path = "/users/me", tag = "accounts", request_body = ChangeUser,
    responses(
        (status = 200, description = "the account", body = User),
        (status = 401, description = "not logged in"),
        (status = 422, description = "faults, located"),
    )
)]
async fn change_me(principal: Principal, State(state): State<AppState>, body: Payload) -> Result<Json<User>, ApiError> {
    principal.require_write()?;
    let mut fields = Fields::parse(&body)?;
    let name = fields.optional_name("name");
    let timezone = fields.optional_text("timezone");
    if timezone.as_deref().is_some_and(|name| !is_iana(name)) {
        fields.refuse("timezone", "must be an IANA time zone, such as `Europe/Berlin`");
    }
    fields.finish()?;
    let (id, write) = (principal.user.as_str(), state.control.write().await?);
    let before = users::hold(write.on(), id).await?.ok_or(AuthError::Invalid)?;
    let is_elsewhere = timezone.as_ref().is_some_and(|timezone| *timezone != before.timezone);
    users::set_profile(write.on(), id, name, timezone, state.control.now_us()).await?;
    if is_elsewhere {
        days::unsettle(write.on(), id).await?;
    }
    write.commit().await?;
    if is_elsewhere {
        state.imports.remake_totals(principal.user);
    }
    Ok(Json(find(&state, &principal).await?.into()))
}

/// Erases oneself: account, check-ins, symptoms, grants, keys and sessions at once, points from every read at once and
/// from every file within a day. It cannot be undone.
#[utoipa::path(
    delete, path = "/users/me", tag = "accounts", request_body = ConfirmErasure, security(("bearer" = [])),
    responses(
        (status = 202, description = "erased; no credential of this account holds any more", body = Erased),
        (status = 401, description = "not logged in"),
        (status = 403, description = "came with a key"),
        (status = 422, description = "faults, located; another address than the account's is one"),
    )
)]
async fn erase_me(
    principal: Principal,
    State(state): State<AppState>,
    body: Payload,
) -> Result<(StatusCode, Json<Erased>), ApiError> {
    principal.require_token()?;
    let mut fields = Fields::parse(&body)?;
    let confirm = fields.text("confirm");
    let person = find(&state, &principal).await?;
    if normal_email(&confirm).as_ref() != Some(&person.email) && !fields.has_fault("confirm") {
        fields.refuse("confirm", "must be the e-mail address of this account");
    }
    fields.finish()?;
    let asked_us = state.clock.now_us();
    state.eraser.erase(&state.auth, principal.user).await?;
    let gone_by = rfc3339(asked_us.saturating_add(GONE_AFTER_US));
    Ok((StatusCode::ACCEPTED, Json(Erased { user_id: person.id, gone_by })))
}

async fn find(state: &AppState, principal: &Principal) -> Result<user::Model, ApiError> {
    let found = users::by_id(state.control.read(), principal.user.as_str()).await?;
    // Erased between the check of the credential and now.
    Ok(found.ok_or(AuthError::Invalid)?)
}

/// Whether a name is in the table that buckets by local days use, too. That parser also takes offsets, which are none.
fn is_iana(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic()) && Tz::from_str(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_is_a_name_of_the_iana_table() {
        for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert!(is_iana(name), "{name}");
        }
        for name in ["", "+01:00", "Europe", "Mars/Olympus", "Europe/Berlin ", "UTC+1"] {
            assert!(!is_iana(name), "{name}");
        }
    }
}
