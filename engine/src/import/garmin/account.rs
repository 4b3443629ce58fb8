//! The JSON of an account's export: nights and days as Garmin Connect shows them.
//!
//! | file                     | taken                                                                              |
//! |--------------------------|------------------------------------------------------------------------------------|
//! | `*_sleepData.json`       | the night: asleep (deep, light and REM), deep, REM, at `sleepEndTimestampGMT`      |
//! | `UDSFile_*.json`         | totals of the day: steps, kcal (active and at rest), at the local day's start      |
//! | `*_healthStatusData.json`| the night's heart rate variability, at the end of that night                      |
//!
//! Files are found by name, in whatever folder they lie. Averages and extremes of days and nights are not taken.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::context::Context;
use super::json::{Each, Scalar};
use super::night::{Night, Nights};
use super::{SOURCE, reason};
use crate::import::{Daily, DayTotal, Fault, Found, Maker};
use crate::time::DAY_US;

/// A file of JSON may be so large; those of ten years are below 20 MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Which of the account's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sleep,
    Day,
    HealthStatus,
}

impl Kind {
    /// By the file's name in lower case.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".json")?;
        if stem.ends_with("sleepdata") {
            Some(Self::Sleep)
        } else if stem.starts_with("udsfile") {
            Some(Self::Day)
        } else if stem.ends_with("healthstatusdata") {
            Some(Self::HealthStatus)
        } else {
            None
        }
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// [`Fault::Broken`] where it is no JSON; the entries before have been given.
    pub(crate) fn read(
        self,
        source: &mut dyn Read,
        nights: &mut Nights,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        match self {
            Self::Sleep => each(source, context, |sleep: Sleep, context| sleep.give(nights, context)),
            Self::Day => each(source, context, |day: Day, context| day.give(context)),
            Self::HealthStatus => each(source, context, |status: HealthStatus, context| {
                status.give(nights, context);
                Ok(())
            }),
        }
    }
}

/// Hands over every entry of a file.
fn each<T: DeserializeOwned>(
    source: &mut dyn Read,
    context: &mut Context<'_>,
    mut give: impl FnMut(T, &mut Context<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let at = Cell::new(0);
    let source = Bytes { source: BufReader::new(source.take(FILE_BYTES_MAX)), at: &at };
    let mut json = serde_json::Deserializer::from_reader(source);
    let mut stopped = None;
    let outcome = Each::new(|entry| {
        let given = give(entry, context).and_then(|()| context.progress());
        given.map_err(|fault| stopped = Some(fault)).is_ok()
    })
    .deserialize(&mut json);
    if let Some(fault) = stopped {
        return Err(fault);
    }
    if outcome.is_err() && at.get() >= FILE_BYTES_MAX {
        context.skipped(reason::TOO_LARGE, &format_args!("more than {} MiB", FILE_BYTES_MAX >> 20));
        return Ok(());
    }
    outcome.map_err(|error| {
        if error.is_io() { Fault::Io(error.into()) } else { Fault::Broken { at: at.get(), what: error.to_string() } }
    })
}

/// Counts the bytes that the JSON's reader has asked for, one by one.
struct Bytes<'a, R> {
    source: R,
    at: &'a Cell<u64>,
}

impl<R: Read> Read for Bytes<'_, R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(room)?;
        self.at.set(self.at.get() + read as u64);
        Ok(read)
    }
}

/// An entry of `*_sleepData.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Sleep {
    calendar_date: Scalar,
    #[serde(rename = "sleepStartTimestampGMT")]
    start: Scalar,
    #[serde(rename = "sleepEndTimestampGMT")]
    end: Scalar,
    deep_sleep_seconds: Scalar,
    light_sleep_seconds: Scalar,
    rem_sleep_seconds: Scalar,
    nap_list: Naps,
}

