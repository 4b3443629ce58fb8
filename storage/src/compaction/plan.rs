//! What to compact next: a pure function from a manifest version to a [`Task`].
//!
//! Three rules, in this order:
//! 1. Deletions that are due: a file that a tombstone still covers is rewritten without what it covers. First, because
//!    they have a deadline, and however much comes in at level 0 must not put them off. A deletion is due by its age, or
//!    when more than [`WAITING_MAX`] came after it.
//! 2. Level 0: when a metric has [`StorageConfig::level0_files`] files there, all of them become one level-1 run a
//!    month. Always the oldest, all together, so that newer over older stays true by seq alone.
//! 3. Level 1: when a month of a metric has more than [`StorageConfig::level1_runs`] runs, the newest are merged, as
//!    many as are at most twice as large as those after them together. A point is so rewritten when its run meets
//!    others of its size, not each time something small arrives.

use std::collections::BTreeMap;

use crate::config::StorageConfig;
use crate::manifest::{FileMeta, Level, Tombstone, Version};
use crate::point::Seq;

/// Deletions that may wait for their age. Reads look at all of them and every manifest holds them: the oldest of more are
/// due at once.
pub(crate) const WAITING_MAX: usize = 1_000;

/// Files of one metric to be merged into level 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    /// The metric's key.
    pub(crate) metric: String,
    /// Ids of the files, oldest first; neighbours in seq among the files of their place.
    pub(crate) inputs: Vec<u64>,
    /// Why.
    pub(crate) reason: Reason,
}

/// Why a task is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Level 0 is full.
    Level0,
    /// A deletion is due.
    Tombstone,
    /// Too many runs overlap.
    Level1,
}

/// How eagerly to look for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// What the budgets ask for.
    Budget,
    /// Everything: level 0 empty, one run a month, every deletion physical.
    Rest,
}

/// The next task, if any is due at `now_ms`.
pub(crate) fn next(version: &Version, config: &StorageConfig, goal: Goal, now_ms: i64) -> Option<Task> {
    // On the way to rest nothing is late, and level 0 first spares a file from being written twice.
    let due = (goal == Goal::Budget).then(|| tombstone(version, config, goal, now_ms)).flatten();
    due.or_else(|| level0(version, config, goal))
        .or_else(|| tombstone(version, config, goal, now_ms))
        .or_else(|| level1(version, config, goal))
}

/// Tombstones that cover nothing any more: everything they could cover is in files, and no file is covered.
pub(crate) fn droppable(version: &Version) -> Vec<Tombstone> {
    version
        .tombstones
        .iter()
        .filter(|tombstone| {
            version.watermark >= tombstone.seq && !version.files.iter().any(|file| tombstone.covers(file))
        })
        .cloned()
        .collect()
}

fn level0(version: &Version, config: &StorageConfig, goal: Goal) -> Option<Task> {
    let least = match goal {
        Goal::Budget => config.level0_files,
        Goal::Rest => 1,
    };
    let mut by_metric: BTreeMap<&str, Vec<&FileMeta>> = BTreeMap::new();
    for file in version.files.iter().filter(|file| file.level == Level::Zero) {
        by_metric.entry(&file.metric).or_default().push(file);
    }
    let (metric, files) = by_metric.into_iter().max_by_key(|(_, files)| files.len())?;
    (files.len() >= least).then(|| task(metric, files, Reason::Level0))
}

fn tombstone(version: &Version, config: &StorageConfig, goal: Goal, now_ms: i64) -> Option<Task> {
    let age_max_ms = i64::try_from(config.tombstone_age_max.as_millis()).unwrap_or(i64::MAX);
    let too_many = version.tombstones.len().saturating_sub(WAITING_MAX);
    let is_due = |(nth, tombstone): &(usize, &Tombstone)| {
        goal == Goal::Rest || *nth < too_many || now_ms.saturating_sub(tombstone.created_ms) >= age_max_ms
    };
    let covered = version
        .tombstones
        .iter()
        .enumerate()
        .filter(is_due)
        .find_map(|(_, tombstone)| version.files.iter().find(|file| tombstone.covers(file)))?;
    let files = match covered.level {
        // Level 0 moves as a whole, or a file would pass an older one.
        Level::Zero => {
            version.files.iter().filter(|file| file.level == Level::Zero && file.metric == covered.metric).collect()
        }
        Level::One { .. } => vec![covered],
    };
    Some(task(&covered.metric, files, Reason::Tombstone))
}

fn level1(version: &Version, config: &StorageConfig, goal: Goal) -> Option<Task> {
    // Runs of a month: files that share the range of seqs are one run, split by user.
    type Runs<'a> = BTreeMap<(Seq, Seq), Vec<&'a FileMeta>>;
    let mut months: BTreeMap<(&str, i32), Runs<'_>> = BTreeMap::new();
    for file in &version.files {
        if let Level::One { month } = file.level {
            let runs = months.entry((&file.metric, month)).or_default();
            runs.entry((file.last_seq, file.first_seq)).or_default().push(file);
        }
    }
    let most = match goal {
        Goal::Budget => config.level1_runs,
        Goal::Rest => 1,
    };
    let ((metric, _), runs) =
        months.into_iter().filter(|(_, runs)| runs.len() > most).max_by_key(|(_, runs)| runs.len())?;
    let mut chosen: Vec<Vec<&FileMeta>> = Vec::new();
    let mut bytes = 0;
    for files in runs.into_values().rev() {
        let run_bytes: u64 = files.iter().map(|file| file.bytes).sum();
        if goal == Goal::Budget && chosen.len() >= 2 && run_bytes > bytes * 2 {
            break;
        }
        bytes += run_bytes;
        chosen.push(files);
    }
    Some(task(metric, chosen.into_iter().rev().flatten().collect(), Reason::Level1))
}

