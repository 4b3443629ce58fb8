//! Writes an event down, in the transaction of its cause: as a notice, of which [`super::spread`] makes deliveries.

use sea_orm::ConnectionTrait;

use super::Webhooks;
use super::event::{self, Kind};
use crate::access::receive;
use crate::auth::random;
use crate::control;
use crate::control::entities::{check_in, grant, symptom};
use crate::control::repository::deliveries::Dropped;
use crate::control::repository::notices;
use crate::control::repository::outbox::{self, NewDelivery, NewEvent};
use crate::error::ApiError;
use crate::metrics::Figures;

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

/// Whether somebody is to be told of what was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "nobody is told at once without `tell`"]
pub struct Announced {
    is_owed: bool,
}

impl Announced {
    /// Wakes the dispatcher of this process. Call it behind the commit. Without it nothing is lost: a dispatcher looks by
    /// itself every second.
    pub fn tell(self, webhooks: &Webhooks) {
        if self.is_owed {
            webhooks.note();
        }
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
/// [tell](Announced::tell) behind the commit. Cost: one statement, and one row if anybody is owed it.
///
/// # Errors
/// [`Error`]; then nothing of the transaction may be committed.
pub async fn announce(on: &impl ConnectionTrait, cause: Cause<'_>, now_us: i64) -> Result<Announced, Error> {
    let id = random::base62("evt_", 16)?;
    let (kind, audience, patient_id, subject_id, body) = match cause {
        Cause::CheckIn(row) => {
            let (kind, body) = (Kind::CheckInCreated, event::check_in_created(&id, now_us, row)?);
            (kind, receive::of_patient(kind, &row.user_id), Some(&row.user_id), &row.id, body)
        }
        Cause::Symptom(row) => {
            let (kind, body) = (Kind::SymptomCreated, event::symptom_created(&id, now_us, row)?);
            (kind, receive::of_patient(kind, &row.user_id), Some(&row.user_id), &row.id, body)
        }
        Cause::Accepted(row) => {
            let (kind, body) = (Kind::GrantAccepted, event::grant_accepted(&id, now_us, row)?);
            (kind, Some(receive::of_doctor(&row.doctor_id)), row.patient_id.as_ref(), &row.id, body)
        }
        Cause::Revoked(row) => {
            let (kind, body) = (Kind::GrantRevoked, event::grant_revoked(&id, now_us, row)?);
            (kind, Some(receive::of_doctor(&row.doctor_id)), row.patient_id.as_ref(), &row.id, body)
        }
    };
    let Some(audience) = audience else { return Ok(Announced { is_owed: false }) };
    let new = NewEvent {
        id,
        kind: kind.as_str(),
        patient_id: patient_id.cloned(),
        subject_id: subject_id.clone(),
        body,
        created_at: now_us,
    };
    Ok(Announced { is_owed: notices::post(on, new, audience).await? })
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
