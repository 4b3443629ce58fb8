//! What became of events at an endpoint, and how to have them again.

use std::ops::RangeInclusive;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sea_orm::ConnectionTrait;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::schema::{Delivery, DeliveryList, EventList, Recover, Recovered};
use super::{enabled, own, unknown};
use crate::access::Visitor;
use crate::access::receive::Judge;
use crate::control::repository::deliveries::{self, Listed};
use crate::error::ApiError;
use crate::extract::{Payload, Query, Reader};
use crate::routes::fields::Fields;
use crate::routes::ids::is_id;
use crate::routes::shape::{DeliveryStatus, Since};
use crate::state::AppState;
use crate::webhooks::feed;
use crate::webhooks::{outbox, spread};

const PREFIX: &str = "dlv_";
const EVENT_PREFIX: &str = "evt_";
const LIMIT: RangeInclusive<u32> = 1..=1_000;
const LIMIT_DEFAULT: u32 = 100;

/// Deliveries that one listing looks through; the next one goes on behind them.
const SCANNED_MAX: i64 = 2_000;

/// What the trail says of an event that was had once more.
const AGAIN: &str = "webhook_replay";

/// Digits of a number in a cursor: those of a time in microseconds for the next 30,000 years.
const CURSOR_DIGITS_MAX: usize = 18;

const SINCE: &str = "must be a time as in RFC 3339, or the id of an event of this webhook";

/// The operations, below `/api/v1`.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(replay)).routes(routes!(events)).routes(routes!(recover))
}

/// What became of events at an endpoint: the newest events first, and of each its newest deliveries.
///
/// Events about a patient whose grant has ended are not listed any more, `grant.revoked` aside.
#[utoipa::path(
    get, path = "/webhooks/{id}/deliveries", tag = "webhooks",
    params(
        ("id" = String, Path, description = "the endpoint's id"),
        ("status" = Option<DeliveryStatus>, Query, description = "`pending`, `delivered` or `dropped` alone"),
        ("limit" = Option<u32>, Query, description = "so many; 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before",
            pattern = r"^[0-9]{1,18}\.[0-9]{1,18}\.dlv_[0-9A-Za-z]{16}$"),
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the deliveries", body = DeliveryList),
        (status = 404, description = "no such endpoint of yours"),
        (status = 422, description = "faults, located"),
    )
)]
async fn list(
    Reader(principal): Reader,
    State(state): State<AppState>,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Json<DeliveryList>, ApiError> {
    let endpoint = own(&state, principal.user.as_str(), &id).await?;
    spread::settle(&state).await?;
    let on = state.control.read();
    let mut query = Query::parse(raw.as_deref(), &["status", "limit", "cursor"])?;
    let limit = query.integer("limit", LIMIT).unwrap_or(LIMIT_DEFAULT);
    let status = query.text("status").map(str::to_owned);
    if status.as_deref().is_some_and(|word| !["pending", "delivered", "dropped"].contains(&word)) {
        query.refuse("status", "must be `pending`, `delivered` or `dropped`");
    }
    let before = match query.text("cursor").map(Place::parse) {
        None => Some(Place::START),
        Some(place) => place,
    };
    if before.is_none() {
        query.refuse("cursor", "is no `next_cursor` of this listing");
    }
    query.finish()?;
    let Place { event_seq, created_at, id } = before.unwrap_or(Place::START);
    let found = deliveries::list(on, &endpoint.id, (event_seq, created_at, &id), SCANNED_MAX).await?;
    let may_be_more = i64::try_from(found.len()).is_ok_and(|count| count == SCANNED_MAX);
    let mut judge = Judge::new(&endpoint.user_id, state.clock.now_us());
    let mut list = DeliveryList { deliveries: Vec::new(), next_cursor: None };
    let mut last = None;
    for row in found {
        if list.deliveries.len() == limit as usize {
            list.next_cursor = last;
            return Ok(Json(list));
        }
        last = Some(Place::of(&row).text());
        let is_asked = status.as_ref().is_none_or(|status| *status == row.status);
        if is_asked && may_list(&mut judge, on, &row).await? {
            list.deliveries.push(row.into());
        }
    }
    list.next_cursor = last.filter(|_| may_be_more);
    Ok(Json(list))
}

/// Where a page of deliveries ends. It is written out in the cursor: the row may be gone when the next page is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    event_seq: i64,
    created_at: i64,
    id: String,
}

