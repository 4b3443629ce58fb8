//! `/api-keys`: one's own keys. Wants a person's token: a key cannot make keys.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fields::Fields;
use super::ids::is_id;
use super::time::{self, rfc3339};
use crate::auth::{NewKey, Principal, Scopes};
use crate::control::entities::api_key::Model;
use crate::control::repository::api_keys;
use crate::error::ApiError;
use crate::extract::Payload;
use crate::state::AppState;

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(remove))
}

/// A key to make.
#[derive(Debug, ToSchema)]
pub struct CreateKey {
    /// What its owner calls it.
    #[schema(value_type = super::shape::Name)]
    pub name: String,
    /// `read`, `write`; both by default.
    #[schema(min_items = 1, value_type = Option<Vec<super::shape::Scope>>)]
    pub scopes: Option<Vec<String>>,
    /// When it expires; never by default.
    #[schema(example = "2027-01-01T00:00:00Z", format = DateTime)]
    pub expires_at: Option<String>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedKey {
    /// By what it is deleted.
    #[schema(example = "key_3fYqZ0dTnUe1xK9s")]
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The key, shown this once.
    #[schema(example = "avk_…")]
    pub key: String,
    /// The key's first characters, by which its owner knows it again.
    #[schema(example = "avk_7jRtHvBk")]
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<&'static str>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it expires, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
}

/// A key, as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedKey {
    /// By what it is deleted.
    #[schema(example = "key_3fYqZ0dTnUe1xK9s")]
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The key's first characters.
    #[schema(example = "avk_7jRtHvBk")]
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<&'static str>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it expires.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// When it was last used, to the hour.
    #[schema(format = DateTime)]
    pub last_used_at: Option<String>,
}

/// One's own keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyList {
    /// The oldest first.
    pub api_keys: Vec<ListedKey>,
}

/// Makes a key. It is shown in this answer and never again.
#[utoipa::path(
    post, path = "/api-keys", tag = "accounts", request_body = CreateKey, security(("bearer" = [])),
    responses(
        (status = 201, description = "the key, shown this once", body = CreatedKey),
        (status = 403, description = "came with a key"),
        (status = 409, description = "too many keys"),
        (status = 422, description = "faults, located"),
    )
)]
async fn create(
    principal: Principal,
    State(state): State<AppState>,
    body: Payload,
) -> Result<(StatusCode, Json<CreatedKey>), ApiError> {
    principal.require_token()?;
    let mut fields = Fields::parse(&body)?;
    let name = fields.name("name");
    let scopes = match fields.optional_texts("scopes") {
        None => Scopes::ALL,
        Some(words) => Scopes::parse(words.iter().map(String::as_str)).unwrap_or_else(|| {
            fields.refuse("scopes", "must be one or both of `read` and `write`");
            Scopes::ALL
        }),
    };
    let expires_at = fields.optional_text("expires_at").and_then(|text| {
        let time = time::parse(&text).filter(|time| *time > state.control.now_us());
        if time.is_none() {
            fields.refuse("expires_at", "must be a time to come, in RFC 3339");
        }
        time
    });
    fields.finish()?;
    let (row, key) = state.auth.create_key(principal.user.as_str(), NewKey { name, scopes, expires_at }).await?;
    let created = CreatedKey {
        id: row.id,
        name: row.name,
        key,
        prefix: row.prefix,
        scopes: scopes.words(),
        created_at: rfc3339(row.created_at),
        expires_at: row.expires_at.map(rfc3339),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Lists one's own keys, without the keys themselves.
#[utoipa::path(
    get, path = "/api-keys", tag = "accounts", security(("bearer" = [])),
    responses(
        (status = 200, description = "the keys", body = KeyList),
        (status = 403, description = "came with a key"),
    )
)]
async fn list(principal: Principal, State(state): State<AppState>) -> Result<Json<KeyList>, ApiError> {
    principal.require_token()?;
    let rows = api_keys::of_user(state.control.read(), principal.user.as_str()).await?;
    Ok(Json(KeyList { api_keys: rows.into_iter().map(ListedKey::from).collect() }))
}

/// Deletes a key; it is refused from the next request on.
#[utoipa::path(
    delete, path = "/api-keys/{id}", tag = "accounts", params(("id" = String, Path, description = "the key's id")),
    security(("bearer" = [])),
    responses(
        (status = 204, description = "deleted"),
        (status = 403, description = "came with a key"),
        (status = 404, description = "no such key of yours"),
    )
)]
async fn remove(
    principal: Principal,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    principal.require_token()?;
    if is_id("key_", &id) && state.auth.delete_key(principal.user.as_str(), &id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found("no such key"))
    }
}

impl From<Model> for ListedKey {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            scopes: Scopes::parse(row.scopes.split(' ')).map(Scopes::words).unwrap_or_default(),
            created_at: rfc3339(row.created_at),
            expires_at: row.expires_at.map(rfc3339),
            last_used_at: row.last_used_at.map(rfc3339),
        }
    }
}
