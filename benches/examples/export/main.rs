//! What an export costs: all points of one person through a real server, its memory watched.
//!
//! ```text
//! cargo run --release -p benches --example export                     # 10 M points
//! cargo run --release -p benches --example export -- --points 100000  # to see that it works
//! ```
//!
//! It starts a server with the documented defaults (rate limits aside), sends one person's points over a few
//! connections, and asks for each form of the export: first while the newest points are in memory, then with everything
//! at rest. The kernel's mark of the highest memory is set back before each. It fails if the memory of the server goes
//! beyond `--mib-max` in an export at rest.
//!
//! The server is this very program, started under the name `avycenna`.

#![expect(clippy::disallowed_methods, reason = "measuring time is what this program is for")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is its output, the progress its side line")]
#![expect(clippy::cast_precision_loss, reason = "figures for people need no 53 bits")]

#[path = "../load/accounts.rs"]
mod accounts;
#[expect(dead_code, reason = "the load driver uses the rest")]
#[path = "../load/client.rs"]
mod client;
#[expect(dead_code, reason = "the load driver uses the rest")]
#[path = "../load/process.rs"]
mod process;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;

use crate::client::{Connection, Head};
use crate::process::{Server, Usage};

/// Any failure ends the run with its message.
pub(crate) type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The name under which this program is the server.
const SERVER_NAME: &str = "avycenna";
const BODY_POINTS: u64 = 500;
const CONNECTIONS: usize = 4;
/// First point: 2024-01-01T00:00:00Z. One a second follows in each metric.
const START_US: i64 = 1_704_067_200_000_000;
const MIB: f64 = 1_048_576.0;
/// Metrics with their unit, and how many of ten points are theirs.
const METRICS: [(&str, &str, u64); 4] =
    [("heart_rate", "bpm", 7), ("hrv", "ms", 1), ("spo2", "%", 1), ("respiratory_rate", "breaths/min", 1)];
const FORMATS: [&str; 3] = ["json", "ndjson", "zip-parquet"];

/// What to measure.
#[derive(Debug, Clone, Parser)]
#[command(name = "export", about = "Measures time and memory of exporting one person's points")]
struct Args {
    /// Points of the person.
    #[arg(long, default_value_t = 10_000_000)]
    points: u64,
    /// Most memory that the server may have in RAM during an export at rest, MiB.
    #[arg(long, default_value_t = 300.0)]
    mib_max: f64,
    /// Folder for the data directory, about 1 GB; next to this program if not given.
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    if std::env::args().next().as_deref() == Some(SERVER_NAME) {
        return server::main();
    }
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("export: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the memory stayed within its bound.
fn run(args: &Args) -> Result<bool> {
    let folder = match &args.folder {
        Some(folder) => tempfile::Builder::new().prefix("avycenna-export-").tempdir_in(folder)?,
        None => benches::folder()?,
    };
    let data_dir = folder.path().join("data");
    let keys = accounts::create(&data_dir, 1)?;
    let key = keys.first().ok_or("no key was made")?;
    let server = start(&data_dir)?;
    let began = Instant::now();
    send(&server, key, args.points)?;
    let seconds = began.elapsed().as_secs_f64();
    let resident = server.usage()?.rss_bytes as f64 / MIB;
    println!("sent {} points in {seconds:.1} s; the server has {resident:.0} MiB in RAM", args.points);
    println!(
        "{:<10} {:<12} {:>8} {:>12} {:>12} {:>10} {:>10}",
        "points", "form", "seconds", "points/s", "MB", "CPU s", "MiB"
    );
    export(&server, key, args.points, "in memory")?;
    server.stop(&|| ())?;
    process::run(command()?.arg("compact").arg("--data-dir").arg(&data_dir), &|| ())?;
    let server = start(&data_dir)?;
    let peak = export(&server, key, args.points, "at rest")?;
    server.stop(&|| ())?;
    println!("peak at rest {peak:.0} MiB, at most {:.0}", args.mib_max);
    Ok(peak <= args.mib_max)
}

fn command() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(SERVER_NAME).stdout(std::process::Stdio::null());
    Ok(command)
}

fn start(data_dir: &Path) -> Result<Server> {
    let address = process::free_address()?;
    let mut command = command()?;
    command.arg("serve").arg("--data-dir").arg(data_dir).args(["--listen", &address.to_string()]);
    command.args(["--set", "limits.enabled=false", "--set", "log.level=warn"]);
    Server::start(&mut command, address, "/readyz")
}

/// Sends all points over a few connections. The server may refuse for a moment when it cannot keep up.
fn send(server: &Server, key: &str, points: u64) -> Result<()> {
    let (next, address) = (AtomicU64::new(0), server.address);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..CONNECTIONS).map(|_| scope.spawn(|| send_some(address, key, points, &next))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a connection panicked")?)
    })
}

