//! What the storage must show, kept in the plainest way: one ordered map.

use std::collections::{BTreeMap, BTreeSet};

use super::METRICS;
use super::random::Random;
use crate::error::Result;
use crate::point::{Origins, Part, PointBatch, TimeRange, UserId};
use crate::store::Storage;

/// One point of a simulated batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    metric: &'static str,
    recorded_at: i64,
    value: f64,
    source: &'static str,
    device: Option<&'static str>,
}

/// Points of one user.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    user: UserId,
    points: Vec<Point>,
}

/// One thing that is done to the storage.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Appends a batch and waits for its ticket.
    Append(Points),
    /// Deletes a range.
    Delete {
        /// Whose.
        user: UserId,
        /// Of which metric.
        metric: &'static str,
        /// Which times.
        times: TimeRange,
    },
    /// Deletes a user.
    Erase(UserId),
    /// Flushes.
    Flush,
    /// Compacts to rest.
    Compact,
    /// Closes and opens again.
    Reopen,
}

const DAY_US: i64 = 86_400_000_000;
/// 2026-05-28, so that a few days reach into the next month.
const START_US: i64 = 1_779_926_400_000_000;

#[expect(clippy::unwrap_used, reason = "the names are ids")]
fn user(number: u64) -> UserId {
    const NAMES: [&str; 4] = ["usr_0000000a", "usr_0000000b", "usr_0000000c", "usr_0000000d"];
    let name = NAMES.get(usize::try_from(number).unwrap_or(0)).unwrap_or(&NAMES[0]);
    UserId::parse(name).unwrap()
}

impl Operation {
    /// The operations of a seed: few users, few times, so that identities meet.
    pub fn sequence(seed: u64) -> Vec<Self> {
        let mut random = Random::new(seed ^ 0x5EED);
        let length = 4 + random.below(5);
        (0..length).map(|_| Self::any(&mut random)).collect()
    }

    fn any(random: &mut Random) -> Self {
        match random.below(20) {
            0..=10 => Self::Append(points(random)),
            11 | 12 => Self::Delete {
                user: user(random.below(3)),
                metric: random.pick(&METRICS),
                times: {
                    let start = time(random);
                    TimeRange { start, end: start + DAY_US * random.small(3) + 1 }
                },
            },
            13 | 14 => Self::Erase(user(random.below(3))),
            15 | 16 => Self::Flush,
            17 => Self::Compact,
            _ => Self::Reopen,
        }
    }

    /// What is done after every recovery: a user of its own, so that no erasure stands in the way.
    pub fn after_a_crash() -> Self {
        let point = Point { metric: METRICS[0], recorded_at: START_US, value: 1.0, source: "after", device: None };
        Self::Append(Points { user: user(3), points: vec![point] })
    }
}

fn time(random: &mut Random) -> i64 {
    START_US + random.small(8) * DAY_US
}

fn points(random: &mut Random) -> Points {
    let user = user(random.below(3));
    // Sometimes enough to seal and to need a new log file.
    let count = if random.below(4) == 0 { 60 + random.below(200) } else { 1 + random.below(6) };
    let points = (0..count)
        .map(|_| Point {
            metric: random.pick(&[METRICS[0], METRICS[0], METRICS[1]]),
            recorded_at: time(random) + if count > 50 { random.small(255) * 60_000_000 } else { 0 },
            value: random.pick(&[0.0, 1.0, 2.0, 3.0]),
            source: random.pick(&["watch", "watch", "watch", "phone"]),
            device: random.pick(&[None, Some("a"), Some("b")]),
        })
        .collect();
    Points { user, points }
}

/// A batch as the storage takes it: grouped by metric.
pub(super) fn batch(storage: &Storage, points: &Points) -> Result<PointBatch> {
    let mut origins = Origins::default();
    let (mut parts, mut times, mut values, mut indexes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for key in METRICS {
        let start = u32::try_from(times.len()).unwrap_or(u32::MAX);
        for point in points.points.iter().filter(|point| point.metric == key) {
            times.push(point.recorded_at);
            values.push(point.value);
            indexes.push(origins.intern(point.source, point.device).unwrap_or(u16::MAX));
        }
        let end = u32::try_from(times.len()).unwrap_or(u32::MAX);
        if end > start {
            parts.push(Part { metric: storage.metric(key)?, start, end });
        }
    }
    PointBatch::new(points.user, parts, times, values, indexes, origins)
}

/// One stored point, as found or as expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub(super) user: String,
    pub(super) metric: &'static str,
    pub(super) recorded_at: i64,
    pub(super) source: String,
    pub(super) device: Option<String>,
    pub(super) value: f64,
    pub(super) is_corrected: bool,
}

type Key = (&'static str, UserId, i64, &'static str, Option<&'static str>);

/// What was acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Model {
    points: BTreeMap<Key, (f64, bool)>,
    erased: BTreeSet<UserId>,
}

impl Model {
    /// Does to the map what the operation does to the storage.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Append(batch) if self.erased.contains(&batch.user) => {}
            Operation::Append(batch) => {
                for point in &batch.points {
                    let key = (point.metric, batch.user, point.recorded_at, point.source, point.device);
                    let entry = self.points.entry(key).or_insert((point.value, false));
                    entry.1 |= entry.0.to_bits() != point.value.to_bits();
                    entry.0 = point.value;
                }
            }
            Operation::Delete { user, metric, times } => {
                self.points.retain(|key, _| !(key.1 == *user && key.0 == *metric && times.contains(key.2)));
            }
            Operation::Erase(user) => {
                self.erased.insert(*user);
                self.points.retain(|key, _| key.1 != *user);
            }
            Operation::Flush | Operation::Compact | Operation::Reopen => {}
        }
    }

    /// Who was erased: nothing of theirs is taken, and nothing of theirs is left after a compaction.
    pub fn erased(&self) -> &BTreeSet<UserId> {
        &self.erased
    }

    /// Whether an operation must be refused because its user was erased.
    pub fn refuses(&self, operation: &Operation) -> bool {
        matches!(operation, Operation::Append(batch) if self.erased.contains(&batch.user))
    }

    /// Compares with what was found, in order.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, found: &[Row]) -> std::result::Result<(), String> {
        let expected: Vec<Row> = self
            .points
            .iter()
            .map(|((metric, user, recorded_at, source, device), (value, is_corrected))| Row {
                user: user.to_string(),
                metric,
                recorded_at: *recorded_at,
                source: (*source).to_owned(),
                device: device.map(str::to_owned),
                value: *value,
                is_corrected: *is_corrected,
            })
            .collect();
        if let Some((nth, (expected, found))) =
            expected.iter().zip(found).enumerate().find(|(_, (expected, found))| expected != found)
        {
            return Err(format!("row {nth}: expected {expected:?}, found {found:?}"));
        }
        if expected.len() != found.len() {
            let extra = expected.get(found.len()).or_else(|| found.get(expected.len()));
            return Err(format!(
                "expected {} rows, found {}; the first without a pair: {extra:?}",
                expected.len(),
                found.len()
            ));
        }
        Ok(())
    }
}