impl Sleep {
    fn give(&self, nights: &mut Nights, context: &mut Context<'_>) -> Result<(), Fault> {
        let date = self.calendar_date.text().unwrap_or("no date");
        for _ in 0..self.nap_list.0 {
            context.skipped(reason::NAP, &date);
        }
        let (deep, light, rem) =
            (self.deep_sleep_seconds.number(), self.light_sleep_seconds.number(), self.rem_sleep_seconds.number());
        let (Some(start), Some(end), Some(asleep_s)) =
            (self.start.moment(), self.end.moment(), deep.or(light).map(|_| [deep, light, rem].iter().flatten().sum()))
        else {
            context.skipped(reason::INCOMPLETE, &format_args!("the night of {date}"));
            return Ok(());
        };
        let night = Night { start, end, asleep_s, deep_s: deep, rem_s: rem };
        nights.account(night, date.to_owned(), context)
    }
}

/// How many naps an entry lists.
#[derive(Debug, Default)]
struct Naps(u32);

impl<'de> Deserialize<'de> for Naps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut naps = 0_u32;
        Each::new(|_: IgnoredAny| {
            naps = naps.saturating_add(1);
            true
        })
        .deserialize(deserializer)?;
        Ok(Self(naps))
    }
}

/// An entry of `UDSFile_*.json`.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Day {
    calendar_date: Scalar,
    wellness_start_time_gmt: Scalar,
    wellness_start_time_local: Scalar,
    total_steps: Scalar,
    total_kilocalories: Scalar,
    active_kilocalories: Scalar,
    bmr_kilocalories: Scalar,
}

impl Day {
    fn give(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let both = self.active_kilocalories.number().zip(self.bmr_kilocalories.number());
        let calories = self.total_kilocalories.number().or(both.map(|(active, at_rest)| active + at_rest));
        let totals = [(Daily::Steps, self.total_steps.number()), (Daily::Calories, calories)];
        if totals.iter().all(|(_, total)| total.is_none()) {
            return Ok(());
        }
        let Some(start) = self.wellness_start_time_gmt.moment() else {
            context.skipped(reason::INCOMPLETE, &format_args!("the day {}", self.calendar_date.text().unwrap_or("?")));
            return Ok(());
        };
        // The day's own start, should the watch have been put on later.
        let start = start - self.wellness_start_time_local.moment().map_or(0, |local| local.rem_euclid(DAY_US));
        for (daily, total) in totals {
            if let Some(value) = total {
                let maker = Maker { source: SOURCE, device: None };
                context.found(Found::DayTotal(DayTotal { daily, start, value, maker }))?;
            }
        }
        Ok(())
    }
}

/// An entry of `*_healthStatusData.json`.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct HealthStatus {
    calendar_date: Scalar,
    metrics: Metrics,
}

impl HealthStatus {
    fn give(&self, nights: &mut Nights, context: &mut Context<'_>) {
        let date = self.calendar_date.text().unwrap_or_default();
        if let Some(hrv) = self.metrics.hrv {
            nights.hrv(date.to_owned(), hrv);
        }
        for _ in 0..self.metrics.averages {
            context.skipped(reason::AVERAGE, &format_args!("the health status of {date}"));
        }
    }
}

/// What a health status says: the heart rate variability, and how many other values.
#[derive(Debug, Default)]
struct Metrics {
    hrv: Option<f64>,
    averages: u32,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Metric {
    r#type: Scalar,
    value: Scalar,
}

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Metrics;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of metrics")
            }

            fn visit_unit<E>(self) -> Result<Metrics, E> {
                Ok(Metrics::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Metrics, A::Error> {
                let mut found = Metrics::default();
                while let Some(metric) = list.next_element::<Metric>()? {
                    let Some(value) = metric.value.number() else { continue };
                    if metric.r#type.text() == Some("HRV") {
                        found.hrv = Some(value);
                    } else {
                        found.averages = found.averages.saturating_add(1);
                    }
                }
                Ok(found)
            }
        }

        deserializer.deserialize_any(List)
    }
}
