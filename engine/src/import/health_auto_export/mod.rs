//! The iOS app Health Auto Export: its JSON, version 2, as its automations post it.
//!
//! ```json
//! {"data": {"metrics": [{"name": "heart_rate", "units": "bpm", "data": [
//!     {"date": "2021-03-01 08:00:00 +0100", "Min": 60, "Avg": 62, "Max": 64, "source": "Max’s Apple Watch"}]}]}}
//! ```
//!
//! The app aggregates by seconds, minutes, hours or days, over sources if it likes, and does not say which. What was
//! decided:
//!
//! - **Who measured.** The source is `health_auto_export`. The device of a value is the app's `source` if it is one
//!   device (`A|B` is none); steps and energy never have one, for the app has merged the sources, and a later push of the same
//!   hour, with another source in it, must replace the earlier one.
//! - **Values** (heart rate, oxygen, respiration, temperature, `heart_rate_variability`, which is SDNN) are samples at
//!   `date`. Of an aggregated heart rate `Avg` is taken; `Min` and `Max` belong to no moment. Oxygen up to 1 is a fraction.
//! - **Steps and energy** are pieces of a day, whatever their length, so that what is sent again, by hours or by days,
//!   replaces or is settled by overlap, and is never summed. The length is read off the dates of the metric in one body: all at
//!   local midnight are days, all at full hours hours, all at full minutes minutes, and anything else moments. Dates a week
//!   or more apart are totals of weeks or months, which belong to no day, and are skipped. The hour behind a midnight may
//!   come alone, and looks like a day: [`shorten`] finds it when the hours behind it are known.
//! - **Sleep** that the app has added up is taken as it says, from `sleepStart` to `sleepEnd`. Single intervals (`startDate`, `endDate`,
//!   `value`) become nights as those of an export do, out of what one body holds.
//!
//! A body that is no JSON gives nothing: it is sent again as a whole.

mod body;

use std::fmt;

use self::body::{Body, Entry, Metric};
use super::apple::date::{Dates, Moment};
use super::apple::maker::{DEVICE_CHARS_MAX, Makers, Origin, RANK_OTHER, RANK_PHONE, RANK_WATCH, cleaned};
use super::apple::sleep::{Sleep, Stage};
use super::apple::unit::{UNKNOWN_UNIT, energy, rate, temperature};
use super::apple::{STRAND_ACTIVE, STRAND_BASAL};
use super::day::Counted;
use super::{Daily, Fault, Found, Maker, Night, Piece, Sample, Sink, Stop};
use crate::catalogue::Conversion;
use crate::time::{DAY_US, HOUR_US, MINUTE_US, SECOND_US};

/// The source of everything that comes from the app.
pub const SOURCE: &str = "health_auto_export";
/// From here on dates apart are no days.
const WEEK_US: i64 = 6 * DAY_US;

const OTHER_METRIC: &str = "metrics that are none here";
const NO_VALUE: &str = "entries without a value";
const NO_TIME: &str = "entries whose time cannot be read";
const LONG_TOTALS: &str = "totals of weeks or months, which belong to no day: let the app aggregate by days or hours";
const NOT_ASLEEP: &str = "time in bed or awake, which is no sleep";
const UNKNOWN_SLEEP: &str = "entries of sleep of a kind that is not known here";
const TOO_MANY_MAKERS: &str = "entries of more devices than one person has";

/// Reads one body of the app into `sink`.
///
/// # Errors
/// [`Fault::Broken`] if it is no JSON of the app; then nothing was taken.
pub fn read(body: &[u8], sink: &mut dyn Sink) -> Result<(), Fault> {
    let parsed: Body<'_> = serde_json::from_slice(body).map_err(|error| broken(body, &error))?;
    if !parsed.data.workouts.is_empty() {
        sink.skipped("workouts, whose heart rate and energy stand among the metrics", &parsed.data.workouts.len());
    }
    let mut reader = Reader::default();
    for metric in &parsed.data.metrics {
        reader.metric(metric, sink)?;
    }
    reader.sleep.finish(&reader.makers, None, false, sink)?;
    sink.reached(u64::try_from(body.len()).unwrap_or(u64::MAX))?;
    Ok(())
}

