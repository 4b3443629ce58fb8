//! The log thread: drains the queue, commits one group at a time, answers the tickets.
//!
//! ```text
//! recv ─▶ drain what waits ─▶ one frame ─▶ write ─▶ sync ─▶ memtable ─▶ observer ─▶ publish ─▶ tickets
//! ```
//!
//! While one group is synced the next one gathers, so the groups grow with the load and the number of syncs does not.
//! Orders other than appends (a cut, a deletion) end the group before them, so that they happen exactly between two
//! groups. A failed write or sync poisons the log: what the disk holds is unknown then, and no later sync can tell
//! (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::memtable::Memtable;
use crate::point::{Accepted, MetricId, PointBatch, Seq, UserId};
use crate::state::{Health, Sealed, Shared};
use crate::wal::Log;

/// Most bytes of batches in one group: bounds the latency of a group and the size of a frame.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// How often ages are looked at when nothing comes in.
const TICK: Duration = Duration::from_millis(200);

/// What the log thread is asked to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Make a batch durable.
    Append(Append),
    /// Seal what there is, so that what came before and what comes after never mix; answers the last seq.
    Cut(Sender<Result<Seq>>),
    /// Tell the observer of a deletion, in order with the groups.
    Deleted(UserId, Option<MetricId>, Sender<()>),
    /// Everything up to here is in Parquet: drop log files, then say so.
    Trim(Seq, Sender<()>),
    /// Finish.
    Stop,
}

/// One batch that waits.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) batch: Arc<PointBatch>,
    /// What it counts in the queue.
    pub(crate) bytes: usize,
    pub(crate) reply: oneshot::Sender<Result<()>>,
}

/// The log thread's own state.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Log,
    pub(crate) orders: Receiver<Order>,
    pub(crate) observer: Observer,
    /// Told when there is something to flush.
    pub(crate) sealed: Sender<()>,
    /// Latest `accepted_at`, milliseconds: never goes back, whatever the clock does.
    pub(crate) accepted_at_ms: i64,
    pub(crate) next_seal_id: u64,
    /// When the oldest point of the active memtable came, by [`crate::Clock::elapsed`].
    pub(crate) active_since: Option<Duration>,
}

impl Writer {
    /// Works until [`Order::Stop`] or until nobody can send any more.
    pub(crate) fn run(mut self) {
        let mut group = Vec::new();
        loop {
            let mut order = match self.orders.recv_timeout(TICK) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut bytes = 0;
            while let Some(Order::Append(append)) = order {
                bytes += append.bytes;
                group.push(append);
                order = if bytes < GROUP_BYTES_MAX { self.orders.try_recv().ok() } else { None };
            }
            if !group.is_empty() {
                self.commit(&mut group);
            }
            if let Some(order) = order
                && self.obey(order).is_break()
            {
                return;
            }
            self.look_at_ages();
            self.look_for_room();
        }
    }

