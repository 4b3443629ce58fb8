//! Nights: what is known of a sleep, and which source is taken where an archive holds a night twice.
//!
//! The export of an account has the nights as its owner sees them (corrected ones too), and beside them the files that
//! the watch wrote. A watch's night that overlaps one of the account's is not taken, so that no night counts twice.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::context::{At, Context};
use super::{SOURCE, reason};
use crate::import::{self, Fault, Found, Maker};

/// Nights and days of an archive that are held back at most; nights beyond it are given at once.
pub(crate) const HELD_MAX: usize = 100_000;

const HOUR_S: f64 = 3_600.0;

/// The account's nights, as their owner sees them.
pub(crate) const RANK_ACCOUNT: u8 = 0;

/// Nights as a watch wrote them.
const RANK_WATCH: u8 = 1;

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
    /// Gives a night that a watch wrote.
    pub(crate) fn give_of_watch(&self, device: Option<&str>, context: &mut Context<'_>) -> Result<(), Fault> {
        self.give(RANK_WATCH, None, None, device, context)
    }

    /// Gives a night of the account, with when that was told and its heart rate variability in ms.
    pub(crate) fn give_of_account(
        &self,
        told_at: Option<i64>,
        hrv_ms: Option<f64>,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        self.give(RANK_ACCOUNT, told_at, hrv_ms, None, context)
    }

    fn give(
        &self,
        rank: u8,
        told_at: Option<i64>,
        hrv_ms: Option<f64>,
        device: Option<&str>,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        if self.asleep_s <= 0.0 {
            context.skipped(reason::NO_SLEEP, &At(self.end));
            return hrv_ms.map_or(Ok(()), |value| context.sample("hrv", value, self.end, device));
        }
        let hours = |seconds: f64| seconds / HOUR_S;
        context.found(Found::Night(import::Night {
            start: self.start,
            end: self.end,
            asleep_h: hours(self.asleep_s),
            deep_h: self.deep_s.map(hours),
            rem_h: self.rem_s.map(hours),
            hrv_ms,
            told_at,
            rank,
            maker: Maker { source: SOURCE, device },
        }))
    }
}

/// A night of the account.
#[derive(Debug)]
struct Filed {
    night: Night,
    date: String,
    told_at: Option<i64>,
}

/// The nights of an archive.
#[derive(Debug, Default)]
pub(crate) struct Nights {
    /// From watch files, held back until the account's are known.
    watch: Vec<(Night, Option<Rc<str>>)>,
    /// When the part of the archive was written that is read.
    pub(crate) written_at: Option<i64>,
    /// The account's, held back until their heart rate variability is known, with the date that they are filed under.
    account: Vec<Filed>,
    /// Ends of the account's nights by their start.
    spans: BTreeMap<i64, i64>,
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
            return night.give_of_watch(device.map(Rc::as_ref), context);
        }
        self.watch.push((night, device.map(Rc::clone)));
        Ok(())
    }

    /// A night of the account, by the date that it is filed under.
    pub(crate) fn account(&mut self, night: Night, date: String, context: &mut Context<'_>) -> Result<(), Fault> {
        if self.account.len() >= HELD_MAX {
            return night.give_of_account(self.written_at, None, context);
        }
        self.spans.insert(night.start, night.end);
        self.account.push(Filed { night, date, told_at: self.written_at });
        Ok(())
    }

    /// The account's heart rate variability of a night.
    pub(crate) fn hrv(&mut self, date: String, value: f64) {
        if self.hrv.len() < HELD_MAX {
            self.hrv.insert(date, value);
        }
    }

    /// Gives what was held back.
    pub(crate) fn finish(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        let mut hrv = std::mem::take(&mut self.hrv);
        let account = std::mem::take(&mut self.account);
        // From the last on: of two nights of one date that is the one of the date.
        let mut told: Vec<_> = account.into_iter().rev().map(|filed| (hrv.remove(&filed.date), filed)).collect();
        told.reverse();
        for (hrv_ms, Filed { night, told_at, .. }) in told {
            night.give_of_account(told_at, hrv_ms, context)?;
        }
        for (night, device) in std::mem::take(&mut self.watch) {
            if self.is_in_account(&night) {
                context.skipped(reason::SLEEP_IN_ACCOUNT, &At(night.end));
            } else {
                night.give_of_watch(device.as_deref(), context)?;
            }
        }
        for date in hrv.keys() {
            context.skipped(reason::NO_NIGHT, date);
        }
        Ok(())
    }

    fn is_in_account(&self, night: &Night) -> bool {
        // Nights of an account do not overlap each other, so only the last one before this one's end can overlap it.
        self.spans.range(..night.end).next_back().is_some_and(|(_, end)| *end > night.start)
    }
}
