//! An export of Apple Health: from the answer to the upload until every point is acknowledged and every total made.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Bench, MIB};
use crate::Result;
use crate::client::{Connection, Head};
use crate::report::Target::{AtLeast, AtMost, None as NoTarget};

/// Length of the export, bytes.
const FILE_BYTES: usize = 256 << 20;
/// The same of a quick run.
const QUICK_FILE_BYTES: usize = 8 << 20;
/// Between two looks at the import.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Bench<'_> {
    /// Sends an export of one person to an empty server.
    pub(super) fn import(&mut self) -> Result<()> {
        const PHASE: &str = "an export of Apple Health";
        let bytes = if self.args.quick { QUICK_FILE_BYTES } else { FILE_BYTES };
        eprintln!("an export of {} MiB", bytes >> 20);
        let (file, points) = export(bytes);
        let server = self.server(&self.data_dir("import"), &[])?;
        let key = self.keys.first().ok_or("there is nobody")?.clone();
        let host = server.address.to_string();
        let mut connection = Connection::open(server.address)?;
        let head = Head::post(&host, "/api/v1/imports?format=apple_health", Some(&key));
        let began = Instant::now();
        let status = connection.post(&head, file.as_bytes())?;
        let queued: Value = serde_json::from_slice(connection.body())?;
        if status != 202 {
            return Err(format!("the upload was answered {status}: {queued}").into());
        }
        let uploaded = began.elapsed();
        let before = server.usage()?;
        let began = Instant::now();
        let id = queued.get("id").and_then(Value::as_str).ok_or("no id")?;
        let look = Head::get(&host, &format!("/api/v1/imports/{id}"), Some(&key));
        let ended = loop {
            std::thread::sleep(LOOK_EVERY);
            connection.get(&look)?;
            let import: Value = serde_json::from_slice(connection.body())?;
            let status = import.get("status").and_then(Value::as_str).unwrap_or_default();
            if !["queued", "running"].contains(&status) {
                break import;
            }
        };
        let took = began.elapsed();
        let usage = server.usage()?;
        let taken: u64 = ["heart_rate", "steps_sample", "calories_sample"]
            .iter()
            .map(|metric| ended.pointer(&format!("/ingested/{metric}")).and_then(Value::as_u64).unwrap_or(0))
            .sum();
        if ended.get("status").is_none_or(|status| status != "done") || taken != points {
            return Err(format!("of {points} points {taken} were taken: {ended}").into());
        }
        let megabytes = file.len() as f64 / 1e6;
        let cpu = usage.cpu.saturating_sub(before.cpu).as_secs_f64();
        self.report.add(PHASE, "upload, durable", megabytes / uploaded.as_secs_f64(), "MB/s", NoTarget);
        self.report.add(PHASE, "to acknowledged points and totals", megabytes / took.as_secs_f64(), "MB/s", NoTarget);
        self.report.add(PHASE, "a core, flushes beside it counted", megabytes / cpu, "MB/s", AtLeast(150.0));
        self.report.add(PHASE, "points a second", points as f64 / took.as_secs_f64(), "1/s", NoTarget);
        self.report.add(PHASE, "memory at its peak", usage.rss_peak_bytes as f64 / MIB, "MiB", AtMost(200.0));
        self.stop(server)?;
        Ok(())
    }
}

/// A document of about so many bytes, and its points: of 20 records 14 heart rates, three steps and two active energies
/// by watch and phone, and one that nobody takes.
fn export(bytes: usize) -> (String, u64) {
    let mut xml = String::with_capacity(bytes + (1 << 20));
    xml.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<HealthData locale=\"en_US\">\n");
    let start_s = 1_577_836_800_i64;
    let time = |s: i64| {
        let text = engine::time::format((start_s + s) * 1_000_000);
        text.replace('T', " ").replace('Z', " +0000")
    };
    let (mut points, mut nth) = (0, 0_i64);
    while xml.len() < bytes {
        let (kind, unit, source, length_s, value) = match nth % 20 {
            0..14 => ("HeartRate", "count/min", "Apple Watch", 0, (60 + nth % 60).to_string()),
            14 | 15 => ("StepCount", "count", "Apple Watch", 60, (nth % 110).to_string()),
            16 => ("StepCount", "count", "iPhone", 300, (nth % 400).to_string()),
            17 | 18 => ("ActiveEnergyBurned", "kcal", "Apple Watch", 60, format!("0.{:03}", nth % 1_000)),
            _ => ("DistanceWalkingRunning", "km", "iPhone", 60, "0.05".to_owned()),
        };
        points += u64::from(nth % 20 != 19);
        let (from, to) = (time(nth * 30), time(nth * 30 + length_s));
        // Writing into a String cannot fail.
        let _ = writeln!(
            xml,
            " <Record type=\"HKQuantityTypeIdentifier{kind}\" sourceName=\"{source}\" sourceVersion=\"10.3.1\" \
             device=\"&lt;&lt;HKDevice: 0x2833f4b40&gt;, name:{source}, manufacturer:Apple Inc., model:Watch, \
             hardware:Watch6,7, software:10.3.1&gt;\" unit=\"{unit}\" creationDate=\"{to}\" startDate=\"{from}\" \
             endDate=\"{to}\" value=\"{value}\"/>"
        );
        nth += 1;
    }
    xml.push_str("</HealthData>\n");
    (xml, points)
}
