//! Which of the nights that were told stand: a pure function, whatever the order in which they come.
//!
//! Of two nights that overlap in time one takes the place of the other: the one of the lower rank, of the same rank the one
//! that was told later, and of those the one with more sleep. **A night stands where no known one takes its place**, also
//! where that one has lost its own place to a third. So what stands is told by which nights are known, and by nothing else.
//!
//! A night that lies wholly within better ones is forgotten: whatever it could take the place of, they do.

use std::collections::{BTreeMap, BTreeSet};

use engine::import::NIGHT_METRICS;
use engine::time::DAY_US;

use super::super::intake::Owner;

/// Nights that are known of one person and sender and end on one day of UTC. An app that tells a night in pieces of five
/// minutes tells 100.
pub(super) const NIGHTS_A_DAY_MAX: usize = 256;

/// A night that was told.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::imports) struct Night {
    pub(in crate::imports) owner: Owner,
    /// Microseconds UTC; below the end.
    pub(in crate::imports) start: i64,
    pub(in crate::imports) end: i64,
    /// When it was told, microseconds UTC.
    pub(in crate::imports) told_at: i64,
    pub(in crate::imports) rank: u8,
    /// By [`NIGHT_METRICS`]; the first is always there.
    pub(in crate::imports) values: [Option<f64>; NIGHT_METRICS.len()],
}

/// What makes two nights the same one.
pub(super) type Id<'a> = (i64, i64, &'a Owner, i64);

/// The greater takes the place of the lower.
type Precedence<'a> = (u8, i64, u64, i64, i64, &'a Owner);

impl Night {
    pub(super) fn id(&self) -> Id<'_> {
        (self.end, self.start, &self.owner, self.told_at)
    }

    /// What is stored: metric and value.
    pub(super) fn points(&self) -> impl Iterator<Item = (&'static str, f64)> {
        NIGHT_METRICS.into_iter().zip(self.values).filter_map(|(metric, value)| Some((metric, value?)))
    }

    /// That of two different nights is different.
    fn precedence(&self) -> Precedence<'_> {
        // Hours are no negative numbers, so that their bits are in their order.
        let asleep = self.values.first().copied().flatten().unwrap_or_default().to_bits();
        (u8::MAX - self.rank, self.told_at, asleep, self.end, -self.start, &self.owner)
    }

    /// The same night, told twice in one moment: all that either says, and of what both say the greater.
    fn join(&mut self, other: &Self) {
        self.rank = self.rank.min(other.rank);
        for (mine, theirs) in self.values.iter_mut().zip(other.values) {
            *mine = match (*mine, theirs) {
                (Some(mine), Some(theirs)) => Some(mine.max(theirs)),
                (mine, theirs) => mine.or(theirs),
            };
        }
    }

    /// Takes the heart rate variability of a whole night of the same maker whose place this one has, if it knows none.
    fn inherit(&mut self, of: &Self) {
        let ([_, _, _, mine], [_, _, _, theirs]) = (&mut self.values, of.values);
        if self.owner == of.owner {
            *mine = mine.or(theirs);
        }
    }
}

/// A night that is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) night: Night,
    /// Whether its points are stored, or may be.
    pub(super) is_stored: bool,
}

/// A night that stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    pub(super) night: Night,
    /// Whether it was found now.
    pub(super) is_found: bool,
}

/// A night whose points are stored, or may be, and are to be taken back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Displaced {
    pub(super) night: Night,
    /// Whether it need not be known any more.
    pub(super) is_needless: bool,
}

/// What is done about nights that were found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Those that stand around here. All of their points are stored, lest one is missing whose storing broke off.
    pub(super) stand: Vec<Standing>,
    /// Others that stand nearby.
    pub(super) beside: Vec<Night>,
    /// Those that do not stand any more.
    pub(super) displaced: Vec<Displaced>,
    /// Those that are not stored and may take a place yet.
    pub(super) lost: Vec<Night>,
    /// Those that are known, are not stored, and need not be known any more.
    pub(super) needless: Vec<Night>,
    /// Of those that were found the ones that do not stand.
    pub(super) refused: Vec<Night>,
}

