//! Summaries that Garmin's Health API pushes: `{"dailies": […], "sleeps": […], …}`.
//!
//! | summaries           | become                                                                                |
//! |---------------------|---------------------------------------------------------------------------------------|
//! | `dailies`           | totals of the day (steps; kcal, active and at rest), heart rate                       |
//! | `epochs`            | pieces of the day, a strand for each activity                                         |
//! | `sleeps`            | the night, at its end; oxygen saturation and respiration in it                        |
//! | `hrv`               | heart rate variability of five minutes                                                |
//! | `pulseox`           | oxygen saturation                                                                     |
//! | `allDayRespiration` | respiration                                                                           |
//!
//! Garmin sends a summary again whenever it knows more; the points have the same identity then, and are replaced. Those of
//! a night have not where its end has moved: whoever stores them takes the old ones back. A night that is `…_TENTATIVE` is
//! left out until it is sent as final.
//! Summaries name no device. A body is of one person: one that names two (`userId`) is refused as a whole.
//!
//! Not here: whose summaries they are (tokens); pings, which only say where summaries can be fetched.

mod person;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use self::person::{OfOne, Stranger};
use super::context::{At, Context};
use super::json::{Offsets, Scalar, micros};
use super::night::Night;
use super::{SOURCE, reason};
use crate::import::{Daily, DayTotal, Fault, Found, Maker, Piece, Sink};
use crate::time::DAY_US;

const MAKER: Maker<'_> = Maker { source: SOURCE, device: None };

/// Reads the body of a push.
///
/// The body must be in memory whole; so much again is needed to read it. The same summaries give the same calls.
///
/// # Errors
/// [`Fault::Broken`] where the body is no JSON, a list of summaries is none, or a summary is of another person than one
/// before: nothing of it was given then.
/// [`Fault::Stopped`] when the sink wants no more.
pub fn read(body: &[u8], sink: &mut dyn Sink) -> Result<(), Fault> {
    let push: Push = serde_json::from_slice(body).map_err(|error| broken(body, &error))?;
    let mut context = Context::new(sink, Rc::new(Cell::new(body.len() as u64)));
    for list in &push.0 {
        list.give(&mut context)?;
    }
    context.reached_end()
}

fn broken(body: &[u8], error: &serde_json::Error) -> Fault {
    let lines = body.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    let at = lines.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1);
    Fault::Broken { at: at as u64, what: error.to_string() }
}

/// All lists of a push, in the order of the body.
struct Push(Vec<List>);

/// One list of summaries.
enum List {
    Dailies(Option<Vec<Summary>>),
    Epochs(Option<Vec<Summary>>),
    Sleeps(Option<Vec<Summary>>),
    Hrv(Option<Vec<Summary>>),
    PulseOx(Option<Vec<Summary>>),
    Respiration(Option<Vec<Summary>>),
    /// One that is not read: its name, and how many summaries.
    Other(String, usize),
}

impl<'de> Deserialize<'de> for Push {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lists;

        impl<'de> Visitor<'de> for Lists {
            type Value = Push;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("lists of summaries by their kind")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Push, A::Error> {
                let mut lists = Vec::new();
                let mut person = Scalar::Nothing;
                while let Some(kind) = map.next_key::<String>()? {
                    let known = OfOne { person: &mut person, of: |summary: &Summary| &summary.user_id };
                    lists.push(match kind.as_str() {
                        "dailies" => List::Dailies(map.next_value_seed(known)?),
                        "epochs" => List::Epochs(map.next_value_seed(known)?),
                        "sleeps" => List::Sleeps(map.next_value_seed(known)?),
                        "hrv" => List::Hrv(map.next_value_seed(known)?),
                        "pulseox" => List::PulseOx(map.next_value_seed(known)?),
                        "allDayRespiration" => List::Respiration(map.next_value_seed(known)?),
                        _ => {
                            let strangers = OfOne { person: &mut person, of: |summary: &Stranger| &summary.user_id };
                            List::Other(kind, map.next_value_seed(strangers)?.map_or(0, |list| list.len()))
                        }
                    });
                }
                Ok(Push(lists))
            }
        }

        deserializer.deserialize_map(Lists)
    }
}

