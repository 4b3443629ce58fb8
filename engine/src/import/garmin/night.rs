//! Nights: what is known of a sleep, and which source is taken where an archive holds a night twice.
//!
//! The export of an account has the nights as its owner sees them (corrected ones too), and beside them the files that
//! the watch wrote. A watch's night that overlaps one of the account's is not taken, so that no night counts twice.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::context::Context;
use super::reason;
use crate::import::Fault;
use crate::time;

/// Nights and days of an archive that are held back at most; watch nights beyond it are given at once.
const HELD_MAX: usize = 100_000;

const HOUR_S: f64 = 3_600.0;

/// One sleep.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Night {
    /// Microseconds UTC.
    pub(crate) start: i64,
    /// Microseconds UTC; the points of the sleep stand here.
    pub(crate) end: i64,
    pub(crate) asleep_s: f64,
    /// `None` where the device knows no stages.
    pub(crate) deep_s: Option<f64>,
    pub(crate) rem_s: Option<f64>,
}

impl Night {
    /// Gives the sleep's points to the sink.
    pub(crate) fn give(&self, device: Option<&str>, context: &mut Context<'_>) -> Result<(), Fault> {
        if self.asleep_s <= 0.0 {
            context.skipped(reason::NO_SLEEP, &time::format(self.end));
            return Ok(());
        }
        context.sample("sleep_duration", self.asleep_s / HOUR_S, self.end, device)?;
        for (metric, seconds) in [("sleep_deep", self.deep_s), ("sleep_rem", self.rem_s)] {
            if let Some(seconds) = seconds {
                context.sample(metric, seconds / HOUR_S, self.end, device)?;
            }
        }
        Ok(())
    }
}

/// The nights of an archive.
#[derive(Debug, Default)]
pub(crate) struct Nights {
    /// From watch files, held back until the account's are known.
    watch: Vec<(Night, Option<Rc<str>>)>,
    /// Ends of the account's nights by their start.
    account: BTreeMap<i64, i64>,
    /// Ends of the account's nights by their date.
    ends: BTreeMap<String, i64>,
    /// The account's heart rate variability of a night, by its date, ms.
    hrv: BTreeMap<String, f64>,
}

impl Nights {
    /// A night that a watch wrote.
    pub(crate) fn hold(
        &mut self,
        night: Night,
        device: Option<&Rc<str>>,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        if self.watch.len() >= HELD_MAX {
            return night.give(device.map(Rc::as_ref), context);
        }
        self.watch.push((night, device.map(Rc::clone)));
        Ok(())
    }

    /// A night of the account, by the date that it is filed under.
    pub(crate) fn account(&mut self, night: &Night, date: String, context: &mut Context<'_>) -> Result<(), Fault> {
        if self.account.len() < HELD_MAX {
            self.account.insert(night.start, night.end);
            self.ends.insert(date, night.end);
        }
        night.give(None, context)
    }

    /// The account's heart rate variability of a night.
    pub(crate) fn hrv(&mut self, date: String, value: f64) {
        if self.hrv.len() < HELD_MAX {
            self.hrv.insert(date, value);
        }
    }

    /// Gives what was held back.
    pub(crate) fn finish(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        for (night, device) in std::mem::take(&mut self.watch) {
            if self.is_in_account(&night) {
                context.skipped(reason::SLEEP_IN_ACCOUNT, &time::format(night.end));
            } else {
                night.give(device.as_deref(), context)?;
            }
        }
        for (date, value) in std::mem::take(&mut self.hrv) {
            match self.ends.get(&date) {
                Some(end) => context.sample("hrv", value, *end, None)?,
                None => context.skipped(reason::NO_NIGHT, &date),
            }
        }
        Ok(())
    }

    fn is_in_account(&self, night: &Night) -> bool {
        // Nights of an account do not overlap each other, so only the last one before this one's end can overlap it.
        self.account.range(..night.end).next_back().is_some_and(|(_, end)| *end > night.start)
    }
}
