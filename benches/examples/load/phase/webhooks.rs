//! Webhooks: from a check-in to a receiver on the loopback, and a queue that drains.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{MIB, READY_PATH};
use crate::client::{Connection, Head};
use crate::doctors::{self, Cast, DOCTORS, Of};
use crate::process::{self, Server};
use crate::receiver::{HANGING_IN, Receiver};
use crate::report::Target::{self, AtMost, None as NoTarget};
use crate::report::{Report, percentile_ms};
use crate::{Args, Result, ingest};

const CHECK_INS_PATH: &str = "/api/v1/check-ins";
const CHECK_IN: &[u8] = br#"{"mood":4,"energy":3,"focus":4,"sleep_hours":7.5,"steps":8200}"#;
/// Connections of the paced phases.
const CONNECTIONS: usize = 8;
/// Check-ins over one connection, for what an event adds: blocks in turns, and check-ins of one block.
const BLOCKS: usize = 20;
const BLOCK: usize = 100;
/// Between two blocks: what the one before has set off is over.
const BREAK: Duration = Duration::from_millis(100);
/// Events that wait for each of the doctors in the queue that drains: 100,000 deliveries.
const QUEUED: u32 = 1_000;
/// Longest wait for what was sent to arrive.
const PATIENCE: Duration = Duration::from_mins(5);

/// Check-ins that were answered: the patient's number, their ids, and when.
type Answered = Vec<(usize, String, Instant)>;

/// Check-ins at a rate.
#[derive(Debug, Clone, Copy)]
struct Pace {
    per_s: u32,
    seconds: u64,
    /// Endpoints that each is for.
    told: usize,
    /// Of so many patients the first is left out: theirs hang.
    skipped_in: Option<usize>,
}

struct Bench<'a> {
    args: &'a Args,
    folder: PathBuf,
    receiver: Receiver,
    report: Report,
}

/// Runs these phases alone, and prints their table.
pub(super) fn run(args: &Args, folder: PathBuf) -> Result<Report> {
    let mut bench = Bench { args, folder, receiver: Receiver::start()?, report: Report::default() };
    if args.control.is_none() {
        bench.written()?;
    }
    bench.live()?;
    bench.drain()?;
    Ok(bench.report)
}