fn send_some(address: SocketAddr, key: &str, points: u64, next: &AtomicU64) -> Result<()> {
    let head = Head::post(&address.to_string(), "/api/v1/wearables/bulk-ingest", Some(key));
    let (mut connection, mut body) = (Connection::open(address)?, String::new());
    loop {
        let first = next.fetch_add(BODY_POINTS, Ordering::Relaxed);
        if first >= points {
            return Ok(());
        }
        render(first, points.min(first + BODY_POINTS), &mut body)?;
        loop {
            match connection.post(&head, body.as_bytes())? {
                201 => break,
                503 => std::thread::sleep(Duration::from_millis(20)),
                status => return Err(format!("the server answered {status} to points").into()),
            }
        }
    }
}

/// A body of points number `first` to `end`.
fn render(first: u64, end: u64, body: &mut String) -> Result<()> {
    body.clear();
    body.push_str(r#"{"data_points":["#);
    for number in first..end {
        let (round, mut place) = (number / 10, number % 10);
        let mut metrics = METRICS.iter();
        let (metric, unit, share) = loop {
            let metric = metrics.next().ok_or("the shares are ten")?;
            if place < metric.2 {
                break *metric;
            }
            place -= metric.2;
        };
        let second = i64::try_from(round * share + place)?;
        let at = engine::time::format(START_US + second * 1_000_000);
        let value = 50 + number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 45;
        let comma = if number == first { "" } else { "," };
        write!(
            body,
            r#"{comma}{{"metric":"{metric}","value":{value},"unit":"{unit}","recorded_at":"{at}","source":"watch","source_device_id":"left"}}"#
        )?;
    }
    body.push_str("]}");
    Ok(())
}

/// Asks for each form; the highest memory, MiB.
fn export(server: &Server, key: &str, points: u64, place: &str) -> Result<f64> {
    let pid = server.pid.ok_or("the server's process is known")?;
    let mut highest: f64 = 0.0;
    for format in FORMATS {
        // `5` sets VmHWM back to what is resident now (proc_pid_clear_refs(5)).
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        let (before, began) = (Usage::of(pid)?, Instant::now());
        let bytes = download(server.address, key, format)?;
        let (seconds, after) = (began.elapsed().as_secs_f64(), Usage::of(pid)?);
        let peak = after.rss_peak_bytes as f64 / MIB;
        highest = highest.max(peak);
        let (rate, cpu) = (points as f64 / seconds, after.cpu.saturating_sub(before.cpu).as_secs_f64());
        println!(
            "{place:<10} {format:<12} {seconds:>8.1} {rate:>12.0} {:>12.1} {cpu:>10.1} {peak:>10.0}",
            bytes as f64 / 1e6
        );
    }
    Ok(highest)
}

/// Reads an export to its end and forgets it; its bytes on the wire.
fn download(address: SocketAddr, key: &str, format: &str) -> Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET /api/v1/export?format={format} HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n"
    )?;
    let (mut buffer, mut bytes, mut tail) = (vec![0; 256 << 10], 0, Vec::new());
    loop {
        let read = stream.read(&mut buffer)?;
        let piece = buffer.get(..read).unwrap_or_default();
        if bytes == 0 && !piece.starts_with(b"HTTP/1.1 200") {
            return Err(format!("no export: {}", String::from_utf8_lossy(piece)).into());
        }
        if read == 0 {
            break;
        }
        bytes += read as u64;
        tail.extend_from_slice(piece.get(read.saturating_sub(8)..).unwrap_or_default());
        tail.drain(..tail.len().saturating_sub(8));
    }
    // The empty chunk that ends a whole body.
    if tail.ends_with(b"\r\n0\r\n\r\n") { Ok(bytes) } else { Err("the export broke off".into()) }
}
