//! Observations and patients as JSON bytes, straight into a buffer.
//!
//! What an observation has in common with those beside it (codes, category, subject, device, unit) is text that is prepared
//! once for each kind, source and device, and once more for all of these that came together and are in one state; between
//! these texts stand the id, the time and the value. Nothing is allocated for a point.
//!
//! ```text
//! <before_id> ID <before_time> TIME <before_value> VALUE <end>
//!             │                │                   └ unit
//!             │                └ when issued, device
//!             └ version, status, category, code, subject: Between, of Prepared and State
//! ```

mod between;
mod patient;
mod prepared;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use engine::observe::{Measured, Observed};
use engine::time::Formatter;
use engine::{number, time};
use storage::UserId;

use self::between::{Between, State};
pub use self::patient::{US_CORE_PATIENT, USER_SYSTEM, patient, patient_id, user_id, version as version_of_patient};
use self::prepared::{Origin, Prepared};
use super::Fhir;
use super::day::{Days, Totals};
use super::id::{Ids, Mark, origin_mark};
use super::kind::Field;
use super::namer::{Namer, PointId};
use crate::control::entities::check_in;

/// Sources and devices that are kept prepared; with more than these the first ones are prepared again.
const ORIGINS_MAX: usize = 64;

/// Bytes of an observation, for reserving: more than nearly all have.
pub const OBSERVATION_BYTES: usize = 1_280;

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

impl Frame {
    /// What stands behind an observation.
    fn end(&self) -> &'static [u8] {
        match self {
            Self::Alone => b"",
            Self::Lines => b"\n",
            Self::Entries(_) => b",\"search\":{\"mode\":\"match\"}}",
        }
    }
}

/// Writes one person's observations.
#[derive(Debug)]
pub struct ObservationWriter {
    fhir: Arc<Fhir>,
    ids: Ids,
    user: UserId,
    days: Days,
    namer: Namer,
    /// Of the points of a source and device, with their room kept.
    times: Vec<i64>,
    point_ids: Vec<PointId>,
    frame: Frame,
    /// What stands before an entry's id in its address: a comma, which the first one has not, and the address.
    entry: Vec<u8>,
    /// From there, or else from the beginning, to the id of the observation.
    before_id: &'static [u8],
    is_first: bool,
    /// `"subject":{…}`
    subject: Vec<u8>,
    measured: Formatter,
    accepted: Formatter,
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

/// What differs from one observation to the next.
#[derive(Debug, Clone, Copy)]
struct Moment {
    recorded_at: i64,
    /// Of what lasted.
    period_end: Option<i64>,
    value: f64,
}

impl ObservationWriter {
    /// Nothing was written yet. `days` are those of the person, for totals.
    pub fn new(fhir: &Arc<Fhir>, ids: &Ids, user: UserId, days: Days, frame: Frame) -> Self {
        let mut entry = Vec::new();
        let before_id: &[u8] = if let Frame::Entries(address) = &frame {
            entry.extend_from_slice(b",{\"fullUrl\":");
            prepared::write_text(address, &mut entry);
            // The id goes on in the same text.
            entry.pop();
            b"\",\"resource\":{\"resourceType\":\"Observation\",\"id\":\""
        } else {
            b"{\"resourceType\":\"Observation\",\"id\":\""
        };
        let mut subject = b"\"subject\":{\"reference\":\"Patient/".to_vec();
        subject.extend_from_slice(patient_id(user.as_str()).as_bytes());
        subject.extend_from_slice(b"\"}");
        Self {
            fhir: Arc::clone(fhir),
            ids: ids.clone(),
            user,
            days,
            namer: ids.namer(user),
            times: Vec::new(),
            point_ids: Vec::new(),
            frame,
            entry,
            before_id,
            is_first: true,
            subject,
            measured: Formatter::default(),
            accepted: Formatter::default(),
            origins: Vec::new(),
        }
    }

    /// Writes points in their order. What it costs is measured by the bench `fhir`.
    ///
    /// # Errors
    /// A batch of another shape; a metric that is no kind.
    pub fn points(&mut self, observed: &Observed, out: &mut Vec<u8>) -> engine::Result<()> {
        let columns = observed.columns()?;
        out.reserve(observed.len() * OBSERVATION_BYTES);
        for run in columns.runs() {
            let place = self.origin(&observed.metric, run.source, run.device)?;
            // Put back below: what is written is not looked for meanwhile.
            let Some(mut origin) = self.origins.get_mut(place).map(std::mem::take) else { continue };
            self.namer.begin(origin.metric_mark, origin.mark);
            self.times.clear();
            self.times.extend(run.points().map(|measured| measured.recorded_at));
            let mut point_ids = std::mem::take(&mut self.point_ids);
            point_ids.clear();
            self.namer.ids(&self.times, &mut point_ids);
            for (measured, id) in run.points().zip(&point_ids) {
                self.point(&mut origin, measured, id, out);
            }
            self.point_ids = point_ids;
            if let Some(room) = self.origins.get_mut(place) {
                *room = origin;
            }
        }
        Ok(())
    }

