//! The points of one body, of one user, as columns.

use storage::{MetricId, Origins, Part, PointBatch, UserId};

use super::check::{Point, Target};
use crate::error::Result;

/// The points of one body in the order in which they came, kept between bodies for its memory.
#[derive(Debug, Default)]
pub(super) struct Columns {
    recorded_at: Vec<i64>,
    value: Vec<f64>,
    origin: Vec<u16>,
    /// Index into `parts` of each point.
    part: Vec<u16>,
    /// Place in the catalogue and number of points of each metric, in order of first appearance.
    parts: Vec<(u16, u32)>,
    /// Index into `parts` by place in the catalogue; [`NO_PART`] where there is none yet.
    part_of: Vec<u16>,
    origins: Origins,
}

const NO_PART: u16 = u16::MAX;

impl Columns {
    /// Empties the columns for a body, of a catalogue with so many metrics.
    pub(super) fn begin(&mut self, metrics: usize) {
        self.recorded_at.clear();
        self.value.clear();
        self.origin.clear();
        self.part.clear();
        self.parts.clear();
        self.part_of.clear();
        self.part_of.resize(metrics, NO_PART);
        self.origins.clear();
    }

    /// Groups the points by metric, keeping their order inside one: a counting sort, one pass.
    pub(super) fn batch(&self, ids: &[MetricId], user: UserId) -> Result<PointBatch> {
        let mut parts = Vec::with_capacity(self.parts.len());
        let mut next = Vec::with_capacity(self.parts.len());
        let mut start = 0;
        for &(place, count) in &self.parts {
            let metric = ids.get(usize::from(place)).copied();
            let metric = metric.ok_or(storage::Error::Batch { what: "a metric of the catalogue has no id" })?;
            parts.push(Part { metric, start, end: start + count });
            next.push(start as usize);
            start += count;
        }
        let origins = self.origins.clone();
        if parts.len() == 1 {
            let (recorded_at, value) = (self.recorded_at.clone(), self.value.clone());
            return Ok(PointBatch::new(user, parts, recorded_at, value, self.origin.clone(), origins)?);
        }
        let len = self.part.len();
        let (mut recorded_at, mut value, mut origin) = (vec![0; len], vec![0.0; len], vec![0; len]);
        let rows = self.part.iter().zip(&self.recorded_at).zip(&self.value).zip(&self.origin);
        for (((part, from_at), from_value), from_origin) in rows {
            let Some(next) = next.get_mut(usize::from(*part)) else { continue };
            let row = (recorded_at.get_mut(*next), value.get_mut(*next), origin.get_mut(*next));
            if let (Some(to_at), Some(to_value), Some(to_origin)) = row {
                (*to_at, *to_value, *to_origin) = (*from_at, *from_value, *from_origin);
            }
            *next += 1;
        }
        Ok(PointBatch::new(user, parts, recorded_at, value, origin, origins)?)
    }
}

impl Target for Columns {
    fn origin(&mut self, source: &str, device: Option<&str>) -> Option<u16> {
        self.origins.intern(source, device)
    }

    #[inline]
    fn push(&mut self, point: Point) {
        let part_of = self.part_of.get_mut(usize::from(point.metric));
        let Some(part_of) = part_of else { return };
        if *part_of == NO_PART {
            *part_of = u16::try_from(self.parts.len()).unwrap_or(NO_PART);
            self.parts.push((point.metric, 0));
        }
        if let Some((_, count)) = self.parts.get_mut(usize::from(*part_of)) {
            *count += 1;
        }
        self.part.push(*part_of);
        self.recorded_at.push(point.recorded_at);
        self.value.push(point.value);
        self.origin.push(point.origin);
    }
}
