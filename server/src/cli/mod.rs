//! The command line: `avycenna serve | demo | import | sql | files | compact | verify | repair | control | user | key |
//! webhooks | smart`.
//!
//! Each command reads the same configuration, but for `import` and `sql`, which are clients. `user`, `key`, `webhooks` and
//! `smart` work on the control database, also while the server runs; `files` looks; `compact`, `verify`, `repair` and
//! `control` want the data
//! directory for themselves.
//!
//! | exit code | meaning                                                              |
//! |-----------|----------------------------------------------------------------------|
//! | 0         | done                                                                 |
//! | 1         | failed: the message says why                                         |
//! | 2         | the command line or the configuration is wrong                       |
//! | 3         | another process has the data directory                               |
//! | 4         | damage was found (`verify`), or is still there (`repair`)            |
//! | 5         | no such user, key, webhook or SMART client                           |
//! | 6         | something of an erased person is still there (`verify --erased`)     |
//! | 7         | an import ended as partial or failed                                 |

mod control;
mod demo;
mod erased;
mod failure;
mod files;
mod import;
mod key;
mod maintenance;
mod options;
mod serve;
mod smart;
mod sql;
#[cfg(test)]
mod tests;
mod user;
mod watch_file;
mod webhooks;

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use self::failure::Failure;
pub use self::options::ConfigOptions;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; the message says why
  2  the command line or the configuration is wrong
  3  another process has the data directory
  4  damage was found (verify), or is still there (repair)
  5  no such user, key, webhook or SMART client
  6  something of an erased person is still there (verify --erased)
  7  an import ended as partial or failed

Configuration: flags over environment (AVYCENNA_<SECTION>_<KEY>) over avycenna.toml over defaults.
`avycenna serve --print-config` shows every key, its value and where it came from.";

/// A server for wearable health data.
#[derive(Debug, Parser)]
#[command(name = "avycenna", version, about, after_help = EXIT_CODES, max_term_width = 110, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server.
    Serve(serve::Serve),
    /// Shows a server with lifelike data.
    Demo(demo::Demo),
    /// Sends files of a watch or phone to a server.
    Import(import::Import),
    /// Asks a running server in SQL.
    Sql(sql::Sql),
    /// Lists the Parquet files that count, for other programs.
    Files(files::Files),
    /// Finishes everything that the storage would do in time: level 0 emptied, deletions applied.
    Compact(maintenance::Compact),
    /// Reads every stored byte and reports damage. Changes nothing.
    Verify(maintenance::Verify),
    /// Drops damaged parts, after saying what would be lost and asking.
    Repair(maintenance::Repair),
    /// Moves the control database.
    Control(control::Control),
    /// Makes and lists people, sets passwords.
    User(user::User),
    /// Makes, lists and revokes API keys.
    Key(key::Key),
    /// Lists webhooks, sends again what failed.
    Webhooks(webhooks::Webhooks),
    /// Registers other systems that act for a doctor.
    Smart(smart::Smart),
}

/// Where a command reads and writes. Tests give it buffers.
pub(crate) struct Terminal<'a> {
    /// Answers.
    pub(crate) out: &'a mut dyn Write,
    /// Questions and notes.
    pub(crate) err: &'a mut dyn Write,
    /// What the person types, or a pipe sends.
    pub(crate) input: &'a mut dyn BufRead,
    /// Whether a person can answer.
    pub(crate) is_interactive: bool,
}

impl Terminal<'_> {
    /// Writes a line of the answer.
    fn say(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(Failure::Output)
    }

    /// Writes a note beside the answer.
    fn note(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.err, "{line}").map_err(Failure::Output)
    }
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut input = std::io::stdin().lock();
    let is_interactive = std::io::stdin().is_terminal();
    let terminal = Terminal { out: &mut out, err: &mut err, input: &mut input, is_interactive };
    ExitCode::from(run_to_code(std::env::args_os(), terminal))
}

/// Runs a command line on a terminal and answers the exit code.
fn run_to_code(arguments: impl IntoIterator<Item = OsString>, mut terminal: Terminal<'_>) -> u8 {
    let result = match Cli::try_parse_from(arguments) {
        Ok(cli) => dispatch(cli.command, &mut terminal),
        Err(error) => Err(Failure::Usage(error)),
    };
    match result {
        Ok(()) => 0,
        Err(failure) => {
            // Nothing is left to be told where a terminal has gone away.
            drop(failure.tell(&mut terminal));
            failure.code()
        }
    }
}

fn dispatch(command: Command, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    match command {
        Command::Serve(serve) => serve.run(terminal),
        Command::Demo(demo) => demo.run(terminal),
        Command::Import(import) => import.run(terminal),
        Command::Sql(sql) => sql.run(terminal),
        Command::Files(files) => files.run(terminal),
        Command::Compact(compact) => compact.run(terminal),
        Command::Verify(verify) => verify.run(terminal),
        Command::Repair(repair) => repair.run(terminal),
        Command::Control(control) => control.run(terminal),
        Command::User(user) => user.run(terminal),
        Command::Key(key) => key.run(terminal),
        Command::Webhooks(webhooks) => webhooks.run(terminal),
        Command::Smart(smart) => smart.run(terminal),
    }
}

/// Runs a future of a short command to its end.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    runtime.block_on(future)
}
