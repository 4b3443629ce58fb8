//! A doctor's reads of check-ins beside the patient's own, on a quiet server and while points come in.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Bench;
use crate::Result;
use crate::client::Head;
use crate::ingest::{self, Ingested};
use crate::query;
use crate::report::Target::{AtMost, None as NoTarget};
use crate::report::percentile_ms;
use crate::shared::Shared;
use crate::traffic::{Progress, Traffic};
use crate::watch::{self, ParquetFiles};

/// Times each read is asked over one connection.
const READ_COUNT: usize = 3_000;
/// The two kinds of reads take turns in so many pieces, so that a change of the machine meets both.
const PIECES: usize = 10;
/// Connections that a doctor's reads come over while points come in.
const CONNECTIONS: usize = 4;
/// Reads a second of each of them: 200 together.
const READS_PER_SECOND: u32 = 50;

impl Bench<'_> {
    /// Reads as a doctor whom everybody has let in.
    pub(super) fn sharing(&mut self, data_dir: &Path, shared: &Shared) -> Result<()> {
        eprintln!("a doctor reads everybody's check-ins");
        self.reads_alone(data_dir, shared)?;
        self.reads_beside_ingest(data_dir, shared)
    }

    fn reads_alone(&mut self, data_dir: &Path, shared: &Shared) -> Result<()> {
        const PHASE: &str = "check-ins of 30 days, quiet server";
        let server = self.server(data_dir, &[])?;
        let (own, doctor) = (self.own_heads(server.address), doctor_heads(server.address, shared));
        let count = if self.args.quick { READ_COUNT / 10 } else { READ_COUNT };
        let (mut own_ns, mut doctor_ns) = (Vec::new(), Vec::new());
        // Each person once: what is measured is a server that runs, not one that starts.
        query::one_by_one(server.address, &own, count / PIECES)?;
        query::one_by_one(server.address, &doctor, count / PIECES)?;
        for _ in 0..PIECES {
            own_ns.extend(query::one_by_one(server.address, &own, count / PIECES)?);
            doctor_ns.extend(query::one_by_one(server.address, &doctor, count / PIECES)?);
        }
        self.report.add_latencies(PHASE, "the patient's own read", &own_ns, NoTarget, NoTarget);
        self.report.add_latencies(PHASE, "a doctor's read, recorded", &doctor_ns, NoTarget, NoTarget);
        let ratio = percentile_ms(&doctor_ns, 50) / percentile_ms(&own_ns, 50);
        self.report.add(PHASE, "a doctor's p50 by the patient's own", ratio, "times", AtMost(3.0));
        self.stop(server)?;
        Ok(())
    }

    fn reads_beside_ingest(&mut self, data_dir: &Path, shared: &Shared) -> Result<()> {
        const PHASE: &str = "a doctor's check-ins while points come in";
        let (traffic, _) = self.days_after()?;
        let server = self.server(data_dir, &[])?;
        let (bulk, reads) = (self.bulk_heads(server.address), doctor_heads(server.address, shared));
        let (files, progress) = (ParquetFiles::default(), Progress::default());
        let ((sent, ns), _) = watch::beside(&server, Some(data_dir), &files, &progress, traffic.points_sent, || {
            self.send_and_read(server.address, &bulk, &traffic, &reads, &progress)
        })?;
        self.report.add(PHASE, "points a second", sent.points_per_second(), "1/s", NoTarget);
        let rate = ns.len() as f64 / sent.wall.as_secs_f64();
        self.report.add(PHASE, "a doctor's reads a second", rate, "1/s", NoTarget);
        self.report.add_latencies(PHASE, "a doctor's read, recorded", &ns, NoTarget, AtMost(25.0));
        self.stop(server)?;
        Ok(())
    }

    fn own_heads(&self, address: SocketAddr) -> Vec<Head> {
        let host = address.to_string();
        self.keys.iter().map(|key| Head::get(&host, "/api/v1/check-ins?days=30", Some(key))).collect()
    }

    fn send_and_read(
        &self,
        address: SocketAddr,
        bulk: &[Head],
        traffic: &Traffic,
        reads: &[Head],
        progress: &Progress,
    ) -> Result<(Ingested, Vec<u64>)> {
        let stop = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers = scope.spawn(move || {
                ingest::in_threads(CONNECTIONS, |_| query::paced(address, reads, READS_PER_SECOND, stop))
            });
            let sent = ingest::paced(address, bulk, traffic, self.args.connections, self.args.paced_rate, progress);
            stop.store(true, Ordering::Relaxed);
            let answers = readers.join().map_err(|_| "a reading thread panicked")?;
            Ok((sent?, answers?.concat()))
        })
    }
}

fn doctor_heads(address: SocketAddr, shared: &Shared) -> Vec<Head> {
    let host = address.to_string();
    let path = |id: &String| format!("/api/v1/grants/patient/{id}/check-ins?days=30");
    shared.patient_ids.iter().map(|id| Head::get(&host, &path(id), Some(&shared.doctor_key))).collect()
}
