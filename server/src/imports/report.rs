//! What became of what was in a file: taken by metric, skipped by reason.

use std::collections::BTreeMap;
use std::fmt;

use engine::Catalogue;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most reasons of one report.
const REASONS_MAX: usize = 64;

/// Longest example, characters.
const EXAMPLE_CHARS_MAX: usize = 200;

/// Where reasons go that are too many.
const OTHER: &str = "other reasons";

/// What was taken, and what was skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Values that were taken, by metric: as many as were sent, of which those of one identity are one point.
    #[schema(example = json!({"heart_rate": 350}))]
    pub ingested: BTreeMap<String, u64>,
    /// What was not stored, by reason.
    pub skipped: Vec<Skipped>,
}

/// Something that was not stored, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Skipped {
    /// Why, for people.
    #[schema(example = "a value that is not plausible")]
    pub reason: String,
    /// How often.
    pub count: u64,
    /// The first one.
    #[schema(example = "heart_rate 0 at 2026-06-01T08:00:00Z")]
    pub example: String,
}

impl Report {
    /// A report as rows hold it; an empty one where it cannot be read.
    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// As rows hold it.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether anything was stored.
    pub(super) fn has_points(&self) -> bool {
        self.ingested.values().any(|count| *count > 0)
    }
}

/// A report that is being made: counts by a metric's place, so that a point costs no look-up.
#[derive(Debug)]
pub(super) struct Tally {
    counts: Vec<u64>,
    skipped: Vec<Skipped>,
    last: usize,
}

impl Tally {
    /// Goes on with a report.
    pub(super) fn new(catalogue: &Catalogue, report: Report) -> Self {
        let mut counts = vec![0; catalogue.len()];
        for (key, count) in report.ingested {
            if let Some(slot) = catalogue.place(&key).and_then(|place| counts.get_mut(usize::from(place))) {
                *slot = count;
            }
        }
        Self { counts, skipped: report.skipped, last: 0 }
    }

    /// Counts points of a metric.
    pub(super) fn take(&mut self, place: u16, count: u64) {
        if let Some(slot) = self.counts.get_mut(usize::from(place)) {
            *slot += count;
        }
    }

    /// Counts something that is skipped.
    pub(super) fn skip(&mut self, reason: &str, example: &dyn fmt::Display) {
        let is_known = self.skipped.get(self.last).is_some_and(|last| last.reason == reason);
        if !is_known {
            match self.skipped.iter().position(|skipped| skipped.reason == reason) {
                Some(found) => self.last = found,
                None if self.skipped.len() < REASONS_MAX => self.add(reason, example),
                None => {
                    let other = self.skipped.iter().position(|skipped| skipped.reason == OTHER);
                    match other {
                        Some(found) => self.last = found,
                        None => self.add(OTHER, &format_args!("{reason}: {example}")),
                    }
                }
            }
        }
        if let Some(skipped) = self.skipped.get_mut(self.last) {
            skipped.count += 1;
        }
    }

    fn add(&mut self, reason: &str, example: &dyn fmt::Display) {
        let example =
            example.to_string().chars().filter(|letter| !letter.is_control()).take(EXAMPLE_CHARS_MAX).collect();
        self.last = self.skipped.len();
        self.skipped.push(Skipped { reason: reason.to_owned(), count: 0, example });
    }

    /// The report until now.
    pub(super) fn report(&self, catalogue: &Catalogue) -> Report {
        let counted = catalogue.iter().zip(&self.counts).filter(|(_, count)| **count > 0);
        let ingested = counted.map(|(metric, count)| ((*metric.key).to_owned(), *count)).collect();
        Report { ingested, skipped: self.skipped.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_one_example_and_a_count() {
        let catalogue = Catalogue::builtin();
        let mut tally = Tally::new(&catalogue, Report::default());
        for nth in 0..3 {
            tally.skip("far away", &nth);
            tally.skip("too old", &"x\u{0}".repeat(300));
        }
        tally.take(catalogue.place("heart_rate").unwrap(), 2);
        let report = tally.report(&catalogue);
        assert_eq!(report.ingested, BTreeMap::from([("heart_rate".to_owned(), 2)]));
        let far = Skipped { reason: "far away".to_owned(), count: 3, example: "0".to_owned() };
        assert_eq!(report.skipped[0], far);
        assert_eq!(report.skipped[1].example, "x".repeat(EXAMPLE_CHARS_MAX));
        assert!(report.has_points() && !Report::default().has_points());
        // And goes on where it was.
        let mut again = Tally::new(&catalogue, Report::parse(&report.text()));
        assert_eq!(again.report(&catalogue), report);
        again.skip("far away", &9);
        assert_eq!(again.report(&catalogue).skipped[0], Skipped { count: 4, ..far });
    }

    #[test]
    fn reasons_without_end_are_counted_together() {
        let catalogue = Catalogue::builtin();
        let mut tally = Tally::new(&catalogue, Report::default());
        for nth in 0..200 {
            tally.skip(&format!("reason {nth}"), &nth);
        }
        let report = tally.report(&catalogue);
        assert_eq!(report.skipped.len(), REASONS_MAX + 1);
        assert_eq!(report.skipped[REASONS_MAX].reason, OTHER);
        assert_eq!(report.skipped.iter().map(|skipped| skipped.count).sum::<u64>(), 200);
    }
}