fn task(metric: &str, mut files: Vec<&FileMeta>, reason: Reason) -> Task {
    files.sort_by_key(|file| (file.last_seq, file.id));
    Task { metric: metric.to_owned(), inputs: files.iter().map(|file| file.id).collect(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Scope;
    use crate::manifest::tests::example_file as file;
    use crate::point::{TimeRange, UserId};

    fn level0(id: u64) -> FileMeta {
        FileMeta { first_seq: Seq(id * 10), last_seq: Seq(id * 10 + 9), level: Level::Zero, ..file(id) }
    }

    fn level1(id: u64, bytes: u64) -> FileMeta {
        FileMeta { level: Level::One { month: 600 }, bytes, ..level0(id) }
    }

    fn version(files: Vec<FileMeta>) -> Version {
        Version { number: 5, next_file_id: 1_000, watermark: Seq(100_000), files, ..Version::default() }
    }

    fn inputs(version: &Version, goal: Goal) -> Option<Vec<u64>> {
        next(version, &StorageConfig::default(), goal, 0).map(|task| task.inputs)
    }

    #[test]
    fn level_0_waits_for_its_number_of_files() {
        let seven = version((1..=7).map(level0).collect());
        assert_eq!(inputs(&seven, Goal::Budget), None);
        assert_eq!(inputs(&seven, Goal::Rest), Some((1..=7).collect()));
        let eight = version((1..=8).map(level0).collect());
        assert_eq!(inputs(&eight, Goal::Budget), Some((1..=8).collect()));
    }

    #[test]
    fn a_large_old_run_is_left_alone_while_small_ones_come() {
        let runs = version(vec![level1(1, 1_000), level1(2, 10), level1(3, 10), level1(4, 10), level1(5, 10)]);
        assert_eq!(inputs(&runs, Goal::Budget), Some(vec![2, 3, 4, 5]));
        assert_eq!(inputs(&runs, Goal::Rest), Some(vec![1, 2, 3, 4, 5]));
        let four = version((1..=4).map(|id| level1(id, 10)).collect());
        assert_eq!(inputs(&four, Goal::Budget), None);
    }

    #[test]
    fn a_run_split_by_user_counts_once() {
        let mut files: Vec<FileMeta> = (1..=4).map(|id| level1(id, 10)).collect();
        let split = FileMeta { id: 9, ..files[3].clone() };
        files.push(split);
        assert_eq!(inputs(&version(files), Goal::Budget), None);
    }

    #[test]
    fn a_deletion_is_made_physical_when_it_is_due_and_dropped_when_it_covers_nothing() {
        let user = UserId::parse("usr_00000001").unwrap();
        let mut before = version(vec![level1(1, 10)]);
        before.tombstones.push(Tombstone {
            seq: Seq(50),
            version: 5,
            scope: Scope::Range { user, metric: before.files[0].metric.clone(), times: TimeRange::ALL },
            created_ms: 0,
        });
        before.files[0].user_min = user;
        before.files[0].user_max = user;
        assert_eq!(inputs(&before, Goal::Budget), None, "not due yet");
        let config = StorageConfig::default();
        let due_ms = i64::try_from(config.tombstone_age_max.as_millis()).unwrap();
        let task = next(&before, &config, Goal::Budget, due_ms).unwrap();
        assert_eq!((task.inputs, task.reason), (vec![1], Reason::Tombstone));
        let mut busy = before.clone();
        busy.files.extend((11..=18).map(level0));
        let task = next(&busy, &config, Goal::Budget, due_ms).unwrap();
        assert_eq!(task.reason, Reason::Tombstone, "however much waits at level 0");
        assert!(droppable(&before).is_empty());
        before.files[0].clean_through = 5;
        assert_eq!(droppable(&before).len(), 1);
        before.watermark = Seq(49);
        assert!(droppable(&before).is_empty(), "the log may hold what it covers");
    }

    #[test]
    fn more_deletions_than_may_wait_are_due_from_the_oldest_on() {
        let user = UserId::parse("usr_00000001").unwrap();
        let mut version = version(vec![level1(1, 10), level1(2, 10)]);
        let at = |nth: usize, seq| Tombstone {
            seq: Seq(seq),
            version: 5,
            scope: Scope::Range { user, metric: "heart_rate".to_owned(), times: TimeRange::ALL },
            created_ms: i64::try_from(nth).unwrap(),
        };
        version.tombstones = (0..WAITING_MAX).map(|nth| at(nth, 29)).collect();
        assert_eq!(inputs(&version, Goal::Budget), None);
        version.tombstones.insert(0, at(0, 19));
        assert_eq!(inputs(&version, Goal::Budget), Some(vec![1]), "the file that the oldest covers");
        version.files[0].clean_through = 5;
        assert_eq!(inputs(&version, Goal::Budget), None, "the oldest covers nothing more");
        assert_eq!(droppable(&version), [at(0, 19)]);
    }
}
