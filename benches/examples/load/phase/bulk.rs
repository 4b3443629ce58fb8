//! FHIR's exports: how many observations a second one core writes, and how much memory that takes.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Bench, MIB};
use crate::Result;
use crate::client::{Connection, Head};
use crate::report::Target::{AtLeast, AtMost, None as NoTarget};

/// People whose data is exported, one after the other: a million observations.
const PEOPLE: usize = 100;

/// Between two looks at an export.
const POLL: Duration = Duration::from_millis(20);

/// Longest wait for one.
const EXPORT_MAX: Duration = Duration::from_mins(5);

const PATH: &str = "/fhir/R4/Patient/$export?_type=Observation";
const PHASE: &str = "$export, quiet server";

impl Bench<'_> {
    /// Exports everything of some people, and reads what the first one gets.
    pub(super) fn bulk(&mut self, data_dir: &Path) -> Result<()> {
        eprintln!("exports of FHIR");
        let server = self.server(data_dir, &[])?;
        let mut connection = Connection::open(server.address)?;
        let people = if self.args.quick { PEOPLE / 25 } else { PEOPLE };
        let keys: Vec<String> = self.keys.iter().take(people).cloned().collect();
        let before = server.usage()?;
        let (mut rows, mut urls) = (0, Vec::new());
        for key in &keys {
            let manifest = export(&mut connection, server.address, key)?;
            let files = manifest.get("output").and_then(Value::as_array).ok_or("no `output` in the manifest")?;
            rows += files.iter().filter_map(|file| file["count"].as_u64()).sum::<u64>();
            if urls.is_empty() {
                urls.extend(files.iter().map(|file| (file["url"].clone(), file["count"].clone())));
            }
        }
        let after = server.usage()?;
        let core_s = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        let grown = after.rss_peak_bytes.saturating_sub(before.rss_peak_bytes) as f64 / MIB;
        let bytes = self.read(&mut connection, server.address, &urls)?;
        self.report.add(PHASE, "observations written", rows as f64, "rows", NoTarget);
        self.report.add(PHASE, "observations a second of one core", rows as f64 / core_s, "1/s", AtLeast(300_000.0));
        self.report.add(PHASE, "bytes of an observation", bytes, "B", NoTarget);
        self.report.add(PHASE, "memory that exports took, at most", grown, "MiB", AtMost(200.0));
        self.report.add(PHASE, "peak memory", after.rss_peak_bytes as f64 / MIB, "MiB", NoTarget);
        self.stop(server)?;
        Ok(())
    }

    /// Downloads files and counts their lines; bytes a line.
    fn read(&self, connection: &mut Connection, address: SocketAddr, urls: &[(Value, Value)]) -> Result<f64> {
        let key = self.keys.first().ok_or("nobody to ask for")?;
        let (mut lines, mut bytes) = (0, 0);
        for (url, count) in urls {
            let path = below(url.as_str().ok_or("no `url` of a file")?)?;
            let status = connection.get(&Head::get(&address.to_string(), path, Some(key)))?;
            let found = connection.body().split_inclusive(|byte| *byte == b'\n').count() as u64;
            if status != 200 || Some(found) != count.as_u64() {
                return Err(format!("{path} answered {status} with {found} lines, not {count}").into());
            }
            lines += found;
            bytes += connection.body().len();
        }
        Ok(bytes as f64 / lines as f64)
    }
}

/// Asks for an export and waits for its manifest.
fn export(connection: &mut Connection, address: SocketAddr, key: &str) -> Result<Value> {
    let host = address.to_string();
    let status = connection.get(&Head::get_later(&host, PATH, key))?;
    if status != 202 {
        return Err(format!("answered {status}: {}", String::from_utf8_lossy(connection.body())).into());
    }
    let location = connection.location().ok_or("no `Content-Location`")?.to_owned();
    let look = Head::get(&host, below(&location)?, Some(key));
    let began = Instant::now();
    loop {
        match connection.get(&look)? {
            200 => return Ok(serde_json::from_slice(connection.body())?),
            202 if began.elapsed() < EXPORT_MAX => std::thread::sleep(POLL),
            other => return Err(format!("an export: {other}: {}", String::from_utf8_lossy(connection.body())).into()),
        }
    }
}

/// The path of a URL of the server.
fn below(url: &str) -> Result<&str> {
    url.find("/fhir/").and_then(|start| url.get(start..)).ok_or_else(|| format!("{url} is not below /fhir").into())
}
