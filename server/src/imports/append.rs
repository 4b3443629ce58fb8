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

/// Batches on their way; none is lost by an error.
#[derive(Debug)]
pub(super) struct Appender {
    storage: Arc<Storage>,
    patience: Option<Patience>,
    /// In order; without a ticket the log does not have it yet.
    under_way: VecDeque<(PointBatch, Option<Ticket>)>,
}

impl Appender {
    /// One that waits for room, or that fails where there is none.
    pub(super) fn new(storage: &Arc<Storage>, patience: Option<Patience>) -> Self {
        Self { storage: Arc::clone(storage), patience, under_way: VecDeque::new() }
    }

    /// Waits for room from here on, or fails where there is none. What is on its way stays so.
    pub(super) fn set_patience(&mut self, patience: Option<Patience>) {
        self.patience = patience;
    }

    /// Hands a batch on, and waits for those before it if there are [`UNDER_WAY_MAX`].
    ///
    /// # Errors
    /// [`Failure`]; then not everything was stored, and what was not is still here: [`Self::drain`] tries again.
    pub(super) fn send(&mut self, batch: PointBatch) -> Result<(), Failure> {
        self.under_way.push_back((batch, None));
        while self.under_way.len() > UNDER_WAY_MAX {
            self.land()?;
        }
        self.wait_for_room()?;
        self.offer()
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
        loop {
            self.offer()?;
            let Some(ticket) = self.under_way.front_mut().and_then(|(_, ticket)| ticket.take()) else { return Ok(()) };
            let Err(error) = ticket.wait() else {
                self.under_way.pop_front();
                return Ok(());
            };
            for ticket in self.under_way.iter_mut().filter_map(|(_, ticket)| ticket.take()) {
                // Whatever came of it, it is sent again.
                drop(ticket.wait());
            }
            self.wait_out(error)?;
        }
    }

    /// Gives the log what it has not, or not any more.
    fn offer(&mut self) -> Result<(), Failure> {
        while let Some((batch, ticket)) = self.under_way.iter_mut().find(|(_, ticket)| ticket.is_none()) {
            match self.storage.append(batch.clone()) {
                Ok(offered) => *ticket = Some(offered),
                Err(error) => self.wait_out(error)?,
            }
        }
        Ok(())
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
