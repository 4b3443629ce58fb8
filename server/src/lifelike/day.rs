//! One day of one person.

use std::f64::consts::TAU;

use super::dice::Dice;
use super::person::Person;
use super::{DAY_US, HOUR_US, Point, SECOND_US};

/// Time between two heart rates.
const BEAT_EVERY_US: i64 = 300 * SECOND_US;

/// A point, and when the watch sends it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) at_us: i64,
    pub(super) point: Point<'a>,
}

/// What sort of day it is.
struct Plan {
    start_us: i64,
    sleep_hours: f64,
    wakes_at_hour: f64,
    /// Local hour in whose middle the workout lies.
    workout_at_hour: Option<f64>,
    workout_bpm: f64,
    steps: f64,
    /// Everything a bit higher (poor sleep, a cold) or lower.
    strain: f64,
}

impl Plan {
    fn new(person: &Person, day: u32, dice: &mut Dice) -> Self {
        let works_out = dice.hits(person.workout_one_in);
        let workout_at_hour = works_out.then(|| dice.between(16.5, 19.5));
        let steps = person.steps * dice.between(0.55, 1.3) + if works_out { 4_500.0 } else { 0.0 };
        Self {
            start_us: person.start_us + i64::from(day) * DAY_US,
            sleep_hours: (person.sleep_hours + 0.7 * dice.bell()).clamp(4.0, 10.0),
            wakes_at_hour: (person.wakes_at_hour + 0.4 * dice.bell()).clamp(4.5, 9.5),
            workout_at_hour,
            workout_bpm: dice.between(55.0, 85.0),
            steps: steps.max(400.0),
            strain: dice.bell(),
        }
    }

    /// Whether the person sleeps at this local hour.
    fn sleeps_at(&self, hour: f64) -> bool {
        let asleep_at_hour = self.wakes_at_hour - self.sleep_hours;
        hour < self.wakes_at_hour && hour >= asleep_at_hour || hour >= asleep_at_hour + 24.0
    }

    /// Beats above rest at this local hour, without noise.
    fn beats_above_rest(&self, hour: f64) -> f64 {
        if self.sleeps_at(hour) {
            return -6.0 + 1.5 * (hour * TAU / 1.5).sin();
        }
        let circadian = 6.0 * ((hour - 15.0) * TAU / 24.0).cos();
        let meals = [8.0, 12.7, 19.0].map(|meal: f64| 5.0 * bump(hour - meal, 0.6)).iter().sum::<f64>();
        let walk = 14.0 * bump(hour - 8.6, 0.25) + 11.0 * bump(hour - 17.4, 0.3);
        let workout = self.workout_at_hour.map_or(0.0, |middle| self.workout_bpm * bump(hour - middle, 0.4));
        8.0 + circadian + meals + walk + workout
    }
}

