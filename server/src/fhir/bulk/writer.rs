//! The parts of one patient into their files, through a bounded buffer.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use engine::observe::{Candidate, Keep, ObserveQuery, Order};
use storage::{TimeRange, UserId};
use tokio::runtime::Handle;

use super::{Part, SINCE_SLACK_US};
use crate::access::export::Granted;
use crate::control;
use crate::control::entities::{bulk_job, check_in, user};
use crate::control::repository::{Place, check_ins};
use crate::error::ApiError;
use crate::fhir::day::Days;
use crate::fhir::kind::{Field, Series};
use crate::fhir::render::{Frame, ObservationWriter, patient};
use crate::state::AppState;

/// Points that are rendered between two looks at the buffer: about a megabyte.
const POINTS_AT_ONCE: usize = 1_024;

/// What waits in memory goes to the file above this, bytes.
const BUFFER_BYTES: usize = 1 << 20;

/// Check-ins in memory at once.
const CHECK_INS_AT_ONCE: u64 = 500;

/// Points that a read of the engine is meant for: many.
const ROWS_ABOUT: usize = usize::MAX;

/// Why a patient's files are not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The next start begins the patient again.
    #[error("the server is stopping")]
    Stopping,
    /// Who asked has cancelled it, or is gone.
    #[error("the export was cancelled")]
    Cancelled,
    /// The patient's grant has ended, or the patient is gone.
    #[error("the patient's grant has ended")]
    Ended,
    /// All exports together have the room that they may have.
    #[error("there is no room for more files of exports")]
    Full,
    /// The control database.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The points.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The files.
    #[error("write a file of an export")]
    Io(#[from] io::Error),
    /// The key of ids.
    #[error(transparent)]
    Ids(#[from] ApiError),
}

/// A file that is whole and durable.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) part: Part,
    pub(super) resources: i64,
    pub(super) bytes: i64,
}

/// Writes the files of one patient.
pub(super) struct Writer<'a> {
    pub(super) state: &'a AppState,
    pub(super) runtime: &'a Handle,
    pub(super) job: &'a bulk_job::Model,
    pub(super) person: &'a user::Model,
    pub(super) granted: &'a Granted,
    /// Bytes that may still be written.
    pub(super) room: u64,
    /// Whether to go on, asked often; it looks at what there is to look at when it is time.
    pub(super) go_on: &'a mut dyn FnMut() -> Result<(), Failure>,
}