impl List {
    fn give(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let (summaries, give): (_, Give) = match self {
            Self::Dailies(summaries) => (summaries, Summary::daily),
            Self::Epochs(summaries) => (summaries, Summary::epoch),
            Self::Sleeps(summaries) => (summaries, Summary::sleep),
            Self::Hrv(summaries) => (summaries, Summary::hrv),
            Self::PulseOx(summaries) => (summaries, Summary::pulse_ox),
            Self::Respiration(summaries) => (summaries, Summary::respiration),
            Self::Other(kind, count) => {
                for _ in 0..*count {
                    context.skipped(reason::NOT_READ, kind);
                }
                return Ok(());
            }
        };
        for summary in summaries.iter().flatten() {
            if let Some(start) = summary.start_time_in_seconds.seconds() {
                give(summary, micros(start), context)?;
            } else if summary.callback_url == Scalar::Nothing {
                context.skipped(reason::INCOMPLETE, &summary.name());
            } else {
                context.skipped(reason::PING, &summary.name());
            }
        }
        Ok(())
    }
}

/// What a summary gives, from its start on.
type Give = fn(&Summary, i64, &mut Context<'_>) -> Result<(), Fault>;

/// A summary of any kind: each has some of these.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Summary {
    user_id: Scalar,
    #[serde(rename = "summaryId")]
    id: Scalar,
    #[serde(rename = "callbackURL")]
    callback_url: Scalar,
    calendar_date: Scalar,
    start_time_in_seconds: Scalar,
    start_time_offset_in_seconds: Scalar,
    duration_in_seconds: Scalar,
    activity_type: Scalar,
    steps: Scalar,
    active_kilocalories: Scalar,
    bmr_kilocalories: Scalar,
    time_offset_heart_rate_samples: Offsets,
    deep_sleep_duration_in_seconds: Scalar,
    light_sleep_duration_in_seconds: Scalar,
    rem_sleep_in_seconds: Scalar,
    sleep_levels_map: Option<Levels>,
    validation: Scalar,
    time_offset_sleep_spo2: Offsets,
    time_offset_sleep_respiration: Offsets,
    hrv_values: Offsets,
    time_offset_spo2_values: Offsets,
    time_offset_epoch_to_breaths: Offsets,
}

