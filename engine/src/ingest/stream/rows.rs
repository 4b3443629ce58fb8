//! The points of one chunk, of many people, until they are grouped into batches.

use std::collections::HashMap;

use storage::{MetricId, Origins, Part, PointBatch, UserId};

use super::super::check::{Point, Target};
use crate::error::Result;

/// One point.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Index into the people.
    person: u16,
    /// Place in the catalogue.
    metric: u16,
    /// Index into the origins.
    origin: u16,
    /// Number of the line behind the chunk's first.
    line: u64,
    recorded_at: i64,
    value: f64,
}

/// The rows, kept between chunks for their memory.
#[derive(Debug, Default)]
pub(super) struct Rows {
    all: Vec<Row>,
    /// The first is the sender.
    people: Vec<UserId>,
    person_of: HashMap<UserId, u16>,
    origins: Origins,
    /// By source, and behind a NUL, which neither may hold, the device.
    origin_of: HashMap<String, u16>,
    name: String,
    /// Whose the next point is.
    person: u16,
    /// Line of the next point.
    pub(super) line: u64,
}

impl Rows {
    pub(super) fn begin(&mut self, sender: UserId) {
        self.all.clear();
        self.people.clear();
        self.people.push(sender);
        self.person_of.clear();
        self.person_of.insert(sender, 0);
        self.origins.clear();
        self.origin_of.clear();
    }

    /// Everybody who has a row.
    pub(super) fn people(&self) -> &[UserId] {
        // The sender is there from the beginning, whether or not a row is theirs: they may always.
        &self.people
    }

    /// The lines of those people whose entry is `true`, in order.
    pub(super) fn lines_of<'a>(&'a self, denied: &'a [bool]) -> impl Iterator<Item = u64> + 'a {
        let is_denied = |row: &&Row| denied.get(usize::from(row.person)).copied().unwrap_or(true);
        self.all.iter().filter(is_denied).map(|row| row.line)
    }

    /// A batch for each person who is not denied, of the lines up to `through`; the order of lines stays inside a
    /// metric.
    pub(super) fn batches(&mut self, ids: &[MetricId], denied: &[bool], through: u64) -> Result<Vec<PointBatch>> {
        self.all.retain(|row| row.line <= through && denied.get(usize::from(row.person)) == Some(&false));
        // Stable; runs that are there already cost a pass.
        self.all.sort_by_key(|row| (row.person, row.metric));
        let mut batches = Vec::new();
        let mut local = Local::new(self.origins.len());
        for rows in self.all.chunk_by(|a, b| a.person == b.person) {
            let Some(person) = rows.first().and_then(|row| self.people.get(usize::from(row.person))) else { continue };
            batches.push(batch(*person, rows, ids, &self.origins, &mut local)?);
        }
        Ok(batches)
    }
}

impl Target for Rows {
    const HAS_USERS: bool = true;

    fn origin(&mut self, source: &str, device: Option<&str>) -> Option<u16> {
        self.name.clear();
        self.name.push_str(source);
        if let Some(device) = device {
            self.name.push('\0');
            self.name.push_str(device);
        }
        if let Some(found) = self.origin_of.get(&self.name) {
            return Some(*found);
        }
        let added = self.origins.append(source, device)?;
        self.origin_of.insert(self.name.clone(), added);
        Some(added)
    }

    #[inline]
    fn name(&mut self, user: Option<&str>) -> bool {
        let Some(user) = user else {
            self.person = 0;
            return true;
        };
        if self.people.get(usize::from(self.person)).is_some_and(|last| last.as_str() == user) {
            return true;
        }
        let Some(user) = UserId::parse(user) else { return false };
        let next = u16::try_from(self.people.len()).unwrap_or(u16::MAX);
        self.person = *self.person_of.entry(user).or_insert(next);
        if self.person == next {
            self.people.push(user);
        }
        true
    }

    #[inline]
    fn push(&mut self, point: Point) {
        let Point { metric, value, recorded_at, origin } = point;
        self.all.push(Row { person: self.person, metric, origin, line: self.line, recorded_at, value });
    }
}

/// The origins of one batch, found by those of the chunk.
struct Local {
    /// By origin of the chunk: for which batch it was noted last, and its index there.
    index: Vec<(u32, u16)>,
    batch: u32,
}

impl Local {
    fn new(origins: usize) -> Self {
        Self { index: vec![(0, 0); origins], batch: 0 }
    }
}

fn batch(
    person: UserId,
    rows: &[Row],
    ids: &[MetricId],
    chunk_origins: &Origins,
    local: &mut Local,
) -> Result<PointBatch> {
    local.batch += 1;
    let mut parts: Vec<Part> = Vec::new();
    let mut origins = Origins::default();
    let mut origin = Vec::with_capacity(rows.len());
    let mut end = 0;
    for rows in rows.chunk_by(|a, b| a.metric == b.metric) {
        let metric = rows.first().and_then(|row| ids.get(usize::from(row.metric))).copied();
        let metric = metric.ok_or(storage::Error::Batch { what: "a metric of the catalogue has no id" })?;
        let start = end;
        end += u32::try_from(rows.len()).unwrap_or(u32::MAX);
        parts.push(Part { metric, start, end });
        for row in rows {
            let noted = local.index.get_mut(usize::from(row.origin));
            let (batch, index) = noted.ok_or(storage::Error::Batch { what: "an origin is out of range" })?;
            if *batch != local.batch {
                let (source, device) = chunk_origins.get(usize::from(row.origin)).unwrap_or_default();
                let added = origins.append(source, device);
                *index = added.ok_or(storage::Error::Batch { what: "too many origins" })?;
                *batch = local.batch;
            }
            origin.push(*index);
        }
    }
    let recorded_at = rows.iter().map(|row| row.recorded_at).collect();
    let value = rows.iter().map(|row| row.value).collect();
    Ok(PointBatch::new(person, parts, recorded_at, value, origin, origins)?)
}
