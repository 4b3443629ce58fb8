//! The storage as a whole: wiring, no algorithms.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use crossbeam::channel::{self, Sender};
use tokio::sync::oneshot;

use crate::background;
use crate::compaction::plan::Goal;
use crate::compaction::run;
use crate::config::StorageConfig;
use crate::erasure;
use crate::error::{Error, Result};
use crate::event::Observer;
use crate::flush;
use crate::manifest::{Scope, Tombstone};
use crate::metrics::Metrics;
use crate::place::Place;
use crate::point::{Deletion, MetricId, PointBatch, Seq, TimeRange, UserId};
use crate::recovery::{Recovered, recover};
use crate::snapshot::Snapshot;
use crate::state::{Health, Shared, Work};
use crate::tombstone;
use crate::wal::writer::{Append, Order, Writer};

/// The answer to an [`Storage::append`], later: awaits, or blocks with [`Ticket::wait`].
#[derive(Debug)]
pub struct Ticket(pub(crate) oneshot::Receiver<Result<()>>);

impl Ticket {
    /// Blocks until the points are durable or refused. Not for async code.
    ///
    /// # Errors
    /// As [`Storage::append`].
    pub fn wait(self) -> Result<()> {
        self.0.blocking_recv().unwrap_or(Err(Error::Closed))
    }
}

impl Future for Ticket {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(ctx).map(|answer| answer.unwrap_or(Err(Error::Closed)))
    }
}

/// An open data directory. Share it behind an `Arc`: all methods take `&self`.
///
/// The methods that block must not be called from async code; use `spawn_blocking`.
#[derive(Debug)]
pub struct Storage {
    shared: Arc<Shared>,
    orders: Sender<Order>,
    threads: Mutex<Option<Threads>>,
    work: Arc<Work>,
}

struct Threads {
    log: std::thread::JoinHandle<()>,
    background: Option<background::Threads>,
    lock: Box<dyn Send + Sync>,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

impl Storage {
    /// Opens or creates a data directory: takes the lock, reads the manifest, replays the log, starts the threads.
    /// The observer hears what is replayed too.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it, [`Error::Corrupt`] if acknowledged data is damaged.
    #[expect(clippy::needless_pass_by_value, reason = "what is opened belongs to the storage")]
    pub fn open(place: Place, config: StorageConfig, mut observer: Observer) -> Result<Self> {
        let Recovered { shared, log, lock, accepted_at_ms, next_seal_id } = recover(&place, config, &mut observer)?;
        let (orders, ordered) = channel::unbounded();
        let (sealed, flushes) = channel::bounded(1);
        let work = Arc::new(Work::default());
        let writer = Writer {
            shared: Arc::clone(&shared),
            log,
            orders: ordered,
            observer,
            sealed: sealed.clone(),
            accepted_at_ms,
            next_seal_id,
            active_since: (shared.state().active.points() > 0).then(|| shared.clock.elapsed()),
        };
        let log = background::spawn("avycenna-log", Arc::clone(&shared), move || writer.run())?;
        let background = if shared.config.background {
            Some(background::start(&shared, &work, &orders, sealed, flushes)?)
        } else {
            None
        };
        let threads = Mutex::new(Some(Threads { log, background, lock }));
        Ok(Self { shared, orders, threads, work })
    }

    /// The id of a metric key, made if it is new. Keys are `[a-z0-9_]`, at most 64 bytes.
    ///
    /// # Errors
    /// [`Error::Metric`] if the key is malformed or there are 1,024 already.
    pub fn metric(&self, key: &str) -> Result<MetricId> {
        self.shared.names.intern(key)
    }

    /// The key of an id.
    pub fn metric_key(&self, id: MetricId) -> Option<Arc<str>> {
        self.shared.names.key(id)
    }

    /// Queues a batch for the log. Never blocks. When the ticket answers `Ok`, the points are durable and visible.
    ///
    /// # Errors
    /// At once or by the ticket: [`Error::Overloaded`], [`Error::Full`], [`Error::Poisoned`], [`Error::Erased`],
    /// [`Error::Closed`].
    pub fn append(&self, batch: impl Into<Arc<PointBatch>>) -> Result<Ticket> {
        let batch = batch.into();
        let shared = &self.shared;
        if let Some(error) = shared.refusal() {
            return Err(error);
        }
        if shared.is_stopping() {
            return Err(Error::Closed);
        }
        let unflushed = shared.memtable_bytes.load(Ordering::Acquire);
        if unflushed >= shared.config.memtable_bytes_max {
            if shared.health() == Health::Full {
                return Err(Error::Full { path: "points".into() });
            }
            let bytes_max = shared.config.memtable_bytes_max;
            return Err(Error::Overloaded { what: "the memtable", bytes: unflushed, bytes_max });
        }
        let bytes = batch.heap_bytes();
        let queued = shared.queue_bytes.fetch_add(bytes, Ordering::AcqRel);
        let bytes_max = shared.config.queue_bytes_max;
        if queued.saturating_add(bytes) > bytes_max {
            shared.queue_bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(Error::Overloaded { what: "the queue of the log", bytes: queued, bytes_max });
        }
        let (reply, answer) = oneshot::channel();
        let append = Append { batch, bytes, reply };
        self.orders.send(Order::Append(append)).map_err(|_| Error::Closed)?;
        Ok(Ticket(answer))
    }

    /// The state of this moment. Cheap: one atomic load and a reference count.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.shared)
    }

