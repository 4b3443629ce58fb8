//! What is to be done with the totals of a month: a pure function of what is known.

use std::collections::{BTreeMap, BTreeSet};

use engine::import::Daily;
use engine::import::day::{self, Calendar, Counted, Total};
use engine::time::DAY_US;

use super::{MAKER, PIECES};
use crate::control::entities::day_total;

/// What is to be done with the totals of a month.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Totals that are to be stored.
    pub(super) put: Vec<Total>,
    /// Days that have a total no more.
    pub(super) gone: Vec<i64>,
    /// Moments at which a total stands no more, sorted.
    pub(super) moved: Vec<i64>,
}

impl Plan {
    /// The totals of the days that are touched. Those near them are looked at as well: by another time zone, what they
    /// were made of may lie in other days now.
    pub(super) fn of(
        daily: Daily,
        calendar: &Calendar,
        counted: &[Counted],
        touched: &BTreeSet<i64>,
        known: &[day_total::Model],
    ) -> Self {
        let mut plan = Self::default();
        let known: BTreeMap<i64, &day_total::Model> = known.iter().map(|row| (row.day, row)).collect();
        let mut left: BTreeMap<i64, i64> =
            known.values().filter(|row| row.origin == PIECES).map(|row| (row.day, row.start)).collect();
        let days = touched.iter().chain(left.keys()).copied().collect();
        let (mut moved, mut stays) = (BTreeSet::new(), BTreeSet::new());
        for total in day::totals(calendar, counted, &days) {
            // There are no parts of a step.
            let value = if daily == Daily::Steps { total.value.round() } else { total.value };
            let before = known.get(&total.day);
            left.remove(&total.day);
            if before.is_some_and(|before| before.origin == MAKER) {
                continue;
            }
            stays.insert(total.start);
            moved.extend(before.map(|before| before.start));
            let is_new =
                before.is_none_or(|before| before.start != total.start || before.value.to_bits() != value.to_bits());
            if is_new || touched.contains(&total.day) {
                plan.put.push(Total { value, ..total });
            }
        }
        for (day, start) in left {
            // A day without any piece has lost them to its owner, who keeps the total.
            let has_piece = counted.iter().any(|piece| piece.start < start + DAY_US && start < piece.end);
            if has_piece {
                plan.gone.push(day);
                moved.insert(start);
            } else {
                stays.insert(start);
            }
        }
        plan.moved = moved.difference(&stays).copied().collect();
        plan
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    const HOUR_US: i64 = DAY_US / 24;
    /// 2026-05-04 on the local calendar, and its midnight of UTC.
    const DAY: i64 = 20_577;
    const MIDNIGHT: i64 = DAY * DAY_US;

    fn piece(hour: i64, value: f64) -> Counted {
        let start = MIDNIGHT + hour * HOUR_US;
        Counted { strand: 0, priority: 0, start, end: start + HOUR_US, value, offset_s: 0 }
    }

    fn known(day: i64, start: i64, value: f64, origin: &str) -> day_total::Model {
        let text = |text: &str| text.to_owned();
        day_total::Model {
            user_id: text("u"),
            sender: text("s"),
            daily: text("steps"),
            day,
            start,
            value,
            origin: text(origin),
        }
    }

    fn of(zone: &str, counted: &[Counted], touched: &[i64], known: &[day_total::Model]) -> Plan {
        let calendar = Calendar::Zone(TimeZone::get(zone).unwrap());
        Plan::of(Daily::Steps, &calendar, counted, &touched.iter().copied().collect(), known)
    }

    #[test]
    fn steps_are_whole_and_what_a_maker_says_stands() {
        let total = Total { day: DAY, start: MIDNIGHT, value: 3.0 };
        assert_eq!(of("UTC", &[piece(8, 2.6)], &[DAY], &[]), Plan { put: vec![total], ..Plan::default() });
        let said = known(DAY, MIDNIGHT, 9.0, MAKER);
        assert_eq!(of("UTC", &[piece(8, 2.6)], &[DAY], &[said]), Plan::default());
    }

    #[test]
    fn a_day_nearby_that_is_as_it_was_is_left_alone() {
        let beside = known(DAY + 1, MIDNIGHT + DAY_US, 5.0, PIECES);
        let counted = [piece(8, 2.0), piece(32, 5.0)];
        assert_eq!(of("UTC", &counted, &[DAY], &[beside]).put.len(), 1);
        let stale = known(DAY + 1, MIDNIGHT + DAY_US, 4.0, PIECES);
        assert_eq!(of("UTC", &counted, &[DAY], &[stale]).put.len(), 2);
    }

    #[test]
    fn a_day_that_has_lost_its_pieces_to_another_by_the_zone_loses_its_total() {
        // 20:00 of UTC is the next day in Auckland, whose days begin at 12:00 of UTC.
        let before = known(DAY, MIDNIGHT, 7.0, PIECES);
        let plan = of("Pacific/Auckland", &[piece(20, 7.0)], &[DAY + 1], std::slice::from_ref(&before));
        let put = vec![Total { day: DAY + 1, start: MIDNIGHT + 12 * HOUR_US, value: 7.0 }];
        assert_eq!(plan, Plan { put, gone: vec![DAY], moved: vec![MIDNIGHT] });
        // Its owner deleted the pieces and kept the total.
        let plan = of("Pacific/Auckland", &[piece(40, 7.0)], &[DAY + 2], &[before]);
        assert!(plan.gone.is_empty() && plan.moved.is_empty(), "{plan:?}");
    }

    #[test]
    fn a_moment_at_which_another_total_stands_now_is_not_taken_back() {
        // A zone a whole day apart: every total stands where its neighbor stood.
        let there = [known(DAY, MIDNIGHT, 2.0, PIECES), known(DAY + 1, MIDNIGHT + DAY_US, 5.0, PIECES)];
        let shifted = |day: i64, start: i64| known(day, start, 2.0, PIECES);
        let plan = of("UTC", &[piece(8, 2.0), piece(32, 5.0)], &[DAY, DAY + 1], &[shifted(DAY, MIDNIGHT + DAY_US)]);
        assert!(plan.put.len() == 2 && plan.moved.is_empty(), "{plan:?}");
        assert_eq!(of("UTC", &[piece(8, 2.0), piece(32, 5.0)], &[DAY, DAY + 1], &there).moved, Vec::<i64>::new());
    }
}