    fn point(&mut self, origin: &mut Origin, measured: Measured, id: &PointId, out: &mut Vec<u8>) {
        let Measured { recorded_at, value, is_corrected, .. } = measured;
        let end = origin.totals.and_then(|totals| self.days.end_of(totals, recorded_at));
        let status = match end {
            Some(end) if self.days.is_open(end) => "preliminary",
            _ if is_corrected => "corrected",
            _ => "final",
        };
        let period_end = end.filter(|_| origin.totals.is_some_and(Totals::have_period));
        let version = Version::of_point(&measured, &self.days, end);
        let accepted_us = accepted_us(&measured);
        let state = State { version, status, accepted_us, has_period: period_end.is_some() };
        origin.between.set(state, &origin.prepared, &mut self.accepted);
        self.write((&origin.prepared, &origin.between), id, Moment { recorded_at, period_end, value }, out);
    }

    /// Writes a value of a check-in; `false`, and nothing written, where it has none.
    pub fn check_in(&mut self, row: &check_in::Model, field: Field, out: &mut Vec<u8>) -> bool {
        let id = self.ids.of_check_in(self.user, field, &row.id);
        let (Some(value), Some(id), Some(kind)) = (field.of(row), id, self.fhir.kinds().of_field(field)) else {
            return false;
        };
        let prepared = Prepared::of_check_in(kind, &self.subject, self.frame.end());
        let end = self.days.end_of_said(field, row.checked_in_at);
        let status = match end {
            Some(end) if self.days.is_open(end) => "preliminary",
            _ if row.updated_at == row.created_at => "final",
            // Which of its values was changed is not known.
            _ => "amended",
        };
        let version = Version::of_check_in(row, &self.days, end);
        let mut between = Between::default();
        let state = State { version, status, accepted_us: row.updated_at, has_period: false };
        between.set(state, &prepared, &mut self.accepted);
        let moment = Moment { recorded_at: row.checked_in_at, period_end: None, value };
        self.write((&prepared, &between), &id, moment, out);
        true
    }

    /// An id of a length that is known when this is compiled is not copied by a call.
    fn write(
        &mut self,
        (prepared, between): (&Prepared, &Between),
        id: &impl AsRef<[u8]>,
        moment: Moment,
        out: &mut Vec<u8>,
    ) {
        let id = id.as_ref();
        if matches!(self.frame, Frame::Entries(_)) {
            out.extend_from_slice(self.entry.get(usize::from(self.is_first)..).unwrap_or_default());
            out.extend_from_slice(id);
        }
        self.is_first = false;
        out.extend_from_slice(self.before_id);
        out.extend_from_slice(id);
        out.extend_from_slice(&between.before_time);
        self.measured.write(moment.recorded_at, out);
        if let Some(end) = moment.period_end {
            out.extend_from_slice(b"\",\"end\":\"");
            self.measured.write(end, out);
        }
        out.extend_from_slice(&between.before_value);
        number::write(moment.value, prepared.is_count, out);
        out.extend_from_slice(&prepared.end);
    }

    /// Where a source and device is prepared.
    fn origin(&mut self, metric: &str, source: &str, device: Option<&str>) -> engine::Result<usize> {
        // The last one is nearly always the one, and of two that take turns both are among the last.
        let known = self.origins.iter().rposition(|origin| origin.is(metric, source, device));
        if let Some(place) = known {
            return Ok(place);
        }
        let kind = self.fhir.kinds().of_metric(metric);
        let kind = kind.ok_or_else(|| engine::Error::UnknownMetric(metric.to_owned()))?;
        let id = self.ids.of_device(self.user, origin_mark(source, device));
        let origin = Origin::new(kind, &self.subject, (&id, self.frame.end()), source, device);
        if self.origins.len() >= ORIGINS_MAX {
            self.origins.clear();
        }
        self.origins.push(origin);
        Ok(self.origins.len() - 1)
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