    /// Deletes; durable and invisible when it returns. Blocks for a few syncs.
    ///
    /// # Errors
    /// As [`Self::flush`].
    #[expect(clippy::needless_pass_by_value, reason = "a deletion is given once")]
    pub fn delete(&self, deletion: Deletion) -> Result<()> {
        match deletion {
            Deletion::User(user) => self.erase(user),
            Deletion::Range { user, metric, times } => {
                self.delete_but(user, metric, times, |_| Ok::<_, Error>(Vec::new()))
            }
        }
    }

    /// Deletes a range of one user's points of a metric, all but those that `kept` finds in the snapshot of the cut: they
    /// are stored behind the cut and before the tombstone, which covers what is before it alone. So no reader misses them
    /// and no crash loses them. `kept` is asked again where a flush has come in between. Blocks for a few syncs.
    ///
    /// # Errors
    /// As [`Self::flush`] and [`Self::append`], and what `kept` says; then nothing was deleted.
    pub fn delete_but<E: From<Error>>(
        &self,
        user: UserId,
        metric: MetricId,
        times: TimeRange,
        kept: impl FnMut(Snapshot) -> std::result::Result<Vec<PointBatch>, E>,
    ) -> std::result::Result<(), E> {
        let key = self
            .shared
            .names
            .key(metric)
            .ok_or(Error::Metric { key: metric.0.to_string(), what: "is not an id of this storage" })?;
        self.delete_range(&Scope::Range { user, metric: key.to_string(), times }, kept)?;
        Ok(self.ask(|reply| Order::Deleted(user, Some(metric), reply))?)
    }

    /// Cuts the log and commits the tombstone, and again, if a flush brought points from behind the cut into files in
    /// between: those may have been merged with points before it, and then no tombstone of this cut reaches them.
    fn delete_range<E: From<Error>>(
        &self,
        scope: &Scope,
        mut kept: impl FnMut(Snapshot) -> std::result::Result<Vec<PointBatch>, E>,
    ) -> std::result::Result<(), E> {
        // One at a time: the cut of another would bring on the flush that this one has to repeat itself for.
        let _delete = self.work.delete.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let seq = self.ask(Order::Cut)??;
            for batch in kept(self.snapshot())? {
                self.append(batch)?.wait()?;
            }
            let created_ms = self.shared.clock.now_us().div_euclid(1_000);
            let committed = self.shared.commit(
                |version| {
                    let tombstone = Tombstone { seq, version: version.number + 1, scope: scope.clone(), created_ms };
                    let age_max = self.shared.config.tombstone_age_max;
                    (version.watermark <= seq).then(|| tombstone::edit(version, tombstone, age_max))
                },
                |_| (),
            )?;
            if committed.is_some() {
                return Ok(());
            }
        }
    }

    /// Erases a user. The ledger comes first: from there on the log thread refuses them, so nothing of theirs can come
    /// behind the cut, and a crash anywhere behind it is made up for by the next open.
    fn erase(&self, user: UserId) -> Result<()> {
        // One at a time: the digest of the manifest speaks of those alone whose tombstones are in it.
        let _erase = self.work.erase.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.shared.ledger.is_applied(user) {
            self.shared.ledger.add(user)?;
            let seq = self.ask(Order::Cut)??;
            erasure::commit(&self.shared, user, seq)?;
        }
        self.ask(|reply| Order::Deleted(user, None, reply))
    }

    /// Whether a user was erased, in this data directory or in the one that it was restored from.
    pub fn is_erased(&self, user: UserId) -> bool {
        self.shared.ledger.contains(user)
    }

    /// Whether anybody was ever erased.
    pub fn has_erased(&self) -> bool {
        !self.shared.ledger.is_empty()
    }

    /// Writes everything accepted so far to level 0 and trims the log. Blocks.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Poisoned`], [`Error::Fenced`], [`Error::Closed`] or the I/O error that stopped it.
    pub fn flush(&self) -> Result<()> {
        let last = self.ask(Order::Cut)??;
        while self.shared.state().version.watermark < last {
            let _flush = self.work.flush.lock().unwrap_or_else(PoisonError::into_inner);
            match flush::flush_oldest(&self.shared)? {
                Some(watermark) => self.trim(watermark),
                None => break,
            }
        }
        Ok(())
    }

    /// Flushes, then compacts until nothing is left to do: level 0 empty, one run a month, tombstones applied. Blocks.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub fn compact(&self) -> Result<()> {
        self.flush()?;
        let _compact = self.work.compact.lock().unwrap_or_else(PoisonError::into_inner);
        while run::step(&self.shared, Goal::Rest)? {}
        let _flush = self.work.flush.lock().unwrap_or_else(PoisonError::into_inner);
        erasure::sweep(&self.shared)
    }

    /// Whether it takes points, and if not, why.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Stops taking points, waits for what is queued, ends the threads, releases the lock. Everything acknowledged is
    /// in the log; nothing is flushed. Idempotent; also done on drop.
    pub fn close(&self) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(threads) = threads else { return };
        self.shared.stop();
        drop(self.orders.send(Order::Stop));
        drop(threads.log.join());
        if let Some(background) = threads.background {
            background.join();
        }
        self.shared.set_health(Health::Closed);
        self.shared.end_runtime();
        drop(threads.lock);
    }

    fn trim(&self, watermark: Seq) {
        // A log thread that is gone has nothing to trim any more.
        drop(self.ask(|reply| Order::Trim(watermark, reply)));
    }

    /// Sends an order to the log thread and waits for its answer.
    fn ask<T>(&self, order: impl FnOnce(Sender<T>) -> Order) -> Result<T> {
        let (reply, answer) = channel::bounded(1);
        self.orders.send(order(reply)).map_err(|_| Error::Closed)?;
        answer.recv().map_err(|_| Error::Closed)
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
