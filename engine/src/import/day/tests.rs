//! Totals against a model that walks through every moment, and the days on which clocks change.

use proptest::prelude::*;

use super::*;
use crate::time::HOUR_US;

/// What a minute counts, moment by moment: the best piece that covers it gives its share.
fn naive(window: &Range<i64>, pieces: &[Counted]) -> Option<f64> {
    let mut sum = None;
    for at in window.clone() {
        let strands: BTreeSet<u8> = pieces.iter().map(|piece| piece.strand).collect();
        for strand in strands {
            let here = pieces.iter().filter(|piece| piece.strand == strand && piece.start <= at && at < piece.end);
            let best = here.min_by(|a, b| {
                let key = |piece: &Counted| (piece.priority, piece.start, piece.end);
                key(a).cmp(&key(b)).then(a.value.total_cmp(&b.value))
            });
            if let Some(best) = best {
                let length = f64::from(i32::try_from(best.end - best.start).unwrap());
                *sum.get_or_insert(0.0) += best.value / length;
            }
        }
    }
    sum
}

fn piece(strand: u8, priority: u32, start: i64, end: i64, value: f64) -> Counted {
    Counted { strand, priority, start, end, value, offset_s: 0 }
}

prop_compose! {
    fn any_piece()(strand in 0..3_u8, priority in 0..4_u32, start in -10..60_i64, length in 1..25_i64, value in 0..100_i32)
        -> Counted
    {
        piece(strand, priority, start, start + length, f64::from(value))
    }
}

proptest! {
    #[test]
    fn a_total_is_what_every_moment_adds(pieces in prop::collection::vec(any_piece(), 0..40)) {
        let window = 0..50;
        match (total(&window, &pieces), naive(&window, &pieces)) {
            (None, None) => {}
            (Some(total), Some(expected)) => prop_assert!((total - expected).abs() < 1e-6, "{total} {expected}"),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn the_order_in_which_pieces_are_known_changes_no_bit(
        (pieces, shuffled) in prop::collection::vec(any_piece(), 0..40).prop_flat_map(|pieces| {
            let shuffled = Just(pieces.clone()).prop_shuffle();
            (Just(pieces), shuffled)
        })
    ) {
        let bits = |pieces: &[Counted]| total(&(0..50), pieces).map(f64::to_bits);
        prop_assert_eq!(bits(&pieces), bits(&shuffled));
    }

    #[test]
    fn days_next_to_each_other_lose_nothing_and_double_nothing(
        starts in prop::collection::vec((0..72_i64, 1..40_i64, 1..500_i32), 1..30)
    ) {
        let mut at = 0;
        let mut pieces = Vec::new();
        for (pause, length, value) in starts {
            let start = at + pause * HOUR_US / 2;
            at = start + length * HOUR_US;
            pieces.push(piece(0, 0, start, at, f64::from(value)));
        }
        let all: f64 = pieces.iter().map(|piece| piece.value).sum();
        for calendar in [Calendar::Offsets, zone("America/St_Johns")] {
            let days: BTreeSet<i64> = pieces.iter().flat_map(|piece| calendar.days_of(piece)).collect();
            let sum: f64 = totals(&calendar, &pieces, &days).iter().map(|total| total.value).sum();
            prop_assert!((sum - all).abs() < 1e-6, "{sum} {all}");
        }
    }
}

fn zone(name: &str) -> Calendar {
    Calendar::Zone(TimeZone::get(name).unwrap())
}

fn at(text: &str) -> i64 {
    crate::time::parse(text).unwrap()
}

fn days(calendar: &Calendar, pieces: &[Counted]) -> Vec<(String, f64)> {
    let mut pieces = pieces.to_vec();
    pieces.sort_by_key(|piece| piece.start);
    let days = pieces.iter().flat_map(|piece| calendar.days_of(piece)).collect();
    let totals = totals(calendar, &pieces, &days);
    totals.into_iter().map(|total| (crate::time::format(total.start), total.value)).collect()
}

fn walked(start: &str, end: &str, value: f64, offset_h: i32) -> Counted {
    Counted { offset_s: offset_h * 3_600, ..piece(0, 0, at(start), at(end), value) }
}

#[test]
fn a_watch_counts_before_the_phone_and_the_phone_where_the_watch_was_not_worn() {
    let watch = piece(0, 0, at("2026-06-01T08:00:00Z"), at("2026-06-01T09:00:00Z"), 1_000.0);
    let phone = piece(0, 1, at("2026-06-01T08:30:00Z"), at("2026-06-01T10:30:00Z"), 400.0);
    assert_eq!(days(&Calendar::Offsets, &[phone, watch]), [("2026-06-01T00:00:00Z".to_owned(), 1_300.0)]);
}

#[test]
fn a_piece_across_midnight_counts_on_both_days_by_its_time() {
    let piece = walked("2026-06-01T21:30:00Z", "2026-06-01T23:30:00Z", 400.0, 2);
    let expected = [("2026-05-31T22:00:00Z".to_owned(), 100.0), ("2026-06-01T22:00:00Z".to_owned(), 300.0)];
    assert_eq!(days(&Calendar::Offsets, &[piece]), expected);
    assert_eq!(days(&zone("Europe/Berlin"), &[piece]), expected);
}

#[test]
fn a_day_of_25_hours_holds_all_of_them() {
    // 2025-10-26 in Berlin: from +02:00 to +01:00 at three in the morning.
    let pieces = [
        walked("2025-10-25T22:00:00Z", "2025-10-25T23:00:00Z", 1.0, 2),
        walked("2025-10-26T12:00:00Z", "2025-10-26T13:00:00Z", 2.0, 1),
        walked("2025-10-26T22:30:00Z", "2025-10-26T22:45:00Z", 4.0, 1),
        walked("2025-10-26T23:00:00Z", "2025-10-26T23:15:00Z", 8.0, 1),
    ];
    let expected = [("2025-10-25T22:00:00Z".to_owned(), 7.0), ("2025-10-26T23:00:00Z".to_owned(), 8.0)];
    assert_eq!(days(&zone("Europe/Berlin"), &pieces), expected);
    assert_eq!(days(&Calendar::Offsets, &pieces), expected);
}

#[test]
fn who_flies_west_has_a_long_day_by_what_the_files_say() {
    let pieces = [
        walked("2026-06-01T06:00:00Z", "2026-06-01T07:00:00Z", 1.0, 2),
        // 21:00 in New York, which is the next morning in Berlin.
        walked("2026-06-02T01:00:00Z", "2026-06-02T02:00:00Z", 2.0, -4),
        walked("2026-06-02T12:00:00Z", "2026-06-02T13:00:00Z", 4.0, -4),
    ];
    let expected = [("2026-05-31T22:00:00Z".to_owned(), 3.0), ("2026-06-02T04:00:00Z".to_owned(), 4.0)];
    assert_eq!(days(&Calendar::Offsets, &pieces), expected);
}

#[test]
fn a_day_begins_where_its_zone_says_even_without_a_midnight() {
    // Beirut, 2022-03-27: the clocks jump from midnight to one.
    let piece = walked("2022-03-27T10:00:00Z", "2022-03-27T11:00:00Z", 5.0, 3);
    assert_eq!(days(&zone("Asia/Beirut"), &[piece]), [("2022-03-26T22:00:00Z".to_owned(), 5.0)]);
}
