//! What importers find, as batches of columns: checked like what comes by the API, without an allocation a point.

use storage::{MetricId, Origins, Part, PointBatch, UserId};

use super::Maker;
use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::ingest::validate::{Complaint, check_device, check_source, check_time};

/// Why a value is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The catalogue has no such metric.
    UnknownMetric,
    /// The value lies outside of the metric's bounds.
    OutOfRange,
    /// The time lies before 1970, or more than 24 hours ahead.
    Time,
    /// Source or device are empty, blank, too long, or hold control characters.
    Maker,
}

impl Refusal {
    /// In words for people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownMetric => "a metric that this server does not know",
            Self::OutOfRange => "a value that is not plausible",
            Self::Time => "a time before 1970, or more than a day ahead",
            Self::Maker => "a source or device without a usable name",
        }
    }
}

/// Points of one metric.
#[derive(Debug, Default)]
struct Column {
    recorded_at: Vec<i64>,
    value: Vec<f64>,
    origin: Vec<u16>,
}

/// Collects points until they are taken as a batch. Keeps its memory between batches.
#[derive(Debug)]
pub struct Collector {
    catalogue: Catalogue,
    ids: Box<[MetricId]>,
    now_us: i64,
    /// By place in the catalogue.
    columns: Box<[Column]>,
    origins: Origins,
    /// The pair that came last: nearly every point is of the same maker as the one before.
    last: u16,
    points: usize,
}

impl Collector {
    pub(crate) fn new(catalogue: Catalogue, ids: &[MetricId], now_us: i64) -> Self {
        let columns = catalogue.iter().map(|_| Column::default()).collect();
        Self { catalogue, ids: ids.into(), now_us, columns, origins: Origins::default(), last: 0, points: 0 }
    }

    /// Points that wait to be taken.
    pub fn len(&self) -> usize {
        self.points
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.points == 0
    }

    /// Makers of the points that wait. A look for one goes through them all.
    pub fn makers(&self) -> usize {
        self.origins.len()
    }

