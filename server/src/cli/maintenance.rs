//! `avycenna compact | verify | repair`: on a data directory that no server uses.

use std::io::Read as _;
use std::sync::Arc;

use clap::Args;
use storage::verify::{self, Finding, Report};
use storage::{Place, Storage, SystemClock};

use super::erased::{self, Sought};
use super::{ConfigOptions, Failure, Terminal, block_on};
use crate::access::audit::{self, Checked};
use crate::config::Config;
use crate::control::Control;
use crate::erasure::Eraser;
use crate::fhir::bulk::Folder;
use crate::imports::Uploads;
use crate::mail::Mailer;

/// Longest answer to a question, bytes.
const ANSWER_BYTES_MAX: u64 = 64;

/// Finishes everything that the storage would do in time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  avycenna compact --data-dir /var/lib/avycenna

The server must be stopped (exit code 3 if it is not). Afterwards the Parquet files hold every point once, sorted, and
nothing that was deleted; other tools may read the folder as it is. Every open erasure is finished: of an erased person
nothing is left but the trails of who read what.")]
pub(super) struct Compact {
    #[command(flatten)]
    options: ConfigOptions,
}

/// Reads every stored byte and reports damage.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  avycenna verify --data-dir /var/lib/avycenna
  avycenna verify --data-dir /var/lib/avycenna --erased usr_7jRtHvBk --email ada@example.org

The server must be stopped (exit code 3 if it is not). Prints what was read, then one line for each damaged piece: file,
byte offset, what is wrong. Then it follows the trail of who has read whose data, each patient's from its first record to
its last, and prints one line for each trail that is not as it was written. Exit code 4 if anything is wrong. Changes
nothing.

With --erased or --email it looks for that person instead, in every byte that the server keeps: log, Parquet (decoded),
manifests, control database with its free pages and write-ahead file, mail file. One line for each place; exit code 6 if
there is any. What the trails of reads say of an id stays and does not count. An address that is the end of another's is
found in that, too.")]
pub(super) struct Verify {
    /// Looks for this person, whose account was erased, instead of damage.
    #[arg(long, value_name = "ID")]
    erased: Option<String>,
    /// Looks for this address instead of damage.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    #[command(flatten)]
    options: ConfigOptions,
}

/// Drops damaged parts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  avycenna repair --data-dir /var/lib/avycenna
  avycenna repair --data-dir /var/lib/avycenna --yes

The server must be stopped (exit code 3 if it is not). Make a copy of the data directory first: what is dropped is gone.
For each damaged piece it says what would be lost and asks; anything but `y` or `yes` keeps the piece. Exit code 4 if
damage is left.")]
pub(super) struct Repair {
    /// Answers every question with yes.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    options: ConfigOptions,
}

impl Compact {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        let budgets = storage::StorageConfig { background: false, ..config.storage.budgets() };
        let storage = Arc::new(Storage::open(place(&config)?, budgets, Box::new(|_| {}))?);
        let compacted = finish_erasures(&config, &storage).and_then(|finished| {
            storage.compact()?;
            Ok(finished)
        });
        storage.close();
        let finished = compacted?;
        if finished > 0 {
            terminal.say(&format!("finished {finished} erasures"))?;
        }
        terminal.say("compacted: level 0 is empty, deletions are applied")
    }
}

/// Finishes what the control database notes, and writes that anew where it is a file; how many erasures that were.
fn finish_erasures(config: &Config, storage: &Arc<Storage>) -> Result<usize, Failure> {
    block_on(async {
        let Some(control) = Control::open_existing(config, Arc::new(SystemClock::default())).await? else {
            return Ok(0);
        };
        let mail = Mailer::open(config)?;
        let (files, uploads) = (Folder::new(&config.storage.data_dir), Arc::new(Uploads::new(config)));
        let eraser = Eraser::new(control.clone(), Arc::clone(storage), mail.clone(), files, uploads);
        let finished = eraser.catch_up().await?;
        mail.close().await;
        if storage.has_erased() && !control.vacuum().await? {
            return Err(Failure::Argument("the control database is in use by another process; stop it first"));
        }
        control.close().await?;
        Ok(finished)
    })
}

impl Verify {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        if self.erased.is_some() || self.email.is_some() {
            let sought = Sought::new(self.erased.as_deref(), self.email.as_deref())?;
            return erased::run(&config, &place(&config)?, &sought, terminal);
        }
        let report = verify::verify(&place(&config)?)?;
        terminal.say(&summary(&report))?;
        for finding in &report.findings {
            terminal.say(&line(finding))?;
        }
        let trails = trails(&config)?;
        terminal.say(&format!("{} records of reads", trails.records))?;
        for found in &trails.breaks {
            terminal.say(&format!("trail of {}, record {}: {}", found.patient_id, found.seq, found.what))?;
        }
        match (report.findings.len(), trails.breaks.len()) {
            (0, 0) => terminal.say("no damage"),
            (0, trails) => Err(Failure::Tampered { trails }),
            (pieces, _) => Err(Failure::Damaged { pieces }),
        }
    }
}

/// Checks every trail of reads, where there is a control database that has them.
fn trails(config: &Config) -> Result<Checked, Failure> {
    block_on(async {
        let Some(control) = Control::look(config, Arc::new(SystemClock::default())).await? else {
            return Ok(Checked::default());
        };
        let checked = audit::verify(&control).await?;
        control.close().await?;
        Ok(checked)
    })
}

impl Repair {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        let place = place(&config)?;
        let mut failure = None;
        let mut agree = |finding: &Finding| match self.agree(finding, terminal) {
            Ok(is_agreed) => is_agreed,
            Err(error) => {
                failure.get_or_insert(error);
                false
            }
        };
        let report = verify::repair(&place, &mut agree)?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let lost: u64 = report.findings.iter().map(|finding| finding.points_lost_max).sum();
        let left = verify::verify(&place)?.findings.len();
        terminal.say(&format!("dropped {} pieces, at most {lost} points; {left} are left", report.findings.len()))?;
        if left == 0 { Ok(()) } else { Err(Failure::StillDamaged { pieces: left }) }
    }

    /// Says what would be lost, and asks.
    fn agree(&self, finding: &Finding, terminal: &mut Terminal<'_>) -> Result<bool, Failure> {
        terminal.note(&line(finding))?;
        if self.yes {
            return Ok(true);
        }
        write!(terminal.err, "drop it? [y/N] ").and_then(|()| terminal.err.flush()).map_err(Failure::Output)?;
        let mut answer = String::new();
        let mut input = (&mut *terminal.input).take(ANSWER_BYTES_MAX);
        std::io::BufRead::read_line(&mut input, &mut answer).map_err(Failure::Input)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}

/// The data directory of the configuration, which must be there.
pub(super) fn place(config: &Config) -> Result<Place, Failure> {
    let path = &config.storage.data_dir;
    let at = |source| Failure::DataDir { path: path.clone(), source };
    // Opening would make it; a mistyped name must not look like an empty, sound directory.
    std::fs::read_dir(path).map_err(at)?;
    config.storage.place(Arc::new(SystemClock::default())).map_err(at)
}

fn summary(report: &Report) -> String {
    let Report { manifest_version, files, rows, bytes, .. } = report;
    format!("manifest version {manifest_version}: {files} files, {rows} points, {bytes} bytes")
}

fn line(finding: &Finding) -> String {
    let Finding { path, offset, what, points_lost_max } = finding;
    format!("{path}, byte {offset}: {what} (dropping it loses at most {points_lost_max} points)")
}
