//! `avycenna sql`: questions to a running server, typed or piped.

mod shell;
mod split;
mod table;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use storage::{Clock as _, SystemClock};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, Terminal};
use crate::config::CLIENT_KEY_VARIABLE;

const EXAMPLES: &str = "\
Examples:
  avycenna sql --key avk_…
  avycenna sql --url https://health.example.org --key-file key.txt
  avycenna sql --key avk_… -c 'SELECT metric, count(*) FROM points GROUP BY metric'
  avycenna sql --key avk_… --format csv < report.sql > report.csv

Statements end with `;`. In the shell, `\\d` shows the tables, `\\d points` a table's columns, `\\o FILE` writes the next answer
into a file, `\\timing` shows how long answers take, `\\q` ends it; Ctrl-C ends a query. What was typed is kept in
~/.avycenna_history. The key may also be in AVYCENNA_KEY.";

/// What a file for an answer may be called.
const FILE_NAMES: &str = "the name of a file must end with .csv, .json, .arrow or .parquet";
/// Longest input that is piped in, bytes.
const INPUT_BYTES_MAX: u64 = 16 << 20;
/// Rows of one answer that the shell shows; a file takes all.
const SHOWN_ROWS_MAX: usize = 1_000;

/// Asks a running server in SQL.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Sql {
    /// Where the server is
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// An API key with the scope `read`; that in `AVYCENNA_KEY` if neither this nor a file is named
    // Not clap's: it would take the variable and a named file for a contradiction.
    #[arg(long)]
    key: Option<String>,
    /// A file that holds the key, so that it stands in no list of processes
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// Runs this and ends; may be repeated
    #[arg(short = 'c', long, value_name = "SQL")]
    command: Vec<String>,
    /// How answers are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    Json,
    Csv,
    Arrow,
    Parquet,
}

impl Format {
    /// By the ending of a file's name.
    fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "arrow" | "arrows" => Some(Self::Arrow),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// The API's word.
    fn word(self) -> &'static str {
        match self {
            Self::Table | Self::Json => "json",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }
}

impl Sql {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let mut session = Session::new(&self)?;
        if !self.command.is_empty() {
            return self.command.iter().try_for_each(|sql| session.all(sql, terminal));
        }
        if terminal.is_interactive {
            return shell::run(&mut session, terminal);
        }
        let mut text = String::new();
        (&mut *terminal.input).take(INPUT_BYTES_MAX).read_to_string(&mut text).map_err(Failure::Input)?;
        session.all(&text, terminal)
    }

    fn key(&self) -> Result<String, Failure> {
        if let Some(path) = &self.key_file {
            return Ok(std::fs::read_to_string(path).map_err(Failure::Input)?.trim().to_owned());
        }
        let around = || std::env::var(CLIENT_KEY_VARIABLE).ok().filter(|key| !key.is_empty());
        let none = Failure::Argument("name a key by --key, --key-file or AVYCENNA_KEY");
        self.key.clone().or_else(around).ok_or(none)
    }
}

/// A server, and how its answers are shown.
struct Session {
    http: Client,
    url: String,
    key: String,
    format: Format,
    is_timed: bool,
    /// Rows of a table that are shown.
    shown_max: usize,
    clock: SystemClock,
    runtime: Runtime,
    /// From now on Ctrl-C is ours: a query ends by it, and not the process.
    _interrupts: Signal,
}

impl Session {
    fn new(options: &Sql) -> Result<Self, Failure> {
        // Another part of the process may have chosen one; either is good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = Client::builder().build().map_err(Failure::Ask)?;
        let url = format!("{}/api/v1/query", options.url.trim_end_matches('/'));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
        let interrupts = {
            let _inside = runtime.enter();
            signal(SignalKind::interrupt()).map_err(Failure::Runtime)?
        };
        Ok(Self {
            http,
            url,
            key: options.key()?,
            format: options.format,
            is_timed: false,
            shown_max: usize::MAX,
            clock: SystemClock::default(),
            runtime,
            _interrupts: interrupts,
        })
    }

    /// Runs each statement of a text; the last needs no `;`.
    fn all(&mut self, text: &str, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let (statements, rest) = split::statements(text);
        let rest = Some(rest).filter(|rest| !split::is_blank(rest));
        statements.into_iter().chain(rest).try_for_each(|sql| self.one(sql.trim(), terminal))
    }

