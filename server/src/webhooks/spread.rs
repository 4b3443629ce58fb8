//! Makes events and deliveries of notices: behind the request that wrote them, many in one transaction.
//!
//! A request pays for one row whoever is told, and for a sync that it has anyway. The rest is paid for here, at most once
//! in [`EVERY`]: on SQLite requests and this take turns.

use std::time::Duration;

use super::outbox::{self, DISABLED};
use crate::auth::random;
use crate::control::Control;
use crate::control::repository::deliveries::Dropped;
use crate::control::repository::notices;
use crate::metrics::Figures;
use crate::state::AppState;

/// Most notices of one transaction: so many that it is worth its sync, so few that no request waits long for its turn.
pub(super) const AT_ONCE: usize = 200;

/// From the end of one transaction to the next one, at least. The first notice of a while is not kept waiting.
pub(super) const EVERY: Duration = Duration::from_millis(5);

/// What came of notices.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// How many notices.
    pub(super) count: usize,
    /// Endpoints that have something new.
    woken: Vec<String>,
    /// Those at which nothing is sent, and what they are owed.
    dropped: Vec<(String, Dropped)>,
}

impl Spread {
    /// Tells the operator what is not sent; the endpoints that have something new.
    pub(super) fn tell(self, figures: &Figures) -> Vec<String> {
        for (webhook_id, dropped) in self.dropped {
            outbox::tell_dropped(figures, &webhook_id, vec![dropped]);
        }
        self.woken
    }
}

/// Makes events and deliveries of the first notices, at most [`AT_ONCE`].
///
/// # Errors
/// [`outbox::Error`]; then all notices are there as before.
pub(super) async fn spread(control: &Control) -> Result<Spread, outbox::Error> {
    let write = control.write().await?;
    let held = notices::hold(write.on(), AT_ONCE as u64).await?;
    let mut spread = Spread { count: held.len(), ..Spread::default() };
    if held.is_empty() {
        return Ok(spread);
    }
    let mut deliveries = Vec::new();
    for notice in &held {
        for webhook_id in notice.receivers.split(' ') {
            deliveries.push((random::base62("dlv_", 16)?, webhook_id, notice.id.as_str()));
        }
    }
    for made in notices::spread(write.on(), &held, &deliveries, DISABLED).await? {
        if made.status == "pending" {
            spread.woken.push(made.webhook_id);
        } else if let Some((id, _, event_id)) = deliveries.iter().find(|(id, ..)| *id == made.id) {
            let dropped = Dropped { id: id.clone(), event_id: (*event_id).to_owned() };
            spread.dropped.push((made.webhook_id, dropped));
        }
    }
    write.commit().await?;
    Ok(spread)
}

/// Makes events and deliveries of all notices that are there now, so that whoever looks at those sees everything that was
/// answered before. Cost: one statement where there are none.
///
/// # Errors
/// [`outbox::Error`].
pub async fn settle(state: &AppState) -> Result<(), outbox::Error> {
    let mut left = notices::count(state.control.read()).await?;
    while left > 0 {
        let spread = spread(&state.control).await?;
        let count = spread.count as u64;
        state.webhooks.wake(spread.tell(&state.metrics.webhooks));
        // Where another process was faster, what it left is counted anew.
        left = if count == 0 { notices::count(state.control.read()).await? } else { left.saturating_sub(count) };
    }
    Ok(())
}
