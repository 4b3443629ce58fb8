//! `avycenna control copy`: the control database moved to another one, on a data directory that no server uses.

use std::sync::Arc;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use storage::SystemClock;

use super::maintenance::place;
use super::{ConfigOptions, Failure, Terminal, block_on};
use crate::config::Config;
use crate::control::Control as Database;
use crate::control::copy::{self, Copied};

const EXAMPLES: &str = "\
Examples:
  PGPASSWORD=… avycenna control copy --to postgres://avycenna@db.example.org/avycenna
  avycenna control copy --to sqlite:/var/lib/avycenna/control.db

Copies people, keys, grants, check-ins, the trail of reads and everything else in the control database into an empty one,
reads it back there, and compares counts and hashes of every table before it commits. The database that is in use now
(`control.database_url`) stays as it is. The server must be stopped (exit code 3 if it is not); it uses the copy once
`control.database_url` names it. A target that holds anything is refused.";

/// Moves the control database.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Control {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Copies it into an empty database and prints of each table: name, rows, SHA-256, separated by tabs.
    #[command(after_help = EXAMPLES)]
    Copy(Copy),
}

#[derive(Debug, Args)]
struct Copy {
    /// Where to: `postgres://user@host/database` or `sqlite:PATH`.
    #[arg(long, value_name = "URL")]
    to: String,
    #[command(flatten)]
    options: ConfigOptions,
}

impl Control {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.action {
            Action::Copy(copy) => copy.run(terminal),
        }
    }
}

impl Copy {
    fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let source = self.options.load(&[])?;
        let target = self.options.load(&[("--to", "control.database_url", self.to)])?;
        let [from, to] = [&source, &target].map(|config| config.control.database(&config.storage.data_dir));
        if from == to {
            return Err(Failure::Argument("--to names the database that is in use already"));
        }
        // Held to the end, so that no server begins to write what would not be copied.
        let _held = storage::lock(&place(&source)?)?;
        let bar = progress_bar();
        let copied = block_on(copy_between(&source, &target, &bar));
        bar.finish_and_clear();
        for Copied { table, rows, hash } in copied? {
            terminal.say(&format!("{table}\t{rows}\t{}", hex::encode(hash)))?;
        }
        terminal.note(&format!("{from} is in {to} as well, table by table; name it in control.database_url to use it"))
    }
}

async fn copy_between(source: &Config, target: &Config, bar: &ProgressBar) -> Result<Vec<Copied>, Failure> {
    let clock = || Arc::new(SystemClock::default());
    // Opening would make it; a mistyped name must not look like an empty installation.
    let there =
        Database::look(source, clock()).await?.ok_or(Failure::Argument("there is no control database to copy"))?;
    there.close().await?;
    let source = Database::open(source, clock()).await?;
    let target = Database::open(target, clock()).await?;
    let copied = copy::copy(&source, &target, |progress| show(bar, progress)).await;
    target.close().await?;
    source.close().await?;
    Ok(copied?)
}

fn show(bar: &ProgressBar, progress: copy::Progress<'_>) {
    if bar.message() != progress.table {
        bar.set_message(progress.table.to_owned());
    }
    bar.set_length(progress.steps_total);
    bar.set_position(progress.steps);
}

/// Shows nothing where standard error is no terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:16} {bar:40} {percent:>3} %") {
        bar.set_style(style);
    }
    bar
}
