//! The total of a local day, made of all pieces that are known of it.
//!
//! ```text
//! pieces ─▶ windows of local days (a zone, or the offsets that files say) ─▶ a strand at a time, best maker first ─▶ sum
//! ```
//!
//! - Inside a strand no moment counts twice. Where pieces overlap, that of the better maker counts; of one maker, the one
//!   that began first.
//! - A piece that is covered in part, or reaches over midnight, counts by the share of its time: what was walked in it
//!   was walked evenly. Apple's own statistics do the same.
//! - Strands are summed.
//!
//! All of it is a pure function of the pieces: the order in which they became known changes nothing.
//!
//! Not here: where pieces are kept, how good a maker is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::time::{DAY_US, SECOND_US};

/// Longest piece of a day, microseconds.
pub const PIECE_US_MAX: i64 = 2 * DAY_US;

/// A piece, as totals need it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    /// Overlaps are settled inside a strand.
    pub strand: u8,
    /// Where pieces of a strand overlap, the lowest counts. No two makers have the same.
    pub priority: u32,
    /// First microsecond, UTC.
    pub start: i64,
    /// First microsecond behind, UTC; above `start`, by [`PIECE_US_MAX`] at most.
    pub end: i64,
    /// Steps, or kcal.
    pub value: f64,
    /// What the file says of local time, seconds east of UTC.
    pub offset_s: i32,
}

impl Counted {
    fn local(&self, at: i64) -> i64 {
        at.saturating_add(i64::from(self.offset_s) * SECOND_US).div_euclid(DAY_US)
    }

    /// The local day in which it begins, by its own offset.
    fn own_day(&self) -> i64 {
        self.local(self.start)
    }
}

/// The total of one local day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Total {
    /// Days since 1970-01-01 on the local calendar.
    pub day: i64,
    /// The local day's first microsecond, UTC.
    pub start: i64,
    /// Steps, or kcal.
    pub value: f64,
}

/// How time is cut into local days.
#[derive(Debug, Clone)]
pub enum Calendar {
    /// By the person's time zone.
    Zone(TimeZone),
    /// By what the files say: a day begins at the midnight of its first piece, and ends where the next one begins.
    Offsets,
}

impl Calendar {
    /// The local day of a moment, as days since 1970-01-01; `offset_s` is what the file says. `None` outside the years
    /// that a calendar has.
    pub fn day_of(&self, at: i64, offset_s: i32) -> Option<i64> {
        match self {
            Self::Offsets => Some(at.saturating_add(i64::from(offset_s) * SECOND_US).div_euclid(DAY_US)),
            Self::Zone(zone) => {
                let date = zone.to_datetime(Timestamp::from_microsecond(at).ok()?).date();
                let day = date.duration_since(EPOCH).as_hours().div_euclid(24);
                // Where clocks go back over midnight, a moment of the new day can carry the old date.
                let next = begin(zone, day + 1)?;
                Some(if at < next { day } else { day + 1 })
            }
        }
    }

    /// The local days whose totals a piece can change.
    pub fn days_of(&self, piece: &Counted) -> RangeInclusive<i64> {
        let day = |at| self.day_of(at, piece.offset_s);
        let (Some(first), Some(last)) = (day(piece.start), day(piece.end - 1)) else {
            return RangeInclusive::new(1, 0);
        };
        match self {
            Self::Zone(_) => first..=last,
            // A day ends where the next one begins; one without a first piece begins by what was last said.
            Self::Offsets => first - 1..=last + 2,
        }
    }
}

const EPOCH: Date = date(1970, 1, 1);

/// The first moment of a local day.
fn begin(zone: &TimeZone, day: i64) -> Option<i64> {
    let date = EPOCH.checked_add(Span::new().try_days(day).ok()?).ok()?;
    Some(zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible().ok()?.as_microsecond())
}

/// The totals of `days` from `pieces`, which are sorted by their start. Days without a piece have none.
///
/// Every piece that reaches into one of the days, or begins on the day behind, must be there. Cost: a sort of each day's
/// pieces.
pub fn totals(calendar: &Calendar, pieces: &[Counted], days: &BTreeSet<i64>) -> Vec<Total> {
    let edges = match calendar {
        Calendar::Zone(_) => BTreeMap::new(),
        Calendar::Offsets => edges(pieces),
    };
    let window = |day: i64| match calendar {
        Calendar::Zone(zone) => Some(begin(zone, day)?..begin(zone, day + 1)?),
        Calendar::Offsets => Some(midnight(&edges, day)?..midnight(&edges, day + 1)?),
    };
    let mut totals = Vec::new();
    for &day in days {
        let Some(window) = window(day) else { continue };
        let from = pieces.partition_point(|piece| piece.start <= window.start.saturating_sub(PIECE_US_MAX));
        let to = pieces.partition_point(|piece| piece.start < window.end);
        let inside = pieces.get(from..to).unwrap_or_default();
        if let Some(value) = total(&window, inside) {
            totals.push(Total { day, start: window.start, value });
        }
    }
    totals
}

