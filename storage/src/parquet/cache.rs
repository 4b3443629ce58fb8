//! Footers in memory: read once, kept as long as they fit.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use object_store::ObjectStore;

use super::footer::Footer;
use crate::error::Result;
use crate::manifest::FileMeta;

/// A cache of footers by path, bounded by bytes; what was used longest ago goes first. The lock is held for moments,
/// never while a file is read.
#[derive(Debug)]
pub(crate) struct Footers {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    footers: HashMap<Arc<str>, (u64, Arc<Footer>)>,
    /// By last use.
    order: BTreeMap<u64, Arc<str>>,
    next_use: u64,
    bytes: usize,
}

impl Kept {
    fn touch(&mut self, path: &str) -> Option<Arc<Footer>> {
        let (last_use, footer) = self.footers.get_mut(path)?;
        let key = self.order.remove(last_use)?;
        *last_use = self.next_use;
        self.order.insert(self.next_use, key);
        self.next_use += 1;
        Some(Arc::clone(footer))
    }

    fn forget(&mut self, path: &str) {
        if let Some((last_use, footer)) = self.footers.remove(path) {
            self.order.remove(&last_use);
            self.bytes -= footer.bytes();
        }
    }

    fn keep(&mut self, path: &str, footer: Arc<Footer>, bytes_max: usize) {
        self.forget(path);
        if footer.bytes() > bytes_max {
            return;
        }
        self.bytes += footer.bytes();
        while self.bytes > bytes_max {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.forget(&oldest);
        }
        let path: Arc<str> = path.into();
        self.order.insert(self.next_use, Arc::clone(&path));
        self.footers.insert(path, (self.next_use, footer));
        self.next_use += 1;
    }
}

impl Footers {
    /// An empty cache of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    /// A file's footer, from memory or from the store. Two readers that miss at once both read it.
    ///
    /// # Errors
    /// As [`Footer::load`].
    pub(crate) async fn get(&self, store: &dyn ObjectStore, file: &FileMeta) -> Result<Arc<Footer>> {
        if let Some(footer) = self.lock().touch(&file.path) {
            return Ok(footer);
        }
        let footer = Arc::new(Footer::load(store, file).await?);
        self.lock().keep(&file.path, Arc::clone(&footer), self.bytes_max);
        Ok(footer)
    }

    /// Drops the footer of a file that is no more.
    pub(crate) fn forget(&self, path: &str) {
        self.lock().forget(path);
    }

    /// Memory in use.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
