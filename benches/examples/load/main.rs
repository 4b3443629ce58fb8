//! The load driver: what the server costs and how fast it answers, on one machine, in one run.
//!
//! ```text
//! cargo run --release -p benches --example load                      # 1,000 people, 30 days, 10 M points
//! cargo run --release -p benches --example load -- --points 1000000  # a tenth of that
//! cargo run --release -p benches --example load -- --webhooks        # check-ins, and who is told of them
//! cargo run --release -p benches --example load -- --stream          # the same points as NDJSON and as Arrow
//! cargo run --release -p benches --example load -- --help
//! ```
//!
//! It starts the server on an empty data directory, makes people and keys, and goes through these phases; each prints
//! its figures as soon as it has them, and one table comes at the end.
//!
//! 1. the null server ([`null`]): the yardstick of the same run
//! 2. closed-loop ingest, then everything to rest: stop, compact
//! 3. questions to a quiet server, every answer checked against what was generated
//! 4. questions in SQL: a doctor's over everybody, one's own over Flight, the three questions beside them
//! 5. ingest at a fixed rate with the questions beside it
//! 6. a doctor's reads of check-ins beside the patient's own, and beside ingest;
//!    a search for 1,000 observations beside the window of the same points
//! 7. a patient's and a doctor's listings among 100,000 people
//! 8. small bodies over 1, 8 and 64 connections: group commit
//! 9. `kill -9` and the replay of the log
//! 10. an export of Apple Health
//!
//! The server is this very program, started under the name `avycenna`: the same crates, the same profile, never stale.

#![expect(clippy::disallowed_methods, reason = "measuring time and pacing are what this program is for")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is its output, the progress its side line")]
#![expect(clippy::cast_precision_loss, reason = "figures for people need no 53 bits")]

mod accounts;
mod client;
mod doctors;
mod ingest;
mod null;
mod phase;
mod populace;
mod process;
mod query;
mod receiver;
mod report;
mod shared;
mod traffic;
mod watch;

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;

/// Any failure ends the run with its message.
pub(crate) type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The name under which this program is the server.
const SERVER_NAME: &str = "avycenna";
/// The name under which this program is the null server.
const NULL_NAME: &str = "null-server";
/// Points that one person has in 30 days, about.
const POINTS_PER_PERSON: u64 = 10_000;

/// What to measure.
#[derive(Debug, Clone, Parser)]
#[command(name = "load", about = "Measures ingest, queries, memory and replay of one avycenna server")]
pub(crate) struct Args {
    /// Points to ingest, about; people of 30 days each.
    #[arg(long, default_value_t = 10_000_000)]
    points: u64,
    /// A run of seconds, to see that everything works: 200,000 points, short phases. Its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Seed of the generated people.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// End of the 30 days.
    #[arg(long, default_value = "2026-06-16T00:00:00Z")]
    end: jiff::Timestamp,
    /// Connections of the closed loop.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Points a second of the paced phase.
    #[arg(long, default_value_t = 20_000.0)]
    paced_rate: f64,
    /// Length of the paced phase, seconds.
    #[arg(long, default_value_t = 60)]
    paced_seconds: u64,
    /// Phases to leave out: null, query, sql, paced, sharing, fhir, scale, group, replay, import; of `--webhooks`: written,
    /// live, fair, backlog, drain.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
    /// Folder for data directories and bodies, about 2 GB; it should lie on a real disk. Next to this program if not
    /// given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Measures webhooks, and nothing else.
    #[arg(long)]
    webhooks: bool,
    /// Measures streams of points, and nothing else.
    #[arg(long, conflicts_with = "url")]
    stream: bool,
    /// The control database of `--webhooks`: `postgres://…`, in which schemas are made that begin with `load_`. SQLite
    /// if not given.
    #[arg(long, requires = "webhooks")]
    control: Option<String>,
    /// Keep the folder.
    #[arg(long)]
    keep: bool,
    /// A server program to start instead of this one's own.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Address of a running server, rate limits off, nothing in it; with one `--key` a person. Resources, restart and
    /// replay are not measured then.
    #[arg(long, requires = "key")]
    url: Option<SocketAddr>,
    /// API key of a person of the running server; as often as wanted.
    #[arg(long)]
    key: Vec<String>,
    /// Process of the running server, for its CPU time and memory.
    #[arg(long)]
    pid: Option<u32>,
    /// Also write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Args {
    /// With the consequences of `--quick` and `--url`.
    fn settled(mut self) -> Self {
        if self.quick {
            self.points = self.points.min(200_000);
            self.paced_seconds = self.paced_seconds.min(3);
        }
        if self.url.is_some() {
            self.points = self.key.len() as u64 * POINTS_PER_PERSON;
        }
        self
    }

    /// How many people that is.
    fn people(&self) -> u32 {
        u32::try_from(self.points.div_ceil(POINTS_PER_PERSON)).unwrap_or(u32::MAX).max(1)
    }

    fn skips(&self, phase: &str) -> bool {
        self.skip.iter().any(|skipped| skipped == phase)
    }

    /// A command that is the server's.
    fn server_command(&self) -> Result<Command> {
        if let Some(program) = &self.server {
            return Ok(Command::new(program));
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.arg0(SERVER_NAME);
        Ok(command)
    }

    /// A command that is the null server's.
    fn null_command(address: SocketAddr) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg0(NULL_NAME).arg(address.to_string());
        Ok(command)
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args();
    match args.next().as_deref() {
        Some(SERVER_NAME) => return server::main(),
        Some(NULL_NAME) => {
            return finish(
                args.next().ok_or("no address").map_err(Into::into).and_then(|address| null::serve(address.parse()?)),
            );
        }
        _ => {}
    }
    finish(phase::run(&Args::parse().settled()))
}

fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}
