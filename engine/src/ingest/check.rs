//! What holds of every point, however it came: its metric, unit, value, time and origin.
//!
//! Nothing is allocated per point: runs of equal metrics, units, sources and days cost a comparison each.

use super::validate::{Complaint, Faults, check_device, check_source, check_time};
use crate::catalogue::{Catalogue, Conversion};
use crate::error::{Fault, Loc};
use crate::time;

/// A point that passed every check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// Place of the metric in the catalogue.
    pub(super) metric: u16,
    /// In the metric's canonical unit.
    pub(super) value: f64,
    /// Microseconds UTC.
    pub(super) recorded_at: i64,
    /// What [`Target::origin`] said.
    pub(super) origin: u16,
}

/// A point's fields as they came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'b> {
    pub(super) metric: Result<&'b str, Complaint>,
    pub(super) value: Result<f64, Complaint>,
    /// `None`: the canonical one.
    pub(super) unit: Result<Option<&'b str>, Complaint>,
    pub(super) recorded_at: Result<Stamp<'b>, Complaint>,
    pub(super) source: Result<&'b str, Complaint>,
    pub(super) device: Result<Option<&'b str>, Complaint>,
    /// Whose it is; `None`: the sender's.
    pub(super) user: Result<Option<&'b str>, Complaint>,
}

/// A time as it came.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stamp<'b> {
    /// RFC 3339.
    Text(&'b str),
    /// Microseconds UTC.
    Micros(i64),
}

/// Where points go that passed: the columns of one body, or the rows of a stream.
pub(super) trait Target {
    /// The index of a source and device, both checked; `None` if there are too many.
    fn origin(&mut self, source: &str, device: Option<&str>) -> Option<u16>;

    /// Whether a point may say whose it is; else a field of that name is one that nobody reads.
    const HAS_USERS: bool = false;

    /// Whose the next point is; `false` if that can be nobody's id.
    fn name(&mut self, _user: Option<&str>) -> bool {
        true
    }

    /// Takes a point.
    fn push(&mut self, point: Point);
}

/// The checks of one body: what does not change in it, and what the last point was like.
pub(super) struct Check<'w, 'b, T> {
    catalogue: &'w Catalogue,
    now_us: i64,
    target: &'w mut T,
    faults: Faults,
    times: time::Parser,
    last_metric: Option<(&'b str, u16)>,
    last_unit: Option<(Option<&'b str>, u16, Conversion)>,
    last_origin: Option<(&'b str, Option<&'b str>, u16)>,
}

impl<'w, 'b, T: Target> Check<'w, 'b, T> {
    /// Begins a body.
    pub(super) fn new(catalogue: &'w Catalogue, now_us: i64, target: &'w mut T) -> Self {
        Self {
            catalogue,
            now_us,
            target,
            faults: Faults::default(),
            times: time::Parser::default(),
            last_metric: None,
            last_unit: None,
            last_origin: None,
        }
    }

    /// What is wrong with what was taken so far, if anything is; forgets it.
    pub(super) fn take_faults(&mut self) -> Option<Vec<Fault>> {
        std::mem::take(&mut self.faults).into_list()
    }

    /// Whether no more faults are noted.
    pub(super) fn is_full(&self) -> bool {
        self.faults.is_full()
    }

    /// The target again.
    pub(super) fn target(&mut self) -> &mut T {
        self.target
    }

    /// Checks a point and hands it on, or notes everything that is wrong with it; `way` is its place in the body.
    #[inline]
    pub(super) fn take(&mut self, raw: Raw<'b>, way: &[Loc]) {
        let metric = raw.metric.and_then(|key| self.metric(key));
        let unit = raw.unit.and_then(|name| self.unit(name, metric.ok()));
        let value = match (metric, raw.value, unit) {
            (Ok(place), Ok(value), Ok(conversion)) => self.plausible(place, conversion.apply(value)),
            (_, value, _) => value,
        };
        let recorded_at = raw.recorded_at.and_then(|stamp| self.recorded_at(stamp));
        let origin = match (raw.source, raw.device) {
            (Ok(source), Ok(device)) => self.origin(source, device),
            _ => None,
        };
        let user = if T::HAS_USERS { raw.user.and_then(|user| self.user(user)) } else { Ok(()) };
        if let (Ok(metric), Ok(value), Ok(_), Ok(recorded_at), Some(origin), Ok(())) =
            (metric, value, unit, recorded_at, origin, user)
        {
            self.target.push(Point { metric, value, recorded_at, origin });
            return;
        }
        let device = raw.device.and_then(|device| device.map_or(Ok(()), check_device));
        self.complain_of(
            way,
            [
                ("metric", metric.err()),
                ("value", value.err()),
                ("unit", unit.err()),
                ("recorded_at", recorded_at.err()),
                ("source", raw.source.and_then(check_source).err()),
                ("source_device_id", device.err()),
                ("user_id", user.err()),
            ],
        );
    }

    #[inline]
    fn metric(&mut self, key: &'b str) -> Result<u16, Complaint> {
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
    fn unit(&mut self, name: Option<&'b str>, metric: Option<u16>) -> Result<Conversion, Complaint> {
        let Some(place) = metric else { return Ok(Conversion::Same) };
        match self.last_unit {
            Some((last, last_place, conversion)) if last_place == place && last == name => Ok(conversion),
            _ => {
                let conversion = match name {
                    None => Some(Conversion::Same),
                    Some(name) => self.catalogue.at(place).and_then(|metric| metric.conversion(name)),
                };
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
    fn recorded_at(&mut self, stamp: Stamp<'_>) -> Result<i64, Complaint> {
        let at_us = match stamp {
            Stamp::Text(text) => self.times.parse(text.as_bytes()).ok_or(Complaint::NotTime)?,
            Stamp::Micros(at_us) => at_us,
        };
        check_time(at_us, self.now_us)
    }

    #[inline]
    fn user(&mut self, user: Option<&str>) -> Result<(), Complaint> {
        if self.target.name(user) { Ok(()) } else { Err(Complaint::NotUser) }
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
        let origin = self.target.origin(source, device)?;
        self.last_origin = Some((source, device, origin));
        Some(origin)
    }

    #[cold]
    fn complain_of(&mut self, way: &[Loc], complaints: [(&'static str, Option<Complaint>); 7]) {
        for (field, complaint) in complaints {
            if let Some(complaint) = complaint {
                self.complain(&[way, &[Loc::Key(field)]].concat(), complaint);
            }
        }
    }

    /// Notes that something is wrong at a place of the body.
    #[cold]
    pub(super) fn complain(&mut self, way: &[Loc], complaint: Complaint) {
        self.faults.push(way, complaint, self.catalogue);
    }
}
