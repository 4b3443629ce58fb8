//! The tables of one caller: their moment, and whom a plan over them can reach.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use storage::{Snapshot, Storage, UserId};

use crate::error::Result;
use crate::query::malformed;

/// What exists when a query first reads. All of its tables see the same moment, and a plan that waits sees none.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    storage: Arc<Storage>,
    taken: Arc<OnceLock<Snapshot>>,
}

impl Moment {
    /// That of the first read.
    pub(super) fn of(storage: &Arc<Storage>) -> Self {
        Self { storage: Arc::clone(storage), taken: Arc::default() }
    }

    /// The snapshot.
    pub(super) fn snapshot(&self) -> &Snapshot {
        self.taken.get_or_init(|| self.storage.snapshot())
    }
}

/// Whose rows the scans of a plan can read: noted as each is made, closed before anything is read.
#[derive(Debug, Clone)]
pub(super) struct Reach(Arc<Mutex<Option<BTreeSet<UserId>>>>);

impl Reach {
    /// Nobody yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(BTreeSet::new()))))
    }

    /// Notes the users of a scan.
    ///
    /// # Errors
    /// An internal one behind [`Self::close`]: nobody would know of them.
    pub(super) fn add(&self, users: &[UserId]) -> Result<()> {
        let mut reached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reached.as_mut().ok_or_else(|| malformed("scan in a running query"))?.extend(users);
        Ok(())
    }

    /// All of them; no scan can be made any more.
    pub(super) fn close(&self) -> Arc<[UserId]> {
        let reached = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        reached.unwrap_or_default().into_iter().collect()
    }
}
