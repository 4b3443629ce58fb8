//! What an endpoint was owed in the last thirty days: to be read in order, or to be sent once more where it failed.
//!
//! Every event is judged by what holds now, so a grant that has ended shows nothing of its patient but its end.

use sea_orm::ConnectionTrait;

use super::KEPT_US;
use super::outbox::{Error, again};
use crate::access::receive::Judge;
use crate::control::entities::webhook;
use crate::control::repository::deliveries::{self, Owed, Place, Which};
use crate::control::{self, Control};

/// Rows that are looked through at once.
const PAGE_ROWS: i64 = 500;

/// Most rows that one request looks through; the next one goes on behind them.
const SCANNED_ROWS_MAX: usize = 10_000;

/// Most events that one call of [`recover`] sends again.
pub const RECOVERED_MAX: usize = 100_000;

/// From where a feed is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Behind an event.
    Behind(Place),
    /// From a time on, microseconds.
    Time(i64),
}

impl Since {
    fn bounds(self, now_us: i64) -> (Place, i64) {
        let oldest_us = now_us.saturating_sub(KEPT_US);
        match self {
            Self::Behind(place) => (place, oldest_us),
            Self::Time(time_us) => ((-1, -1), time_us.max(oldest_us)),
        }
    }
}

/// A piece of a feed.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// In order.
    pub events: Vec<Owed>,
    /// The last event that was looked at, if there may be more behind it.
    pub next_since: Option<String>,
}

/// At most `count_max` events that an endpoint's owner may have now.
///
/// # Errors
/// [`control::Error`].
pub async fn page(
    on: &impl ConnectionTrait,
    judge: &mut Judge<'_>,
    webhook_id: &str,
    since: Since,
    (count_max, now_us): (usize, i64),
) -> control::Result<Page> {
    let (mut behind, since_us) = since.bounds(now_us);
    let mut page = Page::default();
    let mut scanned = 0;
    loop {
        let rows = deliveries::owed(on, webhook_id, Which::All, (behind, since_us), PAGE_ROWS).await?;
        let is_last = rows.len() < usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
        for row in rows {
            if page.events.len() == count_max || scanned == SCANNED_ROWS_MAX {
                return Ok(page);
            }
            scanned += 1;
            behind = (row.epoch, row.event_seq);
            page.next_since = Some(row.event_id.clone());
            if judge.may_receive(on, &row.kind, row.patient_id.as_deref(), &row.subject_id).await? {
                page.events.push(row);
            }
        }
        if is_last {
            page.next_since = None;
            return Ok(page);
        }
    }
}

/// Sends everything once more that an endpoint was owed since then, that never arrived and is not on its way; how many
/// events, at most [`RECOVERED_MAX`]. Each page is a transaction, so no other writer waits for all of them.
///
/// # Errors
/// [`Error`].
pub async fn recover(control: &Control, endpoint: &webhook::Model, since: Since) -> Result<usize, Error> {
    let now_us = control.now_us();
    let (mut behind, since_us) = since.bounds(now_us);
    let mut count = 0;
    loop {
        let write = control.write().await?;
        let on = write.on();
        let rows = deliveries::owed(on, &endpoint.id, Which::Failed, (behind, since_us), PAGE_ROWS).await?;
        let Some(last) = rows.last() else { return Ok(count) };
        behind = (last.epoch, last.event_seq);
        let mut judge = Judge::new(&endpoint.user_id, now_us);
        let mut seqs = Vec::new();
        for row in &rows {
            if judge.may_receive(on, &row.kind, row.patient_id.as_deref(), &row.subject_id).await? {
                seqs.push(row.event_seq);
            }
        }
        seqs.truncate(RECOVERED_MAX - count);
        again(on, &endpoint.id, &seqs, "replay", now_us).await?;
        write.commit().await?;
        count += seqs.len();
        if count == RECOVERED_MAX {
            return Ok(count);
        }
    }
}
