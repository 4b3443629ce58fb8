//! Nights: intervals of sleep, of whatever sources, into one duration a night.
//!
//! - **One night** is everything asleep with less than two hours between: waking at four for an hour does not end it, a
//!   nap after lunch is a sleep of its own. That holds for all sources together until one is chosen, and then for the
//!   intervals of that one, so that what another source saw joins no nap to the night.
//! - **One source a night.** Phone, watch and apps measure the same night, each a little differently, so they are never
//!   summed and never merged. Of those that saw at least half as much as the one that saw most, the source with stages of
//!   sleep comes first, then the watch, then the phone, then the one that saw more sleep, then the first by name.
//! - **Union, not sum.** Intervals of that source that overlap count once, for all sleep and for each stage.
//! - A night is stored at the end of its last interval asleep. Deep and REM are there when its source knows stages, also as
//!   0; a source that knows none says nothing about them.

use crate::import::{Fault, Found, Night, Sink, Stop};
use crate::time::HOUR_US;

use super::maker::{Makers, Origin};

/// With this much time awake between, it is another sleep.
const NIGHT_GAP_US: i64 = 2 * HOUR_US;
/// Intervals that are kept of one file: 40 each night for more than 100 years, 64 MiB.
const INTERVALS_MAX: usize = 2_000_000;
/// No interval asleep is longer. A year of sleep would make one night of a year's nights.
const INTERVAL_US_MAX: i64 = 24 * HOUR_US;

/// What kind of sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Not said which.
    Asleep,
    Core,
    Deep,
    Rem,
}

/// Some sleep, by one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    start: i64,
    end: i64,
    maker: usize,
    stage: Stage,
}

/// The sleep of a file.
#[derive(Debug, Default)]
pub(crate) struct Sleep {
    intervals: Vec<Interval>,
    last: Option<Interval>,
}

/// Why an interval is not taken.
const TOO_MANY: &str = "more intervals of sleep than one file may hold";
/// Why an interval is not taken.
const TOO_LONG: &str = "sleep of more than a day without an end, or of no time";
/// Why a source's night is not taken.
const SEEN_BETTER: &str = "a night that another source measured as well";
/// Why a night is not taken.
const CUT_OFF: &str = "the night in which the file breaks off";

/// A source's sleep in one night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Measured {
    maker: usize,
    start: i64,
    end: i64,
    asleep_us: i64,
    deep_us: i64,
    rem_us: i64,
    has_stages: bool,
}

impl Sleep {
    /// Takes an interval, microseconds UTC, or says why not.
    pub(crate) fn add(&mut self, start: i64, end: i64, stage: Stage, maker: usize) -> Result<(), &'static str> {
        if start >= end || end - start > INTERVAL_US_MAX {
            return Err(TOO_LONG);
        }
        if self.intervals.len() >= INTERVALS_MAX {
            return Err(TOO_MANY);
        }
        let interval = Interval { start, end, maker, stage };
        self.intervals.push(interval);
        self.last = Some(interval);
        Ok(())
    }

    /// Gives the nights, earliest first, of a document that was written at `told_at` if it says so. Of one that broke off
    /// among the records of sleep, the night that was being read is left out: half of a night looks like a short one.
    pub(crate) fn finish(
        mut self,
        makers: &Makers,
        told_at: Option<i64>,
        is_cut_off: bool,
        sink: &mut dyn Sink,
    ) -> Result<(), Fault> {
        self.intervals.sort_unstable();
        let open = self.last.filter(|_| is_cut_off);
        for night in nights(&self.intervals) {
            if open.is_some_and(|open| night.contains(&open)) {
                let start = night.first().map_or(0, |interval| interval.start);
                sink.skipped(CUT_OFF, &crate::time::format(start));
                continue;
            }
            let mut night = night.to_vec();
            night.sort_unstable_by_key(|interval| (interval.maker, interval.start, interval.end, interval.stage));
            let sources: Vec<(Measured, &[Interval])> = night
                .chunk_by(|one, next| one.maker == next.maker)
                .map(|intervals| (measured(intervals), intervals))
                .collect();
            let most_us = sources.iter().map(|(source, _)| source.asleep_us).max().unwrap_or_default();
            let order = |(source, _): &&(Measured, &[Interval])| {
                let origin = makers.get(source.maker);
                let (rank, name) = (origin.map(|origin| origin.rank), origin.map(Origin::maker));
                (source.asleep_us < most_us / 2, !source.has_stages, rank, -source.asleep_us, name)
            };
            let Some((best, intervals)) = sources.iter().min_by_key(order) else { continue };
            for own in nights(intervals) {
                tell(measured(own), makers, told_at, sink)?;
            }
            for (other, _) in sources.iter().filter(|(source, _)| source.maker != best.maker) {
                let source = makers.get(other.maker).map_or("", |origin| origin.maker().source);
                sink.skipped(SEEN_BETTER, &format_args!("{source}, until {}", crate::time::format(other.end)));
            }
        }
        Ok(())
    }
}

/// Intervals sorted by their start, cut where nobody slept for [`NIGHT_GAP_US`].
fn nights(mut rest: &[Interval]) -> impl Iterator<Item = &[Interval]> {
    std::iter::from_fn(move || {
        let mut end = rest.first()?.end;
        let length = rest
            .iter()
            .position(|interval| {
                let is_apart = interval.start - end >= NIGHT_GAP_US;
                end = end.max(interval.end);
                is_apart
            })
            .unwrap_or(rest.len());
        let (night, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some(night)
    })
}

/// What one source saw of a night: its intervals, sorted by start.
fn measured(intervals: &[Interval]) -> Measured {
    let of = |stage: Stage| union_us(intervals.iter().filter(move |interval| interval.stage == stage));
    Measured {
        maker: intervals.first().map_or(usize::MAX, |interval| interval.maker),
        start: intervals.first().map_or(0, |interval| interval.start),
        end: intervals.iter().map(|interval| interval.end).max().unwrap_or_default(),
        asleep_us: union_us(intervals.iter()),
        deep_us: of(Stage::Deep),
        rem_us: of(Stage::Rem),
        has_stages: intervals.iter().any(|interval| interval.stage != Stage::Asleep),
    }
}

/// Microseconds that intervals sorted by start cover.
fn union_us<'a>(intervals: impl Iterator<Item = &'a Interval>) -> i64 {
    let mut covered = i64::MIN;
    intervals.fold(0, |sum, interval| {
        let new_us = interval.end - interval.start.max(covered);
        covered = covered.max(interval.end);
        sum + new_us.max(0)
    })
}

/// Hours of microseconds.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a night are far below 2^53")]
fn hours(us: i64) -> f64 {
    us as f64 / HOUR_US as f64
}

fn tell(night: Measured, makers: &Makers, told_at: Option<i64>, sink: &mut dyn Sink) -> Result<(), Stop> {
    let Some(origin) = makers.get(night.maker) else { return Ok(()) };
    let stage = |us: i64| night.has_stages.then(|| hours(us));
    sink.found(Found::Night(Night {
        start: night.start,
        end: night.end,
        asleep_h: hours(night.asleep_us),
        deep_h: stage(night.deep_us),
        rem_h: stage(night.rem_us),
        hrv_ms: None,
        told_at,
        rank: 0,
        maker: origin.maker(),
    }))
}

#[cfg(test)]
mod tests;
