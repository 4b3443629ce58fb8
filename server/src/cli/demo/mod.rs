//! `avycenna demo`: a server with a year of lifelike data, from nothing, in its own directory.
//!
//! ```text
//! open ./avycenna-demo ─▶ people and keys ─▶ feed over HTTP ─▶ a real watch file ─▶ three questions ─▶ stay up
//! ```
//!
//! A second run goes on where the first ended. Nothing outside of the directory is written.

mod client;
mod feed;
mod ledger;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use clap::Args;
use futures::StreamExt;
use storage::UserId;

use self::client::{Answer, Client, Error};
use self::feed::{Fed, feed, per_second};
use self::ledger::{Ledger, Resident};
use super::{Failure, Terminal, watch_file};
use crate::auth::{NewKey, NewUser, Role, Scopes};
use crate::config::Config;
use crate::lifelike::render;
use crate::serve::Server;
use crate::state::AppState;
use crate::{serve, shutdown};

/// Where the demo lives, below the working directory.
const DIR: &str = "avycenna-demo";

/// The port that is taken if it is free.
const PORT: u16 = 8080;

/// Most characters of an answer that are shown.
const SHOWN_CHARS: usize = 320;

const EXAMPLES: &str = "\
Examples:
  avycenna demo                        20 people, a year, then a server to play with
  avycenna demo --people 2 --days 30   the same, smaller
  avycenna demo --exit                 leaves after the answers

Everything is in ./avycenna-demo; delete it to begin anew. Rate limits are off.";

/// Starts a server with a year of lifelike data, asks it three questions, and stays up.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Demo {
    /// How many people, at the first run
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    people: u32,
    /// How many days of data, at the first run
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// Where to listen [default: 127.0.0.1:8080, or a free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Leave after the answers
    #[arg(long, alias = "once")]
    exit: bool,
}

impl Demo {
    /// Runs it to its end: a signal, or with `--exit` the last answer.
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
        runtime.block_on(self.play(Path::new(DIR), terminal))
    }

    async fn play(&self, dir: &Path, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let asked = shutdown::asked().map_err(Failure::Runtime)?;
        let server = Server::open(Arc::new(self.config(dir))).await.map_err(served)?;
        let base = format!("http://{}", server.address().map_err(served)?);
        terminal.say(&format!("avycenna demo at {base}, everything in ./{}", dir.display()))?;
        let state = server.state().clone();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        let mut asked = std::pin::pin!(asked);
        let played = tokio::select! {
            played = self.scenes(dir, &state, &base, terminal) => played,
            () = &mut asked => Ok(()),
        };
        if played.is_ok() && !self.exit {
            asked.await;
        }
        drop(stop);
        running.await.map_err(failed)?.map_err(served)?;
        played
    }

    /// Embedded defaults: nothing from the environment or a file.
    fn config(&self, dir: &Path) -> Config {
        let mut config = Config::default();
        config.storage.data_dir = dir.to_path_buf();
        config.listen.address = self.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        config.limits.enabled = false;
        config
    }

    async fn scenes(
        &self,
        dir: &Path,
        state: &AppState,
        base: &str,
        terminal: &mut Terminal<'_>,
    ) -> Result<(), Failure> {
        let client = Client::new(base.to_owned()).map_err(failed)?;
        let mut ledger = self.people(dir, state, terminal).await?;
        let Fed { points, took } =
            feed(&client, &mut ledger, &*state.clock, |ledger| write(ledger, dir)).await.map_err(failed)?;
        if points > 0 {
            terminal.say(&format!(
                "{points} points in {:.1} s: {}, each of them durable when acknowledged",
                took.as_secs_f64(),
                per_second(points, took)
            ))?;
        } else {
            terminal.say("all points were there already")?;
        }
        let key = ledger.people.first().map(|person| person.key.clone()).unwrap_or_default();
        let ride = feed_ride(&client, &key).await.map_err(failed)?;
        terminal.say(&format!("{ride} heart rates of a real {} ride", watch_file::SOURCE))?;
        terminal.say(&at_rest(state, &ledger).await?)?;
        let state_clock = &*state.clock;
        for path in [LATEST, WINDOW, DAILY] {
            // The first question also opens the connection; what is told is the second's time.
            client.ask(&key, path, state_clock).await.map_err(failed)?;
            let answer = client.ask(&key, path, state_clock).await.map_err(failed)?;
            tell(path, &answer, terminal)?;
        }
        if !self.exit {
            terminal.say(&format!("\nThe server stays up (Ctrl-C ends it). Try:\n\n{}", curls(base, &key)))?;
        }
        Ok(())
    }

    /// The people of an earlier run, or new ones.
    async fn people(&self, dir: &Path, state: &AppState, terminal: &mut Terminal<'_>) -> Result<Ledger, Failure> {
        let now_us = state.clock.now_us();
        if let Some(mut ledger) = Ledger::read(dir).map_err(|source| failed(unreadable(dir, source)))? {
            terminal.say(&format!("{} people of an earlier run", ledger.people.len()))?;
            ledger.catch_up(now_us);
            return Ok(ledger);
        }
        let mut ledger = Ledger::new(self.days, now_us);
        for number in 1..=self.people {
            let new = NewUser {
                name: format!("Demo person {number}"),
                email: format!("person{number}@demo.example"),
                password: None,
                role: Role::Patient,
            };
            let user = state.auth.register_known(new).await?;
            let name = "demo".to_owned();
            let (_, key) =
                state.auth.create_key(&user.id, NewKey { name, scopes: Scopes::ALL, expires_at: None }).await?;
            ledger.people.push(Resident { user: user.id, key, bodies: 0 });
        }
        write(&ledger, dir).map_err(failed)?;
        terminal.say(&format!("{} people with a key each, {} days of data to come", self.people, self.days))?;
        Ok(ledger)
    }
}

