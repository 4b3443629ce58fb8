//! Keeping what days are made of: items go to those that are known of the same maker and day, and the points of pieces
//! follow.
//!
//! A piece of the same strand and start replaces the one that is there; of an iPhone's export, where nothing is ever
//! written anew, only if it ends at the same time. Of two readings at one moment the higher stands.
//! A point is the sum of a maker's pieces that begin at its time, so that strands do not displace each other; where a
//! piece is gone, the point says zero.

use std::collections::{BTreeMap, BTreeSet};

use engine::import::day::Calendar;
use engine::import::{Daily, counter, health_auto_export};
use engine::time::{DAY_US, HOUR_US};

use super::intake::{Days, Held, Owner};
use super::packed::{self, Item, Lasting};
use super::{APPLE_HEALTH, Failure, Person};
use crate::control::entities::day_piece;
use crate::control::repository::{days, users};

/// Most pieces of one maker that begin on one day.
pub(super) const ITEMS_A_DAY_MAX: usize = 20_000;

/// A point of `steps_sample` or `calories_sample`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) daily: Daily,
    /// Index into the owners.
    pub(super) owner: usize,
    pub(super) at: i64,
    pub(super) value: f64,
}

/// What came of keeping.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Points that are to be stored.
    pub(super) points: Vec<Point>,
    /// Items above [`ITEMS_A_DAY_MAX`], which were not kept.
    pub(super) left: u64,
}

/// Keeps items in one transaction; the totals of their days are not settled from then on.
///
/// # Errors
/// [`Failure::Gone`] if the person is, [`Failure::Control`].
pub(super) async fn keep(person: &Person, found: &Days) -> Result<Kept, Failure> {
    let mut kept = Kept::default();
    let mut held: Vec<&Held> = found.held.iter().collect();
    let place = |held: &Held| (held.daily, held.owner, held.item.start.div_euclid(DAY_US));
    // Stable: of equal keys the later one stands.
    held.sort_by_key(|held| place(held));
    let write = person.control.write().await?;
    // Holds the row: another process that keeps something of the same person waits.
    users::hold(write.on(), person.id()).await?.ok_or(Failure::Gone)?;
    for of_owner in held.chunk_by(|a, b| (a.daily, a.owner) == (b.daily, b.owner)) {
        let Some(first) = of_owner.first() else { continue };
        let Some(owner) = found.owners.get(first.owner) else { continue };
        let series = person.series(first.daily);
        let of_days: Vec<&[&Held]> = of_owner.chunk_by(|a, b| place(a) == place(b)).collect();
        let numbers: Vec<i64> = of_days.iter().filter_map(|some| some.first()).map(|held| place(held).2).collect();
        let known = days::pieces_of(write.on(), series, (&owner.source, &owner.device), &numbers).await?;
        let mut known: BTreeMap<i64, Vec<u8>> = known.into_iter().map(|row| (row.day, row.pieces)).collect();
        let mut rows = Vec::with_capacity(of_days.len());
        for (number, some) in numbers.into_iter().zip(of_days) {
            let before = known.remove(&number).map(|bytes| read(person, number, &bytes)).unwrap_or_default();
            let after = merge(&before, some, lasting(person, owner), &mut kept.left);
            kept.points.extend(changes(&before, &after, some));
            rows.push(row(person, first.daily, owner, number, &after));
        }
        days::put_pieces(write.on(), rows).await?;
    }
    write.commit().await?;
    Ok(kept)
}

/// The items of a row. What this program has not written is noted and dropped.
pub(super) fn read(person: &Person, day: i64, bytes: &[u8]) -> Vec<Item> {
    packed::unpack(day, bytes).unwrap_or_else(|| {
        tracing::error!(user = person.id(), day, "pieces of a day cannot be read and are left out");
        Vec::new()
    })
}

fn row(person: &Person, daily: Daily, owner: &Owner, day: i64, items: &[Item]) -> day_piece::Model {
    day_piece::Model {
        user_id: person.id().to_owned(),
        sender: person.sender.to_owned(),
        daily: daily.total_metric().to_owned(),
        day,
        source: owner.source.clone(),
        device: owner.device.clone(),
        pieces: packed::pack(day, items),
        is_settled: 0,
    }
}

/// Samples of HealthKit never change; the app sums them up, and everybody else sends their summaries again.
fn lasting(person: &Person, owner: &Owner) -> Lasting {
    let is_sample = person.sender == APPLE_HEALTH && owner.source != health_auto_export::SOURCE;
    if is_sample { Lasting::AsWritten } else { Lasting::UntilSentAgain }
}

/// What is known with what was found, in order; `left` counts what is too much.
fn merge(known: &[Item], found: &[&Held], lasting: Lasting, left: &mut u64) -> Vec<Item> {
    let mut items: BTreeMap<_, Item> = known.iter().map(|item| (item.key(lasting), *item)).collect();
    for Held { item, .. } in found {
        let has_room = items.len() < ITEMS_A_DAY_MAX;
        match items.get_mut(&item.key(lasting)) {
            Some(known) if item.is_reading && known.value >= item.value => {}
            Some(known) => *known = *item,
            None if has_room => drop(items.insert(item.key(lasting), *item)),
            None => *left += 1,
        }
    }
    items.into_values().collect()
}

