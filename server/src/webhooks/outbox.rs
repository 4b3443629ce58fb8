//! Writes an event down, in the transaction of its cause.

use sea_orm::ConnectionTrait;

use super::event::{self, Kind};
use crate::access::receive::{self, Receiver};
use crate::auth::random;
use crate::control;
use crate::control::entities::{check_in, grant, symptom};
use crate::control::repository::deliveries::Dropped;
use crate::control::repository::outbox::{self, NewDelivery, NewEvent};
use crate::error::ApiError;
use crate::metrics::Figures;
use crate::state::AppState;

/// Why an event of a disabled endpoint was dropped.
pub(crate) const DISABLED: &str = "endpoint_disabled";

/// Why an event was not written; then its cause must not be either.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The control database refused.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The operating system has no randomness to give.
    #[error("no randomness from the operating system")]
    Random(#[from] rand::rngs::SysError),
    /// A body cannot be written.
    #[error("the body of an event")]
    Body(#[from] serde_json::Error),
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Control(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

/// What has happened.
#[derive(Debug, Clone, Copy)]
pub enum Cause<'a> {
    /// A check-in was written.
    CheckIn(&'a check_in::Model),
    /// A symptom was written.
    Symptom(&'a symptom::Model),
    /// A grant became active.
    Accepted(&'a grant::Model),
    /// An active grant was ended by either side.
    Revoked(&'a grant::Model),
}

/// What is to be told once an event is committed.
#[derive(Debug, Default)]
pub struct Announced {
    /// Endpoints that have something new.
    woken: Vec<String>,
    /// Those at which nothing is sent, and what they are owed.
    dropped: Vec<(String, Dropped)>,
}

impl Announced {
    /// Wakes the dispatcher, and tells the operator what is not sent. Call it behind the commit.
    pub fn tell(self, state: &AppState) {
        for (webhook_id, dropped) in self.dropped {
            tell_dropped(&state.metrics.webhooks, &webhook_id, vec![dropped]);
        }
        state.webhooks.wake(self.woken);
    }
}

/// Tells the operator of deliveries that were given up because nothing is sent to their endpoint: a line of the log for
/// each, and their number.
pub(crate) fn tell_dropped(figures: &Figures, webhook_id: &str, dropped: Vec<Dropped>) {
    figures.dropped(dropped.len());
    for Dropped { id, event_id } in dropped {
        tracing::warn!(event_id, webhook_id, delivery_id = id, cause = DISABLED, "a webhook's event was dropped");
    }
}

/// Writes down that something has happened, for every endpoint that is owed it, at `now_us`. Answers what to
/// [tell](Announced::tell) behind the commit. Cost: one statement where nobody is owed it, three otherwise.
///
/// # Errors
/// [`Error`]; then nothing of the transaction may be committed.
pub async fn announce(on: &impl ConnectionTrait, cause: Cause<'_>, now_us: i64) -> Result<Announced, Error> {
    let (kind, patient_id, subject_id, receivers) = match cause {
        Cause::CheckIn(row) => {
            let receivers = receive::of_patient(on, Kind::CheckInCreated, &row.user_id, now_us).await?;
            (Kind::CheckInCreated, Some(row.user_id.clone()), &row.id, receivers)
        }
        Cause::Symptom(row) => {
            let receivers = receive::of_patient(on, Kind::SymptomCreated, &row.user_id, now_us).await?;
            (Kind::SymptomCreated, Some(row.user_id.clone()), &row.id, receivers)
        }
        Cause::Accepted(row) => {
            let receivers = receive::of_doctor(on, Kind::GrantAccepted, &row.doctor_id).await?;
            (Kind::GrantAccepted, row.patient_id.clone(), &row.id, receivers)
        }
        Cause::Revoked(row) => {
            let receivers = receive::of_doctor(on, Kind::GrantRevoked, &row.doctor_id).await?;
            (Kind::GrantRevoked, row.patient_id.clone(), &row.id, receivers)
        }
    };
    if receivers.is_empty() {
        return Ok(Announced::default());
    }
    let id = random::base62("evt_", 16)?;
    let body = match cause {
        Cause::CheckIn(row) => event::check_in_created(&id, now_us, row)?,
        Cause::Symptom(row) => event::symptom_created(&id, now_us, row)?,
        Cause::Accepted(row) => event::grant_accepted(&id, now_us, row)?,
        Cause::Revoked(row) => event::grant_revoked(&id, now_us, row)?,
    };
    let new = NewEvent {
        id: id.clone(),
        kind: kind.as_str(),
        patient_id,
        subject_id: subject_id.clone(),
        body,
        created_at: now_us,
    };
    let seq = outbox::insert(on, new).await?;
    let deliveries = receivers.iter().map(|receiver| owed(receiver, seq, now_us)).collect::<Result<Vec<_>, _>>()?;
    let mut announced = Announced::default();
    for delivery in &deliveries {
        let webhook_id = delivery.webhook_id.clone();
        match delivery.error {
            None => announced.woken.push(webhook_id),
            Some(_) => announced.dropped.push((webhook_id, Dropped { id: delivery.id.clone(), event_id: id.clone() })),
        }
    }
    outbox::insert_deliveries(on, deliveries).await?;
    Ok(announced)
}

/// What an endpoint is owed: to be sent, or to be caught up with where nothing is sent at the moment.
fn owed(receiver: &Receiver, event_seq: i64, now_us: i64) -> Result<NewDelivery, rand::rngs::SysError> {
    let (status, error) = if receiver.is_enabled { ("pending", None) } else { ("dropped", Some(DISABLED)) };
    Ok(NewDelivery {
        id: random::base62("dlv_", 16)?,
        webhook_id: receiver.webhook_id.clone(),
        event_seq,
        origin: "event",
        status,
        error,
        due_at: now_us,
    })
}

/// Writes down a test of an endpoint; the delivery's id.
///
/// # Errors
/// [`Error`].
pub async fn announce_test(on: &impl ConnectionTrait, webhook_id: &str, now_us: i64) -> Result<String, Error> {
    let id = random::base62("evt_", 16)?;
    let body = event::test(&id, now_us, webhook_id)?;
    let kind = Kind::Test.as_str();
    let new = NewEvent { id, kind, patient_id: None, subject_id: webhook_id.to_owned(), body, created_at: now_us };
    let seq = outbox::insert(on, new).await?;
    again(on, webhook_id, &[seq], "test", now_us).await.map(|mut ids| ids.pop().unwrap_or_default())
}

/// Sends events that are there once more, with fresh tries; the deliveries' ids.
///
/// # Errors
/// [`Error`].
pub async fn again(
    on: &impl ConnectionTrait,
    webhook_id: &str,
    event_seqs: &[i64],
    origin: &'static str,
    now_us: i64,
) -> Result<Vec<String>, Error> {
    let mut deliveries = Vec::with_capacity(event_seqs.len());
    for event_seq in event_seqs {
        deliveries.push(NewDelivery {
            id: random::base62("dlv_", 16)?,
            webhook_id: webhook_id.to_owned(),
            event_seq: *event_seq,
            origin,
            status: "pending",
            error: None,
            due_at: now_us,
        });
    }
    let ids = deliveries.iter().map(|delivery| delivery.id.clone()).collect();
    outbox::insert_deliveries(on, deliveries).await?;
    Ok(ids)
}