/// What the first and the last piece of a local day say: the start, and the offset in seconds.
struct Edges {
    first: (i64, i32),
    last: (i64, i32),
}

/// The first and the last piece of each local day, by the pieces' own offsets.
fn edges(pieces: &[Counted]) -> BTreeMap<i64, Edges> {
    let mut edges: BTreeMap<i64, Edges> = BTreeMap::new();
    for piece in pieces {
        let said = (piece.start, piece.offset_s);
        let day = edges.entry(piece.own_day()).or_insert(Edges { first: said, last: said });
        day.first = day.first.min(said);
        day.last = day.last.max(said);
    }
    edges
}

/// The midnight before a local day: by the day's first piece, else by the last one of the days before.
fn midnight(edges: &BTreeMap<i64, Edges>, day: i64) -> Option<i64> {
    let offset_s = match edges.get(&day) {
        Some(Edges { first: (_, offset_s), .. }) => *offset_s,
        // A piece of two days that begins on one ends on the second behind it, and that day ends behind it.
        None => edges.range(day - 3..day).next_back()?.1.last.1,
    };
    Some(day.saturating_mul(DAY_US).saturating_sub(i64::from(offset_s) * SECOND_US))
}

/// What the pieces add up to inside a window; `None` if none reaches into it.
fn total(window: &Range<i64>, pieces: &[Counted]) -> Option<f64> {
    let mut inside: Vec<&Counted> =
        pieces.iter().filter(|piece| piece.start < window.end && window.start < piece.end).collect();
    if inside.is_empty() {
        return None;
    }
    inside.sort_unstable_by(|a, b| {
        let key = |piece: &Counted| (piece.strand, piece.priority, piece.start, piece.end);
        key(a).cmp(&key(b)).then(a.value.total_cmp(&b.value))
    });
    let mut sum = 0.0;
    for strand in inside.chunk_by(|a, b| a.strand == b.strand) {
        let mut taken = Vec::new();
        for maker in strand.chunk_by(|a, b| a.priority == b.priority) {
            sum += claim(window, maker, &mut taken);
        }
    }
    Some(sum)
}

/// What the pieces of one maker, sorted by their start, add where nobody better was; `taken` (sorted, disjoint) grows by
/// their time.
fn claim(window: &Range<i64>, pieces: &[&Counted], taken: &mut Vec<Range<i64>>) -> f64 {
    let mut sum = 0.0;
    let mut own: Vec<Range<i64>> = Vec::with_capacity(pieces.len());
    let (mut reached, mut nth) = (window.start, 0);
    for piece in pieces {
        let (start, end) = (piece.start.max(reached), piece.end.min(window.end));
        if start >= end {
            continue;
        }
        while taken.get(nth).is_some_and(|range| range.end <= start) {
            nth += 1;
        }
        let ahead = taken.iter().skip(nth).take_while(|range| range.start < end);
        let lost: i64 = ahead.map(|range| range.end.min(end) - range.start.max(start)).sum();
        sum += share(piece, end - start - lost);
        match own.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => own.push(start..end),
        }
        reached = end;
    }
    *taken = union(taken, &own);
    sum
}

/// What `part_us` of a piece's time are of its value.
#[expect(clippy::cast_precision_loss, reason = "lengths of at most two days in microseconds are far below 2^53")]
fn share(piece: &Counted, part_us: i64) -> f64 {
    let whole_us = piece.end - piece.start;
    if part_us == whole_us { piece.value } else { piece.value * (part_us as f64 / whole_us as f64) }
}

/// Two sorted lists of disjoint ranges as one.
fn union(a: &[Range<i64>], b: &[Range<i64>]) -> Vec<Range<i64>> {
    let mut all: Vec<Range<i64>> = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(left), Some(right)) if left.start <= right.start => a.next(),
            (Some(_), None) => a.next(),
            (_, Some(_)) => b.next(),
            (None, None) => return all,
        };
        let Some(range) = next else { return all };
        match all.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => all.push(range.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