    fn obey(&mut self, order: Order) -> std::ops::ControlFlow<()> {
        match order {
            Order::Append(append) => self.commit(&mut vec![append]),
            Order::Cut(reply) => drop(reply.send(self.cut())),
            Order::Deleted(user, metric, reply) => {
                (self.observer)(Event::Deleted { user, metric });
                let _ = reply.send(());
            }
            Order::Trim(watermark, reply) => {
                if let Err(error) = self.log.trim(watermark) {
                    // Files that stay are skipped by the next replay and trimmed by the next flush.
                    tracing::warn!(%error, "a log file that is no longer needed could not be removed");
                }
                let _ = reply.send(());
            }
            Order::Stop => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Makes a group durable and visible, or refuses all of it.
    fn commit(&mut self, group: &mut Vec<Append>) {
        let queued: usize = group.iter().map(|append| append.bytes).sum();
        // Looked at here and not when it was queued: a batch on its way must not bring an erased person back.
        let ledger = &self.shared.ledger;
        let (refused, taken): (Vec<_>, Vec<_>) =
            group.drain(..).partition(|append| ledger.contains(append.batch.user()));
        for append in refused {
            let user = append.batch.user();
            drop(append.reply.send(Err(Error::Erased { user })));
        }
        if !taken.is_empty() {
            let answer = self.make_durable(&taken);
            for append in taken {
                drop(append.reply.send(answer.clone()));
            }
        }
        self.shared.queue_bytes.fetch_sub(queued, Ordering::AcqRel);
        self.seal_if_large();
    }

    fn make_durable(&mut self, group: &[Append]) -> Result<()> {
        if let Some(error) = self.shared.refusal() {
            return Err(error);
        }
        let started = self.shared.clock.elapsed();
        let batches: Vec<Arc<PointBatch>> = group.iter().map(|append| Arc::clone(&append.batch)).collect();
        self.accepted_at_ms = self.accepted_at_ms.max(self.shared.clock.now_us().div_euclid(1_000));
        let first = match self.log.append(&batches, &self.shared.names.all(), self.accepted_at_ms) {
            Ok(first) => first,
            Err(error @ Error::Full { .. }) => {
                self.shared.set_health(Health::Full);
                return Err(error);
            }
            Err(error) => {
                self.shared.poison(&error);
                return Err(self.shared.refusal().unwrap_or(error));
            }
        };
        self.shared.set_health(Health::Writable);
        self.publish(&batches, first);
        let metrics = &self.shared.metrics;
        metrics.wal_groups.add(1);
        metrics.wal_bytes.add(self.log.frame_bytes());
        let spent = self.shared.clock.elapsed().saturating_sub(started);
        metrics.wal_group_micros.add(u64::try_from(spent.as_micros()).unwrap_or(0));
        Ok(())
    }

    /// Shows durable batches to readers: memtable, then observer, then the one store that makes them visible.
    fn publish(&mut self, batches: &[Arc<PointBatch>], first: Seq) {
        let state = self.shared.state();
        let mut next = first;
        let accepted: Vec<Accepted> = batches
            .iter()
            .map(|batch| {
                let accepted =
                    Accepted { batch: Arc::clone(batch), first_seq: next, accepted_at_ms: self.accepted_at_ms };
                next = Seq(next.0 + batch.len() as u64);
                accepted
            })
            .collect();
        let bytes_before = state.active.bytes();
        for accepted in &accepted {
            state.active.push(accepted);
        }
        self.shared.memtable_bytes.fetch_add(state.active.bytes() - bytes_before, Ordering::AcqRel);
        (self.observer)(Event::Accepted(&accepted));
        state.active.publish(Seq(next.0 - 1));
        self.active_since.get_or_insert_with(|| self.shared.clock.elapsed());
        let metrics = &self.shared.metrics;
        metrics.points_accepted.add(next.0 - first.0);
        metrics.batches_accepted.add(batches.len() as u64);
        metrics.memtable_bytes.set(self.shared.memtable_bytes.load(Ordering::Acquire) as u64);
    }

    fn cut(&mut self) -> Result<Seq> {
        self.seal()?;
        Ok(Seq(self.log.next_seq().0 - 1))
    }

    /// Moves the active memtable to the sealed ones and begins a new log file with the new memtable.
    fn seal(&mut self) -> Result<()> {
        self.active_since = None;
        if seal(&self.shared, &mut self.next_seal_id) {
            let _ = self.sealed.try_send(());
            if self.shared.refusal().is_none()
                && let Err(error) = self.log.rotate()
            {
                match error {
                    // Without room the old file goes on; only the trim of it comes later.
                    Error::Full { .. } => self.shared.set_health(Health::Full),
                    error => {
                        self.shared.poison(&error);
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn seal_if_large(&mut self) {
        if self.shared.state().active.bytes() >= self.shared.config.seal_bytes {
            // A failure has poisoned the log, and that is how it is told.
            drop(self.seal());
        }
    }

    /// After a full disk: whether there is room again. Nobody may send anything while `/readyz` says that we are full.
    fn look_for_room(&mut self) {
        if !self.shared.config.background || self.shared.health() != Health::Full {
            return;
        }
        match self.log.find_room() {
            Ok(()) => self.shared.set_health(Health::Writable),
            Err(Error::Full { .. }) => {}
            Err(error) => self.shared.poison(&error),
        }
    }

    fn look_at_ages(&mut self) {
        let now = self.shared.clock.elapsed();
        if self.shared.config.background
            && self.active_since.is_some_and(|since| now.saturating_sub(since) >= self.shared.config.seal_age)
        {
            drop(self.seal());
        }
    }
}

/// Moves the active memtable to the sealed ones; `false` if it was empty.
pub(crate) fn seal(shared: &Shared, next_seal_id: &mut u64) -> bool {
    let active = Arc::clone(&shared.state().active);
    if active.points() == 0 {
        return false;
    }
    let sealed = Sealed { id: *next_seal_id, view: active.view(), memtable: active, segments: None };
    *next_seal_id += 1;
    shared.update(|state| {
        let mut next = state.clone();
        next.sealed.push(sealed);
        next.active = Arc::new(Memtable::new());
        next
    });
    shared.metrics.seals.add(1);
    true
}
