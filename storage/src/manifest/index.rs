//! The live files by metric and time, so that a read looks at those alone that it can touch, however many there are.
//!
//! Made once for each version, next to it. Level 0 is a handful of files; at level 1 a file holds one month, and months
//! do not overlap, so that those of a window lie side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{FileMeta, Level, Version};
use crate::point::TimeRange;
use crate::selection::Users;

/// The live files of a version.
#[derive(Debug, Default)]
pub(crate) struct Index {
    metrics: BTreeMap<Box<str>, Files>,
}

/// The files of a metric.
#[derive(Debug, Default)]
struct Files {
    level0: Vec<Arc<FileMeta>>,
    /// In order of time.
    months: Vec<Month>,
}

/// The level-1 files of a month.
#[derive(Debug)]
struct Month {
    /// Inclusive bounds of all of them.
    times: (i64, i64),
    files: Vec<Arc<FileMeta>>,
}

impl Index {
    /// Of the files of a version. Linear in them.
    pub(crate) fn of(version: &Version) -> Self {
        let mut by_month: BTreeMap<(&str, Level), Vec<Arc<FileMeta>>> = BTreeMap::new();
        for file in &version.files {
            by_month.entry((&file.metric, file.level)).or_default().push(Arc::new(file.clone()));
        }
        let mut metrics: BTreeMap<Box<str>, Files> = BTreeMap::new();
        for ((metric, level), files) in by_month {
            let of_metric = metrics.entry(metric.into()).or_default();
            let times = files
                .iter()
                .fold((i64::MAX, i64::MIN), |(first, last), file| (first.min(file.time_min), last.max(file.time_max)));
            match level {
                Level::Zero => of_metric.level0 = files,
                Level::One { .. } => of_metric.months.push(Month { times, files }),
            }
        }
        for files in metrics.values_mut() {
            files.months.sort_by_key(|month| month.times);
        }
        Self { metrics }
    }

    /// The files that users' points in a range of time can be in, newest first.
    ///
    /// Cost: O(log metrics + log months), and a look at each file of level 0 and of the months that the range touches.
    pub(crate) fn select(&self, metric_key: &str, users: &Users, times: TimeRange) -> Vec<Arc<FileMeta>> {
        let Some(files) = self.metrics.get(metric_key) else { return Vec::new() };
        let first = files.months.partition_point(|month| month.times.1 < times.start);
        let months = files.months.iter().skip(first).take_while(|month| month.times.0 < times.end);
        let is_wanted = |file: &&Arc<FileMeta>| {
            times.overlaps(file.time_min, file.time_max) && users.overlaps(file.user_min, file.user_max)
        };
        let mut found: Vec<Arc<FileMeta>> =
            files.level0.iter().chain(months.flat_map(|month| &month.files)).filter(is_wanted).cloned().collect();
        found.sort_by_key(|file| std::cmp::Reverse(file.age()));
        found
    }

    /// Keys of the metrics that have files.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &str> {
        self.metrics.keys().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::tests::example_file;
    use crate::point::{Seq, UserId};

    const MONTH: i64 = 1_000;

    fn user(number: u8) -> UserId {
        UserId::parse(&format!("usr_user{number:04}")).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_look_at_every_file_finds(
            files in prop::collection::vec(
                (any::<bool>(), 0..6_i64, 0..MONTH, 0..MONTH, 0..9_u8, 0..9_u8, 0..2_u8), 0..60,
            ),
            asked in (0..9_u8, -10..7 * MONTH, -10..7 * MONTH),
            one: bool,
        ) {
            let files: Vec<FileMeta> = (1..).zip(files).map(|(id, (is_old, month, from, to, low, high, metric))| FileMeta {
                level: if is_old { Level::One { month: i32::try_from(month).unwrap() } } else { Level::Zero },
                time_min: month * MONTH + from.min(to),
                // A file of level 0 may hold any months.
                time_max: month * MONTH + from.max(to) + if is_old { 0 } else { 3 * MONTH },
                user_min: user(low.min(high)),
                user_max: user(low.max(high)),
                metric: if metric == 0 { "hrv".to_owned() } else { "steps".to_owned() },
                last_seq: Seq(id * 7 % 11),
                ..example_file(id)
            }).collect();
            let (number, start, end) = asked;
            let (users, times) = (if one { Users::One(user(number)) } else { Users::All }, TimeRange { start, end });
            let mut version = Version { files, ..Version::default() };
            version.files.sort_by_key(FileMeta::age);
            let expected: Vec<u64> = version.files.iter().rev().filter(|file| {
                file.metric == "steps"
                    && times.overlaps(file.time_min, file.time_max)
                    && users.overlaps(file.user_min, file.user_max)
            }).map(|file| file.id).collect();
            let index = Index::of(&version);
            let found: Vec<u64> = index.select("steps", &users, times).iter().map(|file| file.id).collect();
            prop_assert_eq!(found, expected);
            prop_assert!(index.select("weight", &users, times).is_empty());
        }
    }
}
