//! Observations and patients as JSON bytes, straight into a buffer.
//!
//! What an observation has in common with those beside it (codes, category, subject, device, unit) is text that is prepared
//! once for each kind, source and device; between these texts stand the id, the times and the value. Nothing is allocated
//! for a point.
//!
//! ```text
//! {"resourceType":"Observation","id":" ID ","meta":{"versionId":" MS ","lastUpdated":" TIME <before_status> STATUS
//!   <before_time> ,"effectiveDateTime":" TIME ","issued":" TIME <before_value> VALUE <end>
//! ```

mod patient;
mod prepared;
#[cfg(test)]
mod tests;

use engine::observe::{Measured, Observed};
use engine::time::Formatter;
use engine::{number, time};
use storage::UserId;

pub use self::patient::{US_CORE_PATIENT, USER_SYSTEM, patient, patient_id, user_id, version as version_of_patient};
pub use self::prepared::{DEVICE_SYSTEM, SOURCE_SYSTEM};
use self::prepared::{Origin, Prepared};
use super::Fhir;
use super::day::{Days, Totals};
use super::id::{Ids, Mark, origin_mark};
use super::kind::{Field, Kind};
use super::namer::{Namer, PointId};
use crate::control::entities::check_in;

/// Sources and devices that are kept prepared; with more than these the first ones are prepared again.
const ORIGINS_MAX: usize = 64;

/// Bytes of an observation, for reserving.
const OBSERVATION_BYTES: usize = 1_280;

/// Microseconds of a millisecond.
const MILLISECOND_US: i64 = 1_000;

/// How observations stand beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Nothing between them: for one alone.
    Alone,
    /// One a line.
    Lines,
    /// Entries of a `searchset`, with commas between them: the text begins the address of each, up to its id.
    Entries(String),
}

/// Writes one person's observations.
#[derive(Debug)]
pub struct ObservationWriter<'a> {
    fhir: &'a Fhir,
    ids: &'a Ids,
    user: UserId,
    days: Days,
    namer: Namer,
    /// Of the points of a source and device, with their room kept.
    times: Vec<i64>,
    point_ids: Vec<PointId>,
    frame: Frame,
    /// What an entry begins with, up to the id in its address.
    entry: Vec<u8>,
    is_first: bool,
    /// `"subject":{…}`
    subject: Vec<u8>,
    measured: Formatter,
    changed: Changed,
    origins: Vec<Origin>,
}

/// A version of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Its name: when it came to be, milliseconds of a point, microseconds of a check-in.
    pub number: u64,
    /// When it came to be, microseconds UTC.
    pub changed_us: i64,
}

impl Version {
    /// Of a point: when it was accepted, or, of a total of a day that ends at `end`, when that was over.
    pub fn of_point(measured: &Measured, days: &Days, end: Option<i64>) -> Self {
        let accepted_us = accepted_us(measured);
        if end.is_none() {
            return Self { number: measured.accepted_at_ms.unsigned_abs(), changed_us: accepted_us };
        }
        let changed_us = days.changed_us(accepted_us, end);
        Self { number: changed_us.div_euclid(MILLISECOND_US).unsigned_abs(), changed_us }
    }

    /// Of a value of a check-in: when that last changed, or, of a total of a day that ends at `end`, when that was over.
    pub fn of_check_in(row: &check_in::Model, days: &Days, end: Option<i64>) -> Self {
        let changed_us = days.changed_us(row.updated_at, end);
        Self { number: changed_us.unsigned_abs(), changed_us }
    }
}

fn accepted_us(measured: &Measured) -> i64 {
    measured.accepted_at_ms.saturating_mul(MILLISECOND_US)
}

/// When an observation was, and when it got here, microseconds UTC.
#[derive(Debug, Clone, Copy)]
struct When {
    recorded_at: i64,
    /// Of what lasted.
    period_end: Option<i64>,
    accepted_us: i64,
}

