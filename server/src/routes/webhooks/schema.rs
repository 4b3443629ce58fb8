//! The shapes of bodies and answers.

use serde::Serialize;
use utoipa::ToSchema;

use crate::control::entities::webhook;
use crate::control::repository::deliveries::Listed;
use crate::routes::shape::EventKind;
use crate::routes::time::rfc3339;

/// Where somebody wants to be told, and of what.
#[derive(Debug, ToSchema)]
pub struct NewWebhook {
    /// `https`, of the public internet unless the operator allows more; up to 2,048 characters.
    #[schema(value_type = super::super::shape::EndpointUrl)]
    pub url: String,
    /// Some of `check_in.created`, `symptom.created`, `grant.accepted`, `grant.revoked`.
    #[schema(min_items = 1, value_type = HashSet<EventKind>, example = json!(["check_in.created", "grant.revoked"]))]
    pub events: Vec<String>,
    /// Up to 2,000 characters.
    #[schema(value_type = Option<super::super::shape::Note>)]
    pub description: Option<String>,
}

/// What changes of an endpoint. What is not there stays; null takes the description away.
#[derive(Debug, ToSchema)]
pub struct ChangeWebhook {
    /// As in [`NewWebhook`].
    #[schema(nullable = false, max_length = 2048, format = "uri", pattern = "^[Hh][Tt][Tt][Pp][Ss]?://")]
    pub url: Option<String>,
    /// As in [`NewWebhook`].
    #[schema(nullable = false, required = false, min_items = 1, value_type = HashSet<EventKind>)]
    pub events: Option<Vec<String>>,
    /// Up to 2,000 characters.
    #[schema(value_type = Option<super::super::shape::Note>)]
    pub description: Option<String>,
    /// Whether anything is sent. What happens meanwhile can be caught up with.
    #[schema(nullable = false)]
    pub enabled: Option<bool>,
}

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct Webhook {
    /// Its id.
    #[schema(example = "whk_3fYqZ0dTnUe1xK9s")]
    pub id: String,
    /// Where requests go.
    #[schema(example = "https://clinic.example.org/hooks/avycenna")]
    pub url: String,
    /// Which events.
    #[schema(value_type = HashSet<EventKind>, example = json!(["check_in.created", "grant.revoked"]))]
    pub events: Vec<String>,
    /// Null if there is none.
    pub description: Option<String>,
    /// Whether anything is sent.
    pub enabled: bool,
    /// Since when not.
    #[schema(format = DateTime)]
    pub disabled_at: Option<String>,
    /// Why not: `owner`, `gone` (the receiver answered 410) or `failing` (for five days).
    pub disabled_by: Option<String>,
    /// When the first of the tries failed that have failed since the last success.
    #[schema(format = DateTime)]
    pub failing_since: Option<String>,
    /// Until when the secret before signs too.
    #[schema(format = DateTime)]
    pub old_secret_until: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// The secret that signs, this once: behind making an endpoint and rotating its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")]
    pub secret: Option<String>,
}

impl Webhook {
    /// The secret is not in it.
    pub(in crate::routes) fn of(row: webhook::Model, now_us: i64) -> Self {
        Self {
            id: row.id,
            url: row.url,
            events: row.events.split(' ').map(str::to_owned).collect(),
            description: row.description,
            enabled: row.disabled_at.is_none(),
            disabled_at: row.disabled_at.map(rfc3339),
            disabled_by: row.disabled_by,
            failing_since: row.failing_since.map(rfc3339),
            old_secret_until: row.old_secret_until.filter(|until_us| now_us < *until_us).map(rfc3339),
            created_at: rfc3339(row.created_at),
            secret: None,
        }
    }
}

/// One's own endpoints.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookList {
    /// The oldest first.
    pub webhooks: Vec<Webhook>,
}

/// An event on its way to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// Its id.
    #[schema(example = "dlv_3fYqZ0dTnUe1xK9s")]
    pub id: String,
    /// What happened.
    #[schema(example = "check_in.created")]
    pub event: String,
    /// The event's id: the same in every delivery of it.
    #[schema(example = "evt_3fYqZ0dTnUe1xK9s")]
    pub event_id: String,
    /// Why it is sent: `event`, `replay` or `test`.
    #[schema(example = "event")]
    pub origin: String,
    /// `pending`, `delivered` or `dropped`.
    #[schema(value_type = super::super::shape::DeliveryStatus)]
    pub status: String,
    /// Tries that have ended; at most four.
    pub tries: i32,
    /// The last answer's; null if there was none.
    #[schema(example = 200)]
    pub status_code: Option<i32>,
    /// How long the last try took, milliseconds.
    pub latency_ms: Option<i64>,
    /// The first kilobyte of the last answer.
    pub answer: Option<String>,
    /// Why the last try failed: `status`, `redirect`, `timeout`, `connect`, `unknown_host`, `broken_answer`,
    /// `address_refused`, `secret_unreadable`, `endpoint_disabled`.
    pub error: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the last try began.
    #[schema(format = DateTime)]
    pub tried_at: Option<String>,
    /// When the next one may begin; null if there is none.
    #[schema(format = DateTime)]
    pub next_try_at: Option<String>,
}

impl From<Listed> for Delivery {
    fn from(row: Listed) -> Self {
        let next_try_at = (row.status == "pending").then(|| rfc3339(row.due_at));
        Self {
            id: row.id,
            event: row.kind,
            event_id: row.event_id,
            origin: row.origin,
            status: row.status,
            tries: row.tries,
            status_code: row.status_code,
            latency_ms: row.latency_ms,
            answer: row.answer,
            error: row.error,
            created_at: rfc3339(row.created_at),
            tried_at: row.tried_at.map(rfc3339),
            next_try_at,
        }
    }
}

/// Deliveries of an endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryList {
    /// The newest events first, and of each its newest deliveries.
    pub deliveries: Vec<Delivery>,
    /// For the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// What an endpoint was owed.
#[derive(Debug, ToSchema)]
pub struct EventList {
    /// The bodies as they were signed, in order.
    pub events: Vec<serde_json::Value>,
    /// `since` of the next page; null at the end. Then go on from the last event that you have.
    #[schema(example = "evt_3fYqZ0dTnUe1xK9s")]
    pub next_since: Option<String>,
}

/// From when on.
#[derive(Debug, ToSchema)]
pub struct Recover {
    /// A time in RFC 3339, or the id of the last event that arrived.
    #[schema(value_type = super::super::shape::Since)]
    pub since: String,
}

/// What is sent once more.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recovered {
    /// Number of events.
    pub queued: usize,
}
