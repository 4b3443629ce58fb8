//! `/auth/*`: register, log in by password or one-time code, refresh, log out.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fields::Fields;
use super::users::User;
use crate::auth::{AuthError, Grant, NewUser, Role};
use crate::error::ApiError;
use crate::extract::Payload;
use crate::state::AppState;

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(send_code))
        .routes(routes!(verify_code))
        .routes(routes!(refresh))
        .routes(routes!(logout))
}

/// Refuses requests that bring an API key: what could hand over the account wants a person.
#[derive(Debug)]
pub(crate) struct NoKey;

impl<S: Sync> FromRequestParts<S> for NoKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        if parts.headers.contains_key("x-api-key") { Err(AuthError::WantsToken.into()) } else { Ok(Self) }
    }
}

/// What a registration says.
#[derive(Debug, ToSchema)]
pub struct Register {
    /// As they want to be called, 1 to 200 characters.
    #[schema(value_type = super::shape::Name)]
    pub name: String,
    /// Their address; trimmed and taken in lower case.
    #[schema(value_type = super::shape::Email)]
    pub email: String,
    /// 8 to 1024 bytes.
    #[schema(value_type = super::shape::Password)]
    pub password: String,
    /// `patient` or `doctor`; a patient by default.
    #[schema(value_type = Option<Role>)]
    pub role: Option<String>,
}

/// What a login says.
#[derive(Debug, ToSchema)]
pub struct Login {
    /// Their address.
    #[schema(value_type = super::shape::Email)]
    pub email: String,
    /// Their password.
    #[schema(value_type = super::shape::Password)]
    pub password: String,
}

/// For whom a one-time code is asked.
#[derive(Debug, ToSchema)]
pub struct SendCode {
    /// Their address.
    #[schema(value_type = super::shape::Email)]
    pub email: String,
}

/// A one-time code.
#[derive(Debug, ToSchema)]
pub struct VerifyCode {
    /// Their address.
    #[schema(value_type = super::shape::Email)]
    pub email: String,
    /// Six digits.
    #[schema(value_type = super::shape::Code)]
    pub otp: String,
}

/// A refresh token.
#[derive(Debug, ToSchema)]
pub struct RefreshToken {
    /// The last one of its session.
    #[schema(example = "rt_…")]
    pub refresh_token: String,
}

/// What opens everything else.
#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    /// For `Authorization: Bearer …`.
    pub access_token: String,
    /// For the next pair; works once.
    pub refresh_token: String,
    /// `bearer`.
    #[schema(example = "bearer")]
    pub token_type: &'static str,
    /// Life of the access token, seconds.
    #[schema(example = 900)]
    pub expires_in: i64,
    /// Whose session.
    pub user: SessionUser,
}

/// The person of a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionUser {
    /// Their id.
    #[schema(example = "usr_7jRtHvBk")]
    pub id: String,
    /// Their address.
    pub email: String,
    /// Their name.
    pub name: String,
    /// `patient` or `doctor`.
    #[schema(value_type = Role)]
    pub role: String,
}

/// That a one-time code is on its way, if there is an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct CodeSent {
    /// The same for every address.
    pub message: &'static str,
    /// Life of the code, minutes.
    #[schema(example = 10)]
    pub expires_in_minutes: u64,
}

impl From<Grant> for Session {
    fn from(grant: Grant) -> Self {
        let user = grant.user;
        Self {
            access_token: grant.access_token,
            refresh_token: grant.refresh_token,
            token_type: "bearer",
            expires_in: grant.expires_in_s,
            user: SessionUser { id: user.id, email: user.email, name: user.name, role: user.role },
        }
    }
}