impl Place {
    const START: Self = Self { event_seq: i64::MAX, created_at: i64::MAX, id: String::new() };

    fn of(row: &Listed) -> Self {
        Self { event_seq: row.event_seq, created_at: row.created_at, id: row.id.clone() }
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", self.event_seq, self.created_at, self.id)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let mut number = || parts.next().filter(|digits| is_number(digits))?.parse().ok();
        let (event_seq, created_at) = (number()?, number()?);
        let id = parts.next().filter(|id| is_id(PREFIX, id))?.to_owned();
        Some(Self { event_seq, created_at, id })
    }
}

/// Whether a text is a number as cursors have them: digits alone, and not more than any has.
fn is_number(text: &str) -> bool {
    (1..=CURSOR_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

async fn may_list(judge: &mut Judge<'_>, on: &impl ConnectionTrait, row: &Listed) -> Result<bool, ApiError> {
    let may = judge.may_receive(on, &row.kind, row.patient_id.as_deref(), &row.subject_id).await?;
    Ok(may && row.status != "withdrawn")
}

/// Sends an event once more, with fresh tries: the same id, the same bytes.
///
/// Wants a key with the scopes `read` and `write`. The patient sees in their trail that it was asked for.
#[utoipa::path(
    post, path = "/webhooks/{id}/deliveries/{delivery_id}/replay", tag = "webhooks",
    params(
        ("id" = String, Path, description = "the endpoint's id"),
        ("delivery_id" = String, Path, description = "the delivery's id"),
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 202, description = "a new delivery, on its way", body = Delivery),
        (status = 404, description = "no such delivery of yours, or its grant has ended"),
        (status = 409, description = "the endpoint is disabled"),
    )
)]
async fn replay(
    visitor: Visitor,
    State(state): State<AppState>,
    Path((id, delivery_id)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Delivery>), ApiError> {
    visitor.principal().require_write()?;
    let no_delivery = || ApiError::not_found("no such delivery");
    let endpoint = own(&state, visitor.principal().user.as_str(), &id).await?;
    if !is_id(PREFIX, &delivery_id) {
        return Err(no_delivery());
    }
    // What is had on demand is written down in the same transaction, as every read of another's data.
    let write = state.control.write().await?;
    let row = deliveries::by_id(write.on(), &endpoint.id, &delivery_id).await?.ok_or_else(no_delivery)?;
    let mut judge = Judge::new(&endpoint.user_id, state.clock.now_us());
    if !may_list(&mut judge, write.on(), &row).await? {
        return Err(no_delivery());
    }
    enabled(&endpoint)?;
    judge.record(write.on(), &visitor, AGAIN).await?;
    let made = outbox::again(write.on(), &endpoint.id, &[row.event_seq], "replay", state.clock.now_us()).await?;
    let made = made.first().ok_or_else(no_delivery)?;
    let made = deliveries::by_id(write.on(), &endpoint.id, made).await?.ok_or_else(no_delivery)?;
    write.commit().await?;
    state.webhooks.wake(vec![endpoint.id]);
    Ok((StatusCode::ACCEPTED, Json(made.into())))
}

/// Everything that an endpoint was owed in the last 30 days, in order, as it was signed.
///
/// What a grant does not allow any more is not in it, `grant.revoked` aside. Each patient sees in their trail that it was
/// read.
#[utoipa::path(
    get, path = "/webhooks/{id}/events", tag = "webhooks",
    params(
        ("id" = String, Path, description = "the endpoint's id"),
        ("since" = Option<Since>, Query, description = "a time in RFC 3339, or the id of an event: what follows it"),
        ("limit" = Option<u32>, Query, description = "so many; 100 by default", minimum = 1, maximum = 1000),
    ),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "the events", body = EventList),
        (status = 404, description = "no such endpoint of yours"),
        (status = 422, description = "faults, located"),
    )
)]
async fn events(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    let endpoint = own(&state, visitor.principal().user.as_str(), &id).await?;
    spread::settle(&state).await?;
    let now_us = state.clock.now_us();
    let mut query = Query::parse(raw.as_deref(), &["since", "limit"])?;
    let limit = query.integer("limit", LIMIT).unwrap_or(LIMIT_DEFAULT);
    let since = match query.text("since").map(str::to_owned) {
        None => feed::Since::Time(0),
        Some(text) if text.starts_with(EVENT_PREFIX) => {
            let found = behind(&state, &endpoint.id, &text).await?;
            if found.is_none() {
                query.refuse("since", SINCE);
            }
            found.unwrap_or(feed::Since::Time(0))
        }
        Some(_) => feed::Since::Time(query.moment_us("since").unwrap_or_default()),
    };
    query.finish()?;
    let last_seq = feed::settled(&state.control).await?;
    // What is read is written down in the same transaction, as every read of another's data.
    let write = state.control.write().await?;
    let mut judge = Judge::new(&endpoint.user_id, now_us);
    let page = feed::page(write.on(), &mut judge, &endpoint.id, (since, last_seq), (limit as usize, now_us)).await?;
    judge.record(write.on(), &visitor, "webhook_events").await?;
    write.commit().await?;
    // Bodies go out byte by byte as they were signed, not parsed and written anew.
    let bodies: Vec<_> = page.events.iter().map(|event| event.body.as_str()).collect();
    let next_since = serde_json::to_string(&page.next_since).map_err(ApiError::internal)?;
    let body = format!("{{\"events\":[{}],\"next_since\":{next_since}}}", bodies.join(","));
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

/// Sends everything once more that never arrived since then and is not on its way.
///
/// Wants a key with the scopes `read` and `write`. Each patient sees in their trail that it was asked for.
#[utoipa::path(
    post, path = "/webhooks/{id}/recover", tag = "webhooks", request_body = Recover,
    params(("id" = String, Path, description = "the endpoint's id")),
    security(("bearer" = []), ("api_key" = [])),
    responses(
        (status = 202, description = "how many events are on their way", body = Recovered),
        (status = 404, description = "no such endpoint of yours"),
        (status = 409, description = "the endpoint is disabled"),
        (status = 422, description = "faults, located"),
    )
)]
async fn recover(
    visitor: Visitor,
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Payload,
) -> Result<(StatusCode, Json<Recovered>), ApiError> {
    visitor.principal().require_write()?;
    let endpoint = own(&state, visitor.principal().user.as_str(), &id).await?;
    spread::settle(&state).await?;
    let mut fields = Fields::parse(&body)?;
    let text = fields.text("since");
    let since = if text.starts_with(EVENT_PREFIX) {
        behind(&state, &endpoint.id, &text).await?
    } else {
        engine::time::parse(&text).map(feed::Since::Time)
    };
    if since.is_none() && !fields.has_fault("since") {
        fields.refuse("since", SINCE);
    }
    fields.finish()?;
    enabled(&endpoint)?;
    let Some(since) = since else { return Err(unknown()) };
    let queued = feed::recover(&state.control, &endpoint, since, Some((&visitor, AGAIN))).await?;
    state.webhooks.wake(vec![endpoint.id]);
    Ok((StatusCode::ACCEPTED, Json(Recovered { queued })))
}

/// Behind an event of an endpoint, if it is one.
async fn behind(state: &AppState, webhook_id: &str, event_id: &str) -> Result<Option<feed::Since>, ApiError> {
    if !is_id(EVENT_PREFIX, event_id) {
        return Ok(None);
    }
    let place = deliveries::place(state.control.read(), webhook_id, event_id).await?;
    Ok(place.map(feed::Since::Behind))
}