/// When which level of sleep held.
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Levels {
    deep: Option<Vec<Span>>,
    light: Option<Vec<Span>>,
    rem: Option<Vec<Span>>,
    awake: Option<Vec<Span>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Span {
    start_time_in_seconds: Scalar,
    end_time_in_seconds: Scalar,
}

impl Levels {
    /// Seconds of a level; `None` where there is none.
    fn seconds(level: Option<&Vec<Span>>) -> Option<f64> {
        let spans = level?.iter().filter_map(|span| {
            let (start, end) = (span.start_time_in_seconds.number()?, span.end_time_in_seconds.number()?);
            Some((end - start).max(0.0))
        });
        Some(spans.sum())
    }

    /// When the last level ends, seconds.
    fn end(&self) -> Option<i64> {
        let levels = [&self.deep, &self.light, &self.rem, &self.awake];
        levels.into_iter().flatten().flatten().filter_map(|span| span.end_time_in_seconds.seconds()).max()
    }
}

impl Summary {
    fn name(&self) -> &str {
        self.id.text().unwrap_or("a summary without an id")
    }

    fn offset_s(&self) -> Option<i32> {
        let offset = self.start_time_offset_in_seconds.seconds()?;
        i32::try_from(offset).ok().filter(|offset| offset.abs() <= 86_400)
    }

    /// The summary's local day's first microsecond.
    fn day_start(&self, start: i64) -> Option<i64> {
        let offset = micros(i64::from(self.offset_s()?));
        let local = self.calendar_date.date().unwrap_or_else(|| (start + offset).div_euclid(DAY_US) * DAY_US);
        Some(local - offset)
    }

    fn daily(&self, start: i64, context: &mut Context<'_>) -> Result<(), Fault> {
        self.samples("heart_rate", reason::NO_HEART_RATE, &self.time_offset_heart_rate_samples, start, context)?;
        let energy = [self.active_kilocalories.number(), self.bmr_kilocalories.number()];
        let calories = energy.iter().any(Option::is_some).then(|| energy.iter().flatten().sum());
        let totals = [(Daily::Steps, self.steps.number()), (Daily::Calories, calories)];
        let Some(start) = self.day_start(start) else {
            context.skipped(reason::NO_LOCAL_TIME, &self.name());
            return Ok(());
        };
        for (daily, value) in totals {
            if let Some(value) = value {
                context.found(Found::DayTotal(DayTotal { daily, start, value, maker: MAKER }))?;
            }
        }
        Ok(())
    }

    fn epoch(&self, start: i64, context: &mut Context<'_>) -> Result<(), Fault> {
        let (Some(offset_s), Some(seconds)) = (self.offset_s(), self.duration_in_seconds.seconds()) else {
            context.skipped(reason::INCOMPLETE, &self.name());
            return Ok(());
        };
        let strand = strand(self.activity_type.text().unwrap_or_default());
        let end = start + micros(seconds.max(0));
        for (daily, value) in
            [(Daily::Steps, self.steps.number()), (Daily::Calories, self.active_kilocalories.number())]
        {
            if let Some(value) = value {
                let piece = Piece { daily, strand, start, end, value, offset_s, rank: 0, maker: MAKER };
                context.found(Found::Piece(piece))?;
            }
        }
        Ok(())
    }

    fn sleep(&self, start: i64, context: &mut Context<'_>) -> Result<(), Fault> {
        if self.validation.text().is_some_and(|validation| validation.ends_with("TENTATIVE")) {
            context.skipped(reason::TENTATIVE, &self.name());
            return Ok(());
        }
        let none = Levels::default();
        let levels = self.sleep_levels_map.as_ref().unwrap_or(&none);
        let deep = self.deep_sleep_duration_in_seconds.number().or(Levels::seconds(levels.deep.as_ref()));
        let light = self.light_sleep_duration_in_seconds.number().or(Levels::seconds(levels.light.as_ref()));
        let rem = self.rem_sleep_in_seconds.number().or(Levels::seconds(levels.rem.as_ref()));
        let end = levels.end().map(micros);
        let end = end.or(self.duration_in_seconds.seconds().map(|seconds| start + micros(seconds)));
        if let (Some(end), Some(_)) = (end, deep.or(light)) {
            let asleep_s = [deep, light, rem].iter().flatten().sum();
            let night = Night { start, end, asleep_s, deep_s: deep, rem_s: rem };
            night.give_of_account(None, None, context)?;
        } else {
            context.skipped(reason::INCOMPLETE, &self.name());
        }
        self.samples("spo2", reason::NO_SPO2, &self.time_offset_sleep_spo2, start, context)?;
        self.samples("respiratory_rate", reason::NO_BREATH, &self.time_offset_sleep_respiration, start, context)
    }

    fn hrv(&self, start: i64, context: &mut Context<'_>) -> Result<(), Fault> {
        self.samples("hrv", reason::INCOMPLETE, &self.hrv_values, start, context)
    }

    fn pulse_ox(&self, start: i64, context: &mut Context<'_>) -> Result<(), Fault> {
        self.samples("spo2", reason::NO_SPO2, &self.time_offset_spo2_values, start, context)
    }

    fn respiration(&self, start: i64, context: &mut Context<'_>) -> Result<(), Fault> {
        self.samples("respiratory_rate", reason::NO_BREATH, &self.time_offset_epoch_to_breaths, start, context)
    }

    /// Samples by their offset from `start`; those of 0 or below are none.
    fn samples(
        &self,
        metric: &'static str,
        none: &'static str,
        offsets: &Offsets,
        start: i64,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        for &(seconds, value) in &offsets.0 {
            let at = start + micros(seconds);
            if value > 0.0 {
                context.sample(metric, value, at, None)?;
            } else {
                context.skipped(none, &format_args!("{} at {}", self.name(), At(at)));
            }
        }
        Ok(())
    }
}

/// The strand of an activity, the same for the same name.
///
/// The activities that watches count all day have numbers as in FIT; any other has one above all of those, by its name.
fn strand(activity: &str) -> u8 {
    match activity {
        "GENERIC" => 0,
        "RUNNING" => 1,
        "CYCLING" => 2,
        "TRANSITION" => 3,
        "FITNESS_EQUIPMENT" => 4,
        "SWIMMING" => 5,
        "WALKING" => 6,
        "SEDENTARY" => 8,
        "WHEELCHAIR_PUSHING" => 13,
        // FNV-1a, folded to 64..=254; 255 is what the body burns at rest.
        other => {
            let hash =
                other.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
            u8::try_from(64 + hash % 191).unwrap_or(64)
        }
    }
}

#[cfg(test)]
mod tests;
