//! Which files may leave the disk: those that no version names and no snapshot can see.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::error::{Error, Result};
use crate::manifest::{FileMeta, Version};

/// Folder of all Parquet files.
pub(crate) const POINTS: &str = "points";

/// Files on their way out, in the order of the versions that named them last.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    retired: VecDeque<Retired>,
}

#[derive(Debug)]
struct Retired {
    /// The version before; alive while a snapshot holds it.
    version: Weak<Version>,
    /// The files that it was the last to name.
    files: Vec<FileMeta>,
    /// When it was replaced, by [`crate::Clock::elapsed`].
    since: Duration,
}

impl Retention {
    /// Notes that `version` was replaced by one without `files`.
    pub(crate) fn retire(&mut self, version: &Arc<Version>, files: Vec<FileMeta>, since: Duration) {
        self.retired.push_back(Retired { version: Arc::downgrade(version), files, since });
    }

    /// Paths of the files that are on their way out.
    pub(crate) fn paths(&self) -> BTreeSet<String> {
        self.retired.iter().flat_map(|retired| &retired.files).map(|file| file.path.clone()).collect()
    }

    /// Takes the files that nobody can see any more. Versions go in order: an older one may see the files of a newer.
    pub(crate) fn take(&mut self, now: Duration, age_max: Duration) -> Vec<FileMeta> {
        let mut gone = Vec::new();
        while let Some(oldest) = self.retired.front() {
            // A snapshot older than its longest life answers every read with an error, so its files may go.
            if oldest.version.strong_count() > 0 && now.saturating_sub(oldest.since) < age_max {
                break;
            }
            if let Some(oldest) = self.retired.pop_front() {
                gone.extend(oldest.files);
            }
        }
        gone
    }
}

/// Removes files below [`POINTS`] that `version` does not name and that are not among `retired`: leftovers of a crash or
/// a failure. Only the owner of the lock, and nothing may flush or compact meanwhile.
///
/// # Errors
/// I/O.
pub(crate) async fn remove_orphans(
    objects: &dyn object_store::ObjectStore,
    version: &Version,
    retired: &BTreeSet<String>,
) -> Result<usize> {
    let live: BTreeSet<&str> = version.files.iter().map(|file| file.path.as_str()).collect();
    let folder = Path::from(POINTS);
    let listed: Vec<_> =
        objects.list(Some(&folder)).try_collect().await.map_err(|error| Error::object("list", &folder, error))?;
    let mut orphans = 0;
    for object in listed {
        let path = object.location.as_ref();
        if !live.contains(path) && !retired.contains(path) {
            objects.delete(&object.location).await.map_err(|error| Error::object("remove", &object.location, error))?;
            orphans += 1;
        }
    }
    Ok(orphans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_while_an_older_version_is_held() {
        let mut retention = Retention::default();
        let first = Arc::new(Version { number: 1, ..Version::default() });
        let second = Arc::new(Version { number: 2, ..Version::default() });
        let day = Duration::from_hours(24);
        retention.retire(&first, Vec::new(), Duration::ZERO);
        retention.retire(&second, vec![crate::manifest::tests::example_file(7)], Duration::ZERO);
        drop(second);
        assert!(retention.take(Duration::ZERO, day).is_empty(), "the first version sees file 7 still");
        drop(first);
        assert_eq!(retention.take(Duration::ZERO, day).len(), 1);
    }

    #[test]
    fn a_snapshot_past_its_longest_life_holds_nothing() {
        let mut retention = Retention::default();
        let version = Arc::new(Version::default());
        retention.retire(&version, vec![crate::manifest::tests::example_file(7)], Duration::ZERO);
        assert!(retention.take(Duration::from_secs(9), Duration::from_secs(10)).is_empty());
        assert_eq!(retention.take(Duration::from_secs(10), Duration::from_secs(10)).len(), 1);
    }
}
