//! Deletions as a filter over sorted rows.
//!
//! A user tombstone covers everything of the user, earlier or later. A range tombstone covers what was accepted
//! before it: every deletion cuts all metrics at one seq, so that a source lies on one side of it as a whole, and no
//! row's seq has to be known.
//!
//! Reads look at all tombstones and every manifest holds them, so that there must be few: a new one takes the place of
//! those that it contains ([`edit`]), and more than [`WAITING_MAX`](crate::compaction::plan::WAITING_MAX) do not wait
//! for their age.

use std::ops::Range;
use std::time::Duration;

use crate::manifest::{Edit, FileMeta, Scope, Tombstone, Version};
use crate::point::{Seq, TimeRange, UserId};
use crate::run::Keys;

/// What to leave out of one source: users and times, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mask {
    spans: Vec<(UserId, TimeRange)>,
}

/// A range's tombstone takes the place of others until it is this part of the longest age old.
const GATHERED_AGE_PART: u32 = 12;

/// The edit that brings a deletion and takes those out that it contains: it is the newer, so what they cover it covers.
///
/// It is as old as the oldest that it takes the place of, so that nothing waits for longer because somebody deletes it
/// again. A range leaves those alone that are older than a twelfth of `age_max`: else one that is deleted again and again
/// would be due all the time as soon as it was due once, and its files rewritten each time.
pub(crate) fn edit(version: &Version, mut new: Tombstone, age_max: Duration) -> Edit {
    let gathered_ms = i64::try_from((age_max / GATHERED_AGE_PART).as_millis()).unwrap_or(i64::MAX);
    let is_contained = |old: &&Tombstone| match (&new.scope, &old.scope) {
        (Scope::User(user), Scope::Range { user: other, .. }) => user == other,
        (
            Scope::Range { user, metric, times },
            Scope::Range { user: other_user, metric: other_metric, times: other_times },
        ) => {
            user == other_user
                && metric == other_metric
                && times.start <= other_times.start
                && other_times.end <= times.end
                && old.seq <= new.seq
                && new.created_ms.saturating_sub(old.created_ms) < gathered_ms
        }
        (_, Scope::User(_)) => false,
    };
    let contained: Vec<Tombstone> = version.tombstones.iter().filter(is_contained).cloned().collect();
    let oldest_ms = contained.iter().map(|old| old.created_ms).min();
    new.created_ms = oldest_ms.map_or(new.created_ms, |oldest_ms| oldest_ms.min(new.created_ms));
    Edit { add_tombstones: vec![new], drop_tombstones: contained, ..Edit::default() }
}

/// The deletions that cover points of a metric in a source whose greatest seq is `last_seq`. Linear in the tombstones.
pub(crate) fn applicable<'a>(
    tombstones: impl IntoIterator<Item = &'a Tombstone>,
    metric_key: &str,
    last_seq: Seq,
) -> Mask {
    Mask::of(tombstones.into_iter().filter(|tombstone| match &tombstone.scope {
        Scope::User(_) => true,
        Scope::Range { metric, .. } => metric == metric_key && last_seq <= tombstone.seq,
    }))
}

impl Mask {
    /// The deletions that a file may still hold points of. Linear in the tombstones.
    pub(crate) fn of_file<'a>(tombstones: impl IntoIterator<Item = &'a Tombstone>, file: &FileMeta) -> Self {
        Self::of(tombstones.into_iter().filter(|tombstone| tombstone.covers(file)))
    }

    fn of<'a>(tombstones: impl Iterator<Item = &'a Tombstone>) -> Self {
        let mut spans: Vec<_> = tombstones
            .map(|tombstone| match &tombstone.scope {
                Scope::User(user) => (*user, TimeRange { start: i64::MIN, end: i64::MAX }),
                Scope::Range { user, times, .. } => (*user, *times),
            })
            .collect();
        spans.sort_unstable_by_key(|(user, times)| (*user, times.start, times.end));
        spans.dedup();
        Self { spans }
    }

    /// Whether nothing is left out.
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// What remains of ascending ranges of rows, none empty. O(log rows) for each deletion among the batch's users.
    pub(crate) fn cut(&self, keys: &Keys, ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
        let Some(last) = keys.len().checked_sub(1) else { return ranges };
        if self.is_empty() {
            return ranges;
        }
        let (first, last) = (keys.user(0), keys.user(last));
        let start = self.spans.partition_point(|(user, _)| user.as_str() < first);
        let end = self.spans.partition_point(|(user, _)| user.as_str() <= last);
        // Sorted by user and time as the rows are, so the ranges come in order; they may overlap.
        let dead = self.spans.get(start..end).unwrap_or_default().iter();
        let dead = dead.map(|(user, times)| keys.rows_in(keys.rows_of(user.as_str()), *times));
        subtract(ranges, &dead.filter(|rows| !rows.is_empty()).collect::<Vec<_>>())
    }
}

