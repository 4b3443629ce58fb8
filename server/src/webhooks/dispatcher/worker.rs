//! Sends what one endpoint is owed: in order while that works, some at once where it does not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::super::schedule::{self, JITTER_PERMILLE_MAX, Outcome, Step};
use super::super::send::Sent;
use super::super::sign::sign;
use super::recorder::{Record, What};
use super::{Bell, LANES_MAX, SLOW, Shared};
use crate::access::receive::Judge;
use crate::control;
use crate::control::repository::deliveries::{self, Job, Try};

/// How long a worker waits for more before its endpoint is given back.
const LINGER: Duration = Duration::from_secs(2);

/// What came of a try.
enum Landed {
    /// It was written down.
    Recorded { delivery_id: String, state: State },
    /// It was not: the delivery is as it was before.
    Unrecorded,
}

/// How an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// No try has succeeded since one failed.
    pub(super) is_failing: bool,
    /// The last answer took longer than [`SLOW`].
    pub(super) is_slow: bool,
}

/// A worker that has nothing to do.
pub(super) struct Ended {
    pub(super) id: String,
    pub(super) state: State,
}

/// Works until there was nothing to do for a while. `share` is what the endpoint's account may have in flight, `state` how
/// the endpoint stands at the beginning.
pub(super) async fn work(
    shared: Arc<Shared>,
    share: Arc<Semaphore>,
    id: String,
    bell: Arc<Bell>,
    mut state: State,
) -> Ended {
    let mut tries: JoinSet<Landed> = JoinSet::new();
    let mut flying: Vec<String> = Vec::new();
    loop {
        bell.is_rung.store(false, Ordering::SeqCst);
        let may_begin = !shared.stop.is_cancelled() && !bell.is_lost.load(Ordering::SeqCst) && shared.has_time();
        while may_begin && flying.len() < if state.is_failing { LANES_MAX } else { 1 } {
            let Some(slots) = Slots::take(&shared, &share, state).await else { break };
            match deliveries::next(shared.control.read(), &id, shared.now_us(), &flying).await {
                Ok(Some(job)) => {
                    state.is_failing = job.failing_since.is_some();
                    flying.push(job.delivery_id.clone());
                    tries.spawn(attempt(Arc::clone(&shared), job, state, slots));
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, webhook_id = id, "a webhook waits: the control database does not answer");
                    return finish(tries, Ended { id, state }).await;
                }
            }
        }
        if flying.is_empty() {
            let is_rung = tokio::select! {
                () = bell.notify.notified() => may_begin,
                () = shared.stop.cancelled() => false,
                () = tokio::time::sleep(LINGER) => false,
            };
            if is_rung {
                continue;
            }
            return Ended { id, state };
        }
        tokio::select! {
            landed = tries.join_next() => match landed {
                Some(Ok(Landed::Recorded { delivery_id, state: landed })) => {
                    flying.retain(|other| *other != delivery_id);
                    state = landed;
                }
                // What is not known to be written down is found again by the next look.
                _ => return finish(tries, Ended { id, state }).await,
            },
            () = bell.notify.notified() => {}
        }
    }
}

/// Lets what is in flight land: a try that was cut off would be made again.
async fn finish(mut tries: JoinSet<Landed>, ended: Ended) -> Ended {
    while tries.join_next().await.is_some() {}
    ended
}

/// The right to one request in flight.
struct Slots {
    _slot: OwnedSemaphorePermit,
    _failing: Option<OwnedSemaphorePermit>,
    _share: OwnedSemaphorePermit,
}

impl Slots {
    /// Waits for a place; `None` if the server stops.
    async fn take(shared: &Shared, share: &Arc<Semaphore>, state: State) -> Option<Self> {
        let take = async |from: &Arc<Semaphore>| {
            tokio::select! {
                slot = Arc::clone(from).acquire_owned() => slot.ok(),
                () = shared.stop.cancelled() => None,
            }
        };
        // First the narrowest one, so that nobody waits with a place that others could use.
        let share = take(share).await?;
        let is_held_back = state.is_failing || state.is_slow;
        let failing = if is_held_back { Some(take(&shared.failing_slots).await?) } else { None };
        Some(Self { _slot: take(&shared.slots).await?, _failing: failing, _share: share })
    }
}

/// One try, from the question whether it may be made to its record.
async fn attempt(shared: Arc<Shared>, job: Job, state: State, slots: Slots) -> Landed {
    let landed = match try_once(&shared, &job, state).await {
        Ok(state) => Landed::Recorded { delivery_id: job.delivery_id, state },
        Err(error) => {
            tracing::warn!(%error, delivery_id = job.delivery_id, "a try of a webhook was not recorded");
            Landed::Unrecorded
        }
    };
    drop(slots);
    landed
}

/// How the endpoint stands behind it, and stood before.
async fn try_once(shared: &Shared, job: &Job, state: State) -> control::Result<State> {
    let began_us = shared.now_us();
    let mut judge = Judge::new(&job.user_id, began_us);
    let on = shared.control.read();
    if !judge.may_receive(on, &job.kind, job.patient_id.as_deref(), &job.subject_id).await? {
        Record::make(&shared.records, What::Withdrawn { delivery_id: job.delivery_id.clone() }).await?;
        return Ok(State { is_failing: job.failing_since.is_some(), ..state });
    }
    let began = shared.control.clock().elapsed();
    let flight = shared.figures.fly();
    let sent = send(shared, job, began_us).await;
    drop(flight);
    let took = shared.control.clock().elapsed().saturating_sub(began);
    let ended_us = shared.now_us();
    let tries = job.tries.saturating_add(1);
    let jitter = rand::rng().random_range(0..=JITTER_PERMILLE_MAX);
    let step = schedule::after(usize::try_from(tries).unwrap_or(usize::MAX), sent.outcome, ended_us, jitter);
    let (status, due_at) = match step {
        Step::Delivered => ("delivered", None),
        Step::Retry { at_us } => ("pending", Some(at_us)),
        Step::Dropped => ("dropped", None),
    };
    let status_code = match sent.outcome {
        Outcome::Answered { status, .. } => Some(status),
        Outcome::Refused | Outcome::Failed(_) => None,
    };
    let made = Try {
        status,
        tries,
        due_at,
        tried_at: began_us,
        status_code,
        latency_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
        answer: sent.answer,
        error: sent.outcome.error(),
    };
    let health = schedule::health(sent.outcome, job.failing_since, ended_us);
    let what = What::Tried { job: Box::new(job.clone()), made, health, ended_us };
    Record::make(&shared.records, what).await?;
    shared.figures.landed(step);
    if step == Step::Dropped {
        let cause = sent.outcome.error();
        tracing::warn!(
            event_id = job.event_id,
            webhook_id = job.webhook_id,
            cause,
            status_code,
            tries,
            "a webhook's event was dropped"
        );
    }
    Ok(State { is_failing: !sent.outcome.is_success(), is_slow: took > SLOW })
}

async fn send(shared: &Shared, job: &Job, now_us: i64) -> Sent {
    let unseal = |sealed: &Vec<u8>| shared.vault.unseal(&job.webhook_id, sealed);
    let Ok(secret) = unseal(&job.secret) else { return Outcome::Failed("secret_unreadable").into() };
    let is_good = job.old_secret_until.is_some_and(|until_us| now_us < until_us);
    let old = job.old_secret.as_ref().filter(|_| is_good).and_then(|sealed| unseal(sealed).ok());
    let signed = sign(&secret, old.as_ref(), &job.event_id, now_us, &job.body);
    shared.sender.send(&job.url, &job.event_id, signed, job.body.clone(), now_us).await
}
