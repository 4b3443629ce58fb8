//! The threads that flush and compact by themselves.

use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};

use crate::compaction::plan::Goal;
use crate::compaction::run;
use crate::erasure;
use crate::error::{Error, Result};
use crate::flush;
use crate::priority;
use crate::state::Shared;
use crate::state::{Health, Work};
use crate::wal::writer::Order;

/// Pause after a failure, and how often ages are looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// The running threads.
#[derive(Debug)]
pub(crate) struct Threads {
    flush: JoinHandle<()>,
    compact: JoinHandle<()>,
    wake: [Sender<()>; 2],
}

impl Threads {
    /// Waits for both to end; [`Shared::stop`] was called before.
    pub(crate) fn join(self) {
        for wake in &self.wake {
            let _ = wake.try_send(());
        }
        drop(self.flush.join());
        drop(self.compact.join());
    }
}

/// Starts a thread that poisons the log if it panics: a storage without it would hang.
pub(crate) fn spawn(name: &str, shared: Arc<Shared>, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    struct Guard(Arc<Shared>);
    impl Drop for Guard {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.set_health(Health::Poisoned("a thread of the storage panicked".into()));
            }
        }
    }
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _guard = Guard(shared);
            work();
        })
        .map_err(|error| Error::io("start thread", std::path::Path::new(name), error))
}

/// Starts both threads.
pub(crate) fn start(
    shared: &Arc<Shared>,
    work: &Arc<Work>,
    orders: &Sender<Order>,
    wake_flush: Sender<()>,
    flushes: Receiver<()>,
) -> Result<Threads> {
    let (wake_compact, compactions) = channel::bounded(1);
    let flush = {
        let (shared, work, orders, done) = (Arc::clone(shared), Arc::clone(work), orders.clone(), wake_compact.clone());
        spawn("avycenna-flush", Arc::clone(&shared), move || {
            priority::step_back();
            each_wake(&shared, &flushes, || flush_all(&shared, &work, &orders, &done));
        })?
    };
    let compact = {
        let (shared, work) = (Arc::clone(shared), Arc::clone(work));
        spawn("avycenna-compact", Arc::clone(&shared), move || {
            priority::step_back();
            each_wake(&shared, &compactions, || compact_all(&shared, &work));
        })?
    };
    Ok(Threads { flush, compact, wake: [wake_flush, wake_compact] })
}

/// Calls `work` at each wake, and each [`PAUSE`] in between, until the storage stops.
fn each_wake(shared: &Shared, wakes: &Receiver<()>, mut work: impl FnMut() -> Result<()>) {
    let mut last_failure = None;
    while !shared.is_stopping() {
        if let Err(RecvTimeoutError::Disconnected) = wakes.recv_timeout(PAUSE) {
            return;
        }
        if shared.is_stopping() || shared.refusal().is_some() {
            continue;
        }
        match work() {
            Ok(()) => last_failure = None,
            Err(Error::Closed) => {}
            Err(error) => {
                if matches!(error, Error::Full { .. }) {
                    shared.set_health(Health::Full);
                }
                // Once for each new failure, not once a second.
                let text = error.to_string();
                if last_failure.as_ref() != Some(&text) {
                    tracing::error!(%error, cause = std::error::Error::source(&error), "background work failed; it is tried again");
                    last_failure = Some(text);
                }
            }
        }
    }
}

fn flush_all(shared: &Shared, work: &Work, orders: &Sender<Order>, done: &Sender<()>) -> Result<()> {
    loop {
        let _flush = work.flush.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watermark) = flush::flush_oldest(shared)? else { return Ok(()) };
        let (reply, _) = channel::bounded(1);
        drop(orders.send(Order::Trim(watermark, reply)));
        let _ = done.try_send(());
        if shared.is_stopping() {
            return Ok(());
        }
    }
}

/// Compacts until nothing is due, then looks for what still names people who are gone.
pub(crate) fn compact_all(shared: &Shared, work: &Work) -> Result<()> {
    while !shared.is_stopping() {
        let _compact = work.compact.lock().unwrap_or_else(PoisonError::into_inner);
        if !run::step(shared, Goal::Budget)? {
            let _flush = work.flush.lock().unwrap_or_else(PoisonError::into_inner);
            return erasure::sweep(shared);
        }
    }
    Ok(())
}
