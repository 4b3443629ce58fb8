//! Sends what is due, as long as the server runs.
//!
//! ```text
//! run ─ noted ─▶ spread ─┐
//!     ─ every second, or woken ─▶ leases::due ─▶ leases::take ─▶ a worker for each endpoint
//!                                                                │ done for a while
//!                                                                └▶ released
//! ```
//!
//! An endpoint is leased, not a delivery: so its order and its bound on requests hold whatever number of processes share the
//! database, and a try costs one write. What a process leased that died is taken over when the lease has run out; what
//! it sent without writing it down is sent again.

mod recorder;
mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::schedule::TRY_MAX;
use super::secret::Vault;
use super::send::Sender;
use super::{KEPT_US, Wake, Webhooks, outbox as events, spread};
use crate::auth::random;
use crate::control::repository::{deliveries, leases, outbox};
use crate::control::{self, Control};
use crate::metrics::Figures;
use crate::state::AppState;

/// Most requests in flight to one endpoint.
pub const LANES_MAX: usize = 4;

/// Of the requests in flight one account may have this part: that of one in so many, but those of one endpoint that fails.
const ACCOUNTS_AT_ONCE: usize = 64;

/// An answer that took longer is slow: who gave it counts, for places in flight, as one that fails.
const SLOW: Duration = Duration::from_secs(1);

/// How long an endpoint is another process's after its last sign of life, microseconds.
const LEASE_US: i64 = 20 * 1_000_000;

/// A lease is renewed when so little is left, microseconds: enough for a try and some seconds of waiting for the database.
const RENEW_BELOW_US: i64 = 15 * 1_000_000;

/// Between two looks for what is due: retries, and what other processes wrote.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks between two counts of what waits.
const LOOKS_A_COUNT: u64 = 5;

/// Looks between two sweeps of what is too old: an hour of them.
const LOOKS_A_SWEEP: u64 = 3_600;

/// Events that one sweep deletes in one transaction.
const SWEPT_AT_ONCE: u64 = 1_000;

/// Most endpoints that one process sends for at a time.
const WORKERS_MAX: usize = 4_096;

/// Most endpoints that one statement leases.
const TAKEN_AT_ONCE: usize = 500;

/// What the dispatcher and its workers share.
struct Shared {
    control: Control,
    webhooks: Webhooks,
    vault: Vault,
    sender: Sender,
    figures: Figures,
    /// Names this process among the holders of leases.
    owner: String,
    /// Until when everything that this process holds is its own.
    lease_until_us: AtomicI64,
    /// For requests in flight, all together.
    slots: Arc<Semaphore>,
    /// For those to endpoints that fail or are slow: they cannot take the others' place.
    failing_slots: Arc<Semaphore>,
    /// Requests in flight to the endpoints of one account.
    account_slots_max: usize,
    records: mpsc::Sender<recorder::Record>,
    stop: CancellationToken,
}

impl Shared {
    fn now_us(&self) -> i64 {
        self.control.now_us()
    }

    /// Whether a try that begins now ends while the lease holds.
    fn has_time(&self) -> bool {
        let try_us = i64::try_from(TRY_MAX.as_micros()).unwrap_or(i64::MAX);
        self.lease_until_us.load(Ordering::SeqCst).saturating_sub(try_us) >= self.now_us()
    }
}

/// How a worker is told that there is something new, or that its endpoint is another's.
#[derive(Debug, Default)]
struct Bell {
    notify: Notify,
    is_rung: AtomicBool,
    is_lost: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        self.is_rung.store(true, Ordering::SeqCst);
        self.notify.notify_one();
    }

    fn lose(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
        self.notify.notify_one();
    }
}

/// A dispatcher that runs.
#[derive(Debug)]
pub struct Running {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Running {
    /// Begins nothing more, waits for the tries in flight, gives the leases back.
    pub async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("the dispatcher of webhooks ended early");
        }
    }
}

/// Starts the dispatcher of this process; `None` if there is one already.
///
/// # Errors
/// The operating system has no randomness to give.
pub fn start(state: &AppState) -> Result<Option<Running>, rand::rngs::SysError> {
    let Some(woken) = state.webhooks.take_woken() else { return Ok(None) };
    let in_flight_max = state.config.webhooks.in_flight_max;
    let (records, recorded) = mpsc::channel(in_flight_max);
    let stop = CancellationToken::new();
    let shared = Arc::new(Shared {
        control: state.control.clone(),
        webhooks: state.webhooks.clone(),
        vault: state.webhooks.inner.vault.clone(),
        sender: state.webhooks.inner.sender.clone(),
        figures: state.metrics.webhooks.clone(),
        owner: random::base62("", 16)?,
        lease_until_us: AtomicI64::new(0),
        slots: Arc::new(Semaphore::new(in_flight_max)),
        failing_slots: Arc::new(Semaphore::new(in_flight_max / 2)),
        account_slots_max: (in_flight_max / ACCOUNTS_AT_ONCE).max(LANES_MAX),
        records,
        stop: stop.clone(),
    });
    let recorder = recorder::Recorder {
        control: state.control.clone(),
        mail: state.mail.clone(),
        figures: state.metrics.webhooks.clone(),
    };
    let recorder = tokio::spawn(recorder.run(recorded));
    let dispatcher = Dispatcher {
        shared,
        workers: HashMap::new(),
        accounts: HashMap::new(),
        tasks: JoinSet::new(),
        ended: Vec::new(),
        others: HashSet::new(),
        slow: HashSet::new(),
    };
    let task = tokio::spawn(async move {
        dispatcher.run(woken).await;
        // The last sender is gone with the dispatcher.
        drop(recorder.await);
    });
    Ok(Some(Running { task, stop }))
}

