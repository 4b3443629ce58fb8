//! Syncs and replay.

use std::time::Duration;

use server::lifelike::Fleet;

use super::Bench;
use crate::process;
use crate::query::QUESTIONS;
use crate::report::Target::{AtLeast, None as NoTarget};
use crate::traffic::{Progress, Traffic};
use crate::watch::is_parquet;
use crate::{Result, ingest};

/// Points in the log when the server is killed.
const REPLAY_POINTS: u64 = 2_000_000;
/// Points in a body of the group-commit phase: few, so that the sync is what costs.
const GROUP_BODY_POINTS: usize = 10;

impl Bench<'_> {
    /// Small bodies over 1, 8 and 64 connections.
    pub(super) fn group_commit(&mut self) -> Result<()> {
        const PHASE: &str = "group commit, bodies of 10 points";
        eprintln!("group commit");
        let people = self.people.min(64);
        let fleet = Fleet::new(self.args.seed, people, 1, self.end_us);
        let traffic = Traffic::build(&fleet, GROUP_BODY_POINTS, &self.folder)?;
        let server = self.server(&self.data_dir("group"), &[])?;
        let heads = self.bulk_heads(server.address);
        let time = Duration::from_secs(if self.args.quick { 1 } else { 4 });
        let mut alone = None;
        for connections in [1, 8, 64] {
            let sent = ingest::for_a_while(server.address, &heads, &traffic, connections, time)?;
            let rate = sent.points_per_second();
            let name = format!("{connections} connections");
            self.report.add(PHASE, format!("{name}, points a second"), rate, "1/s", NoTarget);
            self.report.add_latencies(PHASE, &format!("{name}, acknowledgement"), &sent.acks_ns, NoTarget, NoTarget);
            match alone {
                None => alone = Some(rate),
                Some(alone) => {
                    let target = if connections == 64 { AtLeast(8.0) } else { NoTarget };
                    self.report.add(PHASE, format!("{name}, of one"), rate / alone, "×", target);
                }
            }
        }
        self.stop(server)?;
        Ok(())
    }

    /// Kills a server that has everything in its log alone, starts it again, checks that nothing is lost.
    pub(super) fn replay(&mut self, traffic: &Traffic, empty_start: Duration) -> Result<()> {
        const PHASE: &str = "kill -9 and replay";
        eprintln!("kill and replay");
        let people = self.people.min(u32::try_from(REPLAY_POINTS / crate::POINTS_PER_PERSON)?);
        let some: Vec<_> = traffic.deliveries.iter().filter(|delivery| delivery.person < people).copied().collect();
        let data_dir = self.data_dir("replay");
        let settings = [
            ("AVYCENNA_STORAGE_SEAL_BYTES", (1_usize << 30).to_string()),
            ("AVYCENNA_STORAGE_MEMTABLE_BYTES_MAX", (2_usize << 30).to_string()),
        ];
        let server = self.server(&data_dir, &settings)?;
        let heads = self.bulk_heads(server.address);
        let connections = self.args.connections;
        let sent = ingest::closed_loop(server.address, &heads, traffic, &some, connections, &Progress::default())?;
        server.kill()?;
        let server = self.server(&data_dir, &settings)?;
        let took = server.start_time.saturating_sub(empty_start);
        self.report.add(PHASE, "points in the log", sent.points as f64, "", NoTarget);
        self.report.add(PHASE, "start of an empty server", empty_start.as_secs_f64() * 1e3, "ms", NoTarget);
        self.report.add(PHASE, "start with the log", server.start_time.as_secs_f64() * 1e3, "ms", NoTarget);
        let rate = sent.points as f64 / took.as_secs_f64();
        self.report.add(PHASE, "replay", rate, "points/s", AtLeast(5e6));
        for question in QUESTIONS {
            let heads = self.question_heads(server.address, question, self.start_us, self.end_us)?;
            self.check(&server, question, &heads, people)?;
        }
        let log_bytes = process::disk_bytes(&data_dir, &|path| !is_parquet(path))? as f64;
        self.report.add(PHASE, "log, with what is preallocated", log_bytes / sent.points as f64, "B/point", NoTarget);
        server.stop(&|| ())?;
        Ok(())
    }
}