impl Bench<'_> {
    fn server(&self, data_dir: &std::path::Path) -> Result<Server> {
        let address = process::free_address()?;
        let mut command: Command = self.args.server_command()?;
        command.args(["serve", "--listen", &address.to_string(), "--data-dir"]).arg(data_dir);
        command.env("AVYCENNA_LIMITS_ENABLED", "false").envs(doctors::settings(self.args.control.as_deref()));
        let log = std::fs::File::options().create(true).append(true).open(data_dir.with_extension("log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        Server::start(&mut command, address, READY_PATH)
    }

    fn made(&self, name: &str, of: Of) -> Result<(PathBuf, Cast)> {
        eprintln!("making {DOCTORS} doctors and their patients");
        let data_dir = self.folder.join(name);
        std::fs::create_dir(&data_dir)?;
        let cast = doctors::create(&data_dir, self.args.control.as_deref(), &self.receiver, of)?;
        Ok((data_dir, cast))
    }

    fn live(&mut self) -> Result<()> {
        let (data_dir, cast) = self.made("live", Of::Sent)?;
        let server = self.server(&data_dir)?;
        self.cost(&server, &cast, "a check-in over one connection, events sent meanwhile", NoTarget)?;
        let seconds = if self.args.quick { 3 } else { 8 };
        let pace = |per_s: u32, told: usize| Pace { per_s, seconds, told, skipped_in: None };
        self.paced(&server, "1,000 check-ins a second, nobody told", &cast.none, pace(1_000, 0))?;
        self.paced(&server, "100 check-ins a second, each for 10 of 100 endpoints", &cast.ten, pace(100, 10))?;
        let one = "1,000 check-ins a second, each for 1 of 100 endpoints";
        let p99 = self.paced(&server, one, &cast.one, pace(1_000, 1))?;
        self.receiver.hang(true);
        let phase = "the same while 10 of the 100 endpoints hang, the others";
        let hanging_p99 =
            self.paced(&server, phase, &cast.one, Pace { skipped_in: Some(HANGING_IN), ..pace(1_000, 1) })?;
        self.report.add(phase, "p99, of the p99 without", hanging_p99 / p99, "×", AtMost(2.0));
        self.receiver.hang(false);
        server.stop(&|| ())?;
        Ok(())
    }

    /// What writing an event down adds to its cause.
    fn written(&mut self) -> Result<()> {
        let (data_dir, cast) = self.made("written", Of::Written)?;
        let server = self.server(&data_dir)?;
        self.cost(&server, &cast, "a check-in over one connection, events written and not sent", AtMost(20.0))?;
        server.stop(&|| ())?;
        Ok(())
    }

    /// What somebody told adds to a check-in, over one connection: of the median, and of the mean, in which the rest of the
    /// work shows too, as far as requests wait for it.
    fn cost(&mut self, server: &Server, cast: &Cast, phase: &'static str, target: Target) -> Result<()> {
        let kinds =
            [("nobody told", heads(server.address, &cast.none)), ("one told", heads(server.address, &cast.one))];
        let mut connection = Connection::open(server.address)?;
        let mut ns: [Vec<u64>; 2] = Default::default();
        for block in 0..if self.args.quick { BLOCKS / 4 } else { BLOCKS } {
            // In turns, so that a drift of the machine falls on both; the first block of each warms up.
            for ((_, heads), ns) in kinds.iter().zip(&mut ns) {
                for nth in 0..BLOCK {
                    let start = Instant::now();
                    let head = heads.get(nth % heads.len()).ok_or("no patient")?;
                    expect_created(connection.post(head, CHECK_IN)?)?;
                    if block > 0 {
                        ns.push(u64::try_from(start.elapsed().as_nanos())?);
                    }
                }
                std::thread::sleep(BREAK);
            }
        }
        let mean = |ns: &[u64]| ns.iter().sum::<u64>() as f64 / ns.len() as f64;
        for ((what, _), ns) in kinds.iter().zip(&ns) {
            self.report.add_latencies(phase, what, ns, NoTarget, NoTarget);
        }
        let [none, one] = &ns;
        let added = (percentile_ms(one, 50) / percentile_ms(none, 50) - 1.0) * 100.0;
        self.report.add(phase, "what one told adds, p50", added, "%", target);
        self.report.add(phase, "what one told adds, mean", (mean(one) / mean(none) - 1.0) * 100.0, "%", NoTarget);
        Ok(())
    }

    /// Check-ins at a rate; the p99 of their way to the receiver, milliseconds.
    fn paced(&mut self, server: &Server, phase: &'static str, keys: &[String], pace: Pace) -> Result<f64> {
        eprintln!("{phase}");
        let Pace { per_s, seconds, told, skipped_in } = pace;
        let heads = heads(server.address, keys);
        let count = usize::try_from(u64::from(per_s) * seconds)? / CONNECTIONS;
        let (came_before, usage_before) = (self.receiver.count(), server.usage()?);
        let start = Instant::now();
        let answered: Vec<Answered> = ingest::in_threads(CONNECTIONS, |number| {
            send_paced(server.address, &heads, (number, count), f64::from(per_s))
        })?;
        let hangs = |patient: usize| skipped_in.is_some_and(|one_in| patient.is_multiple_of(one_in));
        let awaited: Vec<_> = answered.iter().flatten().filter(|(patient, ..)| !hangs(*patient)).collect();
        let expected = awaited.len() * told;
        let is_whole = self.receiver.wait_for(came_before + expected, PATIENCE);
        let wall = start.elapsed().as_secs_f64();
        let cpu = server.usage()?.cpu.saturating_sub(usage_before.cpu).as_secs_f64() / wall * 100.0;
        let came = self.receiver.count() - came_before;
        if !is_whole || came != expected {
            return Err(format!("{came} of {expected} deliveries came").into());
        }
        let sent = answered.iter().map(Vec::len).sum::<usize>() as f64;
        self.report.add(phase, "check-ins a second", sent / wall, "1/s", NoTarget);
        self.report.add(phase, "server CPU", cpu, "% of a core", if told > 0 { AtMost(100.0) } else { NoTarget });
        self.report.add(phase, "memory", server.usage()?.rss_bytes as f64 / MIB, "MiB", NoTarget);
        if told == 0 {
            return Ok(0.0);
        }
        self.report.add(phase, "deliveries a second", came as f64 / wall, "1/s", NoTarget);
        let mut ns = Vec::with_capacity(came);
        for (_, id, at) in awaited {
            let arrivals = self.receiver.arrivals(id);
            ns.extend(arrivals.into_iter().map(|came| nanos(came.saturating_duration_since(*at))));
        }
        self.report.add_latencies(phase, "from the 201 to the first byte", &ns, AtMost(50.0), AtMost(250.0));
        Ok(percentile_ms(&ns, 99))
    }

    fn drain(&mut self) -> Result<()> {
        const PHASE: &str = "a queue of 100,000 deliveries to 100 endpoints";
        if self.args.control.is_some() && !self.args.quick {
            eprintln!("the queue is drained on SQLite: run once without --control");
            return Ok(());
        }
        eprintln!("{PHASE}");
        let queued = if self.args.quick { QUEUED / 20 } else { QUEUED };
        let (data_dir, _) = self.made("queue", Of::Queued(queued))?;
        let came_before = self.receiver.count();
        let expected = came_before + (queued * DOCTORS) as usize;
        let server = self.server(&data_dir)?;
        let start = Instant::now();
        let before = server.usage()?;
        if !self.receiver.wait_for(expected, PATIENCE) {
            return Err(format!("{} of {expected} came", self.receiver.count()).into());
        }
        let wall = start.elapsed().as_secs_f64();
        let usage = server.usage()?;
        let cpu = usage.cpu.saturating_sub(before.cpu).as_secs_f64();
        self.report.add(PHASE, "deliveries a second", f64::from(queued * DOCTORS) / wall, "1/s", NoTarget);
        self.report.add(PHASE, "server CPU a delivery", cpu * 1e6 / f64::from(queued * DOCTORS), "µs", NoTarget);
        self.report.add(PHASE, "memory, most", usage.rss_peak_bytes as f64 / MIB, "MiB", AtMost(200.0));
        server.stop(&|| ())?;
        let came = self.receiver.count();
        self.report.add(PHASE, "came twice", (came - expected) as f64, "", AtMost(0.0));
        Ok(())
    }
}

fn heads(address: SocketAddr, keys: &[String]) -> Vec<Head> {
    let host = address.to_string();
    keys.iter().map(|key| Head::post(&host, CHECK_INS_PATH, Some(key))).collect()
}

/// Sends `count` check-ins, each in its time of a rate that all connections share.
fn send_paced(address: SocketAddr, heads: &[Head], (number, count): (usize, usize), rate: f64) -> Result<Answered> {
    let mut connection = Connection::open(address)?;
    let start = Instant::now();
    let mut answered = Vec::with_capacity(count);
    for nth in 0..count {
        let turn = nth * CONNECTIONS + number;
        let due = Duration::from_secs_f64(turn as f64 / rate);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        let patient = turn % heads.len();
        let head = heads.get(patient).ok_or("no patient")?;
        expect_created(connection.post(head, CHECK_IN)?)?;
        let at = Instant::now();
        let made: serde_json::Value = serde_json::from_slice(connection.body())?;
        let id = made.get("id").and_then(serde_json::Value::as_str).ok_or("a check-in without an id")?;
        answered.push((patient, id.to_owned(), at));
    }
    Ok(answered)
}

fn expect_created(status: u16) -> Result<()> {
    if status == 201 { Ok(()) } else { Err(format!("a check-in was answered {status}").into()) }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
