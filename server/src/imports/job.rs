//! One import: the thread that reads a file.
//!
//! ```text
//! importer ─▶ Reading (drops what was acknowledged before) ─▶ Intake ─▶ Appender
//!                 every few seconds, and where much waits: days kept, all acknowledged, the row notes how far it is
//! ```

use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use engine::import::{Fault, Found, Sink, Stop};
use storage::UserId;
use tokio::runtime::Handle;

use super::append::{Appender, Patience};
use super::halt::Halt;
use super::intake::Intake;
use super::nights::Telling;
use super::report::{Report, Skipped};
use super::{Failure, Imports, Person, keep, nights, totals};
use crate::control::entities::import;
use crate::control::repository::imports::{self, Advance};

/// Longest time between two notes of how far an import is.
const NOTE_EVERY: Duration = Duration::from_secs(2);

/// Calls of an importer between two notes at most: what is read again in vain after a crash.
const CALLS_MAX: u64 = 1 << 18;

/// How an import ended.
#[derive(Debug)]
enum End {
    /// Read to its end.
    Whole,
    /// Read to its end, but parts of it are broken, and were reported as skipped.
    Parts(String),
    /// Broken, or no such file.
    Broken(String),
    /// It could not be read; the cause is in the log.
    Unreadable,
    /// Its owner wants no more of it.
    Canceled,
}

/// Reads a file to its end, or until it is to stop. What is not done then is taken up by the next start.
///
/// # Errors
/// [`Failure`] for what the next start takes up again.
pub(super) fn run(all: &Imports, row: &import::Model, halt: &Halt, runtime: &Handle) -> Result<(), Failure> {
    let mut job = match Reading::begin(all, row, halt, runtime) {
        Ok(job) => job,
        Err(Failure::Gone) => return Ok(all.uploads().remove(&row.id)?),
        Err(failure) => return Err(failure),
    };
    let end = if row.status == imports::CANCELED { Err(Failure::Halted) } else { job.read() };
    let end = end.and_then(|end| job.commit().map(|()| end));
    let end = match end {
        // What was taken stays, and the totals follow it.
        Err(Failure::Halted) if halt.is_canceled() || row.status == imports::CANCELED => {
            job.give_rest().map(|()| End::Canceled)
        }
        end => end,
    };
    let end = end.and_then(|end| if is_untouched(row) { Ok(end) } else { job.settle().map(|()| end) });
    match end {
        Ok(end) => job.end(&end)?,
        Err(Failure::Gone) => {}
        Err(failure) => return Err(failure),
    }
    if is_untouched(row) {
        // A crash may have left something before anything was noted. Another import of theirs may run, and comes first.
        all.remake_totals(job.person.user);
    }
    Ok(all.uploads().remove(&row.id)?)
}

/// Whether an import was canceled before anything of it was noted.
pub(super) fn is_untouched(row: &import::Model) -> bool {
    row.status == imports::CANCELED && row.calls_taken == 0
}

/// Makes a person's totals anew that are not settled.
///
/// # Errors
/// [`Failure`]; what is not done is found again.
pub(super) fn remake_totals(all: &Imports, user: UserId, halt: &Halt, runtime: &Handle) -> Result<(), Failure> {
    let person = match all.person(user, super::APPLE_HEALTH, runtime.clone()) {
        Err(Failure::Gone) => return Ok(()),
        person => person?,
    };
    let patience = Patience { runtime: runtime.clone(), halt: halt.clone(), memtable_bytes: all.memtable_bytes() };
    let mut out = Appender::new(person.engine.storage(), Some(patience));
    let mut intake = Intake::new(&person.engine, user, Report::default());
    match totals::settle(all, &person, &mut intake, &mut out) {
        Err(Failure::Gone) => Ok(()),
        settled => settled,
    }
}

/// A file that is being read.
struct Reading<'a> {
    all: &'a Imports,
    row: &'a import::Model,
    halt: &'a Halt,
    person: Person,
    intake: Intake,
    out: Appender,
    /// Calls of the importer until now.
    calls: u64,
    /// As many were acknowledged before.
    taken: u64,
    noted_calls: u64,
    noted: Duration,
    /// What is durable of the report.
    noted_report: Report,
    bytes: u64,
    failure: Option<Failure>,
}

