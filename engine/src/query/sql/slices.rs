//! How a read of many people is cut, so that each cut is one file's.
//!
//! A read that touches two files has to merge them by every column of a point's identity. Compacted files of two months
//! cannot share a point, nor can those of one month whose users do not overlap; a statement needs no order, so each of
//! them is read by itself. What is not compacted is found by every cut that it touches.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::manifest::{FileMeta, Level};
use storage::{TimeRange, UserId};

/// Part of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) users: Arc<[UserId]>,
    pub(super) times: TimeRange,
}

/// Cuts a read of a metric's points. The slices cover it, and no point is in two. Pure; `users` is sorted.
pub(super) fn slices(files: &[FileMeta], metric: &str, users: &Arc<[UserId]>, times: TimeRange) -> Vec<Slice> {
    let mut months: BTreeMap<i32, Vec<&FileMeta>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.metric == metric) {
        if let Level::One { month } = file.level {
            months.entry(month).or_default().push(file);
        }
    }
    // A month begins where its first point is; what lies before the first month, and in months without a file, belongs
    // to the slice before.
    let mut begins: Vec<(i64, Vec<&FileMeta>)> = months
        .into_values()
        .map(|files| (files.iter().map(|file| file.time_min).min().unwrap_or(i64::MIN), files))
        .collect();
    if begins.is_empty() {
        begins.push((i64::MIN, Vec::new()));
    }
    let ends: Vec<i64> = begins.iter().skip(1).map(|(begin, _)| *begin).chain([i64::MAX]).collect();
    let mut slices = Vec::new();
    for (nth, ((begin, files), end)) in begins.into_iter().zip(ends).enumerate() {
        let begin = if nth == 0 { i64::MIN } else { begin };
        let times = TimeRange { start: times.start.max(begin), end: times.end.min(end) };
        if times.start < times.end {
            slices.extend(by_users(files, users).into_iter().map(|users| Slice { users, times }));
        }
    }
    slices
}

/// Cuts users where the files of one month can be told apart by them.
fn by_users(mut files: Vec<&FileMeta>, users: &Arc<[UserId]>) -> Vec<Arc<[UserId]>> {
    files.sort_by_key(|file| file.user_min);
    let mut cuts = Vec::new();
    let mut last: Option<UserId> = None;
    for file in files {
        if last.is_some_and(|last| last < file.user_min) {
            cuts.push(users.partition_point(|user| *user < file.user_min));
        }
        last = Some(last.map_or(file.user_max, |last| last.max(file.user_max)));
    }
    if cuts.is_empty() {
        return vec![Arc::clone(users)];
    }
    let mut parts = Vec::new();
    let mut begin = 0;
    for end in cuts.into_iter().chain([users.len()]) {
        parts.extend(users.get(begin..end).filter(|part| !part.is_empty()).map(Arc::from));
        begin = end;
    }
    parts
}

#[cfg(test)]
mod tests {
    use storage::Seq;

    use super::*;

    fn user(number: u32) -> UserId {
        UserId::parse(&format!("usr_{number:08}")).unwrap()
    }

    fn file(level: Level, (user_min, user_max): (u32, u32), (time_min, time_max): (i64, i64)) -> FileMeta {
        FileMeta {
            id: 1,
            path: String::new(),
            metric: "hrv".to_owned(),
            level,
            rows: 1,
            bytes: 1,
            first_seq: Seq(1),
            last_seq: Seq(1),
            clean_through: 0,
            user_min: user(user_min),
            user_max: user(user_max),
            time_min,
            time_max,
            accepted_max_ms: 0,
        }
    }

    fn one(month: i32, users: (u32, u32), times: (i64, i64)) -> FileMeta {
        file(Level::One { month }, users, times)
    }

    /// Users by number, and times, of each slice.
    fn cut(files: &[FileMeta], times: TimeRange) -> Vec<(Vec<u32>, i64, i64)> {
        let users: Arc<[UserId]> = (0..6).map(user).collect();
        let numbers = |users: &[UserId]| users.iter().map(|user| user.as_str()[4..].parse().unwrap()).collect();
        let slices = slices(files, "hrv", &users, times).into_iter();
        slices.map(|slice| (numbers(&slice.users), slice.times.start, slice.times.end)).collect()
    }

    const ALL: [u32; 6] = [0, 1, 2, 3, 4, 5];

    #[test]
    fn months_and_disjoint_users_are_read_apart() {
        let files = [
            one(2, (0, 2), (200, 299)),
            one(2, (3, 5), (210, 290)),
            one(1, (0, 5), (100, 180)),
            file(Level::Zero, (0, 5), (0, 999)),
        ];
        let expected =
            vec![(ALL.to_vec(), i64::MIN, 200), (vec![0, 1, 2], 200, i64::MAX), (vec![3, 4, 5], 200, i64::MAX)];
        assert_eq!(cut(&files, TimeRange::ALL), expected);
        assert_eq!(cut(&files, TimeRange { start: 50, end: 120 }), [(ALL.to_vec(), 50, 120)]);
        assert_eq!(cut(&files, TimeRange { start: 150, end: 250 }).len(), 3);
    }

    #[test]
    fn what_overlaps_stays_together() {
        let files = [one(1, (0, 3), (100, 180)), one(1, (2, 4), (100, 180)), one(1, (5, 5), (100, 180))];
        let expected = vec![(vec![0, 1, 2, 3, 4], i64::MIN, i64::MAX), (vec![5], i64::MIN, i64::MAX)];
        assert_eq!(cut(&files, TimeRange::ALL), expected);
    }

    #[test]
    fn without_compacted_files_there_is_one_slice() {
        assert_eq!(cut(&[], TimeRange { start: 1, end: 2 }), [(ALL.to_vec(), 1, 2)]);
        let other = FileMeta { metric: "steps".to_owned(), ..one(1, (0, 5), (0, 1)) };
        assert_eq!(cut(&[other], TimeRange { start: 1, end: 2 }), [(ALL.to_vec(), 1, 2)]);
        assert_eq!(cut(&[], TimeRange { start: 2, end: 2 }), []);
    }
}
