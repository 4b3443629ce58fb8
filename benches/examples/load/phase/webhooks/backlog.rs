//! 100,000 deliveries that wait or go out: what the ingest of points feels of them, and what they cost themselves.

use server::lifelike::{BODY_POINTS, Fleet};

use super::{
    AtMost, BULK_PATH, Bench, Crowd, Duration, Hangs, Instant, MIB, NoTarget, PATIENCE, Result, Server, heads, ingest,
};
use crate::doctors::Of;
use crate::traffic::Traffic;

/// Events that wait for each of 100 doctors: 100,000 deliveries.
const QUEUED: u32 = 1_000;
/// Connections of the ingest.
const CONNECTIONS: usize = 8;
/// Turns of the two servers, and the length of one.
const TURNS: u32 = 8;
const TURN: Duration = Duration::from_secs(2);
/// Days of points of each person.
const DAYS: u32 = 10;

impl Bench<'_> {
    fn queued(&self) -> u32 {
        if self.args.quick { QUEUED / 20 } else { QUEUED }
    }

    /// Two servers take points in turns: one with a queue that waits, as all its receivers hang, and one without. Then the
    /// receivers answer, and the queue goes out beside the ingest.
    pub(super) fn beside_a_backlog(&mut self) -> Result<()> {
        const PHASE: &str = "ingest of points beside a queue of 100,000 deliveries";
        let people = Crowd::HUNDRED.patients;
        let fleet = Fleet::new(self.args.seed, people, DAYS, self.args.end.as_microsecond());
        let traffic = Traffic::build(&fleet, BODY_POINTS, &self.folder)?;
        let (place, cast) = self.made("backlog", Crowd { of: Of::Queued(self.queued()), ..Crowd::HUNDRED })?;
        let (place_without, cast_without) = self.made("no_backlog", Crowd::HUNDRED)?;
        self.receiver.hang(Hangs::Everybody);
        let with = self.server(&place)?;
        let without = self.server(&place_without)?;
        let turn = if self.args.quick { TURN / 4 } else { TURN };
        let send = |server: &Server, keys: &[String]| {
            let heads = heads(server.address, BULK_PATH, keys);
            let before = server.usage()?.cpu;
            let sent = ingest::for_a_while(server.address, &heads, &traffic, CONNECTIONS, turn)?;
            let cpu = server.usage()?.cpu.saturating_sub(before);
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((
                sent.points_per_second(),
                cpu.as_secs_f64() * 1e6 / sent.points as f64,
            ))
        };
        // The first turn of each warms up.
        send(&with, &cast.none)?;
        send(&without, &cast_without.none)?;
        let mut sums = [(0.0, 0.0); 2];
        for _ in 0..TURNS {
            let took = [send(&with, &cast.none)?, send(&without, &cast_without.none)?];
            for (sum, (rate, cpu)) in sums.iter_mut().zip(took) {
                *sum = (sum.0 + rate / f64::from(TURNS), sum.1 + cpu / f64::from(TURNS));
            }
        }
        let [(rate, cpu), (rate_without, cpu_without)] = sums;
        self.report.add(PHASE, "points a second, the queue waits", rate, "1/s", NoTarget);
        self.report.add(PHASE, "points a second, no queue", rate_without, "1/s", NoTarget);
        self.report.add(PHASE, "slower by", (1.0 - rate / rate_without) * 100.0, "%", AtMost(5.0));
        self.report.add(PHASE, "server CPU a point, of that without", cpu / cpu_without, "×", NoTarget);
        let came_before = self.receiver.count();
        self.receiver.hang(Hangs::Nobody);
        let (draining, _) = send(&with, &cast.none)?;
        let came = self.receiver.count() - came_before;
        self.report.add(PHASE, "points a second while it goes out", draining, "1/s", NoTarget);
        self.report.add(PHASE, "deliveries a second meanwhile", came as f64 / turn.as_secs_f64(), "1/s", NoTarget);
        with.stop(&|| ())?;
        without.stop(&|| ())?;
        Ok(())
    }

    pub(super) fn drain(&mut self) -> Result<()> {
        const PHASE: &str = "a queue of 100,000 deliveries to 100 endpoints";
        eprintln!("{PHASE}");
        let crowd = Crowd { of: Of::Queued(self.queued()), ..Crowd::HUNDRED };
        let (place, _) = self.made("queue", crowd)?;
        let count = self.queued() * crowd.doctors;
        let expected = self.receiver.count() + count as usize;
        let server = self.server(&place)?;
        let start = Instant::now();
        let before = server.usage()?;
        if !self.receiver.wait_for(expected, PATIENCE) {
            return Err(format!("{} of {expected} came", self.receiver.count()).into());
        }
        let wall = start.elapsed().as_secs_f64();
        let usage = server.usage()?;
        let cpu = usage.cpu.saturating_sub(before.cpu).as_secs_f64();
        self.report.add(PHASE, "deliveries a second", f64::from(count) / wall, "1/s", NoTarget);
        self.report.add(PHASE, "server CPU a delivery", cpu * 1e6 / f64::from(count), "µs", NoTarget);
        self.report.add(PHASE, "memory, most", usage.rss_peak_bytes as f64 / MIB, "MiB", AtMost(200.0));
        server.stop(&|| ())?;
        let came = self.receiver.count();
        self.report.add(PHASE, "came twice", (came - expected) as f64, "", AtMost(0.0));
        Ok(())
    }
}