impl<'a> Reading<'a> {
    fn begin(all: &'a Imports, row: &'a import::Model, halt: &'a Halt, runtime: &Handle) -> Result<Self, Failure> {
        let user = UserId::parse(&row.user_id).ok_or(Failure::Gone)?;
        let person = all.person(user, sender(&row.format), runtime.clone())?;
        let noted_report = Report::parse(&row.report);
        let intake = Intake::new(&person.engine, person.user, noted_report.clone());
        let patience =
            Patience { runtime: person.runtime.clone(), halt: halt.clone(), memtable_bytes: all.memtable_bytes() };
        let out = Appender::new(person.engine.storage(), Some(patience));
        let taken = u64::try_from(row.calls_taken).unwrap_or(0);
        let (noted, bytes) = (all.clock().elapsed(), u64::try_from(row.bytes_read).unwrap_or(0));
        Ok(Self {
            all,
            row,
            halt,
            person,
            intake,
            out,
            calls: 0,
            taken,
            noted_calls: taken,
            noted,
            noted_report,
            bytes,
            failure: None,
        })
    }

    fn read(&mut self) -> Result<End, Failure> {
        let path = self.all.uploads().path(&self.row.id);
        let started = async {
            let write = self.all.control().write().await?;
            let started = imports::start(write.on(), &self.row.id, self.all.control().now_us()).await?;
            write.commit().await?;
            Ok::<_, Failure>(started)
        };
        if !self.person.wait(started)? {
            self.halt.cancel();
            return Err(Failure::Halted);
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) => {
                tracing::error!(import = self.row.id, %error, "the file of an import cannot be opened");
                return Ok(End::Unreadable);
            }
        };
        let reader = self.all.inner.readers.of(&self.row.format);
        let read = catch_unwind(AssertUnwindSafe(|| reader(file, self)));
        match read {
            Ok(Ok(())) => Ok(End::Whole),
            Ok(Err(Fault::Stopped(_))) => Err(self.failure.take().unwrap_or(Failure::Halted)),
            Ok(Err(Fault::Parts { what })) => Ok(End::Parts(what)),
            Ok(Err(fault @ (Fault::Broken { .. } | Fault::Foreign { .. }))) => Ok(End::Broken(fault.to_string())),
            Ok(Err(Fault::Io(error))) => {
                tracing::error!(import = self.row.id, %error, "the file of an import cannot be read");
                Ok(End::Unreadable)
            }
            Err(_) => {
                // The panic hook has logged message and place.
                self.all.panicked();
                Ok(End::Unreadable)
            }
        }
    }

    /// Makes all that was found durable, and notes how far it is.
    fn commit(&mut self) -> Result<(), Failure> {
        if self.taken > 0 && self.calls <= self.taken {
            // What was acknowledged before is being read again.
            self.noted = self.all.clock().elapsed();
            return Ok(());
        }
        self.give()?;
        let advance = Advance {
            bytes_read: i64::try_from(self.bytes).unwrap_or(i64::MAX),
            calls_taken: i64::try_from(self.calls.max(self.taken)).unwrap_or(i64::MAX),
            report: self.noted_report.text(),
        };
        let noted = async {
            let write = self.all.control().write().await?;
            let noted = imports::advance(write.on(), &self.row.id, &advance, self.all.control().now_us()).await?;
            write.commit().await?;
            Ok::<_, Failure>(noted)
        };
        let is_wanted = self.person.wait(noted)?;
        (self.noted_calls, self.noted) = (self.calls, self.all.clock().elapsed());
        if is_wanted {
            return Ok(());
        }
        // Canceled by way of another server, or gone with its owner.
        self.halt.cancel();
        Err(Failure::Halted)
    }

    /// Makes all that was found durable.
    fn give(&mut self) -> Result<(), Failure> {
        if let Some(batch) = self.intake.rest()? {
            self.out.send(batch)?;
        }
        let _turn = self.all.turn(&self.person);
        keep(&self.person, &mut self.intake, &mut self.out, Telling::InFile)?;
        self.out.drain()?;
        self.noted_report = self.intake.report();
        Ok(())
    }

    /// Makes what was found until its owner canceled it durable, as it is counted; what finds no room is not
    /// counted. From here on there is nobody who could cancel.
    fn give_rest(&mut self) -> Result<(), Failure> {
        // A full disk must not keep what nobody wants.
        self.out.set_patience(None);
        match self.give() {
            Ok(()) => {}
            Err(Failure::Engine(error)) => {
                tracing::info!(import = self.row.id, %error, "the rest of a canceled import is not taken");
                self.intake = Intake::new(&self.person.engine, self.person.user, self.noted_report.clone());
                self.out = Appender::new(self.person.engine.storage(), None);
            }
            Err(failure) => return Err(failure),
        }
        self.out.set_patience(Some(Patience {
            runtime: self.person.runtime.clone(),
            halt: self.all.last_halt(),
            memtable_bytes: self.all.memtable_bytes(),
        }));
        Ok(())
    }

    /// Hands on what is enough for a batch, and commits where much waits.
    fn pass(&mut self) -> Result<(), Failure> {
        if self.halt.is_asked() {
            return Err(Failure::Halted);
        }
        if let Some(batch) = self.intake.ripe()? {
            self.out.send(batch)?;
        }
        if self.intake.is_full() || self.calls - self.noted_calls >= CALLS_MAX { self.commit() } else { Ok(()) }
    }

    fn settle(&mut self) -> Result<(), Failure> {
        totals::settle(self.all, &self.person, &mut self.intake, &mut self.out)
    }

    /// Writes down how it ended.
    fn end(&self, end: &End) -> Result<(), Failure> {
        let mut report = self.intake.report();
        let (status, error) = match end {
            End::Whole => ("done", None),
            End::Broken(what) if report.has_points() => {
                let reason = "the file is broken from here on".to_owned();
                report.skipped.push(Skipped { reason, count: 1, example: what.clone() });
                ("partial", None)
            }
            End::Parts(_) if report.has_points() => ("partial", None),
            End::Broken(what) | End::Parts(what) => ("failed", Some(what.clone())),
            End::Unreadable => {
                let status = if report.has_points() { "partial" } else { "failed" };
                (status, Some("the file could not be read; the server's log says why".to_owned()))
            }
            End::Canceled if report.has_points() => {
                let reason = "the import was cancelled: nothing is taken from here on".to_owned();
                let example = format!("cancelled at byte {}", self.bytes);
                report.skipped.push(Skipped { reason, count: 1, example });
                ("partial", None)
            }
            End::Canceled => ("failed", Some("cancelled".to_owned())),
        };
        let bytes = if matches!(end, End::Whole | End::Parts(_)) {
            self.row.bytes
        } else {
            i64::try_from(self.bytes).unwrap_or(0)
        };
        let row = import::Model {
            status: status.to_owned(),
            bytes_read: bytes.min(self.row.bytes),
            calls_taken: i64::try_from(self.calls).unwrap_or(i64::MAX),
            report: report.text(),
            error,
            updated_at: self.all.control().now_us(),
            ..self.row.clone()
        };
        let ended = async {
            let write = self.all.control().write().await?;
            imports::end(write.on(), &row).await?;
            write.commit().await?;
            Ok::<_, Failure>(())
        };
        self.person.wait(ended)?;
        tracing::info!(import = row.id, user = row.user_id, status, "an import ended");
        Ok(())
    }

    fn stop(&mut self, failure: Failure) -> Stop {
        self.failure = Some(failure);
        Stop::Asked
    }
}