/// Where JSON broke, as an offset.
fn broken(body: &[u8], error: &serde_json::Error) -> Fault {
    let before: usize =
        body.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let at = (before + error.column()).min(body.len());
    Fault::Broken { at: u64::try_from(at).unwrap_or(u64::MAX), what: format!("no JSON of Health Auto Export: {error}") }
}

/// What a metric's entries become.
#[derive(Debug, Clone, Copy)]
enum Becomes {
    Samples(&'static str, Conversion),
    Pieces(Daily, u8, Conversion),
    /// The conversion to hours.
    Sleep(Conversion),
}

impl Becomes {
    fn of(name: &str, unit: &str) -> Result<Self, &'static str> {
        let known = |conversion: Option<Conversion>| conversion.ok_or(UNKNOWN_UNIT);
        Ok(match name {
            "heart_rate" => Self::Samples("heart_rate", known(rate(unit))?),
            "respiratory_rate" => Self::Samples("respiratory_rate", known(rate(unit))?),
            "blood_oxygen_saturation" => Self::Samples("spo2", known((unit == "%").then_some(Conversion::Same))?),
            "body_temperature" => Self::Samples("body_temperature", known(temperature(unit))?),
            "heart_rate_variability" => Self::Samples("hrv_sdnn", known((unit == "ms").then_some(Conversion::Same))?),
            "step_count" => {
                let conversion = matches!(unit, "count" | "steps").then_some(Conversion::Same);
                Self::Pieces(Daily::Steps, 0, known(conversion)?)
            }
            "active_energy" => Self::Pieces(Daily::Calories, STRAND_ACTIVE, known(energy(unit))?),
            "basal_energy_burned" => Self::Pieces(Daily::Calories, STRAND_BASAL, known(energy(unit))?),
            "sleep_analysis" => Self::Sleep(known(match unit {
                "hr" | "h" | "hours" => Some(Conversion::Same),
                "min" => Some(Conversion::over(60.0)),
                "s" | "sec" => Some(Conversion::over(3_600.0)),
                _ => None,
            })?),
            _ => return Err(OTHER_METRIC),
        })
    }
}

/// What an example of an entry that was left out says.
struct Shown<'a>(&'a str, &'a Entry<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = if self.1.date.0.is_empty() { &self.1.start.0 } else { &self.1.date.0 };
        let (name, date) = (cleaned(self.0, 64), cleaned(date, 64));
        write!(to, "{name} at {date}")
    }
}

#[derive(Debug, Default)]
struct Reader {
    dates: Dates,
    makers: Makers,
    sleep: Sleep,
}

impl Reader {
    fn metric(&mut self, metric: &Metric<'_>, sink: &mut dyn Sink) -> Result<(), Stop> {
        let name = metric.name.0.trim().to_ascii_lowercase().replace(' ', "_");
        let becomes = match Becomes::of(&name, metric.units.0.trim()) {
            Ok(becomes) => becomes,
            Err(reason) => {
                let (name, units) = (cleaned(&name, 64), cleaned(&metric.units.0, 16));
                for _ in 0..metric.data.len().max(1) {
                    sink.skipped(reason, &format_args!("{name} in {units}"));
                }
                return Ok(());
            }
        };
        match becomes {
            Becomes::Pieces(daily, strand, conversion) => self.pieces(metric, daily, strand, conversion, sink),
            Becomes::Samples(key, conversion) => {
                for entry in &metric.data {
                    match self.sample(key, conversion, entry) {
                        Ok((value, at)) => {
                            let device = device(&entry.source.0);
                            let maker = Maker { source: SOURCE, device: device.as_deref() };
                            sink.found(Found::Sample(Sample { metric: key, value, recorded_at: at, maker }))?;
                        }
                        Err(reason) => sink.skipped(reason, &Shown(&name, entry)),
                    }
                }
                Ok(())
            }
            Becomes::Sleep(conversion) => {
                for entry in &metric.data {
                    let is_interval = !entry.start.0.is_empty() && !entry.value.0.is_empty();
                    let outcome = if is_interval { self.interval(entry) } else { self.night(entry, conversion, sink)? };
                    if let Err(reason) = outcome {
                        sink.skipped(reason, &Shown(&name, entry));
                    }
                }
                Ok(())
            }
        }
    }