/// When the last observation came to be as it is, as text: those that came together have it in common.
#[derive(Debug)]
struct Changed {
    at_us: i64,
    number: u64,
    version: Vec<u8>,
    time: Vec<u8>,
    formatter: Formatter,
}

impl Changed {
    fn set(&mut self, Version { number: version, changed_us: at_us }: Version) {
        // A point and a check-in of one moment have versions of their own.
        if self.at_us != at_us || self.number != version || self.version.is_empty() {
            self.at_us = at_us;
            self.number = version;
            self.version.clear();
            number::write_u64(version, &mut self.version);
            self.time.clear();
            self.formatter.write(at_us, &mut self.time);
        }
    }
}

impl<'a> ObservationWriter<'a> {
    /// Nothing was written yet. `days` are those of the person, for totals.
    pub fn new(fhir: &'a Fhir, ids: &'a Ids, user: UserId, days: Days, frame: Frame) -> Self {
        let mut entry = Vec::new();
        if let Frame::Entries(address) = &frame {
            entry.extend_from_slice(b"{\"fullUrl\":");
            prepared::write_text(address, &mut entry);
            // The id goes on in the same text.
            entry.pop();
        }
        let mut subject = b"\"subject\":{\"reference\":\"Patient/".to_vec();
        subject.extend_from_slice(patient_id(user.as_str()).as_bytes());
        subject.extend_from_slice(b"\"}");
        let changed =
            Changed { at_us: 0, number: 0, version: Vec::new(), time: Vec::new(), formatter: Formatter::default() };
        Self {
            fhir,
            ids,
            user,
            days,
            namer: ids.namer(user),
            times: Vec::new(),
            point_ids: Vec::new(),
            frame,
            entry,
            is_first: true,
            subject,
            measured: Formatter::default(),
            changed,
            origins: Vec::new(),
        }
    }

    /// Writes points in their order. Cost: a sixth of a microsecond a point.
    ///
    /// # Errors
    /// A batch of another shape; a metric that is no kind.
    pub fn points(&mut self, observed: &Observed, out: &mut Vec<u8>) -> engine::Result<()> {
        let columns = observed.columns()?;
        out.reserve(observed.len() * OBSERVATION_BYTES);
        for run in columns.runs() {
            let place = self.origin(&observed.metric, run.source, run.device)?;
            // Put back below: what is written is not looked for meanwhile.
            let Some(origin) = self.origins.get_mut(place).map(std::mem::take) else { continue };
            self.namer.begin(origin.metric_mark, origin.mark);
            self.times.clear();
            self.times.extend(run.points().map(|measured| measured.recorded_at));
            let mut point_ids = std::mem::take(&mut self.point_ids);
            point_ids.clear();
            self.namer.ids(&self.times, &mut point_ids);
            for (measured, id) in run.points().zip(&point_ids) {
                self.point(&origin, measured, id, out);
            }
            self.point_ids = point_ids;
            if let Some(room) = self.origins.get_mut(place) {
                *room = origin;
            }
        }
        Ok(())
    }

    fn point(&mut self, origin: &Origin, measured: Measured, id: &PointId, out: &mut Vec<u8>) {
        let Measured { recorded_at, value, is_corrected, .. } = measured;
        let end = origin.totals.and_then(|totals| self.days.end_of(totals, recorded_at));
        self.changed.set(Version::of_point(&measured, &self.days, end));
        let status: &[u8] = match end {
            Some(end) if self.days.is_open(end) => b"preliminary",
            _ if is_corrected => b"corrected",
            _ => b"final",
        };
        let period_end = end.filter(|_| origin.totals.is_some_and(Totals::have_period));
        let when = When { recorded_at, period_end, accepted_us: accepted_us(&measured) };
        self.write(&origin.prepared, id, status, (when, value), out);
    }

