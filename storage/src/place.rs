//! Where a storage lives: disk, object store, clock.

use std::sync::Arc;

use crate::clock::Clock;
use crate::disk::Disk;

/// Where things live.
#[derive(Debug, Clone)]
pub struct Place {
    /// The local disk: log, lock, and, without `objects`, everything else.
    pub disk: Arc<dyn Disk>,
    /// The store of Parquet files and manifests; `None` is the local disk, synced.
    pub objects: Option<Arc<dyn object_store::ObjectStore>>,
    /// Where the ledger of erased people is, if not in the folder `erased` of `disk`: it must outlive every backup.
    pub ledger: Option<Arc<dyn Disk>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}