    /// The place of a metric, if this value of it may be stored; `metric` is a key of the catalogue, the value in its canonical unit.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, metric: &str, value: f64, recorded_at: i64) -> Result<u16, Refusal> {
        let place = self.catalogue.place(metric).ok_or(Refusal::UnknownMetric)?;
        if !self.catalogue.at(place).is_some_and(|metric| metric.is_plausible(value)) {
            return Err(Refusal::OutOfRange);
        }
        check_time(recorded_at, self.now_us).map_err(|_| Refusal::Time)?;
        Ok(place)
    }

    /// Whether source and device may be stored.
    ///
    /// # Errors
    /// [`Refusal::Maker`].
    pub fn check_maker(maker: Maker<'_>) -> Result<(), Refusal> {
        let refused = |_: Complaint| Refusal::Maker;
        check_source(maker.source).map_err(refused)?;
        maker.device.map_or(Ok(()), check_device).map_err(refused)
    }

    /// Adds a point; the metric's place in the catalogue. The caller takes a batch before there are [`storage::point::BATCH_POINTS_MAX`].
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was added.
    pub fn push(&mut self, metric: &str, value: f64, recorded_at: i64, maker: Maker<'_>) -> Result<u16, Refusal> {
        let place = self.check(metric, value, recorded_at)?;
        let origin = self.origin(maker)?;
        if let Some(column) = self.columns.get_mut(usize::from(place)) {
            column.recorded_at.push(recorded_at);
            // As everywhere, there is one zero.
            column.value.push(value + 0.0);
            column.origin.push(origin);
            self.points += 1;
        }
        Ok(place)
    }

    fn origin(&mut self, maker: Maker<'_>) -> Result<u16, Refusal> {
        let pair = (maker.source, maker.device);
        if self.origins.get(usize::from(self.last)) == Some(pair) {
            return Ok(self.last);
        }
        Self::check_maker(maker)?;
        self.last = self.origins.intern(maker.source, maker.device).ok_or(Refusal::Maker)?;
        Ok(self.last)
    }

    /// Takes what waits as points of `user`; `None` if nothing does.
    ///
    /// # Errors
    /// [`storage::Error::Batch`] if there are more than a batch holds.
    pub fn take(&mut self, user: UserId) -> Result<Option<PointBatch>> {
        if self.points == 0 {
            return Ok(None);
        }
        let mut parts = Vec::new();
        let mut recorded_at = Vec::with_capacity(self.points);
        let mut value = Vec::with_capacity(self.points);
        let mut origin = Vec::with_capacity(self.points);
        let too_many = || storage::Error::Batch { what: "a batch holds 1 to 65,536 points" };
        for (column, id) in self.columns.iter_mut().zip(&self.ids) {
            if column.value.is_empty() {
                continue;
            }
            let start = u32::try_from(value.len()).map_err(|_| too_many())?;
            recorded_at.append(&mut column.recorded_at);
            value.append(&mut column.value);
            origin.append(&mut column.origin);
            let end = u32::try_from(value.len()).map_err(|_| too_many())?;
            parts.push(Part { metric: *id, start, end });
        }
        (self.points, self.last) = (0, 0);
        let origins = std::mem::take(&mut self.origins);
        Ok(Some(PointBatch::new(user, parts, recorded_at, value, origin, origins)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_780_000_000_000_000;
    const WATCH: Maker<'static> = Maker { source: "Watch", device: Some("w1") };
    const PHONE: Maker<'static> = Maker { source: "Phone", device: None };

    fn collector() -> Collector {
        let catalogue = Catalogue::builtin();
        let ids: Vec<_> = (0..100).map(MetricId).take(catalogue.len()).collect();
        Collector::new(catalogue, &ids, NOW_US)
    }

    fn user() -> UserId {
        UserId::parse("usr_00000001").unwrap()
    }

    #[test]
    fn points_come_out_by_metric_in_order_with_their_makers() {
        let mut collector = collector();
        let heart_rate = collector.catalogue.place("heart_rate").unwrap();
        let spo2 = collector.catalogue.place("spo2").unwrap();
        collector.push("spo2", 97.0, 3, PHONE).unwrap();
        collector.push("heart_rate", 60.0, 1, WATCH).unwrap();
        collector.push("heart_rate", 61.0, 2, PHONE).unwrap();
        assert_eq!(collector.len(), 3);
        let batch = collector.take(user()).unwrap().unwrap();
        let parts: Vec<_> = batch.parts().iter().map(|part| (part.metric.0, part.start, part.end)).collect();
        assert_eq!(parts, [(heart_rate, 0, 2), (spo2, 2, 3)]);
        assert_eq!((batch.value(), batch.recorded_at()), (&[60.0, 61.0, 97.0][..], &[1, 2, 3][..]));
        let makers: Vec<_> = batch.origin().iter().map(|index| batch.origins().get(usize::from(*index))).collect();
        let (watch, phone) = (Some(("Watch", Some("w1"))), Some(("Phone", None)));
        assert_eq!(makers, [watch, phone, phone]);
        assert!(collector.take(user()).unwrap().is_none(), "and are gone");
        collector.push("hrv", 40.0, 1, WATCH).unwrap();
        assert_eq!(collector.take(user()).unwrap().unwrap().origins().len(), 1);
    }

    #[test]
    fn what_the_api_refuses_is_refused() {
        let mut collector = collector();
        let long = "x".repeat(65);
        let day_us = crate::time::DAY_US;
        let refused = [
            (collector.push("mood", 1.0, 1, PHONE), Refusal::UnknownMetric),
            (collector.push("heart_rate", 0.0, 1, PHONE), Refusal::OutOfRange),
            (collector.push("heart_rate", f64::NAN, 1, PHONE), Refusal::OutOfRange),
            (collector.push("heart_rate", 60.0, -1, PHONE), Refusal::Time),
            (collector.push("heart_rate", 60.0, NOW_US + day_us + 1, PHONE), Refusal::Time),
            (collector.push("heart_rate", 60.0, 1, Maker { source: "", device: None }), Refusal::Maker),
            (collector.push("heart_rate", 60.0, 1, Maker { source: &long, device: None }), Refusal::Maker),
            (collector.push("heart_rate", 60.0, 1, Maker { source: "a\u{7}", device: None }), Refusal::Maker),
            (collector.push("heart_rate", 60.0, 1, Maker { source: "a", device: Some("") }), Refusal::Maker),
        ];
        for (nth, (found, expected)) in refused.into_iter().enumerate() {
            assert_eq!(found, Err(expected), "number {nth}");
        }
        assert!(collector.is_empty());
        collector.push("heart_rate", 60.0, NOW_US + day_us, PHONE).unwrap();
    }
}
