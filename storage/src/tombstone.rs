//! Deletions as a filter over sorted rows.
//!
//! A user tombstone covers everything of the user, earlier or later. A range tombstone covers what was accepted
//! before it: every deletion cuts all metrics at one seq, so that a source lies on one side of it as a whole, and no
//! row's seq has to be known.

use std::ops::Range;

use crate::manifest::{FileMeta, Scope, Tombstone};
use crate::point::{Seq, TimeRange, UserId};
use crate::run::Keys;

/// What to leave out of one source: users and times, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mask {
    spans: Vec<(UserId, TimeRange)>,
}

/// The deletions that cover points of a metric in a source whose greatest seq is `last_seq`. Linear in the tombstones.
pub(crate) fn applicable(tombstones: &[Tombstone], metric_key: &str, last_seq: Seq) -> Mask {
    Mask::of(tombstones.iter().filter(|tombstone| match &tombstone.scope {
        Scope::User(_) => true,
        Scope::Range { metric, .. } => metric == metric_key && last_seq <= tombstone.seq,
    }))
}

impl Mask {
    /// The deletions that a file may still hold points of. Linear in the tombstones.
    pub(crate) fn of_file(tombstones: &[Tombstone], file: &FileMeta) -> Self {
        Self::of(tombstones.iter().filter(|tombstone| tombstone.covers(file)))
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
