//! The thread that writes exports: a patient of one, then a patient of the next, so that a large one holds up no small one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::runtime::Handle;

use super::writer::{Failure, Writer, Written};
use super::{KEPT_US, Part};
use crate::access::export::{self, Granted};
use crate::control::entities::{bulk_file, bulk_job, user};
use crate::control::repository::{bulk, users};
use crate::state::AppState;

/// Between two looks for exports whose time is over.
const TIDY_EVERY: Duration = Duration::from_mins(10);

/// Until what the database refused is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked whether the export is still wanted and its patient's grant stands.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the sum of all files is believed.
const SUM_HOLDS: Duration = Duration::from_secs(10);

/// An export that has not ended by then never will: the data directory that it belongs to is gone.
const RUNNING_US_MAX: i64 = 30 * 24 * 3600 * 1_000_000;

/// What a client is told of an export that failed; the log knows more.
const BROKEN: &str = "the export could not go on; the server's log knows why";
const FULL: &str = "there is no room for more files of exports; delete others, or ask for less";

/// Writes the exports of this process's data directory.
#[derive(Debug)]
pub(super) struct Worker {
    state: AppState,
    runtime: Handle,
    /// Bytes of all files, and when they were summed up.
    sum: Option<(u64, Duration)>,
    tidied: Option<Duration>,
}

impl Worker {
    /// Must be called on a runtime.
    pub(super) fn new(state: AppState) -> Self {
        Self { state, runtime: Handle::current(), sum: None, tidied: None }
    }