/// Keeps what was found of nights and days, and hands on their points.
pub(super) fn keep(person: &Person, intake: &mut Intake, out: &mut Appender, telling: Telling) -> Result<(), Failure> {
    nights::keep(person, intake, out, telling)?;
    let days = intake.days();
    // What is kept goes on its way as a whole, also where the import is to end meanwhile.
    let mut sent = Ok(());
    if !days.held.is_empty() {
        let kept = person.wait(keep::keep(person, &days))?;
        for keep::Point { daily, owner, at, value } in kept.points {
            if let Some(owner) = days.owners.get(owner) {
                intake.point(daily.piece_metric(), value, at, owner.maker());
            }
            if let Some(batch) = intake.ripe()? {
                sent = sent.and(out.send(batch));
            }
        }
        for _ in 0..kept.left {
            intake.skip("more parts of a day than a server keeps", &keep::ITEMS_A_DAY_MAX);
        }
        if let Some(batch) = intake.rest()? {
            sent = sent.and(out.send(batch));
        }
    }
    if !days.said.is_empty() {
        totals::remember(person, &days, out)?;
    }
    sent
}

/// The source of totals of a format.
fn sender(format: &str) -> &'static str {
    if format == super::APPLE_HEALTH { super::APPLE_HEALTH } else { super::GARMIN }
}

impl Sink for Reading<'_> {
    fn found(&mut self, found: Found<'_>) -> Result<(), Stop> {
        self.calls += 1;
        if self.calls > self.taken {
            self.intake.found(found);
            return self.pass().map_err(|failure| self.stop(failure));
        }
        if self.halt.is_asked() { Err(self.stop(Failure::Halted)) } else { Ok(()) }
    }

    fn skipped(&mut self, reason: &'static str, example: &dyn fmt::Display) {
        self.calls += 1;
        if self.calls > self.taken {
            self.intake.skip(reason, example);
        }
    }

    fn reached(&mut self, bytes: u64) -> Result<(), Stop> {
        self.bytes = self.bytes.max(bytes);
        if self.halt.is_asked() {
            return Err(self.stop(Failure::Halted));
        }
        if self.all.clock().elapsed().saturating_sub(self.noted) < NOTE_EVERY {
            return Ok(());
        }
        self.commit().map_err(|failure| self.stop(failure))
    }
}
