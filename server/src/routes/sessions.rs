//! `/auth/sessions`, `/auth/password`, `/auth/forgot`, `/auth/reset`: one's own logins, and a new password that ends them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{CodeSent, NoKey, SendCode};
use super::fields::Fields;
use super::ids::is_id;
use super::time::rfc3339;
use crate::auth::Principal;
use crate::control::repository::sessions;
use crate::error::ApiError;
use crate::extract::Payload;
use crate::state::AppState;

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(end))
        .routes(routes!(change))
        .routes(routes!(forgot))
        .routes(routes!(reset))
}

/// A login.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenSession {
    /// By what it is ended.
    #[schema(example = "ses_3fYqZ0dTnUe1xK9s")]
    pub id: String,
    /// When it began.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it ends if it is not used.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

/// One's own logins.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionList {
    /// Newest first.
    pub sessions: Vec<OpenSession>,
}

/// A new password.
#[derive(Debug, ToSchema)]
pub struct ChangePassword {
    /// The present one.
    #[schema(value_type = super::shape::Password)]
    pub current_password: String,
    /// 8 to 1024 bytes.
    #[schema(value_type = super::shape::Password)]
    pub new_password: String,
}

/// A new password, by a code.
#[derive(Debug, ToSchema)]
pub struct Reset {
    /// Their address.
    #[schema(value_type = super::shape::Email)]
    pub email: String,
    /// Six digits.
    #[schema(value_type = super::shape::Code)]
    pub otp: String,
    /// 8 to 1024 bytes.
    #[schema(value_type = super::shape::Password)]
    pub password: String,
}

/// Lists one's own logins.
#[utoipa::path(
    get, path = "/auth/sessions", tag = "accounts", security(("bearer" = [])),
    responses(
        (status = 200, description = "the logins", body = SessionList),
        (status = 403, description = "came with a key"),
    )
)]
async fn list(principal: Principal, State(state): State<AppState>) -> Result<Json<SessionList>, ApiError> {
    let current = principal.require_token()?;
    let rows = sessions::of_user(state.control.read(), principal.user.as_str(), state.clock.now_us()).await?;
    let sessions = rows.into_iter().map(|row| OpenSession {
        is_current: row.id == current,
        id: row.id,
        created_at: rfc3339(row.created_at),
        expires_at: rfc3339(row.expires_at),
    });
    Ok(Json(SessionList { sessions: sessions.collect() }))
}

/// Ends one of one's own logins; its tokens are refused from the next request on.
#[utoipa::path(
    delete, path = "/auth/sessions/{id}", tag = "accounts", security(("bearer" = [])),
    params(("id" = String, Path, description = "the login's id")),
    responses(
        (status = 204, description = "ended"),
        (status = 403, description = "came with a key"),
        (status = 404, description = "no such open login of yours"),
    )
)]
async fn end(
    principal: Principal,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    principal.require_token()?;
    if is_id("ses_", &id) && state.auth.end_session(principal.user.as_str(), &id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found("no such session"))
    }
}

/// Sets a new password and ends all of one's logins, this one too.
#[utoipa::path(
    post, path = "/auth/password", tag = "accounts", request_body = ChangePassword, security(("bearer" = [])),
    responses(
        (status = 204, description = "set; log in again"),
        (status = 401, description = "not logged in, or another password"),
        (status = 403, description = "came with a key"),
        (status = 422, description = "faults, located"),
    )
)]
async fn change(principal: Principal, State(state): State<AppState>, body: Payload) -> Result<StatusCode, ApiError> {
    principal.require_token()?;
    let mut fields = Fields::parse(&body)?;
    let present = fields.password("current_password");
    let new = fields.password("new_password");
    fields.finish()?;
    state.auth.change_password(&principal, present, new).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a code for a new password by mail. The answer is the same whether or not the address has an account.
#[utoipa::path(
    post, path = "/auth/forgot", tag = "accounts", request_body = SendCode, security(()),
    responses(
        (status = 200, description = "the same for every address", body = CodeSent),
        (status = 422, description = "faults, located"),
    )
)]
async fn forgot(_: NoKey, State(state): State<AppState>, body: Payload) -> Result<Json<CodeSent>, ApiError> {
    let mut fields = Fields::parse(&body)?;
    let email = fields.email("email");
    fields.finish()?;
    state.auth.send_reset_code(&email, &state.mail).await?;
    let message = "if this address has an account, a code is on its way to it";
    Ok(Json(CodeSent { message, expires_in_minutes: state.auth.code_minutes() }))
}

/// Sets a new password by a code and ends all of the person's logins.
#[utoipa::path(
    post, path = "/auth/reset", tag = "accounts", request_body = Reset, security(()),
    responses(
        (status = 204, description = "set; log in"),
        (status = 401, description = "wrong, spent or expired code, or no account"),
        (status = 422, description = "faults, located"),
    )
)]
async fn reset(_: NoKey, State(state): State<AppState>, body: Payload) -> Result<StatusCode, ApiError> {
    let mut fields = Fields::parse(&body)?;
    let email = fields.email("email");
    let code = fields.code("otp");
    let password = fields.password("password");
    fields.finish()?;
    state.auth.reset_password(&email, &code, password).await?;
    Ok(StatusCode::NO_CONTENT)
}
