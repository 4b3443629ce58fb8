//! The metric keys of one open storage: text outside, small numbers inside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::error::{Error, Result};
use crate::point::{METRIC_KEY_BYTES_MAX, METRICS_MAX, MetricId};

/// The keys by id.
pub(crate) type Table = Box<[Arc<str>]>;

/// Append-only table of metric keys. Reading is one atomic load; adding copies the table (rare).
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_id: ArcSwap<Table>,
    by_key: Mutex<BTreeMap<Arc<str>, MetricId>>,
}

impl Names {
    /// The id of `key`, made if it is new.
    pub(crate) fn intern(&self, key: &str) -> Result<MetricId> {
        let fail = |what| Err(Error::Metric { key: key.chars().take(METRIC_KEY_BYTES_MAX).collect(), what });
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = by_key.get(key) {
            return Ok(*id);
        }
        if key.is_empty() || key.len() > METRIC_KEY_BYTES_MAX {
            return fail("must be 1 to 64 bytes");
        }
        if !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            return fail("may hold a to z, 0 to 9 and _ alone");
        }
        let mut names = self.by_id.load().to_vec();
        if names.len() >= METRICS_MAX {
            return fail("there are 1,024 metrics already");
        }
        let Ok(index) = u16::try_from(names.len()) else {
            return fail("there are 1,024 metrics already");
        };
        let key: Arc<str> = key.into();
        names.push(Arc::clone(&key));
        self.by_id.store(Arc::new(names.into()));
        by_key.insert(key, MetricId(index));
        Ok(MetricId(index))
    }

    /// The id of a key that is known.
    pub(crate) fn find(&self, key: &str) -> Option<MetricId> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    /// The key of `id`.
    pub(crate) fn key(&self, id: MetricId) -> Option<Arc<str>> {
        self.by_id.load().get(id.index()).map(Arc::clone)
    }

    /// All keys, by id.
    pub(crate) fn all(&self) -> Arc<Table> {
        self.by_id.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_id_and_a_bad_one_is_refused() {
        let names = Names::default();
        let first = names.intern("heart_rate").unwrap();
        let second = names.intern("steps").unwrap();
        assert_ne!(first, second);
        assert_eq!(names.intern("heart_rate").unwrap(), first);
        assert_eq!(names.key(second).as_deref(), Some("steps"));
        for bad in ["", "Heart", "a/b", "..", &"x".repeat(65)] {
            assert!(matches!(names.intern(bad), Err(Error::Metric { .. })), "{bad:?}");
        }
    }
}