/// A worker that runs.
struct Worker {
    user_id: String,
    bell: Arc<Bell>,
    task: tokio::task::Id,
}

struct Dispatcher {
    shared: Arc<Shared>,
    workers: HashMap<String, Worker>,
    /// The share of each account that has a worker.
    accounts: HashMap<String, Arc<Semaphore>>,
    tasks: JoinSet<worker::Ended>,
    /// Endpoints whose worker has nothing to do, still leased.
    ended: Vec<String>,
    /// Endpoints that could not be leased since the last look: another process has them, or they are disabled.
    others: HashSet<String>,
    /// Endpoints whose last answer was slow, whether or not they have a worker.
    slow: HashSet<String>,
}

impl Dispatcher {
    async fn run(mut self, mut woken: mpsc::Receiver<Wake>) {
        let stop = self.shared.stop.clone();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks: u64 = 0;
        let webhooks = self.shared.webhooks.clone();
        let mut next_spread = Instant::now();
        loop {
            let noted = async {
                tokio::time::sleep_until(next_spread).await;
                webhooks.inner.noted.notified().await;
            };
            let done = tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.tasks.join_next() => { self.note_end(ended); Ok(()) }
                Some(wake) = woken.recv() => self.wake(wake, &mut woken).await,
                () = noted => {
                    let done = self.spread().await;
                    next_spread = Instant::now() + spread::EVERY;
                    done
                }
                _ = ticks.tick() => {
                    looks += 1;
                    self.upkeep(looks).await
                }
            };
            if let Err(error) = done {
                tracing::warn!(%error, "webhooks wait: the control database does not answer");
            }
        }
        while self.tasks.join_next().await.is_some() {}
        if let Err(error) = self.release(None).await {
            tracing::warn!(%error, "leases of webhooks were not given back; they run out by themselves");
        }
    }

    async fn upkeep(&mut self, looks: u64) -> control::Result<()> {
        self.look().await?;
        let ended = std::mem::take(&mut self.ended);
        if !ended.is_empty() {
            self.release(Some(&ended)).await?;
        }
        let shared = &self.shared;
        if looks % LOOKS_A_COUNT == 1 {
            let (count, due_us) = deliveries::waiting(shared.control.read(), None).await?;
            shared.figures.waiting(count, due_us.map(|due_us| shared.now_us().saturating_sub(due_us)));
        }
        if looks % LOOKS_A_SWEEP == 1 {
            sweep(&shared.control).await?;
        }
        Ok(())
    }

    /// Everything that is due, whoever wrote it.
    async fn look(&mut self) -> control::Result<()> {
        self.renew().await?;
        while self.spread_some().await? == spread::AT_ONCE {}
        self.others.clear();
        let shared = Arc::clone(&self.shared);
        let count_max = i64::try_from(WORKERS_MAX).unwrap_or(i64::MAX);
        let due = leases::due(shared.control.read(), &shared.owner, shared.now_us(), count_max).await?;
        self.begin(due.into_iter().map(|due| due.id)).await
    }

    /// What is noted, or as much of it as one transaction takes.
    async fn spread(&mut self) -> control::Result<()> {
        if self.spread_some().await? == spread::AT_ONCE {
            self.shared.webhooks.note();
        }
        Ok(())
    }

    async fn spread_some(&mut self) -> control::Result<usize> {
        let spread = match spread::spread(&self.shared.control).await {
            Ok(spread) => spread,
            Err(events::Error::Control(error)) => return Err(error),
            Err(error) => {
                tracing::error!(%error, "webhooks wait: no deliveries can be made");
                return Ok(0);
            }
        };
        let count = spread.count;
        self.begin(spread.tell(&self.shared.figures).into_iter()).await?;
        Ok(count)
    }

    /// What a wake names, and all that wait behind it.
    async fn wake(&mut self, first: Wake, woken: &mut mpsc::Receiver<Wake>) -> control::Result<()> {
        let mut ids = Vec::new();
        let mut wake = Some(first);
        let mut looks = false;
        while let Some(next) = wake {
            match next {
                Wake::Endpoints(endpoints) => ids.extend(endpoints),
                Wake::Look => looks = true,
            }
            wake = if ids.len() < TAKEN_AT_ONCE { woken.try_recv().ok() } else { None };
        }
        if looks { self.look().await } else { self.begin(ids.into_iter()).await }
    }

    /// Rings the workers of these endpoints, and makes those that are not there.
    async fn begin(&mut self, ids: impl Iterator<Item = String>) -> control::Result<()> {
        let mut new = Vec::new();
        for id in ids {
            match self.workers.get(&id) {
                Some(worker) => worker.bell.ring(),
                None if self.others.contains(&id) => {}
                None if !new.contains(&id) && self.workers.len() + new.len() < WORKERS_MAX => new.push(id),
                None => {}
            }
        }
        for ids in new.chunks(TAKEN_AT_ONCE) {
            let shared = &self.shared;
            let now_us = shared.now_us();
            let until_us = now_us.saturating_add(LEASE_US);
            // Its end counts for all leases, so the earliest one does.
            if self.workers.is_empty() {
                shared.lease_until_us.store(until_us, Ordering::SeqCst);
            }
            let write = shared.control.write().await?;
            let taken = leases::take(write.on(), ids, &shared.owner, now_us, until_us).await?;
            write.commit().await?;
            self.others.extend(ids.iter().filter(|id| taken.iter().all(|one| one.id != **id)).cloned());
            for leases::Taken { id, user_id, failing_since } in taken {
                self.spawn(id, user_id, failing_since.is_some());
            }
        }
        Ok(())
    }

    fn spawn(&mut self, id: String, user_id: String, is_failing: bool) {
        self.ended.retain(|ended| *ended != id);
        let bell = Arc::new(Bell::default());
        let share = || Arc::new(Semaphore::new(self.shared.account_slots_max));
        let share = Arc::clone(self.accounts.entry(user_id.clone()).or_insert_with(share));
        let state = worker::State { is_failing, is_slow: self.slow.contains(&id) };
        let work = worker::work(Arc::clone(&self.shared), share, id.clone(), Arc::clone(&bell), state);
        let task = self.tasks.spawn(work).id();
        self.workers.insert(id, Worker { user_id, bell, task });
    }

    fn note_end(&mut self, ended: Result<worker::Ended, JoinError>) {
        let (id, is_failing) = match ended {
            Ok(worker::Ended { id, state }) => {
                if state.is_slow {
                    self.slow.insert(id.clone());
                } else {
                    self.slow.remove(&id);
                }
                (Some(id), state.is_failing)
            }
            Err(error) => {
                tracing::error!(%error, "a worker of webhooks ended early");
                let of_task = self.workers.iter().find(|(_, worker)| worker.task == error.id());
                (of_task.map(|(id, _)| id.clone()), true)
            }
        };
        let Some((id, worker)) = id.and_then(|id| self.workers.remove_entry(&id)) else { return };
        match (worker.bell.is_lost.load(Ordering::SeqCst), worker.bell.is_rung.load(Ordering::SeqCst)) {
            (true, _) => {}
            (false, true) if !self.shared.stop.is_cancelled() => self.spawn(id, worker.user_id.clone(), is_failing),
            (false, _) => self.ended.push(id),
        }
        // Nobody but this map has the share of an account without a worker.
        if self.accounts.get(&worker.user_id).is_some_and(|share| Arc::strong_count(share) == 1) {
            self.accounts.remove(&worker.user_id);
        }
    }

    /// Says that this process lives, when little of the leases is left; what was lost meanwhile is let go.
    async fn renew(&mut self) -> control::Result<()> {
        let shared = &self.shared;
        let now_us = shared.now_us();
        let left_us = shared.lease_until_us.load(Ordering::SeqCst).saturating_sub(now_us);
        if self.workers.is_empty() || left_us > RENEW_BELOW_US {
            return Ok(());
        }
        let until_us = now_us.saturating_add(LEASE_US);
        let write = shared.control.write().await?;
        let kept = leases::renew(write.on(), &shared.owner, until_us).await?;
        write.commit().await?;
        for (id, worker) in &self.workers {
            if !kept.contains(id) {
                worker.bell.lose();
            }
        }
        shared.lease_until_us.store(until_us, Ordering::SeqCst);
        Ok(())
    }

    async fn release(&self, ids: Option<&[String]>) -> control::Result<()> {
        let write = self.shared.control.write().await?;
        leases::release(write.on(), &self.shared.owner, ids).await?;
        write.commit().await
    }
}

/// Deletes what is older than anybody may ask for, a little at a time.
async fn sweep(control: &Control) -> control::Result<()> {
    let before_us = control.now_us().saturating_sub(KEPT_US);
    loop {
        let write = control.write().await?;
        let swept = outbox::sweep(write.on(), before_us, SWEPT_AT_ONCE).await?;
        write.commit().await?;
        if swept < SWEPT_AT_ONCE {
            return Ok(());
        }
    }
}
