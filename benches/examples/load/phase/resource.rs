//! What ingest costs: the null server, then the server to rest.

use std::path::Path;
use std::time::Duration;

use server::lifelike::BODY_POINTS;

use super::{Bench, MIB, READY_PATH};
use crate::Args;
use crate::process::{self, Server};
use crate::report::Target::{AtMost, None as NoTarget};
use crate::report::us_per_point;
use crate::traffic::{Progress, Traffic};
use crate::watch::{self, Memory, ParquetFiles, is_parquet};
use crate::{Result, ingest};

/// Points that the null server gets.
const NULL_POINTS: u64 = 2_000_000;

impl Bench<'_> {
    /// CPU time a point of the null server.
    pub(super) fn null(&mut self, traffic: &Traffic) -> Result<f64> {
        eprintln!("null server");
        let address = process::free_address()?;
        let server = Server::start(&mut Args::null_command(address)?, address, READY_PATH)?;
        let heads = self.bulk_heads(address);
        let bodies = NULL_POINTS / BODY_POINTS as u64;
        let some = traffic.deliveries.get(..usize::try_from(bodies)?).unwrap_or(&traffic.deliveries);
        let before = server.usage()?;
        let sent = ingest::closed_loop(address, &heads, traffic, some, self.args.connections, &Progress::default())?;
        let us = us_per_point(server.usage()?.cpu.saturating_sub(before.cpu), sent.points);
        server.kill()?;
        self.report.add("null server", "CPU a point", us, "µs", NoTarget);
        self.report.add("null server", "points a second", sent.points_per_second(), "1/s", NoTarget);
        Ok(us)
    }

    /// Closed-loop ingest and the way to rest. Gives how long an empty server takes to start.
    pub(super) fn ingest(&mut self, traffic: &Traffic, null_us: Option<f64>, data_dir: &Path) -> Result<Duration> {
        const PHASE: &str = "durable ingest, closed loop";
        eprintln!("ingest of {} points over {} connections", traffic.points_sent, self.args.connections);
        let server = self.server(data_dir, &[])?;
        let empty_start = server.start_time;
        let heads = self.bulk_heads(server.address);
        let (files, progress) = (ParquetFiles::default(), Progress::default());
        let before = server.usage()?;
        let (sent, memory) = watch::beside(&server, Some(data_dir), &files, &progress, traffic.points_sent, || {
            ingest::closed_loop(server.address, &heads, traffic, &traffic.deliveries, self.args.connections, &progress)
        })?;
        let loaded = server.usage()?;
        self.report.add(PHASE, "points a second", sent.points_per_second(), "1/s", NoTarget);
        self.report.add_latencies(PHASE, "acknowledgement", &sent.acks_ns, NoTarget, NoTarget);
        self.report.add(PHASE, "answers 503, sent again", sent.refused as f64, "", NoTarget);
        self.report.add(PHASE, "body", traffic.body_bytes as f64 / traffic.points_sent as f64, "B/point", NoTarget);
        self.report_memory(PHASE, &memory);
        if self.args.url.is_some() {
            if self.args.pid.is_some() {
                let us = us_per_point(loaded.cpu.saturating_sub(before.cpu), sent.points);
                self.report.add(PHASE, "CPU a point, without the way to rest", us, "µs", NoTarget);
            }
            return Ok(empty_start);
        }
        let stopped = server.stop(&|| files.look(data_dir))?;
        self.note_memory(stopped);
        let mut compact = self.args.server_command()?;
        compact.arg("compact").arg("--data-dir").arg(data_dir).stdout(std::process::Stdio::null());
        let at_rest = process::run(&mut compact, &|| files.look(data_dir))?;
        self.note_memory(at_rest);
        let during = us_per_point(loaded.cpu.saturating_sub(before.cpu), sent.points);
        let after = us_per_point(stopped.cpu.saturating_sub(loaded.cpu) + at_rest.cpu, sent.points);
        let all = during + after;
        self.report.add(PHASE, "server CPU a point, until the last answer", during, "µs", NoTarget);
        self.report.add(PHASE, "server CPU a point, from there to rest", after, "µs", NoTarget);
        self.report.add(PHASE, "server CPU a point in all", all, "µs", AtMost(0.8));
        if let Some(null_us) = null_us {
            self.report.add(PHASE, "of the null server's", all / null_us, "×", AtMost(3.5));
        }
        self.report_disk(PHASE, traffic, data_dir, &files, stopped.disk_write_bytes + at_rest.disk_write_bytes)?;
        Ok(empty_start)
    }

    /// Memory at the quarters of a run, and whether it still grew after a minute.
    fn report_memory(&mut self, phase: &'static str, memory: &Memory) {
        for quarter in 1..=4 {
            let index = (memory.len() * quarter / 4).saturating_sub(1);
            if let Some((seconds, bytes)) = memory.get(index).filter(|(_, bytes)| *bytes > 0) {
                let what = format!("memory after {seconds:.0} s");
                self.report.add(phase, what, *bytes as f64 / MIB, "MiB", NoTarget);
            }
        }
        let most = |from: f64, to: f64| {
            memory.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, bytes)| *bytes).max().unwrap_or(0) as f64
        };
        if most(60.0, f64::MAX) > 0.0 {
            let growth = most(60.0, f64::MAX) / most(0.0, 60.0);
            self.report.add(phase, "memory after the first minute, of before", growth, "×", AtMost(1.1));
        }
    }

    fn report_disk(
        &mut self,
        phase: &'static str,
        traffic: &Traffic,
        data_dir: &Path,
        files: &ParquetFiles,
        disk_write_bytes: u64,
    ) -> Result<()> {
        let at_rest = process::disk_bytes(data_dir, &is_parquet)? as f64;
        let all = process::disk_bytes(data_dir, &|_| true)? as f64;
        let (count, written) = files.written();
        let distinct = traffic.points_distinct as f64;
        self.report.add(phase, "Parquet at rest", at_rest / distinct, "B/point", AtMost(1.8));
        self.report.add(phase, "Parquet written, of Parquet at rest", written as f64 / at_rest, "×", AtMost(3.0));
        self.report.add(phase, "Parquet files written", count as f64, "", NoTarget);
        self.report.add(phase, "data directory at rest", all / MIB, "MiB", NoTarget);
        let beside = disk_write_bytes.saturating_sub(written) as f64 / traffic.points_sent as f64;
        self.report.add(phase, "log and the rest written", beside, "B/point", NoTarget);
        Ok(())
    }
}