impl Plan {
    /// Of what was found; `known` are at least all nights that overlap one which overlaps one that was found.
    pub(super) fn of(known: Vec<Known>, found: &[Night]) -> Self {
        let mut around = Spans::default();
        for night in found {
            around.add(night);
        }
        let (mut plan, mut taken, mut left) = (Self::default(), Spans::default(), Vec::new());
        for Told { night, stored, is_known, is_found } in told(known, found) {
            let (stands, is_covered) = (!taken.overlap(&night), taken.cover(&night));
            taken.add(&night);
            if stands && around.overlap(&night) {
                plan.stand.push(Standing { night, is_found });
                continue;
            }
            if stands {
                plan.beside.push(night);
                continue;
            }
            if !around.overlap(&night) {
                continue;
            }
            if night.values.last().is_some_and(Option::is_some) {
                left.push(night.clone());
            }
            if is_found {
                plan.refused.push(night.clone());
            }
            match stored {
                Some(night) => plan.displaced.push(Displaced { night, is_needless: is_covered }),
                None if !is_covered => plan.lost.push(night),
                None if is_known => plan.needless.push(night),
                None => {}
            }
        }
        plan.bequeath(&left);
        plan
    }

    /// Hands on what is known of whole nights that do not stand; they are in the order of their precedence.
    fn bequeath(&mut self, left: &[Night]) {
        let mut heirs: BTreeMap<i64, &mut Night> =
            self.stand.iter_mut().map(|standing| (standing.night.start, &mut standing.night)).collect();
        for night in left {
            // Those that stand are apart: the last one to begin ends last.
            let before = heirs.range_mut(..night.end).rev();
            before.take_while(|(_, heir)| heir.end > night.start).for_each(|(_, heir)| heir.inherit(night));
        }
    }
}

/// Takes from what was found the nights above [`NIGHTS_A_DAY_MAX`], known ones among them, that end on one day of UTC.
pub(super) fn crowd(known: &[Known], found: &mut Vec<Night>) -> Vec<Night> {
    let day = |night: &Night| night.end.div_euclid(DAY_US);
    let mut ids: BTreeSet<Id<'_>> = known.iter().map(|known| known.night.id()).collect();
    let mut days: BTreeMap<i64, usize> = BTreeMap::new();
    for known in known {
        *days.entry(day(&known.night)).or_default() += 1;
    }
    let mut is_crowded = Vec::with_capacity(found.len());
    for night in &*found {
        let count = days.entry(day(night)).or_default();
        let has_room = ids.contains(&night.id()) || *count < NIGHTS_A_DAY_MAX;
        if has_room && ids.insert(night.id()) {
            *count += 1;
        }
        is_crowded.push(!has_room);
    }
    let mut is_crowded = is_crowded.into_iter();
    found.extract_if(.., |_| is_crowded.next().unwrap_or_default()).collect()
}

/// A night, known or found or both.
struct Told {
    night: Night,
    /// As it is stored, or may be.
    stored: Option<Night>,
    is_known: bool,
    is_found: bool,
}

/// All nights once, the better before the worse.
fn told(known: Vec<Known>, found: &[Night]) -> Vec<Told> {
    let known = known.into_iter().map(|Known { night, is_stored }| {
        let stored = is_stored.then(|| night.clone());
        Told { night, stored, is_known: true, is_found: false }
    });
    let found = found.iter().map(|night| Told { night: night.clone(), stored: None, is_known: false, is_found: true });
    let mut all: Vec<Told> = known.chain(found).collect();
    all.sort_by(|a, b| a.night.id().cmp(&b.night.id()));
    all.dedup_by(|again, first| {
        let is_same = again.night.id() == first.night.id();
        if is_same {
            first.night.join(&again.night);
            first.stored = first.stored.take().or(again.stored.take());
            first.is_known |= again.is_known;
            first.is_found |= again.is_found;
        }
        is_same
    });
    all.sort_by(|a, b| b.night.precedence().cmp(&a.night.precedence()));
    all
}