    /// Works until it is stopped. Blocks; not for the runtime's own threads.
    pub(super) fn run(&mut self) {
        while !self.state.bulk.is_stopping() {
            let wait = match self.turn() {
                Ok(true) => continue,
                Ok(false) => TIDY_EVERY,
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "exports wait");
                    AGAIN
                }
            };
            // Either way there may be something to do.
            let _ = self.state.bulk.inner.rung.recv_timeout(wait);
        }
    }

    /// One patient of one export; whether there was anything to do.
    pub(super) fn turn(&mut self) -> Result<bool, Failure> {
        // Without one, nobody has ever asked for an export here.
        let Some(place) = self.state.bulk.folder().known_place()? else { return Ok(false) };
        let now = self.state.clock.elapsed();
        if self.tidied.is_none_or(|tidied| now.saturating_sub(tidied) >= TIDY_EVERY) {
            self.tidy(&place)?;
            self.tidied = Some(now);
        }
        let running = self.runtime.block_on(bulk::count_running(self.state.control.read(), &place))?;
        self.state.metrics.fhir_exports.running(running);
        let next = bulk::next(self.state.control.read(), &place);
        let Some(job) = self.runtime.block_on(next)? else { return Ok(false) };
        let stepped = catch_unwind(AssertUnwindSafe(|| self.step(&job, || ())));
        match stepped {
            Ok(Ok(())) => Ok(true),
            Ok(Err(Failure::Stopping)) => Ok(false),
            // The database's refusals are not the export's fault.
            Ok(Err(error @ Failure::Control(_))) => Err(error),
            Ok(Err(Failure::Cancelled)) => {
                self.state.bulk.folder().remove_job(&job.id)?;
                Ok(true)
            }
            Ok(Err(Failure::Full)) => self.fail(&job, FULL),
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(export = job.id, %error, cause, "an export failed");
                self.fail(&job, BROKEN)
            }
            // The panic hook has logged message and place.
            Err(_) => {
                self.state.metrics.panics.increment(1);
                self.fail(&job, BROKEN)
            }
        }
    }

    fn fail(&mut self, job: &bulk_job::Model, why: &str) -> Result<bool, Failure> {
        let (control, now_us) = (&self.state.control, self.state.clock.now_us());
        self.runtime.block_on(async {
            let write = control.write().await?;
            bulk::delete_files(write.on(), &job.id).await?;
            bulk::end(write.on(), &job.id, Some(why), now_us).await?;
            write.commit().await
        })?;
        self.state.metrics.fhir_exports.failed.increment(1);
        self.state.bulk.folder().remove_job(&job.id)?;
        self.sum = None;
        Ok(true)
    }

    /// Writes the next patient of an export; `before_rows` comes when the files are there and cannot be read yet.
    pub(super) fn step(&mut self, job: &bulk_job::Model, before_rows: impl FnOnce()) -> Result<(), Failure> {
        let Some(granted) = self.runtime.block_on(self.next(job))? else {
            return self.runtime.block_on(self.finish(job));
        };
        let found = users::by_id(self.state.control.read(), &granted.patient_id);
        let written = match self.runtime.block_on(found)? {
            Some(person) => self.write(job, &granted, &person),
            None => Err(Failure::Ended),
        };
        let written = match written {
            Ok(written) => written,
            // Nothing of theirs; the export goes on with the next one.
            Err(Failure::Ended) => {
                self.remove(job, &granted, &Part::ALL)?;
                Vec::new()
            }
            Err(error) => {
                self.remove(job, &granted, &Part::ALL)?;
                return Err(error);
            }
        };
        if !written.is_empty() {
            self.state.bulk.folder().sync(&job.id)?;
        }
        before_rows();
        let dropped = self.runtime.block_on(self.commit(job, &granted, written))?;
        self.remove(job, &granted, &dropped)
    }

    /// Whose turn it is in an export.
    async fn next(&self, job: &bulk_job::Model) -> Result<Option<Granted>, Failure> {
        if job.scope == "own" {
            let own = Granted {
                patient_id: job.user_id.clone(),
                may_points: true,
                may_check_ins: true,
                accepted_at: i64::MIN,
            };
            return Ok(job.after_patient.is_empty().then_some(own));
        }
        let now_us = self.state.clock.now_us();
        Ok(export::next(self.state.control.read(), &job.user_id, &job.after_patient, now_us).await?)
    }

    fn write(
        &mut self,
        job: &bulk_job::Model,
        granted: &Granted,
        person: &user::Model,
    ) -> Result<Vec<Written>, Failure> {
        let room = self.room(job)?;
        let (state, runtime) = (self.state.clone(), self.runtime.clone());
        let mut looked = state.clock.elapsed();
        let mut go_on = || {
            if state.bulk.is_stopping() {
                return Err(Failure::Stopping);
            }
            let now = state.clock.elapsed();
            if now.saturating_sub(looked) < LOOK_EVERY {
                return Ok(());
            }
            looked = now;
            runtime.block_on(still(&state, job, granted))
        };
        let mut writer =
            Writer { state: &self.state, runtime: &self.runtime, job, person, granted, room, go_on: &mut go_on };
        let written = writer.write();
        let left = writer.room;
        if let Some((sum, _)) = &mut self.sum {
            *sum = sum.saturating_add(room.saturating_sub(left));
        }
        written
    }

    /// Bytes that all files together may still grow by.
    fn room(&mut self, job: &bulk_job::Model) -> Result<u64, Failure> {
        let (now, max) = (self.state.clock.elapsed(), self.state.config.fhir.export_bytes_max);
        let known = self.sum.filter(|(sum, at)| now.saturating_sub(*at) < SUM_HOLDS && *sum < max);
        let sum = if let Some((sum, _)) = known {
            sum
        } else {
            let sum = self.runtime.block_on(bulk::bytes_at(self.state.control.read(), &job.place))?;
            let sum = u64::try_from(sum).unwrap_or(0);
            self.sum = Some((sum, now));
            sum
        };
        Ok(max.saturating_sub(sum))
    }

    /// Makes a patient's files readable, those that are still allowed, and goes on to the next patient; the parts that are
    /// not. In one transaction: a crash before it begins the patient again.
    async fn commit(
        &self,
        job: &bulk_job::Model,
        granted: &Granted,
        written: Vec<Written>,
    ) -> Result<Vec<Part>, Failure> {
        let (control, now_us) = (&self.state.control, self.state.clock.now_us());
        let write = control.write().await?;
        if bulk::hold(write.on(), &job.id).await?.is_none() {
            return Err(Failure::Cancelled);
        }
        let still = self.still_granted(write.on(), job, granted, now_us).await?;
        let (kept, dropped): (Vec<_>, Vec<_>) = written.into_iter().partition(|one| allows(still.as_ref(), one.part));
        let (resources, bytes) =
            kept.iter().fold((0_i64, 0_i64), |(resources, bytes), one| (resources + one.resources, bytes + one.bytes));
        let mut seq = bulk::last_seq(write.on(), &job.id).await?;
        let rows = kept.into_iter().map(|Written { part, resources, bytes }| {
            seq += 1;
            let (job_id, patient_id) = (job.id.clone(), granted.patient_id.clone());
            bulk_file::Model { job_id, seq, patient_id, part: part.as_str().to_owned(), resources, bytes }
        });
        bulk::step(write.on(), job, &granted.patient_id, rows.collect(), now_us).await?;
        write.commit().await?;
        self.state.metrics.fhir_exports.written(resources, bytes);
        Ok(dropped.into_iter().map(|one| one.part).collect())
    }

    /// What may be kept of a patient now: nothing of who is gone.
    async fn still_granted(
        &self,
        on: &impl sea_orm::ConnectionTrait,
        job: &bulk_job::Model,
        granted: &Granted,
        now_us: i64,
    ) -> Result<Option<Granted>, Failure> {
        if users::by_id(on, &granted.patient_id).await?.is_none() {
            return Ok(None);
        }
        if job.scope == "own" {
            return Ok(Some(granted.clone()));
        }
        Ok(export::of(on, &job.user_id, &granted.patient_id, now_us).await?)
    }

    async fn finish(&self, job: &bulk_job::Model) -> Result<(), Failure> {
        let write = self.state.control.write().await?;
        if bulk::hold(write.on(), &job.id).await?.is_none() {
            return Err(Failure::Cancelled);
        }
        bulk::end(write.on(), &job.id, None, self.state.clock.now_us()).await?;
        write.commit().await?;
        self.state.metrics.fhir_exports.done.increment(1);
        tracing::info!(export = job.id, patients = job.patients_done, "an export is done");
        Ok(())
    }

    fn remove(&self, job: &bulk_job::Model, granted: &Granted, parts: &[Part]) -> Result<(), Failure> {
        for part in parts {
            self.state.bulk.folder().remove(&job.id, &granted.patient_id, *part)?;
        }
        Ok(())
    }

    /// Forgets exports whose time is over, and removes the folders of those that are no more.
    fn tidy(&mut self, place: &str) -> Result<(), Failure> {
        let (control, folder) = (&self.state.control, self.state.bulk.folder());
        // Looked at first: an export that is asked for meanwhile has a row before it has a folder.
        let jobs = folder.jobs()?;
        let now_us = self.state.clock.now_us();
        let (ended_us, asked_us) = (now_us.saturating_sub(KEPT_US), now_us.saturating_sub(RUNNING_US_MAX));
        let known = self.runtime.block_on(async {
            let write = control.write().await?;
            bulk::sweep(write.on(), ended_us, asked_us).await?;
            write.commit().await?;
            bulk::known(control.read(), place, &jobs).await
        })?;
        for job in jobs.iter().filter(|job| !known.contains(job)) {
            folder.remove_job(job)?;
        }
        self.sum = None;
        Ok(())
    }
}

/// Whether a part may be kept or shown by what is granted.
pub(super) fn allows(granted: Option<&Granted>, part: Part) -> bool {
    granted.is_some_and(|granted| match part {
        Part::Patient => true,
        Part::Points => granted.may_points,
        Part::CheckIns => granted.may_check_ins,
    })
}

/// Looks whether an export is still wanted, and its patient's grant stands.
async fn still(state: &AppState, job: &bulk_job::Model, granted: &Granted) -> Result<(), Failure> {
    let control = state.control.read();
    if bulk::by_id(control, &job.id).await?.is_none() {
        return Err(Failure::Cancelled);
    }
    if job.scope != "own" {
        let now = export::of(control, &job.user_id, &granted.patient_id, state.clock.now_us()).await?;
        let is_less = now.is_none_or(|now| granted.may_points && !now.may_points);
        if is_less {
            return Err(Failure::Ended);
        }
    }
    Ok(())
}
