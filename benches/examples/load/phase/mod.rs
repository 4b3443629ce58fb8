//! The phases, one after the other, and what they share.

mod bulk;
mod durable;
mod fhir;
mod import;
mod paced;
mod quiet;
mod resource;
mod scale;
mod sharing;
mod sql;
mod stream;
mod webhooks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use server::lifelike::{BODY_POINTS, DAY_US, Fleet};

use crate::client::{Connection, Head};
use crate::process::{self, Server, Usage};
use crate::query::{Question, Truth};
use crate::report::Report;
use crate::report::Target::AtMost;
use crate::traffic::Traffic;
use crate::{Args, Result, accounts, shared};

const BULK_PATH: &str = "/api/v1/wearables/bulk-ingest";
const READY_PATH: &str = "/readyz";
const MIB: f64 = (1 << 20) as f64;
const DAYS: u32 = 30;

/// Everything that the phases share.
struct Bench<'a> {
    args: &'a Args,
    folder: PathBuf,
    fleet: Fleet,
    people: u32,
    keys: Vec<String>,
    start_us: i64,
    end_us: i64,
    report: Report,
    rss_peak_bytes: u64,
}

/// Runs all phases and prints the table.
pub(crate) fn run(args: &Args) -> Result<()> {
    let parent = match &args.folder {
        Some(folder) => folder.clone(),
        None => std::env::current_exe()?.parent().ok_or("this program has no folder")?.to_path_buf(),
    };
    let mut folder = tempfile::Builder::new().prefix("avycenna-load-").tempdir_in(parent)?;
    folder.disable_cleanup(args.keep);
    let report = if args.webhooks {
        webhooks::run(args, folder.path().to_path_buf())?
    } else if args.stream {
        let mut bench = Bench::new(args, folder.path().to_path_buf())?;
        bench.streams()?;
        bench.report
    } else {
        let mut bench = Bench::new(args, folder.path().to_path_buf())?;
        bench.phases()?;
        bench.report
    };
    println!("{}", report.table());
    if let Some(path) = &args.json {
        std::fs::write(path, report.json())?;
    }
    if args.keep {
        println!("kept {}", folder.path().display());
    }
    Ok(())
}

impl<'a> Bench<'a> {
    fn new(args: &'a Args, folder: PathBuf) -> Result<Self> {
        let people = args.people();
        let end_us = args.end.as_microsecond();
        let mut bench = Self {
            args,
            folder,
            fleet: Fleet::new(args.seed, people, DAYS, end_us),
            people,
            keys: args.key.clone(),
            start_us: end_us - i64::from(DAYS) * DAY_US,
            end_us,
            report: Report::default(),
            rss_peak_bytes: 0,
        };
        if args.url.is_none() {
            eprintln!("making {people} people");
            let first = bench.data_dir("main");
            std::fs::create_dir(&first)?;
            bench.keys = accounts::create(&first, people)?;
            for name in ["group", "replay", "import"] {
                copy_folder(&first, &bench.data_dir(name))?;
            }
        }
        Ok(bench)
    }

    fn data_dir(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn phases(&mut self) -> Result<()> {
        eprintln!("making the bodies");
        let traffic = Traffic::build(&self.fleet, BODY_POINTS, &self.folder)?;
        let null_us = if self.args.skips("null") { None } else { Some(self.null(&traffic)?) };
        let data_dir = self.data_dir("main");
        let empty_start = self.ingest(&traffic, null_us, &data_dir)?;
        if !self.args.skips("query") {
            self.questions(&data_dir)?;
        }
        let is_shared = self.args.url.is_none() && !(self.args.skips("sharing") && self.args.skips("sql"));
        let shared = if is_shared { Some(shared::share(&data_dir, "check_ins")?) } else { None };
        // Before the paced phase: its points are nothing that the fleet's truth knows.
        if let Some(shared) = shared.as_ref().filter(|_| !self.args.skips("sql")) {
            self.sql(&data_dir, shared)?;
        }
        if !self.args.skips("paced") {
            self.paced(&data_dir)?;
        }
        if let Some(shared) = shared.as_ref().filter(|_| !self.args.skips("sharing")) {
            self.sharing(&data_dir, shared)?;
        }
        if !self.args.skips("fhir") {
            self.fhir(&data_dir)?;
            self.bulk(&data_dir)?;
        }
        if self.args.url.is_none() && !self.args.skips("scale") {
            self.scale()?;
        }
        if !self.args.skips("group") {
            self.group_commit()?;
        }
        if self.args.url.is_none() && !self.args.skips("replay") {
            self.replay(&traffic, empty_start)?;
        }
        if self.args.url.is_none() && !self.args.skips("import") {
            self.import()?;
        }
        if self.rss_peak_bytes > 0 {
            let peak = self.rss_peak_bytes as f64 / MIB;
            self.report.add("memory", "peak of all phases but the replay's", peak, "MiB", AtMost(512.0));
        }
        Ok(())
    }

    /// Starts the server on a data directory with further settings, or takes the running one.
    fn server(&self, data_dir: &Path, settings: &[(&str, String)]) -> Result<Server> {
        if let Some(address) = self.args.url {
            return Ok(Server::running(address, self.args.pid));
        }
        let address = process::free_address()?;
        let mut command = self.args.server_command()?;
        command.args(["serve", "--listen", &address.to_string(), "--data-dir"]).arg(data_dir);
        command.env("AVYCENNA_LIMITS_ENABLED", "false").envs(settings.iter().cloned());
        let log = std::fs::File::options().create(true).append(true).open(data_dir.with_extension("log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        Server::start(&mut command, address, READY_PATH)
    }

    /// Stops a server that was started here.
    fn stop(&mut self, server: Server) -> Result<Usage> {
        let usage = server.stop(&|| ())?;
        self.note_memory(usage);
        Ok(usage)
    }

    fn note_memory(&mut self, usage: Usage) {
        self.rss_peak_bytes = self.rss_peak_bytes.max(usage.rss_peak_bytes);
    }

    /// The heads of bulk requests, one a person.
    fn bulk_heads(&self, address: SocketAddr) -> Vec<Head> {
        let host = address.to_string();
        self.keys.iter().map(|key| Head::post(&host, BULK_PATH, Some(key))).collect()
    }

    /// The heads of a question about the days `[start_us, end_us)`, one a person.
    fn question_heads(&self, address: SocketAddr, question: Question, start_us: i64, end_us: i64) -> Result<Vec<Head>> {
        let host = address.to_string();
        self.keys.iter().map(|key| question.head(&host, key, start_us, end_us)).collect()
    }

    /// Asks about the first `people` people and compares every answer with the truth.
    fn check(&self, server: &Server, question: Question, heads: &[Head], people: u32) -> Result<Vec<u64>> {
        let mut connection = Connection::open(server.address)?;
        ((0..people).zip(heads))
            .map(|(person, head)| {
                let truth = Truth::of(&self.fleet, person, self.start_us, self.end_us);
                let checked = truth.check(&mut connection, question, head);
                checked.map_err(|error| format!("person {person}, {}: {error}", question.name()).into())
            })
            .collect()
    }
}

/// Copies a folder with all that is in it.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
