//! The catalogue's metrics as a query needs them: ids of the storage, keys and units as ready columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use storage::{MetricId, Storage};

use crate::catalogue::Catalogue;
use crate::error::{Error, Result};

/// One metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its id in the open storage.
    pub(crate) id: MetricId,
    /// Its key.
    pub(crate) key: Arc<str>,
    /// Its canonical unit.
    pub(crate) unit: Arc<str>,
    /// Whether its values count something, and so print without `.0`.
    pub(crate) is_count: bool,
}

/// All metrics of the catalogue, in its order. Metrics that are only on disk are not here.
#[derive(Debug)]
pub(crate) struct Metrics {
    entries: Box<[Entry]>,
    ids: Box<[MetricId]>,
    by_key: HashMap<Arc<str>, usize>,
    keys: ArrayRef,
    units: ArrayRef,
}

impl Metrics {
    /// Registers the catalogue's metrics with the storage.
    ///
    /// # Errors
    /// As [`Storage::metric`].
    pub(crate) fn register(catalogue: &Catalogue, storage: &Storage) -> Result<Self> {
        let entries = catalogue.iter().map(|metric| {
            let id = storage.metric(&metric.key)?;
            Ok(Entry { id, key: (*metric.key).into(), unit: (*metric.unit).into(), is_count: metric.is_count })
        });
        Ok(Self::new(entries.collect::<Result<_>>()?))
    }

    /// Over these entries.
    pub(crate) fn new(entries: Box<[Entry]>) -> Self {
        let ids = entries.iter().map(|entry| entry.id).collect();
        let by_key = entries.iter().enumerate().map(|(at, entry)| (Arc::clone(&entry.key), at)).collect();
        let keys = Arc::new(StringArray::from_iter_values(entries.iter().map(|entry| &entry.key)));
        let units = Arc::new(StringArray::from_iter_values(entries.iter().map(|entry| &entry.unit)));
        Self { entries, ids, by_key, keys, units }
    }

    /// The metric of a key.
    ///
    /// # Errors
    /// [`Error::UnknownMetric`].
    pub(crate) fn get(&self, key: &str) -> Result<&Entry> {
        let at = self.by_key.get(key).and_then(|at| self.entries.get(*at));
        at.ok_or_else(|| Error::UnknownMetric(key.to_owned()))
    }

    /// All, in the catalogue's order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Their ids.
    pub(crate) fn ids(&self) -> &[MetricId] {
        &self.ids
    }

    /// Their keys, as the values of a dictionary.
    pub(crate) fn keys(&self) -> &ArrayRef {
        &self.keys
    }

    /// Their units, as the values of a dictionary.
    pub(crate) fn units(&self) -> &ArrayRef {
        &self.units
    }
}
