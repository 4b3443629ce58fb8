//! What is true of every version and of every step from one to the next. Checked before a version is written, so that
//! a defect stops there instead of becoming the truth; and after one is read.

use std::collections::{BTreeMap, BTreeSet};

use super::{FileMeta, Level, Scope, Version};
use crate::error::{Error, Result};
use crate::point::{METRIC_KEY_BYTES_MAX, Seq};

const DAY_US: i64 = 86_400_000_000;
/// Seqs stay far below the end of their range, so that sums of a seq and a count cannot overflow.
const SEQ_MAX: Seq = Seq(1 << 62);

/// A named predicate over one version.
type Invariant = (&'static str, fn(&Version) -> bool);
/// A named predicate over a version and its successor.
type Step = (&'static str, fn(&Version, &Version) -> bool);

const INVARIANTS: [Invariant; 9] = [
    ("a version's number is at least 1", |version| version.number >= 1),
    ("each file and each path is there once", files_exist_once),
    ("files are in order of age", |version| version.files.is_sorted_by_key(FileMeta::age)),
    ("next_file_id is above all ids", |version| version.files.iter().all(|file| file.id < version.next_file_id)),
    ("each file's ranges are in order and it is not empty", |version| version.files.iter().all(ranges_are_in_order)),
    ("a file holds only what the watermark covers", files_are_below_the_watermark),
    ("a level-1 file lies within its month", |version| version.files.iter().all(lies_within_its_month)),
    ("level-0 files of a metric follow each other, behind its level 1", runs_follow_each_other),
    ("no file and no tombstone comes from a later version", nothing_comes_from_later),
];

const STEPS: [Step; 5] = [
    ("a version's number grows by one", |before, after| before.number.checked_add(1) == Some(after.number)),
    ("the watermark never goes back", |before, after| before.watermark <= after.watermark),
    ("accepted_max_ms never goes back", |before, after| {
        before.number == 0 || before.accepted_max_ms <= after.accepted_max_ms
    }),
    ("next_file_id never goes back", |before, after| before.next_file_id <= after.next_file_id),
    ("a range is deleted before points from behind its cut are in files", ranges_come_before_later_points),
];

/// Checks one version.
///
/// # Errors
/// [`Error::Invariant`] names the first that does not hold.
pub(crate) fn check(version: &Version) -> Result<()> {
    let broken = INVARIANTS.iter().find(|(_, holds)| !holds(version));
    broken.map_or(Ok(()), |(what, _)| Err(Error::Invariant { version: version.number, what }))
}

/// Checks a version and the step to it.
///
/// # Errors
/// [`Error::Invariant`] names the first that does not hold.
pub(crate) fn check_step(before: &Version, after: &Version) -> Result<()> {
    let broken = STEPS.iter().find(|(_, holds)| !holds(before, after));
    broken.map_or_else(|| check(after), |(what, _)| Err(Error::Invariant { version: after.number, what }))
}

fn files_exist_once(version: &Version) -> bool {
    let ids: BTreeSet<u64> = version.files.iter().map(|file| file.id).collect();
    let paths: BTreeSet<&str> = version.files.iter().map(|file| file.path.as_str()).collect();
    ids.len() == version.files.len() && paths.len() == version.files.len()
}

fn ranges_are_in_order(file: &FileMeta) -> bool {
    file.rows > 0
        && file.bytes > 0
        && !file.path.is_empty()
        && (1..=METRIC_KEY_BYTES_MAX).contains(&file.metric.len())
        && Seq(1) <= file.first_seq
        && file.first_seq <= file.last_seq
        && file.user_min <= file.user_max
        && file.time_min <= file.time_max
}

fn files_are_below_the_watermark(version: &Version) -> bool {
    version.watermark <= SEQ_MAX && version.files.iter().all(|file| file.last_seq <= version.watermark)
}

fn lies_within_its_month(file: &FileMeta) -> bool {
    match file.level {
        Level::Zero => true,
        Level::One { month } => [file.time_min, file.time_max].map(month_of) == [month; 2].map(i64::from),
    }
}

/// Newest wins by place: so a level-0 file must be newer than every other before it, and than all of level 1.
fn runs_follow_each_other(version: &Version) -> bool {
    let mut newest: BTreeMap<&str, Seq> = BTreeMap::new();
    for file in version.files.iter().filter(|file| file.level != Level::Zero) {
        let newest = newest.entry(&file.metric).or_default();
        *newest = file.last_seq.max(*newest);
    }
    version.files.iter().filter(|file| file.level == Level::Zero).all(|file| {
        let before = newest.insert(&file.metric, file.last_seq).unwrap_or_default();
        before < file.first_seq
    })
}

fn nothing_comes_from_later(version: &Version) -> bool {
    version.files.iter().all(|file| file.clean_through <= version.number)
        && version.tombstones.iter().all(|tombstone| tombstone.version <= version.number)
}

/// A range's tombstone covers files by their last seq. One that holds points from both sides of the cut, or will come out
/// of a compaction that has begun, would not be covered: so there must be no file yet from behind it.
fn ranges_come_before_later_points(_before: &Version, after: &Version) -> bool {
    let is_new_range = |version: u64, scope: &Scope| version == after.number && matches!(scope, Scope::Range { .. });
    let mut new = after.tombstones.iter().filter(|tombstone| is_new_range(tombstone.version, &tombstone.scope));
    new.all(|tombstone| after.watermark <= tombstone.seq)
}

/// Months since January 1970 of a time in microseconds UTC.
fn month_of(micros: i64) -> i64 {
    // Days since 0000-03-01, in eras of 400 years: March as the first month puts the leap day last.
    let days = micros.div_euclid(DAY_US) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    (era * 400 + year) * 12 + months_since_march + 2 - 1_970 * 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_its_first_midnight() {
        let day = |days: i64| month_of(days * DAY_US);
        assert_eq!([day(0), day(30), day(31), day(58), day(59)], [0, 0, 1, 1, 2]);
        assert_eq!([day(-1), day(-31), day(-32)], [-1, -1, -2]);
        // 2024-02-29, 2024-03-01, 2026-06-15.
        assert_eq!([day(19_782), day(19_783), day(20_619)], [54 * 12 + 1, 54 * 12 + 2, 56 * 12 + 5]);
        assert_eq!(month_of(59 * DAY_US - 1), 1);
        // The ends of the range do not overflow.
        assert!(month_of(i64::MIN) < 0 && month_of(i64::MAX) > 0);
    }
}