/// Time that nights take up, as spans without overlap: their ends by their starts.
#[derive(Debug, Default)]
struct Spans(BTreeMap<i64, i64>);

impl Spans {
    fn add(&mut self, night: &Night) {
        let (mut start, mut end) = (night.start, night.end);
        while let Some((&from, &to)) = self.0.range(..=end).next_back()
            && to >= start
        {
            self.0.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.0.insert(start, end);
    }

    fn overlap(&self, night: &Night) -> bool {
        // The last one to begin ends last.
        self.0.range(..night.end).next_back().is_some_and(|(_, end)| *end > night.start)
    }

    fn cover(&self, night: &Night) -> bool {
        self.0.range(..=night.start).next_back().is_some_and(|(_, end)| *end >= night.end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn night((start, length, maker, rank, told_at, has_deep): (i64, i64, u8, u8, i64, bool)) -> Night {
        let owner = Owner { source: format!("s{maker}"), device: String::new() };
        let deep = has_deep.then_some(1.0);
        let hours = f64::from(i32::try_from(length).unwrap());
        Night { owner, start, end: start + length, told_at, rank, values: [Some(hours), deep, None, None] }
    }

    fn nights() -> impl Strategy<Value = Vec<Night>> {
        let night = (0..60_i64, 1..12_i64, 0..3_u8, 0..2_u8, 0..4_i64, any::<bool>()).prop_map(night);
        prop::collection::vec(night, 0..14)
    }

    /// What a server holds: rows, and the places of points.
    #[derive(Debug, Clone, Default, PartialEq)]
    struct Held {
        known: Vec<Known>,
        points: BTreeSet<(Owner, &'static str, i64)>,
    }

    fn places(night: &Night) -> impl Iterator<Item = (Owner, &'static str, i64)> + '_ {
        night.points().map(|(metric, _)| (night.owner.clone(), metric, night.end))
    }

    impl Held {
        /// As the caller of a plan does, up to a step.
        fn take(&mut self, found: &[Night], steps: u8) {
            let plan = Plan::of(self.known.clone(), found);
            let mut put = |night: &Night, is_stored| {
                self.known.retain(|known| known.night.id() != night.id());
                self.known.push(Known { night: night.clone(), is_stored });
            };
            plan.stand.iter().for_each(|standing| put(&standing.night, true));
            plan.lost.iter().for_each(|night| put(night, false));
            self.known.retain(|known| !plan.needless.iter().any(|night| night.id() == known.night.id()));
            if steps > 0 {
                self.points.extend(plan.stand.iter().flat_map(|standing| places(&standing.night)));
            }
            if steps > 1 {
                let stay = plan.stand.iter().map(|standing| &standing.night).chain(&plan.beside);
                let stay: BTreeSet<_> = stay.flat_map(places).collect();
                let gone: BTreeSet<_> = plan.displaced.iter().flat_map(|gone| places(&gone.night)).collect();
                self.points.retain(|place| stay.contains(place) || !gone.contains(place));
            }
            if steps > 2 {
                for Displaced { night, is_needless } in &plan.displaced {
                    self.known.retain(|known| known.night.id() != night.id());
                    if !is_needless {
                        self.known.push(Known { night: night.clone(), is_stored: false });
                    }
                }
            }
        }
    }

    /// By its words: a night stands where no other takes its place.
    fn naive(all: &[Night]) -> BTreeSet<(Owner, &'static str, i64)> {
        let mut all = all.to_vec();
        for at in 0..all.len() {
            for other in 0..all.len() {
                if all[at].id() == all[other].id() {
                    let same = all[other].clone();
                    all[at].join(&same);
                }
            }
        }
        let displaces = |other: &Night, night: &Night| {
            other.start < night.end && night.start < other.end && other.precedence() > night.precedence()
        };
        all.iter().filter(|night| !all.iter().any(|other| displaces(other, night))).flat_map(places).collect()
    }

    proptest! {
        #[test]
        fn which_nights_stand_is_told_by_what_was_told_and_not_by_its_order(
            all in nights(),
            cuts in prop::collection::vec(1..5_usize, 1..8),
            broken in prop::collection::vec(0..4_u8, 1..8),
            seed in any::<prop::sample::Index>(),
        ) {
            let expected = naive(&all);
            let mut forward = Held::default();
            let mut rest = &all[..];
            for (cut, steps) in cuts.iter().zip(broken.iter().cycle()) {
                let (file, behind) = rest.split_at((*cut).min(rest.len()));
                // Broken off somewhere, and then sent again.
                forward.take(file, *steps);
                forward.take(file, 3);
                rest = behind;
            }
            forward.take(rest, 3);
            prop_assert_eq!(&forward.points, &expected);
            let mut backward = Held::default();
            let middle = if all.is_empty() { 0 } else { seed.index(all.len()) };
            for night in all[middle..].iter().chain(&all[..middle]).rev() {
                backward.take(std::slice::from_ref(night), 3);
            }
            prop_assert_eq!(&backward.points, &expected);
            // And all of it once more.
            backward.take(&all, 3);
            prop_assert_eq!(&backward.points, &expected);
        }

        #[test]
        fn of_nights_that_overlap_one_is_stored_whenever_it_breaks_off(
            before in nights(), found in nights(), steps in 0..4_u8
        ) {
            let mut held = Held::default();
            held.take(&before, 3);
            let there = held.points.clone();
            held.take(&found, steps);
            let all = || before.iter().chain(&found);
            let mut slept = Spans::default();
            all().for_each(|night| slept.add(night));
            // That of the greatest precedence among nights that overlap each other one by one stands always.
            for (_, metric, end) in there.difference(&held.points).filter(|(_, metric, _)| *metric == "sleep_duration") {
                let around = slept.0.range(..end).next_back().unwrap();
                let within = |night: &&Night| *around.0 <= night.start && night.end <= *around.1;
                let mut heirs = all().filter(within).filter(|heir| places(heir).all(|place| held.points.contains(&place)));
                prop_assert!(heirs.next().is_some(), "{metric} at {end} is gone, and nothing stands there");
            }
        }
    }

    proptest! {
        /// By its words: the variability of a night that does not stand goes to each that stands in its time, is of the
        /// same maker and has none; of several the best one's.
        #[test]
        fn heirs_of_heart_rate_variability_are_told_by_overlap_maker_and_precedence(
            all in nights(), has_hrv in prop::collection::vec(any::<bool>(), 14)
        ) {
            let told = (0_i32..).zip(all).zip(has_hrv);
            let all: Vec<Night> = told.map(|((nth, mut night), has_hrv)| {
                night.told_at = i64::from(nth);
                // Three makers, of two sources and two devices.
                let (source, device) = match night.owner.source.as_str() { "s0" => ("a", "x"), "s1" => ("b", "x"), _ => ("a", "y") };
                night.owner = Owner { source: source.to_owned(), device: device.to_owned() };
                night.values[3] = has_hrv.then(|| f64::from(nth));
                night
            }).collect();
            let overlap = |one: &Night, other: &Night| one.start < other.end && other.start < one.end;
            let stands = |night: &Night| {
                all.iter().all(|other| !overlap(other, night) || other.precedence() <= night.precedence())
            };
            for Standing { night, .. } in Plan::of(Vec::new(), &all).stand {
                let left = all.iter().filter(|other| !stands(other) && overlap(other, &night) && other.owner == night.owner);
                let best = left.filter(|other| other.values[3].is_some()).max_by_key(|other| other.precedence());
                let own = all.iter().find(|known| known.id() == night.id()).unwrap().values[3];
                prop_assert_eq!(night.values[3], own.or(best.and_then(|best| best.values[3])));
            }
        }
    }

    #[test]
    fn a_night_that_is_told_twice_at_once_is_all_that_either_says() {
        let mut one = Night { values: [Some(6.0), Some(2.0), None, None], ..night((0, 8, 0, 1, 1, false)) };
        one.join(&Night { values: [Some(7.0), Some(1.0), Some(1.5), None], ..night((0, 8, 0, 0, 1, false)) });
        assert_eq!((one.values, one.rank), ([Some(7.0), Some(2.0), Some(1.5), None], 0));
    }

    #[test]
    fn a_night_counts_once_on_the_day_of_utc_in_which_it_ends() {
        let at = |start: i64, told_at: i64| night((start, 2, 0, 0, told_at, false));
        // 250 that end on the first day, 6 that begin on it and end on the next, and each of them twice.
        let mut found: Vec<Night> = (0..250).map(|told_at| at(10, told_at)).collect();
        found.extend((0..6).map(|told_at| at(DAY_US - 1, told_at)));
        found.extend(found.clone());
        found.extend((250..NIGHTS_A_DAY_MAX).map(|told_at| at(10, i64::try_from(told_at).unwrap())));
        assert_eq!(crowd(&[], &mut found), [], "a day has room for as many as it may have");
        found.push(at(10, 1_000));
        assert_eq!(crowd(&[], &mut found), [at(10, 1_000)]);
        found.extend((6..=NIGHTS_A_DAY_MAX).map(|told_at| at(DAY_US - 1, i64::try_from(told_at).unwrap())));
        assert_eq!(crowd(&[], &mut found), [at(DAY_US - 1, i64::try_from(NIGHTS_A_DAY_MAX).unwrap())]);
    }

    #[test]
    fn what_its_owner_corrects_stands_above_the_watch_and_the_later_above_the_earlier() {
        let watch = night((0, 10, 0, 1, 9, true));
        let account = night((0, 6, 1, 0, 1, false));
        let later = night((0, 7, 1, 0, 2, false));
        for order in [[&watch, &account, &later], [&later, &account, &watch], [&account, &later, &watch]] {
            let mut held = Held::default();
            for night in order {
                held.take(std::slice::from_ref(night), 3);
            }
            assert_eq!(held.points, places(&later).collect());
        }
        let longer = night((0, 8, 1, 0, 2, false));
        assert!(longer.precedence() > later.precedence(), "told at once, the one with more sleep");
        let sounder = Night { values: [Some(7.5), None, None, None], ..night((0, 6, 1, 0, 2, false)) };
        assert!(sounder.precedence() > later.precedence(), "also where it is the shorter one");
    }

    #[test]
    fn a_night_within_better_ones_is_not_remembered_and_another_is() {
        let mut held = Held::default();
        for end in 1..20 {
            held.take(&[night((0, end, 0, 0, end, false))], 3);
        }
        assert_eq!(held.known.len(), 1);
        held.take(&[night((1, 30, 0, 0, 5, false))], 3);
        assert_eq!((held.known.len(), held.points.len()), (2, 1), "it reaches beyond");
    }

    #[test]
    fn a_day_holds_so_many_nights_and_those_that_it_holds_can_come_again() {
        let mut found: Vec<Night> = (0..300).map(|at| night((at, 1, 0, 0, 0, false))).collect();
        let known: Vec<Known> =
            found.iter().take(100).map(|night| Known { night: night.clone(), is_stored: true }).collect();
        let crowded = crowd(&known, &mut found);
        assert_eq!((crowded.len(), found.len()), (300 - NIGHTS_A_DAY_MAX, NIGHTS_A_DAY_MAX));
        assert_eq!(crowded.first().map(|night| night.start), Some(256));
        let known: Vec<Known> = found.iter().map(|night| Known { night: night.clone(), is_stored: false }).collect();
        found.push(night((2 * DAY_US, 1, 0, 0, 0, false)));
        assert_eq!(crowd(&known, &mut found), [], "known ones, and one of another day");
    }

    #[test]
    fn heart_rate_variability_of_a_whole_night_follows_it_to_another_end() {
        let hrv = |night: Night| Night { values: [night.values[0], None, None, Some(42.0)], ..night };
        let (told, corrected) = (hrv(night((0, 8, 0, 0, 1, false))), night((0, 7, 0, 0, 2, false)));
        for order in [[&told, &corrected], [&corrected, &told]] {
            let mut held = Held::default();
            for night in order {
                held.take(std::slice::from_ref(night), 3);
            }
            assert_eq!(held.points, places(&hrv(corrected.clone())).collect());
        }
    }
}
