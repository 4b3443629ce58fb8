//! A sink that notes what it gets.

use std::collections::BTreeMap;
use std::fmt;

use crate::import::{Found, Sink, Stop};
use crate::time;

/// What came.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// `heart_rate 62 at 2024-05-01T00:00:00Z of garmin-1-2`, and the like, in order.
    pub(crate) found: Vec<String>,
    /// How often, and the first example, by reason.
    pub(crate) skipped: BTreeMap<&'static str, (u32, String)>,
    pub(crate) reached: Vec<u64>,
    /// Start and rank of each night, and when it was told; its points are among `found`.
    pub(crate) nights: Vec<(String, u8, Option<String>)>,
    /// After so many it wants no more.
    pub(crate) found_max: Option<usize>,
}

impl Seen {
    /// What came of a metric.
    pub(crate) fn of(&self, metric: &str) -> Vec<&str> {
        self.found.iter().filter_map(|line| line.strip_prefix(metric)?.strip_prefix(' ')).collect()
    }

    pub(crate) fn count(&self, reason: &'static str) -> u32 {
        self.skipped.get(reason).map_or(0, |(count, _)| *count)
    }

    pub(crate) fn example(&self, reason: &'static str) -> &str {
        self.skipped.get(reason).map_or("", |(_, example)| example)
    }
}

impl Sink for Seen {
    fn found(&mut self, found: Found<'_>) -> Result<(), Stop> {
        if self.found_max.is_some_and(|max| self.found.len() >= max) {
            return Err(Stop::Asked);
        }
        let at = time::format;
        let line = match found {
            Found::Night(night) => {
                self.nights.push((at(night.start), night.rank, night.told_at.map(at)));
                let of = night.maker.device.map(|device| format!(" of {device}")).unwrap_or_default();
                let line = |(metric, value)| format!("{metric} {value} at {}{of}", at(night.end));
                self.found.extend(night.points().map(line));
                return Ok(());
            }
            Found::Sample(sample) => format!("{} {} at {}", sample.metric, sample.value, at(sample.recorded_at)),
            Found::Piece(piece) => format!(
                "{} {} of strand {} from {} to {}",
                piece.daily.piece_metric(),
                piece.value,
                piece.strand,
                at(piece.start),
                at(piece.end)
            ),
            Found::Reading(reading) => format!(
                "{} shows {} on strand {} at {}, since {}",
                reading.daily.total_metric(),
                reading.value,
                reading.strand,
                at(reading.at),
                at(reading.start)
            ),
            Found::DayTotal(total) => {
                format!("{} {} from {}", total.daily.total_metric(), total.value, at(total.start))
            }
        };
        let device = match found {
            Found::Night(night) => night.maker.device,
            Found::Sample(sample) => sample.maker.device,
            Found::Piece(piece) => piece.maker.device,
            Found::Reading(reading) => reading.maker.device,
            Found::DayTotal(total) => total.maker.device,
        };
        self.found.push(device.map_or(line.clone(), |device| format!("{line} of {device}")));
        Ok(())
    }

    fn skipped(&mut self, reason: &'static str, example: &dyn fmt::Display) {
        self.skipped.entry(reason).or_insert_with(|| (0, example.to_string())).0 += 1;
    }

    fn reached(&mut self, bytes: u64) -> Result<(), Stop> {
        self.reached.push(bytes);
        Ok(())
    }
}