    fn sample(&mut self, key: &str, conversion: Conversion, entry: &Entry<'_>) -> Result<(f64, i64), &'static str> {
        let value = entry.average.0.or(entry.qty.0).ok_or(NO_VALUE)?;
        let at = self.dates.read(&entry.date.0).ok_or(NO_TIME)?.at;
        let is_fraction = key == "spo2" && value <= 1.0;
        let conversion = if is_fraction { Conversion::times(100.0) } else { conversion };
        Ok((conversion.apply(value), at))
    }

    fn pieces(
        &mut self,
        metric: &Metric<'_>,
        daily: Daily,
        strand: u8,
        conversion: Conversion,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let mut taken = Vec::new();
        for entry in &metric.data {
            match (entry.qty.0, self.dates.read(&entry.date.0)) {
                (Some(value), Some(start)) => taken.push((start, conversion.apply(value))),
                (None, _) => sink.skipped(NO_VALUE, &Shown(&metric.name.0, entry)),
                (_, None) => sink.skipped(NO_TIME, &Shown(&metric.name.0, entry)),
            }
        }
        let starts: Vec<_> = taken.iter().map(|(start, _)| *start).collect();
        let Some(length_us) = length_us(&starts) else {
            for entry in &metric.data {
                sink.skipped(LONG_TOTALS, &Shown(&metric.name.0, entry));
            }
            return Ok(());
        };
        for (start, value) in taken {
            sink.found(Found::Piece(Piece {
                daily,
                strand,
                start: start.at,
                end: start.at + length_us,
                value,
                offset_s: start.offset_s,
                rank: RANK_OTHER,
                maker: Maker { source: SOURCE, device: None },
            }))?;
        }
        Ok(())
    }

    /// A night that the app has added up.
    fn night(
        &mut self,
        entry: &Entry<'_>,
        conversion: Conversion,
        sink: &mut dyn Sink,
    ) -> Result<Result<(), &'static str>, Stop> {
        let Some(end) = self.dates.read(&entry.sleep_end.0) else { return Ok(Err(NO_TIME)) };
        let Some(asleep) = asleep(entry).filter(|asleep| *asleep > 0.0) else { return Ok(Err(NO_VALUE)) };
        let source = if entry.source.0.is_empty() { &entry.sleep_source.0 } else { &entry.source.0 };
        let device = device(source);
        // A source without stages is sent with zeros for all of them.
        let has_stages =
            [entry.core, entry.deep, entry.rem].iter().any(|stage| stage.0.is_some_and(|stage| stage > 0.0));
        let stage = |stage: Option<f64>| stage.filter(|_| has_stages).map(|hours| conversion.apply(hours));
        let asleep_h = conversion.apply(asleep);
        let start = self.dates.read(&entry.sleep_start.0).map(|start| start.at).filter(|start| *start < end.at);
        sink.found(Found::Night(Night {
            start: start.unwrap_or_else(|| start_of(end.at, asleep_h)),
            end: end.at,
            asleep_h,
            deep_h: stage(entry.deep.0),
            rem_h: stage(entry.rem.0),
            hrv_ms: None,
            told_at: None,
            rank: 0,
            maker: Maker { source: SOURCE, device: device.as_deref() },
        }))?;
        Ok(Ok(()))
    }

