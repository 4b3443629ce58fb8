//! Dates compared with what took a while, as R4 says (`search.html#prefix`): the total of a day lasts from the day's
//! beginning to its end, a date as long as it is precise.
//!
//! | prefix    | holds of a period that                                  |
//! |-----------|---------------------------------------------------------|
//! | `eq`      | lies inside the date                                    |
//! | `ne`      | does not                                                |
//! | `gt`      | ends behind the date's end                              |
//! | `lt`      | begins before the date's beginning                      |
//! | `ge`, `le` | does as by `gt`, `lt`, or as by `eq`                   |
//! | `sa`, `eb` | begins behind the date's end, ends before its beginning |
//!
//! What took no while is a period of one microsecond; its moments are ranges ([`Moments`]), which a statement can be made
//! of. Where a period that fits can begin is a range too, so that no more is read than may fit.

use serde::{Deserialize, Serialize};

use super::date::{Date, Moments, Prefix};
use crate::fhir::day::LONGEST_US;

/// Conditions on when something was measured: of each list one must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Vec<Date>>", into = "Vec<Vec<Date>>")]
pub struct Dates {
    lists: Vec<Vec<Date>>,
    moments: Moments,
}

impl From<Vec<Vec<Date>>> for Dates {
    fn from(lists: Vec<Vec<Date>>) -> Self {
        let of_list = |list: &Vec<Date>| Moments::of(list.iter().flat_map(|date| date.moments()).collect());
        let moments = lists.iter().fold(Moments::all(), |all, list| all.and(&of_list(list)));
        Self { lists, moments }
    }
}

impl From<Dates> for Vec<Vec<Date>> {
    fn from(dates: Dates) -> Self {
        dates.lists
    }
}

impl Dates {
    /// When what took no while must have been measured.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// Whether there is no condition.
    pub fn is_all(&self) -> bool {
        self.lists.is_empty()
    }

    /// Whether they hold of what lasted from `start` to `end`, microseconds UTC, the end exclusive.
    pub fn hold_of(&self, start: i64, end: i64) -> bool {
        self.lists.iter().all(|list| list.iter().any(|date| holds(*date, start, end)))
    }

    /// When what they hold of can begin, however long it took up to [`LONGEST_US`]; more may be in it.
    pub fn begins(&self) -> Moments {
        let of_list = |list: &Vec<Date>| Moments::of(list.iter().map(|date| begin(*date)).collect());
        let all = self.lists.iter().fold(Moments::all(), |all, list| all.and(&of_list(list)));
        Moments::of(all.ranges().iter().chain(self.moments.ranges()).copied().collect())
    }
}

fn holds(Date(prefix, from, to): Date, start: i64, end: i64) -> bool {
    let is_inside = from <= start && end <= to;
    match prefix {
        Prefix::Eq => is_inside,
        Prefix::Ne => !is_inside,
        Prefix::Gt => end > to,
        Prefix::Ge => end > to || is_inside,
        Prefix::Lt => start < from,
        Prefix::Le => start < from || is_inside,
        Prefix::Sa => start >= to,
        Prefix::Eb => end <= from,
    }
}

/// Where a period of which a date holds can begin.
fn begin(Date(prefix, from, to): Date) -> (i64, i64) {
    match prefix {
        Prefix::Eq => (from, to),
        Prefix::Ne => (i64::MIN, i64::MAX),
        Prefix::Gt => (to.saturating_sub(LONGEST_US), i64::MAX),
        Prefix::Ge => (from.min(to.saturating_sub(LONGEST_US)), i64::MAX),
        Prefix::Lt | Prefix::Eb => (i64::MIN, from),
        Prefix::Le => (i64::MIN, to),
        Prefix::Sa => (to, i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PREFIXES: [Prefix; 8] =
        [Prefix::Eq, Prefix::Ne, Prefix::Gt, Prefix::Ge, Prefix::Lt, Prefix::Le, Prefix::Sa, Prefix::Eb];

    /// R4's words, moment by moment.
    fn naive(Date(prefix, from, to): Date, period: std::ops::Range<i64>) -> bool {
        let some = |is: fn(i64, i64, i64) -> bool| period.clone().any(|at| is(at, from, to));
        let (above, below) = (some(|at, _, to| at >= to), some(|at, from, _| at < from));
        let overlap = some(|at, from, to| from <= at && at < to);
        let contained = !above && !below;
        match prefix {
            Prefix::Eq => contained,
            Prefix::Ne => !contained,
            Prefix::Gt => above,
            Prefix::Ge => above || contained,
            Prefix::Lt => below,
            Prefix::Le => below || contained,
            Prefix::Sa => !overlap && above && !below,
            Prefix::Eb => !overlap && below && !above,
        }
    }

    fn date() -> impl Strategy<Value = Date> {
        (0..8_usize, 0..40_i64, 1..12_i64).prop_map(|(prefix, from, long)| Date(PREFIXES[prefix], from, from + long))
    }

    proptest! {
        #[test]
        fn dates_compare_with_periods_as_r4_says_moment_by_moment(
            lists in prop::collection::vec(prop::collection::vec(date(), 1..4), 0..4),
            start in -5..60_i64,
            long in 1..26_i64,
        ) {
            let dates = Dates::from(lists.clone());
            let expected = |period: std::ops::Range<i64>| {
                lists.iter().all(|list| list.iter().any(|date| naive(*date, period.clone())))
            };
            prop_assert_eq!(dates.hold_of(start, start + long), expected(start..start + long));
            prop_assert_eq!(dates.hold_of(start, start + 1), dates.moments().contain(start), "what took no while");
            prop_assert!(!expected(start..start + long) || dates.begins().contain(start), "what fits is read");
            let text = serde_json::to_string(&dates).unwrap();
            prop_assert_eq!(serde_json::from_str::<Dates>(&text).unwrap(), dates);
        }
    }

    #[test]
    fn what_begins_a_day_before_a_date_is_read_and_no_more_than_that() {
        let day = engine::time::DAY_US;
        let of = |prefix| Dates::from(vec![vec![Date(prefix, 10 * day, 11 * day)]]);
        for prefix in [Prefix::Gt, Prefix::Ge] {
            assert_eq!(of(prefix).begins().hull().start, 9 * day, "{prefix:?}");
        }
        assert_eq!(of(Prefix::Sa).begins().hull().start, 11 * day);
        assert!(Dates::default().is_all() && Dates::default().begins().is_all());
        assert!(Dates::default().hold_of(i64::MIN, i64::MAX));
    }
}