/// Makes an account.
#[utoipa::path(
    post, path = "/auth/register", tag = "accounts", request_body = Register, security(()),
    responses(
        (status = 201, description = "the account", body = User),
        (status = 409, description = "the address has an account"),
        (status = 422, description = "faults, located"),
    )
)]
async fn register(
    _: NoKey,
    State(state): State<AppState>,
    body: Payload,
) -> Result<(StatusCode, Json<User>), ApiError> {
    let mut fields = Fields::parse(&body)?;
    let name = fields.name("name");
    let email = fields.email("email");
    let password = Some(fields.password("password"));
    let role = match fields.optional_text("role") {
        None => Role::Patient,
        Some(word) => Role::parse(&word).unwrap_or_else(|| {
            fields.refuse("role", "must be `patient` or `doctor`");
            Role::Patient
        }),
    };
    fields.finish()?;
    let user = state.auth.register(NewUser { name, email, password, role }).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// Begins a session by password.
#[utoipa::path(
    post, path = "/auth/login", tag = "accounts", request_body = Login, security(()),
    responses(
        (status = 200, description = "a session", body = Session),
        (status = 401, description = "wrong address or password"),
        (status = 422, description = "faults, located"),
    )
)]
async fn login(_: NoKey, State(state): State<AppState>, body: Payload) -> Result<Json<Session>, ApiError> {
    let mut fields = Fields::parse(&body)?;
    let email = fields.email("email");
    let password = fields.password("password");
    fields.finish()?;
    Ok(Json(state.auth.login(&email, password).await?.into()))
}

/// Sends a one-time code by mail. The answer is the same whether or not the address has an account.
#[utoipa::path(
    post, path = "/auth/otp/send", tag = "accounts", request_body = SendCode, security(()),
    responses(
        (status = 200, description = "the same for every address", body = CodeSent),
        (status = 422, description = "faults, located"),
    )
)]
async fn send_code(_: NoKey, State(state): State<AppState>, body: Payload) -> Result<Json<CodeSent>, ApiError> {
    let mut fields = Fields::parse(&body)?;
    let email = fields.email("email");
    fields.finish()?;
    state.auth.send_code(&email, &state.mail).await?;
    let message = "if this address has an account, a code is on its way to it";
    Ok(Json(CodeSent { message, expires_in_minutes: state.auth.code_minutes() }))
}

/// Begins a session by one-time code: six digits, ten minutes, once, five tries.
#[utoipa::path(
    post, path = "/auth/otp/verify", tag = "accounts", request_body = VerifyCode, security(()),
    responses(
        (status = 200, description = "a session", body = Session),
        (status = 401, description = "wrong, spent or expired code, or no account"),
        (status = 422, description = "faults, located"),
    )
)]
async fn verify_code(_: NoKey, State(state): State<AppState>, body: Payload) -> Result<Json<Session>, ApiError> {
    let mut fields = Fields::parse(&body)?;
    let email = fields.email("email");
    let code = fields.code("otp");
    fields.finish()?;
    Ok(Json(state.auth.verify_code(&email, &code).await?.into()))
}

/// Spends a refresh token for the next pair. A spent one that comes back ends its session.
#[utoipa::path(
    post, path = "/auth/refresh", tag = "accounts", request_body = RefreshToken, security(()),
    responses(
        (status = 200, description = "the session goes on", body = Session),
        (status = 401, description = "unknown, expired or spent"),
        (status = 422, description = "faults, located"),
    )
)]
async fn refresh(_: NoKey, State(state): State<AppState>, body: Payload) -> Result<Json<Session>, ApiError> {
    let mut fields = Fields::parse(&body)?;
    let token = fields.text("refresh_token");
    fields.finish()?;
    Ok(Json(state.auth.refresh(&token).await?.into()))
}

/// Ends the session of a refresh token, its access tokens with it.
#[utoipa::path(
    post, path = "/auth/logout", tag = "accounts", request_body = RefreshToken, security(()),
    responses(
        (status = 204, description = "the session has ended"),
        (status = 422, description = "faults, located"),
    )
)]
async fn logout(_: NoKey, State(state): State<AppState>, body: Payload) -> Result<StatusCode, ApiError> {
    let mut fields = Fields::parse(&body)?;
    let token = fields.text("refresh_token");
    fields.finish()?;
    state.auth.logout(&token).await?;
    Ok(StatusCode::NO_CONTENT)
}