const LATEST: &str = "/api/v1/wearables/latest";
const WINDOW: &str = "/api/v1/wearables/metric/heart_rate?days=30";
const DAILY: &str = "/api/v1/wearables/metric/heart_rate?days=30&bucket=1d&agg=avg,min,max";

/// 8080 if nobody has it, else any.
fn free_port() -> u16 {
    match std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)) {
        Ok(_) => PORT,
        Err(_) => 0,
    }
}

fn write(ledger: &Ledger, dir: &Path) -> Result<(), Error> {
    ledger.write(dir).map_err(|source| unreadable(dir, source))
}

fn unreadable(dir: &Path, source: std::io::Error) -> Error {
    Error::Ledger { path: PathBuf::from(dir), source }
}

fn served(error: serve::Error) -> Failure {
    Failure::Serve(Box::new(error))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Serve(Box::new(error))
}

/// Feeds the carried watch file; sending it again changes nothing.
async fn feed_ride(client: &Client, key: &str) -> Result<usize, Error> {
    let points = watch_file::heart_rates(watch_file::FENIX_RIDE)?;
    for chunk in points.chunks(crate::lifelike::BODY_POINTS) {
        let mut body = Vec::new();
        render(chunk.iter().copied(), &mut body);
        let status = client.ingest(key, body.into()).await?;
        if status != reqwest::StatusCode::CREATED {
            return Err(Error::Refused { status });
        }
    }
    Ok(points.len())
}

/// Compacts, and says what the points take on the disk.
async fn at_rest(state: &AppState, ledger: &Ledger) -> Result<String, Failure> {
    let engine = Arc::clone(&state.engine);
    tokio::task::spawn_blocking(move || engine.storage().compact()).await.map_err(failed)??;
    let bytes = state.engine.storage().metrics().file_bytes.get();
    let mut people: Vec<UserId> = ledger.people.iter().filter_map(|person| UserId::parse(&person.user)).collect();
    people.sort_unstable();
    let points = count(state, people.into()).await.map_err(failed)?;
    let each = float(bytes) / float(points).max(1.0);
    Ok(format!("{points} points in {:.1} MB of Parquet: {each:.2} bytes a point", float(bytes) / 1e6))
}

/// All points of these people, as SQL counts them.
async fn count(state: &AppState, people: Arc<[UserId]>) -> Result<u64, engine::Error> {
    let mut batches = state.engine.sql(people, "SELECT count(*) FROM points").await?;
    let mut points = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let column = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        points += column.map_or(0, |column| column.values().iter().sum::<i64>());
    }
    Ok(u64::try_from(points).unwrap_or(0))
}

fn float(number: u64) -> f64 {
    u32::try_from(number >> 20).map_or(0.0, f64::from) * 1_048_576.0
        + u32::try_from(number & 0xf_ffff).map_or(0.0, f64::from)
}

fn tell(path: &str, answer: &Answer, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let Answer { text, took } = answer;
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push_str(" …");
    }
    terminal.say(&format!("\nGET {path}\n{} bytes in {}\n{shown}", text.len(), millis(*took)))
}

fn millis(took: Duration) -> String {
    format!("{:.2} ms", took.as_secs_f64() * 1e3)
}

fn curls(base: &str, key: &str) -> String {
    [LATEST, WINDOW, DAILY].map(|path| format!("  curl -s -H 'X-API-Key: {key}' '{base}{path}'")).join("\n")
        + &format!("\n\nThe key: {key}\nThe API: {base}/docs")
}
