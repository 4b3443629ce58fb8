//! People who wear watches: deterministic data that looks like real data, for the demo, the load driver and tests.
//!
//! A fleet is a seed, a number of people and a number of days; the same three give the same points on every machine.
//! What one person sends in a day: heart rate each five minutes (a few seconds of jitter, whole beats), respiratory rate
//! each hour, hrv and SpO₂ each hour of the night, and once a day the totals of steps and calories, the three figures of
//! the sleep and the body temperature; 334 points or so. Of these, 2 % come late (by ten minutes to a day and a half)
//! and 1 % are sent again. [`Person::truth`] says what a correct server must answer.

mod body;
mod day;
mod dice;
mod person;

use std::collections::BTreeMap;

pub use self::body::{BODY_POINTS, bodies, render, render_line};
pub use self::person::{Person, Points};

/// Microseconds of a second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds of an hour.
pub const HOUR_US: i64 = 3_600 * SECOND_US;
/// Microseconds of a day.
pub const DAY_US: i64 = 24 * HOUR_US;

/// One measured value as a watch sends it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<'a> {
    /// The metric's key.
    pub metric: &'static str,
    /// The value, in `unit`.
    pub value: f64,
    /// The metric's canonical unit.
    pub unit: &'static str,
    /// When measured, microseconds since 1970 UTC, whole seconds.
    pub recorded_at_us: i64,
    /// The model of the watch.
    pub source: &'a str,
    /// The watch itself.
    pub device: &'a str,
}

/// A number of people over a number of days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    seed: u64,
    people: u32,
    days: u32,
    end_us: i64,
}

impl Fleet {
    /// `people` people over the `days` days before `end_us` (microseconds since 1970 UTC, cut to the whole second).
    pub fn new(seed: u64, people: u32, days: u32, end_us: i64) -> Self {
        Self { seed, people, days, end_us: end_us - end_us.rem_euclid(SECOND_US) }
    }

    /// How many people.
    pub fn people(&self) -> u32 {
        self.people
    }

    /// The first moment that may hold a point.
    pub fn start_us(&self) -> i64 {
        self.end_us - i64::from(self.days) * DAY_US
    }

    /// The first moment after the last that may hold a point.
    pub fn end_us(&self) -> i64 {
        self.end_us
    }

    /// The person with this number. Numbers from [`Self::people`] on are strangers, but just as real.
    pub fn person(&self, number: u32) -> Person {
        Person::new(self.seed, number, self.start_us(), self.days)
    }
}

/// What was sent of one person, each point once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Truth {
    metrics: BTreeMap<&'static str, BTreeMap<i64, f64>>,
}

/// Figures of one metric over a range of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Number of points.
    pub count: usize,
    /// Sum of their values, added up from the earliest on.
    pub sum: f64,
}

impl Truth {
    /// Takes one sent point in; a later one of the same metric and time displaces it.
    pub fn note(&mut self, point: &Point<'_>) {
        self.metrics.entry(point.metric).or_default().insert(point.recorded_at_us, point.value);
    }

    /// The metrics that hold points, sorted.
    pub fn metrics(&self) -> impl Iterator<Item = &'static str> {
        self.metrics.keys().copied()
    }

    /// Number of distinct points of all metrics.
    pub fn len(&self) -> usize {
        self.metrics.values().map(BTreeMap::len).sum()
    }

    /// Whether nothing was sent.
    pub fn is_empty(&self) -> bool {
        self.metrics.is_empty()
    }

    /// Time (microseconds UTC) and value of a metric's newest point.
    pub fn latest(&self, metric: &str) -> Option<(i64, f64)> {
        self.metrics.get(metric)?.last_key_value().map(|(recorded_at_us, value)| (*recorded_at_us, *value))
    }

    /// Count and sum of a metric in `[start_us, end_us)`.
    pub fn window(&self, metric: &str, start_us: i64, end_us: i64) -> Figures {
        let mut figures = Figures { count: 0, sum: 0.0 };
        if start_us < end_us
            && let Some(points) = self.metrics.get(metric)
        {
            for value in points.range(start_us..end_us).map(|(_, value)| value) {
                figures.count += 1;
                figures.sum += value;
            }
        }
        figures
    }
}

#[cfg(test)]
mod tests;