/// The pieces of items: those that are, and those between the readings of each counter. Items are in the order of their
/// keys.
pub(super) fn pieces(items: &[Item]) -> Vec<Item> {
    let mut pieces: Vec<Item> = items.iter().filter(|item| !item.is_reading).copied().collect();
    let readings: Vec<Item> = items.iter().filter(|item| item.is_reading).copied().collect();
    for counter in readings.chunk_by(|a, b| (a.strand, a.start) == (b.strand, b.start)) {
        let Some(first) = counter.first() else { continue };
        let shown: Vec<(i64, f64)> = counter.iter().map(|reading| (reading.end, reading.value)).collect();
        pieces.extend(counter::pieces(first.start, &shown).map(|piece| Item {
            is_reading: false,
            start: piece.start,
            end: piece.end,
            value: piece.value,
            ..*first
        }));
    }
    pieces
}

/// What pieces say at each time at which one begins.
fn sums(items: &[Item]) -> BTreeMap<i64, f64> {
    let mut sums = BTreeMap::new();
    for piece in pieces(items) {
        *sums.entry(piece.start).or_insert(0.0) += piece.value;
    }
    sums
}

/// The points that `found` changes, or brings again.
fn changes(before: &[Item], after: &[Item], found: &[&Held]) -> Vec<Point> {
    let Some(&&Held { daily, owner, .. }) = found.first() else { return Vec::new() };
    let (before, after) = (sums(before), sums(after));
    let brings_all = found.iter().any(|held| held.item.is_reading);
    let touched: BTreeSet<i64> = found.iter().map(|held| held.item.start).collect();
    let mut points = Vec::new();
    for (&at, &value) in &after {
        if brings_all || touched.contains(&at) || before.get(&at).map(|old| old.to_bits()) != Some(value.to_bits()) {
            points.push(Point { daily, owner, at, value });
        }
    }
    let gone = before.keys().filter(|at| !after.contains_key(*at));
    points.extend(gone.map(|at| Point { daily, owner, at: *at, value: 0.0 }));
    points
}

/// The local day of a total that the maker says. Where the person has said no zone, the offset is guessed: the one that
/// makes it a midnight, from -11 hours (not itself) to +13.
pub(super) fn day_of(calendar: &Calendar, start: i64) -> Option<i64> {
    let behind = start.rem_euclid(DAY_US);
    let offset_us = if behind >= 11 * HOUR_US { DAY_US - behind } else { -behind };
    calendar.day_of(start, i32::try_from(offset_us / engine::time::SECOND_US).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(is_reading: bool, strand: u8, start: i64, end: i64, value: f64) -> Held {
        let item = Item { is_reading, strand, rank: 0, start, end, value, offset_s: 0 };
        Held { daily: Daily::Steps, owner: 0, item }
    }

    /// Adds to what is known, and says which points change.
    fn add(items: &mut Vec<Item>, found: &[Held]) -> Vec<(i64, f64)> {
        add_lasting(items, found, Lasting::UntilSentAgain)
    }

    fn add_lasting(items: &mut Vec<Item>, found: &[Held], lasting: Lasting) -> Vec<(i64, f64)> {
        let found: Vec<&Held> = found.iter().collect();
        let mut left = 0;
        let after = merge(items, &found, lasting, &mut left);
        let points = changes(items, &after, &found);
        *items = after;
        points.into_iter().map(|point| (point.at, point.value)).collect()
    }

    #[test]
    fn strands_that_begin_together_make_one_point() {
        let mut items = Vec::new();
        assert_eq!(add(&mut items, &[held(false, 0, 10, 20, 5.0)]), [(10, 5.0)]);
        assert_eq!(add(&mut items, &[held(false, 1, 10, 30, 2.0)]), [(10, 7.0)]);
        assert_eq!(add(&mut items, &[held(false, 0, 10, 15, 1.0)]), [(10, 3.0)], "a piece that is sent again replaces");
        assert_eq!(items.len(), 2);
    }

    #[test]
    fn two_samples_of_a_phone_that_begin_in_the_same_second_are_two() {
        let mut items = Vec::new();
        let (short, long) = (held(false, 0, 10, 11, 5.0), held(false, 0, 10, 20, 2.0));
        assert_eq!(add_lasting(&mut items, &[short, long], Lasting::AsWritten), [(10, 7.0)]);
        assert_eq!(add_lasting(&mut items, &[long, short], Lasting::AsWritten), [(10, 7.0)], "again they are the same");
        assert_eq!(items.len(), 2);
    }

    #[test]
    fn a_reading_between_two_others_moves_what_was_counted() {
        let mut items = Vec::new();
        assert_eq!(add(&mut items, &[held(true, 0, 0, 10, 0.0), held(true, 0, 0, 50, 800.0)]), [(10, 800.0)]);
        assert_eq!(add(&mut items, &[held(true, 0, 0, 30, 0.0)]), [(30, 800.0), (10, 0.0)]);
        assert_eq!(add(&mut items, &[held(true, 0, 0, 50, 700.0)]), [(30, 800.0)], "the higher one stands");
        assert_eq!(add(&mut items, &[held(true, 0, 0, 40, 300.0)]), [(30, 300.0), (40, 500.0)]);
    }

    #[test]
    fn a_day_holds_so_many_pieces_and_no_more() {
        let many: Vec<Held> = (0..25_000).map(|at| held(false, 0, at, at + 1, 1.0)).collect();
        let many: Vec<&Held> = many.iter().collect();
        let mut left = 0;
        assert_eq!(merge(&[], &many, Lasting::AsWritten, &mut left).len(), ITEMS_A_DAY_MAX);
        assert_eq!(left, 5_000);
    }

    #[test]
    fn the_day_of_a_total_is_the_one_that_begins_there() {
        let first_of_june = 20_605;
        for start in ["2026-06-01T00:00:00Z", "2026-05-31T22:00:00Z", "2026-05-31T11:00:00Z", "2026-06-01T10:00:00Z"] {
            assert_eq!(day_of(&Calendar::Offsets, engine::time::parse(start).unwrap()), Some(first_of_june), "{start}");
        }
    }
}
