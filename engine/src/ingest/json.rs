//! The walk over simd-json's tape, straight into columns.
//!
//! A tape is a flat list of nodes: an object says how many fields it has, and they follow as name, value, name,
//! value; a nested value says how many nodes to skip. Nothing is allocated per point: strings are borrowed from the
//! body, and runs of equal metrics, units, sources and days cost a comparison each.

use simd_json::{Node, StaticNode};
use storage::{MetricId, Origins, Part, PointBatch, UserId};

use super::POINTS_MAX;
use super::validate::{Complaint, Faults, check_device, check_source, check_time};
use crate::catalogue::{Catalogue, Conversion};
use crate::error::{Error, Loc, Result};
use crate::time;

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
    fn begin(&mut self, metrics: usize) {
        self.recorded_at.clear();
        self.value.clear();
        self.origin.clear();
        self.part.clear();
        self.parts.clear();
        self.part_of.clear();
        self.part_of.resize(metrics, NO_PART);
        self.origins.clear();
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

    /// Groups the points by metric, keeping their order inside one: a counting sort, one pass.
    fn batch(&self, ids: &[MetricId], user: UserId) -> Result<PointBatch> {
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

/// A point that passed every check.
#[derive(Clone, Copy)]
struct Point {
    metric: u16,
    value: f64,
    recorded_at: i64,
    origin: u16,
}

/// The values of a point's fields; of a field that is there twice, the last.
#[derive(Default)]
struct Fields<'t, 'b> {
    metric: Option<&'t Node<'b>>,
    value: Option<&'t Node<'b>>,
    unit: Option<&'t Node<'b>>,
    recorded_at: Option<&'t Node<'b>>,
    source: Option<&'t Node<'b>>,
    source_device_id: Option<&'t Node<'b>>,
}

/// One walk: what does not change in it, and what the last point was like.
pub(super) struct Walk<'w, 'b> {
    catalogue: &'w Catalogue,
    now_us: i64,
    columns: &'w mut Columns,
    faults: Faults,
    times: time::Parser,
    last_metric: Option<(&'b str, u16)>,
    last_unit: Option<(&'b str, u16, Conversion)>,
    last_origin: Option<(&'b str, Option<&'b str>, u16)>,
}

impl<'w, 'b> Walk<'w, 'b> {
    /// Begins a walk into `columns`, which are emptied first.
    pub(super) fn new(catalogue: &'w Catalogue, now_us: i64, columns: &'w mut Columns) -> Self {
        columns.begin(catalogue.len());
        Self {
            catalogue,
            now_us,
            columns,
            faults: Faults::default(),
            times: time::Parser::default(),
            last_metric: None,
            last_unit: None,
            last_origin: None,
        }
    }

    /// Takes a body `{"data_points":[…]}`.
    pub(super) fn bulk(&mut self, nodes: &[Node<'b>]) {
        let [Node::Object { len, .. }, fields @ ..] = nodes else {
            return self.complain(&[], Complaint::NotObject);
        };
        let mut points = None;
        let mut rest = fields;
        for _ in 0..*len {
            let [Node::String(name), value, ..] = rest else { break };
            if *name == "data_points" {
                points = rest.get(1..);
            }
            rest = rest.get(1 + node_count(value)..).unwrap_or_default();
        }
        let way = [Loc::Key("data_points")];
        match points {
            None => self.complain(&way, Complaint::Missing),
            Some([Node::Array { len: 1..=POINTS_MAX, count }, points @ ..]) => {
                self.points(points.get(..*count).unwrap_or(points));
            }
            Some([Node::Array { len, .. }, ..]) => self.complain(&way, Complaint::PointCount(*len)),
            Some(_) => self.complain(&way, Complaint::NotArray),
        }
    }

    /// Takes a body that is one point.
    pub(super) fn single(&mut self, nodes: &[Node<'b>]) {
        match nodes {
            [Node::Object { len, .. }, fields @ ..] => {
                let (fields, _) = gather(*len, fields);
                self.point(&fields, &[]);
            }
            _ => self.complain(&[], Complaint::NotObject),
        }
    }

    /// The batch, or what is wrong.
    pub(super) fn finish(self, ids: &[MetricId], user: UserId) -> Result<PointBatch> {
        match self.faults.into_list() {
            Some(faults) => Err(Error::Invalid(faults)),
            None => self.columns.batch(ids, user),
        }
    }

    fn points(&mut self, nodes: &[Node<'b>]) {
        let mut rest = nodes;
        let mut index = 0;
        while let [first, after @ ..] = rest {
            let way = [Loc::Key("data_points"), Loc::Index(index)];
            if let Node::Object { len, .. } = first {
                let (fields, behind) = gather(*len, after);
                self.point(&fields, &way);
                rest = behind;
            } else {
                self.complain(&way, Complaint::NotObject);
                rest = rest.get(node_count(first)..).unwrap_or_default();
            }
            if self.faults.is_full() {
                return;
            }
            index += 1;
        }
    }

    #[inline]
    fn point(&mut self, fields: &Fields<'_, 'b>, way: &[Loc]) {
        let metric = self.metric(fields.metric);
        let value = number(fields.value);
        let unit = self.unit(fields.unit, metric.ok());
        let value = match (metric, value, unit) {
            (Ok(place), Ok(value), Ok(conversion)) => self.plausible(place, conversion.apply(value)),
            (_, value, _) => value,
        };
        let recorded_at = self.recorded_at(fields.recorded_at);
        let source = text(fields.source);
        let device = device(fields.source_device_id);
        let origin = match (source, device) {
            (Ok(source), Ok(device)) => self.origin(source, device),
            _ => None,
        };
        if let (Ok(metric), Ok(value), Ok(_), Ok(recorded_at), Some(origin)) =
            (metric, value, unit, recorded_at, origin)
        {
            self.columns.push(Point { metric, value, recorded_at, origin });
            return;
        }
        self.complain_of(
            way,
            [
                ("metric", metric.err()),
                ("value", value.err()),
                ("unit", unit.err()),
                ("recorded_at", recorded_at.err()),
                ("source", source.and_then(check_source).err()),
                ("source_device_id", device.and_then(|device| device.map_or(Ok(()), check_device)).err()),
            ],
        );
    }

    #[inline]
    fn metric(&mut self, node: Option<&Node<'b>>) -> Result<u16, Complaint> {
        let key = text(node)?;
        match self.last_metric {
            Some((last, place)) if last == key => Ok(place),
            _ => {
                let place = self.catalogue.place(key).ok_or(Complaint::UnknownMetric)?;
                self.last_metric = Some((key, place));
                Ok(place)
            }
        }
    }

    /// The conversion of a unit; of an unknown metric, any text is a unit.
    #[inline]
    fn unit(&mut self, node: Option<&Node<'b>>, metric: Option<u16>) -> Result<Conversion, Complaint> {
        let name = text(node)?;
        let Some(place) = metric else { return Ok(Conversion::Same) };
        match self.last_unit {
            Some((last, last_place, conversion)) if last_place == place && last == name => Ok(conversion),
            _ => {
                let conversion = self.catalogue.at(place).and_then(|metric| metric.conversion(name));
                let conversion = conversion.ok_or(Complaint::UnknownUnit(place))?;
                self.last_unit = Some((name, place, conversion));
                Ok(conversion)
            }
        }
    }

    #[inline]
    fn plausible(&self, place: u16, value: f64) -> Result<f64, Complaint> {
        let is_plausible = self.catalogue.at(place).is_some_and(|metric| metric.is_plausible(value));
        // Adding zero turns the negative zero into the other one.
        if is_plausible { Ok(value + 0.0) } else { Err(Complaint::OutOfRange(place)) }
    }

    #[inline]
    fn recorded_at(&mut self, node: Option<&Node<'b>>) -> Result<i64, Complaint> {
        let at_us = self.times.parse(text(node)?.as_bytes()).ok_or(Complaint::NotTime)?;
        check_time(at_us, self.now_us)
    }

    /// The index of a source and device; `None` if one of them may not be.
    #[inline]
    fn origin(&mut self, source: &'b str, device: Option<&'b str>) -> Option<u16> {
        match self.last_origin {
            Some((last_source, last_device, origin)) if last_source == source && last_device == device => Some(origin),
            _ => self.new_origin(source, device),
        }
    }

    fn new_origin(&mut self, source: &'b str, device: Option<&'b str>) -> Option<u16> {
        check_source(source).ok()?;
        device.map_or(Ok(()), check_device).ok()?;
        let origin = self.columns.origins.intern(source, device)?;
        self.last_origin = Some((source, device, origin));
        Some(origin)
    }

    #[cold]
    fn complain_of(&mut self, way: &[Loc], complaints: [(&'static str, Option<Complaint>); 6]) {
        for (field, complaint) in complaints {
            if let Some(complaint) = complaint {
                self.complain(&[way, &[Loc::Key(field)]].concat(), complaint);
            }
        }
    }

    #[cold]
    fn complain(&mut self, way: &[Loc], complaint: Complaint) {
        self.faults.push(way, complaint, self.catalogue);
    }
}

/// Number of nodes that a value takes, itself included.
#[inline]
fn node_count(node: &Node<'_>) -> usize {
    match node {
        Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
        _ => 1,
    }
}

/// Sorts the `len` fields at the start of `nodes` into their slots and gives what follows. Unknown names are ignored.
#[inline]
fn gather<'t, 'b>(len: usize, nodes: &'t [Node<'b>]) -> (Fields<'t, 'b>, &'t [Node<'b>]) {
    let mut fields = Fields::default();
    let mut rest = nodes;
    for _ in 0..len {
        let [Node::String(name), value, after @ ..] = rest else { break };
        let slot = match name.as_bytes() {
            b"metric" => Some(&mut fields.metric),
            b"value" => Some(&mut fields.value),
            b"unit" => Some(&mut fields.unit),
            b"recorded_at" => Some(&mut fields.recorded_at),
            b"source" => Some(&mut fields.source),
            b"source_device_id" => Some(&mut fields.source_device_id),
            _ => None,
        };
        if let Some(slot) = slot {
            *slot = Some(value);
        }
        rest = after.get(node_count(value) - 1..).unwrap_or_default();
    }
    (fields, rest)
}

#[inline]
fn text<'b>(node: Option<&Node<'b>>) -> Result<&'b str, Complaint> {
    match node {
        Some(Node::String(text)) => Ok(text),
        Some(_) => Err(Complaint::NotString),
        None => Err(Complaint::Missing),
    }
}

#[inline]
fn device<'b>(node: Option<&Node<'b>>) -> Result<Option<&'b str>, Complaint> {
    match node {
        None | Some(Node::Static(StaticNode::Null)) => Ok(None),
        node => text(node).map(Some),
    }
}

#[expect(clippy::cast_precision_loss, reason = "whole numbers beyond 2^53 are beyond every bound")]
#[inline]
fn number(node: Option<&Node<'_>>) -> Result<f64, Complaint> {
    match node {
        Some(Node::Static(StaticNode::F64(value))) => Ok(*value),
        Some(Node::Static(StaticNode::I64(value))) => Ok(*value as f64),
        Some(Node::Static(StaticNode::U64(value))) => Ok(*value as f64),
        Some(_) => Err(Complaint::NotNumber),
        None => Err(Complaint::Missing),
    }
}
