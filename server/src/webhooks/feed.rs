//! What an endpoint was owed in the last thirty days: to be read in order, or to be sent once more where it failed.
//!
//! Every event is judged by what holds now, so a grant that has ended shows nothing of its patient but its end.

use std::time::Duration;

use sea_orm::ConnectionTrait;

use super::KEPT_US;
use super::outbox::{Error, again};
use crate::access::Visitor;
use crate::access::receive::Judge;
use crate::control::entities::webhook;
use crate::control::repository::deliveries::{self, Owed, Stretch, Which};
use crate::control::repository::outbox;
use crate::control::{self, Control};

/// Rows that are looked through at once.
const PAGE_ROWS: i64 = 500;

/// Most rows that one request looks through; the next one goes on behind them.
const SCANNED_ROWS_MAX: usize = 10_000;

/// Most events that one call of [`recover`] sends again.
pub const RECOVERED_MAX: usize = 100_000;

/// Between two looks whether those who were writing events have ended.
const SETTLE_EVERY: Duration = Duration::from_millis(5);

/// Looks until a feed is refused for this time: two seconds of them.
const SETTLE_LOOKS_MAX: u64 = 400;
const SETTLE_MS_MAX: u64 = SETTLE_LOOKS_MAX * 5;

/// From where a feed is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Behind the event of a seq.
    Behind(i64),
    /// From a time on, microseconds.
    Time(i64),
}

impl Since {
    fn stretch(self, last_seq: i64, now_us: i64) -> Stretch {
        let oldest_us = now_us.saturating_sub(KEPT_US);
        match self {
            Self::Behind(behind_seq) => Stretch { behind_seq, last_seq, since_us: oldest_us },
            Self::Time(time_us) => Stretch { behind_seq: 0, last_seq, since_us: time_us.max(oldest_us) },
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

/// The last event that a feed may show at this moment, so that whoever goes on behind it misses none. Waits for the
/// transactions that are writing events at this moment; they do not wait for it.
///
/// # Errors
/// [`control::Error::Busy`] if one of them takes too long, [`control::Error::Database`].
pub async fn settled(control: &Control) -> control::Result<i64> {
    let on = control.read();
    let (last_seq, mut writing) = outbox::seen(on).await?;
    for _ in 0..SETTLE_LOOKS_MAX {
        if writing.is_empty() {
            return Ok(last_seq);
        }
        tokio::time::sleep(SETTLE_EVERY).await;
        let still = outbox::writers(on).await?;
        writing.retain(|writer| still.contains(writer));
    }
    if writing.is_empty() { Ok(last_seq) } else { Err(control::Error::Busy { waited_ms: SETTLE_MS_MAX }) }
}

/// At most `count_max` events, up to [`settled`], that an endpoint's owner may have now.
///
/// # Errors
/// [`control::Error`].
pub async fn page(
    on: &impl ConnectionTrait,
    judge: &mut Judge<'_>,
    webhook_id: &str,
    (since, last_seq): (Since, i64),
    (count_max, now_us): (usize, i64),
) -> control::Result<Page> {
    let mut stretch = since.stretch(last_seq, now_us);
    let mut page = Page::default();
    let mut scanned = 0;
    loop {
        let rows = deliveries::owed(on, webhook_id, Which::All, stretch, PAGE_ROWS).await?;
        let is_last = rows.len() < usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
        for row in rows {
            if page.events.len() == count_max || scanned == SCANNED_ROWS_MAX {
                return Ok(page);
            }
            scanned += 1;
            stretch.behind_seq = row.event_seq;
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
/// events, at most [`RECOVERED_MAX`]. Each page is a transaction, so no other writer waits for all of them. Who asked for
/// it, and in which word, is written down in the transaction that puts a patient's first event on its way; an operator who
/// stands at the database is nobody whom a trail could name.
///
/// # Errors
/// [`Error`].
pub async fn recover(
    control: &Control,
    endpoint: &webhook::Model,
    since: Since,
    asked: Option<(&Visitor, &'static str)>,
) -> Result<usize, Error> {
    let now_us = control.now_us();
    let mut stretch = since.stretch(i64::MAX, now_us);
    let mut count = 0;
    let mut judge = Judge::new(&endpoint.user_id, now_us);
    loop {
        let write = control.write().await?;
        let on = write.on();
        let rows = deliveries::owed(on, &endpoint.id, Which::Failed, stretch, PAGE_ROWS).await?;
        let Some(last) = rows.last() else { return Ok(count) };
        stretch.behind_seq = last.event_seq;
        judge.look_again();
        let mut seqs = Vec::new();
        for row in &rows {
            if judge.may_receive(on, &row.kind, row.patient_id.as_deref(), &row.subject_id).await? {
                seqs.push(row.event_seq);
            }
        }
        seqs.truncate(RECOVERED_MAX - count);
        if let Some((visitor, what)) = asked {
            judge.record(on, visitor, what).await?;
        }
        again(on, &endpoint.id, &seqs, "replay", now_us).await?;
        write.commit().await?;
        count += seqs.len();
        if count == RECOVERED_MAX {
            return Ok(count);
        }
    }
}
