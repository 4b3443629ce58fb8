//! What a watch writes all day: heart rate, and counters that start at nothing with every local day.
//!
//! - **Time.** A message has its whole time, or the lower 16 bits of it: those go on from the last time of a monitoring
//!   message (up to ten minutes back, as messages are not always in order; else forward, by 18 hours at most).
//! - **Local day.** From `local_timestamp`, rounded to a quarter of an hour, as every zone's offset is. A counter read at
//!   midnight belongs to the day that ends.
//! - **Steps.** `cycles` of walking and of running, each a counter of its own. Of other activities they are no steps.
//! - **Energy.** `active_calories`, a counter for each activity; and what the body burns at rest, made of
//!   `resting_metabolic_rate`: its part of a day at the last time of the file on that day.

use super::super::context::Context;
use super::super::fit::profile::{field, message};
use super::super::fit::{self, Message};
use super::super::{SOURCE, reason};
use super::{float, heart_rate};
use crate::import::{Daily, Fault, Found, Maker, Reading};
use crate::time::{DAY_US, SECOND_US};

/// How far a time of 16 bits may lie before the last one, seconds.
const BACK_S_MAX: u32 = 600;

/// What offsets of zones are made of, seconds.
const QUARTER_S: i64 = 900;

/// Larger than any zone's offset from UTC, seconds.
const OFFSET_S_MAX: i64 = 15 * 3_600;

const RUNNING: i64 = 1;
const WALKING: i64 = 6;
const ALL_ACTIVITIES: i64 = 254;
/// The strand of what the body burns at rest; no activity's number.
const AT_REST: u8 = 255;

/// The monitoring of one file.
#[derive(Debug, Default)]
pub(super) struct Monitoring {
    /// Time of the last monitoring message.
    clock: Option<u32>,
    offset_s: Option<i32>,
    /// kcal a day.
    at_rest: Option<f64>,
    /// The day that is counted, its start and the last time, microseconds UTC.
    day: Option<(i64, i64)>,
}

impl Monitoring {
    /// `monitoring_info`: the local time, what is burned at rest.
    pub(super) fn info(
        &mut self,
        message: &Message<'_>,
        device: Option<&str>,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        self.finish(device, context)?;
        self.clock = message.timestamp.or(self.clock);
        self.local(message, field::monitoring_info::LOCAL_TIMESTAMP);
        let at_rest = message.value(field::monitoring_info::RESTING_METABOLIC_RATE).number();
        self.at_rest = at_rest.filter(|rate| *rate > 0).map(float).or(self.at_rest);
        Ok(())
    }

    /// `monitoring`.
    pub(super) fn message(
        &mut self,
        message: &Message<'_>,
        device: Option<&str>,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        debug_assert_eq!(message.number(), message::MONITORING);
        let timestamp = self.time(message);
        self.local(message, field::monitoring::LOCAL_TIMESTAMP);
        heart_rate(message, message.value(field::monitoring::HEART_RATE), timestamp, device, context)?;
        // The activity may stand behind the counter in the message, and inside of another field.
        let activity = message.value(field::monitoring::ACTIVITY_TYPE).number();
        let both = message.value(field::monitoring::TYPE_AND_INTENSITY).number();
        let activity = activity.or(both.map(|both| both & 0x1F));
        let cycles = message.value(field::monitoring::CYCLES).number();
        let cycles = cycles.or(message.value(field::monitoring::CYCLES_16).number());
        let calories = message.value(field::monitoring::ACTIVE_CALORIES).number();
        for (daily, counted) in [(Daily::Steps, cycles), (Daily::Calories, calories)] {
            if let Some(counted) = counted {
                self.count(daily, counted, activity, timestamp, device, context)?;
            }
        }
        self.rest(timestamp, device, context)
    }

