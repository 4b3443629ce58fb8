//! Heart rate variability from the intervals between beats, as a chest strap sends them during an activity.
//!
//! - **Time.** Intervals carry none: an interval lies at the time of the last message before it that has one.
//! - **Window.** Five minutes, counted from the first interval of the file; the value stands at the window's start.
//! - **Artefacts.** An interval below 250 or above 2,000 ms is one (30 to 240 beats a minute are left). A pair of
//!   neighbours counts only if neither is one and the second differs from the first by 20 % at most (Malik's criterion);
//!   so a missed or an extra beat costs its pairs and nothing else. Across more than five seconds without an interval
//!   there are no neighbours.
//! - **Value.** RMSSD: the root of the mean of the squared differences of all pairs that count. A window gives one if 60
//!   pairs count or more, and at most a fifth of its intervals began no pair that counts, by either rule above.

use super::super::context::Context;
use super::super::{fit, reason};
use crate::import::Fault;
use crate::time;

const WINDOW_S: u32 = 300;
const GAP_S: u32 = 5;
const INTERVAL_MS: std::ops::RangeInclusive<i64> = 250..=2_000;
/// A pair's second may differ from its first by one in so many.
const CHANGE_PARTS: i64 = 5;
const PAIRS_MIN: u32 = 60;
/// At most one interval in so many may be an artefact.
const ARTEFACT_PARTS: u32 = 5;

/// The beats of one file.
#[derive(Debug, Default)]
pub(super) struct Beats {
    now: Option<u32>,
    /// Start of the open window.
    window: Option<u32>,
    /// The last interval that was no artefact: when, and ms.
    previous: Option<(u32, i64)>,
    intervals: u32,
    artefacts: u32,
    pairs: u32,
    /// Sum of the squared differences of the pairs, ms².
    squares: i64,
}

impl Beats {
    /// A message said what time it is.
    pub(super) fn time(&mut self, timestamp: Option<u32>) {
        self.now = timestamp.filter(|date| *date >= fit::DATE_MIN).or(self.now);
    }

    /// Intervals between beats, ms.
    pub(super) fn intervals(
        &mut self,
        intervals: impl Iterator<Item = i64>,
        device: Option<&str>,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        let Some(now) = self.now else {
            context.skipped(reason::NO_TIME, &"beat intervals before the first time");
            return Ok(());
        };
        let window = match self.window {
            Some(open) if now >= open => open + (now - open) / WINDOW_S * WINDOW_S,
            Some(_) | None => now,
        };
        if self.window != Some(window) {
            self.finish(device, context)?;
            self.window = Some(window);
        }
        intervals.for_each(|interval| self.interval(now, interval));
        Ok(())
    }

    fn interval(&mut self, now: u32, interval: i64) {
        self.intervals = self.intervals.saturating_add(1);
        if !INTERVAL_MS.contains(&interval) {
            self.artefacts += 1;
            self.previous = None;
            return;
        }
        if let Some((_, before)) = self.previous.filter(|(at, _)| now.abs_diff(*at) <= GAP_S) {
            let difference = interval - before;
            if difference.abs() * CHANGE_PARTS <= before {
                self.pairs += 1;
                self.squares = self.squares.saturating_add(difference * difference);
            } else {
                self.artefacts += 1;
            }
        }
        self.previous = Some((now, interval));
    }

    /// Closes the open window.
    pub(super) fn finish(&mut self, device: Option<&str>, context: &mut Context<'_>) -> Result<(), Fault> {
        let closed = std::mem::take(self);
        self.now = closed.now;
        let Some(window) = closed.window else { return Ok(()) };
        let at = fit::micros(window);
        if closed.pairs < PAIRS_MIN || closed.artefacts > closed.intervals / ARTEFACT_PARTS {
            context.skipped(
                reason::FEW_BEATS,
                &format_args!("{}: {} of {} intervals", time::format(at), closed.pairs, closed.intervals),
            );
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "below 2^53: 2^32 pairs of at most 400² are far from it")]
        let mean = closed.squares as f64 / f64::from(closed.pairs);
        context.sample("hrv", mean.sqrt(), at, device)
    }
}
