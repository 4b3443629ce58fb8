//! Handing batches to the log at the pace at which it acknowledges them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use storage::{PointBatch, Storage, Ticket};
use tokio::runtime::Handle;

use super::Failure;
use super::halt::Halt;

/// Batches that may be on their way at once.
const UNDER_WAY_MAX: usize = 2;

/// Pause before a batch that was refused is offered again.
const AGAIN: Duration = Duration::from_millis(200);

/// What waits until there is room, instead of failing.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    pub(super) runtime: Handle,
    pub(super) halt: Halt,
    /// Bytes of the memtable above which nothing is offered: what is left is for requests.
    pub(super) memtable_bytes: u64,
}

/// Batches on their way.
#[derive(Debug)]
pub(super) struct Appender {
    storage: Arc<Storage>,
    patience: Option<Patience>,
    under_way: VecDeque<(PointBatch, Ticket)>,
}

impl Appender {
    /// One that waits for room, or that fails where there is none.
    pub(super) fn new(storage: &Arc<Storage>, patience: Option<Patience>) -> Self {
        Self { storage: Arc::clone(storage), patience, under_way: VecDeque::new() }
    }

    /// Hands a batch on, and waits for those before it if there are [`UNDER_WAY_MAX`].
    ///
    /// # Errors
    /// [`Failure`]; then not everything was stored.
    pub(super) fn send(&mut self, batch: PointBatch) -> Result<(), Failure> {
        while self.under_way.len() >= UNDER_WAY_MAX {
            self.land()?;
        }
        self.wait_for_room()?;
        let ticket = self.offer(&batch)?;
        self.under_way.push_back((batch, ticket));
        Ok(())
    }

    /// Waits until all is durable.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) fn drain(&mut self) -> Result<(), Failure> {
        while !self.under_way.is_empty() {
            self.land()?;
        }
        Ok(())
    }

    /// Does something else that needs room, again until there is some.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) fn patiently(&self, mut work: impl FnMut() -> engine::Result<()>) -> Result<(), Failure> {
        loop {
            match work() {
                Ok(()) => return Ok(()),
                Err(engine::Error::Storage(error)) => self.wait_out(error)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the oldest batch. If it was refused, it and all behind it are sent again, in order: of one identity the
    /// later point must win.
    fn land(&mut self) -> Result<(), Failure> {
        let Some((batch, ticket)) = self.under_way.pop_front() else { return Ok(()) };
        let Err(error) = ticket.wait() else { return Ok(()) };
        self.wait_out(error)?;
        let mut again = vec![batch];
        for (batch, ticket) in std::mem::take(&mut self.under_way) {
            // Whatever came of it, it is sent again.
            drop(ticket.wait());
            again.push(batch);
        }
        for batch in again {
            loop {
                match self.offer(&batch)?.wait() {
                    Ok(()) => break,
                    Err(error) => self.wait_out(error)?,
                }
            }
        }
        Ok(())
    }

    fn offer(&self, batch: &PointBatch) -> Result<Ticket, Failure> {
        loop {
            match self.storage.append(batch.clone()) {
                Ok(ticket) => return Ok(ticket),
                Err(error) => self.wait_out(error)?,
            }
        }
    }

    fn wait_for_room(&self) -> Result<(), Failure> {
        let Some(patience) = &self.patience else { return Ok(()) };
        while self.storage.metrics().memtable_bytes.get() > patience.memtable_bytes {
            if !patience.halt.pause(&patience.runtime, AGAIN) {
                return Err(Failure::Halted);
            }
        }
        Ok(())
    }

    /// Waits a while if that may help, or fails.
    fn wait_out(&self, error: storage::Error) -> Result<(), Failure> {
        let passes = matches!(error.kind(), storage::ErrorKind::Overloaded | storage::ErrorKind::Full);
        match (&error, &self.patience) {
            (storage::Error::Erased { .. }, _) => Err(Failure::Gone),
            (_, Some(patience)) if passes => {
                tracing::debug!(%error, "an import waits for room");
                if patience.halt.pause(&patience.runtime, AGAIN) { Ok(()) } else { Err(Failure::Halted) }
            }
            _ => Err(Failure::Engine(error.into())),
        }
    }
}