    /// Gives what was burned at rest until the last time of the day.
    pub(super) fn finish(&mut self, device: Option<&str>, context: &mut Context<'_>) -> Result<(), Fault> {
        let (Some((start, at)), Some(rate), Some(offset_s)) = (self.day.take(), self.at_rest, self.offset_s) else {
            return Ok(());
        };
        #[expect(clippy::cast_precision_loss, reason = "both are below 2^53: a day has 8.64e10 microseconds")]
        let value = rate * (at - start) as f64 / DAY_US as f64;
        context.found(Found::Reading(Reading {
            daily: Daily::Calories,
            strand: AT_REST,
            start,
            at,
            value,
            offset_s,
            rank: 0,
            maker: Maker { source: SOURCE, device },
        }))
    }

    fn time(&mut self, message: &Message<'_>) -> Option<u32> {
        if message.timestamp.is_some() {
            self.clock = message.timestamp;
            return self.clock;
        }
        let low = u32::try_from(message.value(field::monitoring::TIMESTAMP_16).number()?).ok()?;
        let clock = self.clock?;
        let back = clock.wrapping_sub(low) & 0xFFFF;
        if back <= BACK_S_MAX {
            return Some(clock.wrapping_sub(back));
        }
        self.clock = Some(clock.wrapping_add(low.wrapping_sub(clock) & 0xFFFF));
        self.clock
    }

    fn local(&mut self, message: &Message<'_>, field: u8) {
        let (Some(local), Some(utc)) = (message.value(field).number(), message.timestamp) else { return };
        let offset_s = (local - i64::from(utc) + QUARTER_S / 2).div_euclid(QUARTER_S) * QUARTER_S;
        if offset_s.abs() <= OFFSET_S_MAX {
            self.offset_s = i32::try_from(offset_s).ok();
        }
    }

    fn count(
        &self,
        daily: Daily,
        counted: i64,
        activity: Option<i64>,
        timestamp: Option<u32>,
        device: Option<&str>,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        let strand = activity.filter(|activity| *activity != ALL_ACTIVITIES).and_then(|one| u8::try_from(one).ok());
        let Some(strand) = strand else {
            context.skipped(reason::NO_ACTIVITY, &counted);
            return Ok(());
        };
        if daily == Daily::Steps && !matches!(i64::from(strand), RUNNING | WALKING) {
            context.skipped(reason::NOT_STEPS, &format_args!("{counted} cycles of activity {strand}"));
            return Ok(());
        }
        let Some(at) = context.dated(timestamp) else { return Ok(()) };
        let Some(offset_s) = self.offset_s else {
            context.skipped(reason::NO_LOCAL_TIME, &crate::time::format(at));
            return Ok(());
        };
        let start = day_start(at, offset_s);
        context.found(Found::Reading(Reading {
            daily,
            strand,
            start,
            at,
            value: float(counted),
            offset_s,
            rank: 0,
            maker: Maker { source: SOURCE, device },
        }))
    }

    fn rest(&mut self, timestamp: Option<u32>, device: Option<&str>, context: &mut Context<'_>) -> Result<(), Fault> {
        let (Some(date), Some(offset_s)) = (timestamp.filter(|date| *date >= fit::DATE_MIN), self.offset_s) else {
            return Ok(());
        };
        let at = fit::micros(date);
        let start = day_start(at, offset_s);
        match self.day {
            Some((open, until)) if open == start => self.day = Some((open, until.max(at))),
            _ => {
                self.finish(device, context)?;
                self.day = Some((start, at));
            }
        }
        Ok(())
    }
}

/// The start of the local day that a counter read at `at` counts: midnight itself ends a day.
fn day_start(at: i64, offset_s: i32) -> i64 {
    let offset = i64::from(offset_s) * SECOND_US;
    (at + offset - 1).div_euclid(DAY_US) * DAY_US - offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_at_midnight_belongs_to_the_day_that_ends() {
        let midnight = 20_000 * DAY_US + 6 * 3_600 * SECOND_US;
        assert_eq!(day_start(midnight, -21_600), midnight - DAY_US);
        assert_eq!(day_start(midnight + 1, -21_600), midnight);
        assert_eq!(day_start(midnight + DAY_US - 1, -21_600), midnight);
    }
}
