//! Questions while points come in at a fixed rate.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use server::lifelike::{BODY_POINTS, DAY_US, Fleet};

use super::{Bench, DAYS};
use crate::client::Head;
use crate::ingest::{self, Ingested};
use crate::query::{self, QUESTIONS};
use crate::report::Target::{AtMost, None as NoTarget};
use crate::traffic::{Progress, Traffic};
use crate::watch::{self, ParquetFiles};
use crate::{POINTS_PER_PERSON, Result};

/// Times each question is asked a second.
const QUESTIONS_PER_SECOND: u32 = 50;
/// Size at which the memtable is sealed in this phase, bytes: small, so that flush and compaction run all the time.
const SEAL_BYTES: usize = 2 << 20;

impl Bench<'_> {
    /// The days after those of the ingest, at a fixed rate, the questions beside it.
    pub(super) fn paced(&mut self, data_dir: &Path) -> Result<()> {
        const PHASE: &str = "questions while points come in";
        let (traffic, end_us) = self.days_after()?;
        eprintln!("{} points at {} a second, questions beside it", traffic.points_sent, self.args.paced_rate);
        let server = self.server(data_dir, &[("AVYCENNA_STORAGE_SEAL_BYTES", SEAL_BYTES.to_string())])?;
        let heads = self.bulk_heads(server.address);
        let start_us = end_us - i64::from(DAYS) * DAY_US;
        let asks: Vec<Vec<Head>> = (QUESTIONS.into_iter())
            .map(|question| self.question_heads(server.address, question, start_us, end_us))
            .collect::<Result<_>>()?;
        // The server has just started; what it answers every day it has answered before.
        asks.iter().try_for_each(|heads| query::of_everybody(server.address, heads))?;
        let (files, progress) = (ParquetFiles::default(), Progress::default());
        files.look(data_dir);
        let (files_before, _) = files.written();
        let before = server.usage()?;
        let ((sent, answers), _) =
            watch::beside(&server, Some(data_dir), &files, &progress, traffic.points_sent, || {
                self.send_and_ask(server.address, &heads, &traffic, &asks, &progress)
            })?;
        let cpu = server.usage()?.cpu.saturating_sub(before.cpu);
        self.report.add(PHASE, "points a second", sent.points_per_second(), "1/s", NoTarget);
        self.report.add_latencies(PHASE, "acknowledgement", &sent.acks_ns, NoTarget, NoTarget);
        for (question, ns) in QUESTIONS.into_iter().zip(&answers) {
            self.report.add_latencies(PHASE, question.name(), ns, NoTarget, AtMost(3.0));
        }
        let written = files.written().0 - files_before;
        self.report.add(PHASE, "Parquet files written meanwhile", written as f64, "", NoTarget);
        let share = cpu.as_secs_f64() / sent.wall.as_secs_f64() * 100.0;
        self.report.add(PHASE, "server CPU", share, "% of a core", NoTarget);
        self.stop(server)?;
        Ok(())
    }

    /// As many points as the phase needs, of the days after those of the ingest, and where those days end.
    pub(super) fn days_after(&self) -> Result<(Traffic, i64)> {
        let points = self.args.paced_rate * self.args.paced_seconds as f64;
        let points_per_day = f64::from(self.people) * POINTS_PER_PERSON as f64 / f64::from(DAYS);
        let mut days = 1;
        while f64::from(days) * points_per_day * 0.9 < points && days < 3_650 {
            days += 1;
        }
        let end_us = self.end_us + i64::from(days) * DAY_US;
        let fleet = Fleet::new(self.args.seed, self.people, days, end_us);
        let mut traffic = Traffic::build(&fleet, BODY_POINTS, &self.folder)?;
        traffic.truncate(points);
        Ok((traffic, end_us))
    }

    /// Sends everything, and asks all three questions until everything is sent.
    fn send_and_ask(
        &self,
        address: SocketAddr,
        heads: &[Head],
        traffic: &Traffic,
        asks: &[Vec<Head>],
        progress: &Progress,
    ) -> Result<(Ingested, Vec<Vec<u64>>)> {
        let stop = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            let askers = scope.spawn(move || {
                ingest::in_threads(asks.len(), |number| {
                    let heads = asks.get(number).ok_or("no such question")?;
                    query::paced(address, heads, QUESTIONS_PER_SECOND, stop)
                })
            });
            let sent = ingest::paced(address, heads, traffic, self.args.connections, self.args.paced_rate, progress);
            stop.store(true, Ordering::Relaxed);
            let answers = askers.join().map_err(|_| "an asking thread panicked")?;
            Ok((sent?, answers?))
        })
    }
}