/// A bell of height 1 around 0.
fn bump(distance: f64, width: f64) -> f64 {
    (-(distance / width).powi(2)).exp()
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

impl Person {
    /// Adds what is measured in the `day`-th 24 hours of the fleet's time.
    pub(super) fn day<'a>(&'a self, day: u32, sent: &mut Vec<Sent<'a>>) {
        let mut dice = Dice::new(self.seed, self.number, day);
        let plan = Plan::new(self, day, &mut dice);
        self.beats(&plan, &mut dice, sent);
        self.hours(&plan, &mut dice, sent);
        self.totals(&plan, &mut dice, sent);
    }

    /// Hour of the local day, 0 to 24.
    fn local_hour(&self, at_us: i64) -> f64 {
        let seconds = (at_us + self.offset_us).rem_euclid(DAY_US) / SECOND_US;
        i32::try_from(seconds).map_or(0.0, f64::from) / 3_600.0
    }

    fn beats<'a>(&'a self, plan: &Plan, dice: &mut Dice, sent: &mut Vec<Sent<'a>>) {
        let mut drift = 0.0;
        for slot in 0..DAY_US / BEAT_EVERY_US {
            let at_us = plan.start_us + slot * BEAT_EVERY_US + dice.below(5) * SECOND_US;
            drift = 0.8 * drift + 1.8 * dice.bell();
            let bpm = self.resting_bpm + plan.beats_above_rest(self.local_hour(at_us)) + 1.5 * plan.strain + drift;
            self.send(dice, sent, at_us, ("heart_rate", bpm.clamp(36.0, 198.0).round(), "bpm"), at_us);
        }
    }

    fn hours<'a>(&'a self, plan: &Plan, dice: &mut Dice, sent: &mut Vec<Sent<'a>>) {
        let first_us = plan.start_us + (HOUR_US - plan.start_us.rem_euclid(HOUR_US)) % HOUR_US;
        for nth in 0..24 {
            let at_us = first_us + nth * HOUR_US;
            let sleeps = plan.sleeps_at(self.local_hour(at_us));
            let breaths = self.breaths + if sleeps { 0.0 } else { 2.2 } + 0.5 * dice.bell() + 0.3 * plan.strain;
            self.send(dice, sent, at_us, ("respiratory_rate", rounded(breaths, 1), "breaths/min"), at_us);
            if sleeps {
                let hrv = (self.hrv_ms * (1.0 - 0.08 * plan.strain) + 5.0 * dice.bell()).max(6.0);
                self.send(dice, sent, at_us, ("hrv", rounded(hrv, 1), "ms"), at_us);
                let spo2 = (self.spo2_percent + 0.9 * dice.bell()).clamp(88.0, 100.0);
                self.send(dice, sent, at_us, ("spo2", spo2.round(), "%"), at_us);
            }
        }
    }

    /// Steps and calories stand at the local day's start and are sent at its end; sleep stands at waking up.
    fn totals<'a>(&'a self, plan: &Plan, dice: &mut Dice, sent: &mut Vec<Sent<'a>>) {
        let since_midnight_us = (plan.start_us + self.offset_us).rem_euclid(DAY_US);
        let midnight_us = plan.start_us + (DAY_US - since_midnight_us) % DAY_US;
        let day_over_us = midnight_us + DAY_US - SECOND_US;
        let kcal = self.basal_kcal + 0.045 * plan.steps + if plan.workout_at_hour.is_some() { 420.0 } else { 0.0 };
        self.send(dice, sent, midnight_us, ("steps", plan.steps.round(), "steps"), day_over_us);
        self.send(dice, sent, midnight_us, ("calories", kcal.round(), "kcal"), day_over_us);

        let minutes = dice.below(80) - 40;
        let wakes_us = self.at_or_after(plan.start_us, 7 * HOUR_US + minutes * 60 * SECOND_US);
        let deep = plan.sleep_hours * dice.between(0.13, 0.23);
        let rem = plan.sleep_hours * dice.between(0.18, 0.26);
        self.send(dice, sent, wakes_us, ("sleep_duration", rounded(plan.sleep_hours, 2), "hours"), wakes_us);
        self.send(dice, sent, wakes_us, ("sleep_deep", rounded(deep, 2), "hours"), wakes_us);
        self.send(dice, sent, wakes_us, ("sleep_rem", rounded(rem, 2), "hours"), wakes_us);
        let measured_us = self.at_or_after(plan.start_us, 8 * HOUR_US + dice.below(3_600) * SECOND_US);
        let celsius = self.celsius + 0.12 * dice.bell() + if plan.strain > 2.2 { 1.1 } else { 0.0 };
        self.send(dice, sent, measured_us, ("body_temperature", rounded(celsius, 1), "°C"), measured_us);
    }

    /// The first moment from `start_us` on at which the local clock shows `clock_us`.
    fn at_or_after(&self, start_us: i64, clock_us: i64) -> i64 {
        let now_us = (start_us + self.offset_us).rem_euclid(DAY_US);
        start_us + (clock_us - now_us).rem_euclid(DAY_US)
    }

    /// Sends on time, or late; and perhaps once more.
    fn send<'a>(
        &'a self,
        dice: &mut Dice,
        sent: &mut Vec<Sent<'a>>,
        recorded_at_us: i64,
        (metric, value, unit): (&'static str, f64, &'static str),
        on_time_us: i64,
    ) {
        let (source, device) = (self.source(), self.device());
        let point = Point { metric, value, unit, recorded_at_us, source, device };
        let delay_us = if dice.hits(50) { HOUR_US / 6 + dice.below(36 * 3_600) * SECOND_US } else { 0 };
        sent.push(Sent { at_us: on_time_us + delay_us, point });
        if dice.hits(100) {
            sent.push(Sent { at_us: on_time_us + delay_us + dice.below(7_200) * SECOND_US, point });
        }
    }
}
