//! Webhooks: from a check-in to a receiver on the loopback, what an event costs its cause, and a queue that waits or drains.

mod backlog;
mod latency;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{BULK_PATH, MIB, READY_PATH};
use crate::client::{Connection, Head};
use crate::doctors::{self, Cast, Crowd};
use crate::process::{self, Server};
use crate::receiver::{Hangs, Receiver};
use crate::report::Target::{self, AtMost, None as NoTarget};
use crate::report::{Report, percentile_ms};
use crate::{Args, Result, ingest};

const CHECK_INS_PATH: &str = "/api/v1/check-ins";
const CHECK_IN: &[u8] = br#"{"mood":4,"energy":3,"focus":4,"sleep_hours":7.5,"steps":8200}"#;
/// Longest wait for what was sent to arrive.
const PATIENCE: Duration = Duration::from_mins(5);

struct Bench<'a> {
    args: &'a Args,
    folder: PathBuf,
    receiver: Receiver,
    report: Report,
}

/// Where a server of these phases keeps what it has.
struct Place {
    data_dir: PathBuf,
    /// A PostgreSQL of its own; SQLite if none.
    control: Option<String>,
}

/// One of the phases.
type Phase<'a> = fn(&mut Bench<'a>) -> Result<()>;

/// Runs these phases alone, and gives their table.
pub(super) fn run<'a>(args: &'a Args, folder: PathBuf) -> Result<Report> {
    let mut bench = Bench { args, folder, receiver: Receiver::start()?, report: Report::default() };
    let phases: [(&str, Phase<'a>); 5] = [
        ("written", Bench::written),
        ("live", Bench::live),
        ("fair", Bench::fair),
        ("backlog", Bench::beside_a_backlog),
        ("drain", Bench::drain),
    ];
    for (name, phase) in phases {
        if !args.skips(name) {
            phase(&mut bench)?;
        }
    }
    Ok(bench.report)
}

impl Bench<'_> {
    fn server(&self, place: &Place) -> Result<Server> {
        let address = process::free_address()?;
        let mut command: Command = self.args.server_command()?;
        command.args(["serve", "--listen", &address.to_string(), "--data-dir"]).arg(&place.data_dir);
        command.env("AVYCENNA_LIMITS_ENABLED", "false").envs(doctors::settings(place.control.as_deref()));
        let log = std::fs::File::options().create(true).append(true).open(place.data_dir.with_extension("log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        Server::start(&mut command, address, READY_PATH)
    }

    /// A place with people in it. On PostgreSQL each has a schema of its own.
    fn made(&self, name: &str, crowd: Crowd) -> Result<(Place, Cast)> {
        eprintln!("making {} doctors and their patients", crowd.doctors);
        let data_dir = self.folder.join(name);
        std::fs::create_dir(&data_dir)?;
        let control = self.args.control.as_deref().map(|url| doctors::schema(url, &format!("load_{name}")));
        let place = Place { data_dir, control: control.transpose()? };
        let cast = doctors::create(&place.data_dir, place.control.as_deref(), &self.receiver, crowd)?;
        Ok((place, cast))
    }

    /// Seconds of a paced phase.
    fn seconds(&self, whole: u64) -> u64 {
        if self.args.quick { whole.div_ceil(3) } else { whole }
    }
}

fn heads(address: SocketAddr, path: &str, keys: &[String]) -> Vec<Head> {
    let host = address.to_string();
    keys.iter().map(|key| Head::post(&host, path, Some(key))).collect()
}

fn expect_created(status: u16) -> Result<()> {
    if status == 201 { Ok(()) } else { Err(format!("a check-in was answered {status}").into()) }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