    /// Writes a value of a check-in; `false`, and nothing written, where it has none.
    pub fn check_in(&mut self, row: &check_in::Model, field: Field, out: &mut Vec<u8>) -> bool {
        let id = self.ids.of_check_in(self.user, field, &row.id);
        let (Some(value), Some(id), Some(kind)) = (field.of(row), id, self.fhir.kinds().of_field(field)) else {
            return false;
        };
        let prepared = Prepared::of_check_in(kind, &self.subject);
        let end = self.days.end_of_said(field, row.checked_in_at);
        self.changed.set(Version::of_check_in(row, &self.days, end));
        let status: &[u8] = match end {
            Some(end) if self.days.is_open(end) => b"preliminary",
            _ if row.updated_at == row.created_at => b"final",
            // Which of its values was changed is not known.
            _ => b"amended",
        };
        let when = When { recorded_at: row.checked_in_at, period_end: None, accepted_us: row.updated_at };
        self.write(&prepared, id.as_bytes(), status, (when, value), out);
        true
    }

    fn write(&mut self, prepared: &Prepared, id: &[u8], status: &[u8], (when, value): (When, f64), out: &mut Vec<u8>) {
        if matches!(self.frame, Frame::Entries(_)) {
            if !self.is_first {
                out.push(b',');
            }
            out.extend_from_slice(&self.entry);
            out.extend_from_slice(id);
            out.extend_from_slice(b"\",\"resource\":");
        }
        self.is_first = false;
        out.extend_from_slice(b"{\"resourceType\":\"Observation\",\"id\":\"");
        out.extend_from_slice(id);
        out.extend_from_slice(b"\",\"meta\":{\"versionId\":\"");
        out.extend_from_slice(&self.changed.version);
        out.extend_from_slice(b"\",\"lastUpdated\":\"");
        out.extend_from_slice(&self.changed.time);
        out.extend_from_slice(&prepared.before_status);
        out.extend_from_slice(status);
        out.extend_from_slice(&prepared.before_time);
        if let Some(end) = when.period_end {
            out.extend_from_slice(b",\"effectivePeriod\":{\"start\":\"");
            self.measured.write(when.recorded_at, out);
            out.extend_from_slice(b"\",\"end\":\"");
            self.measured.write(end, out);
            out.extend_from_slice(b"\"},\"issued\":\"");
        } else {
            out.extend_from_slice(b",\"effectiveDateTime\":\"");
            self.measured.write(when.recorded_at, out);
            out.extend_from_slice(b"\",\"issued\":\"");
        }
        if when.accepted_us == self.changed.at_us {
            out.extend_from_slice(&self.changed.time);
        } else {
            self.measured.write(when.accepted_us, out);
        }
        out.extend_from_slice(&prepared.before_value);
        number::write(value, prepared.is_count, out);
        out.extend_from_slice(&prepared.end);
        out.extend_from_slice(match self.frame {
            Frame::Alone => b"",
            Frame::Lines => b"\n",
            Frame::Entries(_) => b",\"search\":{\"mode\":\"match\"}}",
        });
    }

    /// Where a source and device is prepared.
    fn origin(&mut self, metric: &str, source: &str, device: Option<&str>) -> engine::Result<usize> {
        // The last one is nearly always the one, and of two that take turns both are among the last.
        let known = self.origins.iter().rposition(|origin| origin.is(metric, source, device));
        if let Some(place) = known {
            return Ok(place);
        }
        let kind = self.kind(metric)?;
        let id = self.ids.of_device(self.user, origin_mark(source, device));
        let origin = Origin::new(kind, &self.subject, &id, source, device);
        if self.origins.len() >= ORIGINS_MAX {
            self.origins.clear();
        }
        self.origins.push(origin);
        Ok(self.origins.len() - 1)
    }

    fn kind(&self, metric: &str) -> engine::Result<&'a Kind> {
        self.fhir.kinds().of_metric(metric).ok_or_else(|| engine::Error::UnknownMetric(metric.to_owned()))
    }
}

/// Whether a point is of this origin.
pub fn is_of(origin: Mark, source: &str, device: Option<&str>) -> bool {
    origin_mark(source, device) == origin
}

/// A time as FHIR writes it.
pub fn instant(at_us: i64) -> String {
    time::format(at_us)
}