fn subtract(ranges: Vec<Range<usize>>, dead: &[Range<usize>]) -> Vec<Range<usize>> {
    if dead.is_empty() {
        return ranges;
    }
    let mut alive = Vec::with_capacity(ranges.len());
    let mut nth = 0;
    for range in ranges {
        let mut start = range.start;
        let mut at = nth;
        while let Some(gap) = dead.get(at).filter(|gap| gap.start < range.end) {
            if start < gap.start {
                alive.push(start..gap.start);
            }
            start = start.max(gap.end);
            // A gap that ends inside this range cannot reach the next one, if all before it ended too.
            if gap.end <= range.start && nth == at {
                nth += 1;
            }
            at += 1;
        }
        if start < range.end {
            alive.push(start..range.end);
        }
    }
    alive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "lists of ranges, some with one")]
    fn overlapping_gaps_are_subtracted_once() {
        assert_eq!(subtract(vec![0..10, 12..20], &[2..4, 3..6, 8..14]), [0..2, 6..8, 14..20]);
        assert!(subtract(vec![0..3, 5..6, 8..9], &[0..20]).is_empty());
        assert_eq!(subtract(vec![0..3], &[3..4]), [0..3]);
        assert_eq!(subtract(vec![2..4, 6..8, 10..12], &[0..7, 1..3, 11..12]), [7..8, 10..11]);
    }

    #[test]
    fn a_deletion_takes_the_place_of_those_it_contains_and_has_the_age_of_the_oldest() {
        let user = |text| UserId::parse(text).unwrap();
        let (ada, bob) = (user("usr_user0001"), user("usr_user0002"));
        let range = |user, metric: &str, start, end| Scope::Range {
            user,
            metric: metric.to_owned(),
            times: TimeRange { start, end },
        };
        let at = |seq, created_ms, scope| Tombstone { seq: Seq(seq), version: seq, scope, created_ms };
        let age_max = Duration::from_secs(12);
        let old = [
            at(1, 500, range(ada, "steps", 3, 9)),
            at(2, 1_400, range(ada, "steps", 0, 10)),
            at(3, 1_300, range(ada, "steps", 5, 6)),
            at(4, 1_500, range(ada, "steps", 5, 11)),
            at(5, 1_500, range(ada, "steps", -1, 5)),
            at(6, 1_500, range(ada, "hrv", 5, 6)),
            at(7, 1_500, range(bob, "steps", 5, 6)),
            at(8, 1_500, Scope::User(bob)),
            at(30, 1_500, range(ada, "steps", 5, 6)),
        ];
        let version = Version { tombstones: old.to_vec(), ..Version::default() };
        let gone = |edit: &Edit| edit.drop_tombstones.iter().map(|tombstone| tombstone.seq.0).collect::<Vec<_>>();
        let edit_at = |created_ms, scope| edit(&version, at(20, created_ms, scope), age_max);

        let found = edit_at(1_500, range(ada, "steps", 0, 10));
        assert_eq!((gone(&found), found.add_tombstones[0].created_ms), (vec![2, 3], 1_300), "the first is too old");
        let found = edit_at(1_499, range(ada, "steps", 0, 10));
        assert_eq!((gone(&found), found.add_tombstones[0].created_ms), (vec![1, 2, 3], 500));
        let found = edit_at(9_999, range(ada, "steps", 0, 10));
        assert_eq!((gone(&found), found.add_tombstones[0].created_ms), (vec![], 9_999));
        let found = edit_at(9_999, Scope::User(ada));
        assert_eq!((gone(&found), found.add_tombstones[0].created_ms), (vec![1, 2, 3, 4, 5, 6, 30], 500));
        let found = edit_at(1_500, range(bob, "steps", 0, 10));
        assert_eq!(gone(&found), [7], "an erasure stays");
    }

    #[test]
    fn a_range_covers_what_was_accepted_before_it_and_a_user_everything() {
        let user = UserId::parse("usr_user0001").unwrap();
        let times = TimeRange { start: 0, end: 10 };
        let at = |scope| Tombstone { seq: Seq(5), version: 1, scope, created_ms: 0 };
        let range = [at(Scope::Range { user, metric: "steps".to_owned(), times })];
        assert!(!applicable(&range, "steps", Seq(5)).is_empty());
        assert!(applicable(&range, "steps", Seq(6)).is_empty());
        assert!(applicable(&range, "hrv", Seq(5)).is_empty());
        assert!(!applicable(&[at(Scope::User(user))], "hrv", Seq(6)).is_empty());
    }
}
