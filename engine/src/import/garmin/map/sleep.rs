//! A night from the levels of sleep that a watch writes.
//!
//! A level holds from its time until the next level's; the night ends with the event that says so, or else with the last
//! level. Awake and what could not be measured are no sleep. A level that would hold longer than four hours ends a night
//! where it begins: the watch was off.

use super::super::context::Context;
use super::super::fit::profile::field;
use super::super::fit::{self, Message};
use super::super::night::Night;
use super::super::reason;
use crate::time;

/// The event "sleep", and its type "stop".
const SLEEP: i64 = 74;
const STOP: i64 = 1;

const LIGHT: i64 = 2;
const DEEP: i64 = 3;
const REM: i64 = 4;

/// How long one level may hold, seconds.
const LEVEL_S_MAX: u32 = 4 * 3_600;

/// The levels of one file.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// Start of the open night.
    start: Option<u32>,
    /// The level that holds, and since when.
    last: Option<(u32, i64)>,
    stop: Option<u32>,
    light_s: u32,
    deep_s: u32,
    rem_s: u32,
}

impl Levels {
    /// An event: perhaps the end of the sleep.
    pub(super) fn event(&mut self, message: &Message<'_>) {
        let is = |field, number| message.value(field).number() == Some(number);
        if is(field::event::EVENT, SLEEP) && is(field::event::EVENT_TYPE, STOP) {
            self.stop = message.timestamp.max(self.stop);
        }
    }

    /// A level begins. Returns the night before it, if it begins another.
    pub(super) fn level(&mut self, message: &Message<'_>, context: &mut Context<'_>) -> Option<Night> {
        context.dated(message.timestamp)?;
        let at = message.timestamp?;
        let level = message.value(field::sleep_level::LEVEL).number().unwrap_or_default();
        let mut before = None;
        if let Some((since, _)) = self.last {
            if at < since {
                context.skipped(
                    reason::INCOMPLETE,
                    &format_args!("a level of sleep before the last one, at {}", time::format(fit::micros(at))),
                );
                return None;
            }
            if at - since > LEVEL_S_MAX {
                before = self.finish();
            }
        }
        self.hold(at);
        self.start = self.start.or(Some(at));
        self.last = Some((at, level));
        before
    }

    /// Ends the night that is open.
    pub(super) fn finish(&mut self) -> Option<Night> {
        let (last, _) = self.last?;
        let end = self.stop.filter(|stop| (last..=last.saturating_add(LEVEL_S_MAX)).contains(stop)).unwrap_or(last);
        self.hold(end);
        let night = std::mem::take(self);
        self.stop = night.stop.filter(|stop| *stop > end);
        let seconds = |seconds: u32| f64::from(seconds);
        Some(Night {
            start: fit::micros(night.start?),
            end: fit::micros(end),
            asleep_s: seconds(night.light_s) + seconds(night.deep_s) + seconds(night.rem_s),
            deep_s: Some(seconds(night.deep_s)),
            rem_s: Some(seconds(night.rem_s)),
        })
    }

    /// Counts the level that holds until now.
    fn hold(&mut self, now: u32) {
        let Some((since, level)) = self.last else { return };
        let counted = match level {
            LIGHT => &mut self.light_s,
            DEEP => &mut self.deep_s,
            REM => &mut self.rem_s,
            _ => return,
        };
        *counted = counted.saturating_add(now.saturating_sub(since));
    }
}