    /// Runs a statement and shows its answer.
    fn one(&self, sql: &str, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let began = self.clock.elapsed();
        let answer = self.fetch(sql, self.format)?;
        match (self.format, &answer) {
            (Format::Table, _) => {
                let answer: Value = serde_json::from_slice(&answer).unwrap_or(Value::Null);
                let shown =
                    table::table(&answer, self.shown_max).ok_or(Failure::Argument("the answer is none of /query's"))?;
                terminal.say(&shown)?;
            }
            (Format::Json, answer) => {
                terminal.out.write_all(answer).and_then(|()| terminal.out.write_all(b"\n")).map_err(Failure::Output)?;
            }
            (_, answer) => terminal.out.write_all(answer).map_err(Failure::Output)?,
        }
        if self.is_timed {
            let took = self.clock.elapsed().saturating_sub(began);
            terminal.note(&format!("Time: {:.1} ms", took.as_secs_f64() * 1e3))?;
        }
        terminal.out.flush().map_err(Failure::Output)
    }

    /// Runs a statement and writes its answer into a file, in the format of the file's name.
    fn save(&self, sql: &str, path: &Path, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let format = Format::of_file(path).ok_or(Failure::Argument(FILE_NAMES))?;
        let answer = self.fetch(sql, format)?;
        let failed = |source| Failure::Write { path: path.to_owned(), source };
        std::fs::write(path, &answer).map_err(failed)?;
        terminal.note(&format!("{} bytes are in {}", answer.len(), path.display()))
    }

    /// The whole answer; Ctrl-C ends the query.
    fn fetch(&self, sql: &str, format: Format) -> Result<Vec<u8>, Failure> {
        self.runtime.block_on(async {
            // One that came while nothing ran is noticed here, and ends nothing.
            tokio::task::yield_now().await;
            tokio::select! {
                answer = self.ask(sql, format) => answer,
                _ = tokio::signal::ctrl_c() => Err(Failure::Refused("ended by Ctrl-C".to_owned())),
            }
        })
    }

    async fn ask(&self, sql: &str, format: Format) -> Result<Vec<u8>, Failure> {
        let body = json!({"sql": sql, "format": format.word()});
        let request = self.http.post(&self.url).header("x-api-key", &self.key).json(&body);
        let mut response = request.send().await.map_err(Failure::Ask)?;
        let status = response.status();
        let mut answer = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) => answer.extend_from_slice(&piece),
                Ok(None) => break,
                Err(error) => return Err(last_words(&answer).map_or(Failure::Ask(error), Failure::Refused)),
            }
        }
        if status == StatusCode::OK { Ok(answer) } else { Err(Failure::Refused(refusal(sql, status, &answer))) }
    }
}

/// Why an answer broke off, if it says so: in JSON by its last member, in CSV by its last line.
fn last_words(answer: &[u8]) -> Option<String> {
    if let Ok(document) = serde_json::from_slice::<Value>(answer) {
        let error = document.get("error")?;
        return Some(format!("{}: {}", error.get("status")?, error.get("detail")?.as_str()?));
    }
    let line = answer.strip_suffix(b"\"\n")?.rsplit(|byte| *byte == b'\n').next()?;
    let words = std::str::from_utf8(line).ok()?.strip_prefix("\"error ")?;
    Some(words.replace("\"\"", "\""))
}

/// Why a statement was refused, with a caret below the place where there is one.
fn refusal(sql: &str, status: StatusCode, answer: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(answer).unwrap_or(Value::Null);
    let Some(msg) = answer.pointer("/detail/0/msg").and_then(Value::as_str) else {
        return match answer.get("detail").and_then(Value::as_str) {
            Some(detail) => format!("{}: {detail}", status.as_u16()),
            None => status.to_string(),
        };
    };
    let at = answer.pointer("/detail/0/loc/2").and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
    match at.and_then(|at| table::pointed_at(sql, at)) {
        Some(line) => format!("{msg}\n{line}"),
        None => msg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_broke_off_says_why() {
        let json = br#"{"columns":[],"rows":[["error 1"]],"error":{"status":413,"detail":"1000 \"rows\""}}"#;
        assert_eq!(last_words(json).unwrap(), "413: 1000 \"rows\"");
        assert_eq!(last_words(b"a,b\n1,2\n\"error 413: 1000 \"\"rows\"\"\"\n").unwrap(), "413: 1000 \"rows\"");
        for other in [&b"{\"columns\":[],\"rows\":[[1"[..], b"{\"rows\":[]}", b"a\n\"b\"\n", b""] {
            assert_eq!(last_words(other), None);
        }
    }
}
