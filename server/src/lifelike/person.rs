//! One person: a body, habits, a watch, and what the watch sends in which order.

use super::day::Sent;
use super::dice::Dice;
use super::{DAY_US, HOUR_US, Point, Truth};

/// Watches that people wear.
const SOURCES: [&str; 6] =
    ["Garmin Fenix 7", "Garmin Venu 3", "Apple Watch Series 10", "Oura Ring 4", "Fitbit Charge 6", "Polar Vantage V3"];

/// A person of a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    pub(super) seed: u64,
    pub(super) number: u32,
    pub(super) start_us: i64,
    days: u32,
    source: &'static str,
    device: String,
    /// Local time minus UTC, microseconds.
    pub(super) offset_us: i64,
    /// Beats a minute when awake and at rest.
    pub(super) resting_bpm: f64,
    /// Typical nightly RMSSD, ms.
    pub(super) hrv_ms: f64,
    /// Typical saturation, percent.
    pub(super) spo2_percent: f64,
    /// Breaths a minute asleep.
    pub(super) breaths: f64,
    /// Degrees Celsius in the morning.
    pub(super) celsius: f64,
    /// Steps of an ordinary day.
    pub(super) steps: f64,
    /// Kilocalories of a day without a step.
    pub(super) basal_kcal: f64,
    /// Typical sleep, hours.
    pub(super) sleep_hours: f64,
    /// Local hour of waking up.
    pub(super) wakes_at_hour: f64,
    /// A workout on one day in this many.
    pub(super) workout_one_in: i64,
}

impl Person {
    pub(super) fn new(seed: u64, number: u32, start_us: i64, days: u32) -> Self {
        let mut dice = Dice::new(seed, number, u32::MAX);
        let fitness = dice.between(0.0, 1.0);
        let nth = usize::try_from(dice.below(6)).unwrap_or(0);
        Self {
            seed,
            number,
            start_us,
            days,
            source: SOURCES.get(nth).copied().unwrap_or("Garmin Fenix 7"),
            device: format!("dev-{:012x}", dice.next() >> 16),
            offset_us: dice.below(4) * HOUR_US - HOUR_US,
            resting_bpm: 74.0 - 20.0 * fitness + 3.0 * dice.bell(),
            hrv_ms: 28.0 + 40.0 * fitness + 6.0 * dice.bell(),
            spo2_percent: 96.5 + 0.6 * dice.bell(),
            breaths: 14.5 + 1.2 * dice.bell(),
            celsius: 36.5 + 0.15 * dice.bell(),
            steps: 5_000.0 + 7_000.0 * fitness + 900.0 * dice.bell(),
            basal_kcal: 1_600.0 + 180.0 * dice.bell(),
            sleep_hours: 7.2 + 0.5 * dice.bell(),
            wakes_at_hour: 7.0 + 0.6 * dice.bell(),
            workout_one_in: 2 + dice.below(5),
        }
    }

    /// The number in the fleet.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The model of the watch.
    pub fn source(&self) -> &str {
        self.source
    }

    /// The watch itself.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Everything the watch sends, in the order it sends it. Costs one day's points of memory.
    pub fn points(&self) -> Points<'_> {
        Points { person: self, day: 0, waiting: Vec::new(), ready: Vec::new().into_iter() }
    }

    /// What was sent, each point once.
    pub fn truth(&self) -> Truth {
        let mut truth = Truth::default();
        for point in self.points() {
            truth.note(&point);
        }
        truth
    }
}

/// The iterator behind [`Person::points`].
#[derive(Debug)]
pub struct Points<'a> {
    person: &'a Person,
    day: u32,
    /// Measured, but not sent yet.
    waiting: Vec<Sent<'a>>,
    ready: std::vec::IntoIter<Sent<'a>>,
}

impl<'a> Iterator for Points<'a> {
    type Item = Point<'a>;

    fn next(&mut self) -> Option<Point<'a>> {
        loop {
            if let Some(sent) = self.ready.next() {
                return Some(sent.point);
            }
            if self.day == self.person.days {
                return None;
            }
            self.person.day(self.day, &mut self.waiting);
            self.day += 1;
            let day_end_us = self.person.start_us + i64::from(self.day) * DAY_US;
            // Stable, so that the order does not depend on the sort's inner workings.
            self.waiting.sort_by_key(|sent| sent.at_us);
            let sent = if self.day == self.person.days {
                self.waiting.len()
            } else {
                self.waiting.partition_point(|sent| sent.at_us < day_end_us)
            };
            let later = self.waiting.split_off(sent);
            self.ready = std::mem::replace(&mut self.waiting, later).into_iter();
        }
    }
}
