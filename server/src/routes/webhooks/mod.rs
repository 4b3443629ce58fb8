//! `/webhooks`: endpoints of one's own. What became of events at them is in [`deliveries`].
//!
//! An endpoint sends out what its owner may read, so whatever makes, changes or starts it wants a key with both scopes: a
//! leaked key that may write alone must not read by way of an address of its finder.

pub mod deliveries;
pub mod schema;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::schema::{ChangeWebhook, Delivery, NewWebhook, Webhook, WebhookList};
use super::fields::Fields;
use super::ids::is_id;
use crate::auth::random;
use crate::control::entities::webhook::Model;
use crate::control::repository::deliveries as rows;
use crate::control::repository::webhooks::{self, DisabledBy};
use crate::error::ApiError;
use crate::extract::{Payload, Reader, ReaderWriter, Writer};
use crate::state::AppState;
use crate::webhooks::secret::SigningSecret;
use crate::webhooks::{Kind, OLD_SECRET_US, PER_USER_MAX, outbox};

const PREFIX: &str = "whk_";

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, change, remove))
        .routes(routes!(rotate_secret))
        .routes(routes!(test))
        .merge(deliveries::router())
}

/// Makes an endpoint. The answer holds the secret, this once.
///
/// At most 20 for each account. Wants a key with the scopes `read` and `write`, as does whatever sends.
#[utoipa::path(
    post, path = "/webhooks", tag = "webhooks", request_body = NewWebhook,
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 201, description = "the endpoint, with its secret", body = Webhook),
        (status = 409, description = "there are 20 already"),
        (status = 422, description = "faults, located; a URL that leads inward is one"),
    )
)]
async fn create(
    ReaderWriter(principal): ReaderWriter,
    State(state): State<AppState>,
    body: Payload,
) -> Result<(StatusCode, Json<Webhook>), ApiError> {
    let now_us = state.clock.now_us();
    let mut fields = Fields::parse(&body)?;
    fields.require("url");
    fields.require("events");
    let url = url_of(&state, &mut fields).await.unwrap_or_default();
    let events = events_of(&mut fields).unwrap_or_default();
    let description = fields.note("description");
    fields.finish()?;
    let id = random::base62(PREFIX, 16).map_err(ApiError::internal)?;
    let secret = SigningSecret::generate().map_err(ApiError::internal)?;
    let row = Model {
        secret: state.webhooks.vault().seal(&id, &secret).map_err(ApiError::internal)?,
        id,
        user_id: principal.user.as_str().to_owned(),
        url,
        events,
        description,
        old_secret: None,
        old_secret_until: None,
        disabled_at: None,
        disabled_by: None,
        failing_since: None,
        lease_owner: None,
        lease_until: 0,
        created_at: now_us,
        updated_at: now_us,
    };
    let write = state.control.write().await?;
    webhooks::insert(write.on(), row.clone(), PER_USER_MAX).await?;
    write.commit().await?;
    Ok((StatusCode::CREATED, Json(Webhook { secret: Some(secret.text().to_owned()), ..Webhook::of(row, now_us) })))
}

/// One's own endpoints.
#[utoipa::path(
    get, path = "/webhooks", tag = "webhooks", security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "the endpoints", body = WebhookList))
)]
async fn list(Reader(principal): Reader, State(state): State<AppState>) -> Result<Json<WebhookList>, ApiError> {
    let now_us = state.clock.now_us();
    let rows = webhooks::of_user(state.control.read(), principal.user.as_str()).await?;
    Ok(Json(WebhookList { webhooks: rows.into_iter().map(|row| Webhook::of(row, now_us)).collect() }))
}

/// One endpoint of one's own.
#[utoipa::path(
    get, path = "/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, description = "the endpoint's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the endpoint", body = Webhook),
        (status = 404, description = "no such endpoint of yours"),
    )
)]
async fn get(
    Reader(principal): Reader,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Webhook>, ApiError> {
    let row = own(&state, principal.user.as_str(), &id).await?;
    Ok(Json(Webhook::of(row, state.clock.now_us())))
}

/// Changes an endpoint of one's own.
#[utoipa::path(
    patch, path = "/webhooks/{id}", tag = "webhooks", request_body = ChangeWebhook,
    params(("id" = String, Path, description = "the endpoint's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the endpoint", body = Webhook),
        (status = 404, description = "no such endpoint of yours"),
        (status = 422, description = "faults, located; nothing was changed"),
    )
)]
async fn change(
    ReaderWriter(principal): ReaderWriter,
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Payload,
) -> Result<Json<Webhook>, ApiError> {
    known(&id)?;
    let mut fields = Fields::parse(&body)?;
    for key in ["url", "events", "enabled"] {
        if fields.has(key) {
            fields.require(key);
        }
    }
    let url = url_of(&state, &mut fields).await;
    let events = events_of(&mut fields);
    let description = fields.has("description").then(|| fields.note("description"));
    let enabled = fields.switch("enabled");
    let write = state.control.write().await?;
    let found = webhooks::hold(write.on(), principal.user.as_str(), &id).await?;
    let mut row = found.ok_or_else(unknown)?;
    fields.finish()?;
    let now_us = state.clock.now_us();
    row.url = url.unwrap_or(row.url);
    row.events = events.unwrap_or(row.events);
    row.description = description.unwrap_or(row.description);
    row.updated_at = now_us;
    if enabled == Some(true) && row.disabled_at.is_some() {
        // Until a try succeeds it counts as one that fails: it takes nothing from those that work.
        (row.disabled_at, row.disabled_by, row.failing_since) = (None, None, Some(now_us));
    }
    webhooks::update(write.on(), &row).await?;
    let mut dropped = Vec::new();
    if enabled == Some(false) && webhooks::disable(write.on(), &id, DisabledBy::Owner, now_us).await? {
        dropped = rows::drop_pending(write.on(), &id, outbox::DISABLED).await?;
        (row.disabled_at, row.disabled_by) = (Some(now_us), Some(DisabledBy::Owner.as_str().to_owned()));
    }
    write.commit().await?;
    outbox::tell_dropped(&state.metrics.webhooks, &id, dropped);
    Ok(Json(Webhook::of(row, now_us)))
}