impl Writer<'_> {
    /// Writes every part that was asked for and is allowed. A part without a line is no file. What was written is durable;
    /// on a failure it is for the caller to remove.
    pub(super) fn write(&mut self) -> Result<Vec<Written>, Failure> {
        let wants = |name: &str| self.job.types.split(' ').any(|known| known == name);
        let (with_patient, with_observations) = (wants("Patient"), wants("Observation"));
        let mut written = Vec::new();
        if with_patient {
            written.extend(self.part(Part::Patient, |writer, output| {
                writer.patient(output);
                Ok(())
            })?);
        }
        if with_observations && self.granted.may_points {
            written.extend(self.part(Part::Points, Self::points)?);
        }
        if with_observations && self.granted.may_check_ins {
            written.extend(self.part(Part::CheckIns, Self::check_ins)?);
        }
        Ok(written)
    }

    /// From when on something must have changed; `None` where everything is wanted: without `_since`, and of somebody who
    /// has let the doctor in since.
    fn since_us(&self) -> Option<i64> {
        let since = self.job.since.filter(|since| self.granted.accepted_at <= *since)?;
        Some(since.saturating_sub(SINCE_SLACK_US))
    }

    fn part(
        &mut self,
        part: Part,
        write: fn(&mut Self, &mut Output) -> Result<(), Failure>,
    ) -> Result<Option<Written>, Failure> {
        let folder = self.state.bulk.folder().clone();
        let file = folder.create(&self.job.id, &self.person.id, part)?;
        let mut output = Output { file, buffer: Vec::new(), resources: 0, bytes: 0, room: self.room };
        write(self, &mut output)?;
        let (resources, bytes) = output.end()?;
        self.room = self.room.saturating_sub(bytes);
        if resources == 0 {
            folder.remove(&self.job.id, &self.person.id, part)?;
            return Ok(None);
        }
        Ok(Some(Written { part, resources, bytes: i64::try_from(bytes).unwrap_or(i64::MAX) }))
    }

    fn patient(&self, output: &mut Output) {
        if self.since_us().is_none_or(|since| self.person.updated_at >= since) {
            output.buffer.extend_from_slice(&patient(self.person));
            output.buffer.push(b'\n');
            output.resources += 1;
        }
    }

    /// Metric by metric, each oldest first: nothing is merged, so nothing waits for another.
    fn points(&mut self, output: &mut Output) -> Result<(), Failure> {
        let (state, since_us) = (self.state, self.since_us());
        let Some(user) = UserId::parse(&self.person.id) else { return Ok(()) };
        let ids = self.runtime.block_on(state.fhir.ids(&state.control))?;
        let days = Days::of(self.person, state.clock.now_us());
        let mut writer = ObservationWriter::new(&state.fhir, ids, user, days.clone(), Frame::Lines);
        let metrics = state.fhir.kinds().iter().filter_map(|kind| match &kind.series {
            Series::Metric(key) => Some(Arc::clone(key)),
            Series::Field(_) => None,
        });
        for metric in metrics {
            let keep = since_us.map(|since_us| keep_since(since_us, &metric, &days));
            let query = ObserveQuery {
                metrics: vec![metric],
                times: TimeRange::ALL,
                order: Order::Ascending,
                after: None,
                keep,
                rows_about: ROWS_ABOUT,
            };
            let mut points = state.engine.observe(user, query)?;
            while let Some(mut left) = self.runtime.block_on(points.next())? {
                while !left.is_empty() {
                    (self.go_on)()?;
                    let (first, others) = left.split_at(POINTS_AT_ONCE);
                    writer.points(&first, &mut output.buffer)?;
                    output.resources = output.resources.saturating_add(i64::try_from(first.len()).unwrap_or(i64::MAX));
                    output.pass()?;
                    left = others;
                }
            }
        }
        Ok(())
    }

    fn check_ins(&mut self, output: &mut Output) -> Result<(), Failure> {
        let (state, since_us) = (self.state, self.since_us());
        let Some(user) = UserId::parse(&self.person.id) else { return Ok(()) };
        let ids = self.runtime.block_on(state.fhir.ids(&state.control))?;
        let days = Days::of(self.person, state.clock.now_us());
        let mut writer = ObservationWriter::new(&state.fhir, ids, user, days.clone(), Frame::Lines);
        let is_new = |row: &check_in::Model, field: Field| {
            let changed_us = || days.changed_us(row.updated_at, days.end_of_said(field, row.checked_in_at));
            since_us.is_none_or(|since_us| changed_us() >= since_us)
        };
        let mut place = Place::START;
        loop {
            (self.go_on)()?;
            let page = check_ins::after(state.control.read(), &self.person.id, &place, CHECK_INS_AT_ONCE);
            let rows = self.runtime.block_on(page)?;
            let Some(last) = rows.last() else { return Ok(()) };
            place = Place { made_at: last.created_at, id: last.id.clone() };
            for row in &rows {
                for field in Field::ALL.into_iter().filter(|field| is_new(row, *field)) {
                    output.resources += i64::from(writer.check_in(row, field, &mut output.buffer));
                }
            }
            output.pass()?;
        }
    }
}

/// Points of a metric that are as they are since a moment or a later one.
fn keep_since(since_us: i64, metric: &str, days: &Days) -> Keep {
    let accepted_us = |point: &Candidate<'_>| point.measured.accepted_at_ms.saturating_mul(1_000);
    if !Days::may_have_totals(metric) {
        return Arc::new(move |point: &Candidate<'_>| accepted_us(point) >= since_us);
    }
    let days = days.clone();
    Arc::new(move |point: &Candidate<'_>| {
        let end = days.end_of_point(point.metric, point.source, point.device, point.measured.recorded_at);
        days.changed_us(accepted_us(point), end) >= since_us
    })
}

/// A file that is being written.
struct Output {
    file: File,
    buffer: Vec<u8>,
    resources: i64,
    bytes: u64,
    /// Most bytes that it may have.
    room: u64,
}

impl Output {
    /// Writes what waits, if that is much.
    fn pass(&mut self) -> Result<(), Failure> {
        if self.buffer.len() < BUFFER_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(u64::try_from(self.buffer.len()).unwrap_or(u64::MAX));
        if self.bytes > self.room {
            return Err(Failure::Full);
        }
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the file durable; its lines and its length.
    fn end(mut self) -> Result<(i64, u64), Failure> {
        self.flush()?;
        self.file.sync_all()?;
        Ok((self.resources, self.bytes))
    }
}