    /// One interval of a night.
    fn interval(&mut self, entry: &Entry<'_>) -> Result<(), &'static str> {
        let kind = entry.value.0.to_ascii_lowercase().replace([' ', '_'], "");
        let stage = match kind.strip_prefix("asleep").unwrap_or(&kind) {
            "" | "unspecified" => Stage::Asleep,
            "core" => Stage::Core,
            "deep" => Stage::Deep,
            "rem" => Stage::Rem,
            "awake" | "inbed" => return Err(NOT_ASLEEP),
            _ => return Err(UNKNOWN_SLEEP),
        };
        let start = self.dates.read(&entry.start.0).ok_or(NO_TIME)?;
        let end = self.dates.read(&entry.end.0).ok_or(NO_TIME)?;
        let device = device(&entry.source.0);
        let named = device.as_deref().unwrap_or_default().to_ascii_lowercase();
        let rank = match () {
            () if named.contains("watch") => RANK_WATCH,
            () if named.contains("iphone") => RANK_PHONE,
            () => RANK_OTHER,
        };
        let origin = Origin { source: SOURCE.to_owned(), device, rank };
        let maker = self.makers.number_of(origin).ok_or(TOO_MANY_MAKERS)?;
        self.sleep.add(start.at, end.at, stage, maker)
    }
}

/// When a sleep without a pause began.
#[expect(clippy::cast_possible_truncation, reason = "a number that saturates, before which no night is taken")]
fn start_of(end: i64, asleep_h: f64) -> i64 {
    #[expect(clippy::cast_precision_loss, reason = "an hour is exact")]
    let asleep_us = (asleep_h * HOUR_US as f64) as i64;
    end.saturating_sub(asleep_us)
}

/// The device of a source, if it is one.
fn device(source: &str) -> Option<String> {
    let device = cleaned(source, DEVICE_CHARS_MAX);
    (!device.is_empty() && !device.contains('|')).then_some(device)
}

/// How long the pieces are whose dates these are; `None` if they are no parts of days.
fn length_us(starts: &[Moment]) -> Option<i64> {
    let all_at = |unit_us: i64| {
        starts.iter().all(|start| (start.at + i64::from(start.offset_s) * SECOND_US).rem_euclid(unit_us) == 0)
    };
    if !all_at(DAY_US) {
        return Some(if all_at(HOUR_US) {
            HOUR_US
        } else if all_at(MINUTE_US) {
            MINUTE_US
        } else {
            0
        });
    }
    let mut days: Vec<_> = starts.iter().map(|start| start.at).collect();
    days.sort_unstable();
    days.dedup();
    let is_apart = days.len() > 1 && days.iter().zip(days.iter().skip(1)).all(|(one, next)| next - one > WEEK_US);
    (!is_apart).then_some(DAY_US)
}

/// Makes an hour of each of the app's days that is less than what is known of the time behind its begin: a day is never
/// less than its hours, so it was the hour behind midnight, which came alone.
pub fn shorten(pieces: &mut [Counted]) {
    pieces.sort_unstable_by_key(|piece| (piece.strand, piece.start, piece.end));
    let known = pieces.to_vec();
    let is_day = |piece: &Counted| piece.end - piece.start == DAY_US;
    for day in pieces.iter_mut().filter(|piece| is_day(piece)) {
        let from = known.partition_point(|piece| (piece.strand, piece.start) <= (day.strand, day.start));
        let behind = known.iter().skip(from).take_while(|piece| piece.strand == day.strand && piece.start < day.end);
        if behind.filter(|piece| !is_day(piece)).map(|piece| piece.value).sum::<f64>() > day.value {
            day.end = day.start + HOUR_US;
        }
    }
}

/// All sleep of a night. Newer versions say it; older ones call it `asleep`, or mean by that what belongs to no stage.
fn asleep(entry: &Entry<'_>) -> Option<f64> {
    if let Some(total) = entry.total_sleep.0.filter(|total| *total > 0.0) {
        return Some(total);
    }
    let stages: f64 = [entry.core, entry.deep, entry.rem].iter().filter_map(|stage| stage.0).sum();
    match entry.asleep.0 {
        Some(asleep) if asleep >= stages * 0.99 => Some(asleep),
        Some(asleep) => Some(asleep + stages),
        None => (stages > 0.0).then_some(stages),
    }
}

#[cfg(test)]
mod tests;