/// Deletes an endpoint of one's own, with all its deliveries.
#[utoipa::path(
    delete, path = "/webhooks/{id}", tag = "webhooks", params(("id" = String, Path, description = "the endpoint's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 204, description = "deleted"), (status = 404, description = "no such endpoint of yours"))
)]
async fn remove(
    Writer(principal): Writer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    known(&id)?;
    let write = state.control.write().await?;
    let is_deleted = webhooks::delete(write.on(), principal.user.as_str(), &id).await?;
    write.commit().await?;
    if is_deleted { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

/// Makes a new secret; the answer holds it, this once. The old one signs too for 24 hours.
///
/// `X-AVYCENNA-Signature` is made with the new one at once, `webhook-signature` holds both.
#[utoipa::path(
    post, path = "/webhooks/{id}/rotate-secret", tag = "webhooks",
    params(("id" = String, Path, description = "the endpoint's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the endpoint, with its new secret", body = Webhook),
        (status = 404, description = "no such endpoint of yours"),
    )
)]
async fn rotate_secret(
    ReaderWriter(principal): ReaderWriter,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Webhook>, ApiError> {
    known(&id)?;
    let secret = SigningSecret::generate().map_err(ApiError::internal)?;
    let sealed = state.webhooks.vault().seal(&id, &secret).map_err(ApiError::internal)?;
    let write = state.control.write().await?;
    let found = webhooks::hold(write.on(), principal.user.as_str(), &id).await?;
    let mut row = found.ok_or_else(unknown)?;
    let now_us = state.clock.now_us();
    row.old_secret = Some(std::mem::replace(&mut row.secret, sealed));
    row.old_secret_until = Some(now_us.saturating_add(OLD_SECRET_US));
    row.updated_at = now_us;
    webhooks::update(write.on(), &row).await?;
    write.commit().await?;
    Ok(Json(Webhook { secret: Some(secret.text().to_owned()), ..Webhook::of(row, now_us) }))
}

/// Sends a `webhook.test` to an endpoint of one's own, whatever events it asks for.
#[utoipa::path(
    post, path = "/webhooks/{id}/test", tag = "webhooks",
    params(("id" = String, Path, description = "the endpoint's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 202, description = "the delivery, on its way", body = Delivery),
        (status = 404, description = "no such endpoint of yours"),
        (status = 409, description = "the endpoint is disabled"),
    )
)]
async fn test(
    ReaderWriter(principal): ReaderWriter,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Delivery>), ApiError> {
    let row = own(&state, principal.user.as_str(), &id).await?;
    enabled(&row)?;
    let write = state.control.write().await?;
    let delivery = outbox::announce_test(write.on(), &row.id, state.clock.now_us()).await?;
    let made = rows::by_id(write.on(), &row.id, &delivery).await?.ok_or_else(unknown)?;
    write.commit().await?;
    state.webhooks.wake(vec![row.id]);
    Ok((StatusCode::ACCEPTED, Json(made.into())))
}

/// An endpoint of one's own.
async fn own(state: &AppState, user_id: &str, id: &str) -> Result<Model, ApiError> {
    known(id)?;
    webhooks::by_id(state.control.read(), user_id, id).await?.ok_or_else(unknown)
}

fn known(id: &str) -> Result<(), ApiError> {
    if is_id(PREFIX, id) { Ok(()) } else { Err(unknown()) }
}

fn unknown() -> ApiError {
    ApiError::not_found("no such webhook")
}

/// Refuses to send where nothing is sent.
fn enabled(row: &Model) -> Result<(), ApiError> {
    match row.disabled_at {
        None => Ok(()),
        Some(_) => Err(ApiError::conflict("the webhook is disabled; enable it first")),
    }
}

/// The URL of a body, if it has one, in its normal form.
async fn url_of(state: &AppState, fields: &mut Fields) -> Option<String> {
    let text = fields.optional_text("url")?;
    match state.webhooks.check_url(&text).await {
        Ok(url) => Some(url),
        Err(what) => {
            fields.refuse("url", what);
            None
        }
    }
}

/// The events of a body, if it has the field, as rows hold them.
fn events_of(fields: &mut Fields) -> Option<String> {
    let words = fields.optional_texts("events")?;
    let mut kinds: Vec<&'static str> = Vec::new();
    for (nth, word) in words.iter().enumerate() {
        match Kind::ALL.into_iter().find(|kind| kind.as_str() == word) {
            Some(kind) if kinds.contains(&kind.as_str()) => fields.refuse_item("events", nth, "is there twice"),
            Some(kind) => kinds.push(kind.as_str()),
            None => fields.refuse_item(
                "events",
                nth,
                "must be `check_in.created`, `symptom.created`, `grant.accepted` or `grant.revoked`",
            ),
        }
    }
    if words.is_empty() {
        fields.refuse("events", "must not be empty");
    }
    Some(kinds.join(" "))
}
