//! What an event costs its cause, and how soon it is told: while all is well, and while some receivers hang.

use super::{
    AtMost, Bench, CHECK_IN, CHECK_INS_PATH, Cast, Connection, Crowd, Duration, Hangs, Head, Instant, MIB, NoTarget,
    PATIENCE, Result, Server, SocketAddr, Target, expect_created, heads, ingest, nanos, percentile_ms,
};
use crate::doctors::Of;

/// Connections of the paced phases.
const CONNECTIONS: usize = 8;
/// Check-ins over one connection, for what an event adds: blocks in turns, and check-ins of one block.
const BLOCKS: usize = 20;
const BLOCK: usize = 100;
/// Between two blocks: what the one before has set off is over.
const BREAK: Duration = Duration::from_millis(100);
/// Endpoints of the phase in which one in ten hangs.
const ENDPOINTS: u32 = 1_000;

/// Check-ins that were answered: the patient's number, their ids, and when.
type Answered = Vec<(usize, String, Instant)>;

/// Check-ins at a rate.
#[derive(Debug, Clone, Copy)]
struct Pace {
    per_s: u32,
    seconds: u64,
    /// Endpoints that each is for.
    told: usize,
    /// Which of the patients' endpoints hang: patient and endpoint have one number.
    hangs: Hangs,
}

impl Bench<'_> {
    /// What writing an event down adds to its cause.
    pub(super) fn written(&mut self) -> Result<()> {
        let (place, cast) = self.made("written", Crowd { of: Of::Written, ..Crowd::HUNDRED })?;
        let server = self.server(&place)?;
        self.cost(&server, &cast, "a check-in over one connection, events written and not sent", AtMost(20.0))?;
        server.stop(&|| ())?;
        Ok(())
    }

    pub(super) fn live(&mut self) -> Result<()> {
        let (place, cast) = self.made("live", Crowd::HUNDRED)?;
        let server = self.server(&place)?;
        self.cost(&server, &cast, "a check-in over one connection, events sent meanwhile", NoTarget)?;
        let seconds = self.seconds(8);
        let pace = |per_s: u32, told: usize| Pace { per_s, seconds, told, hangs: Hangs::Nobody };
        self.paced(&server, "1,000 check-ins a second, nobody told", &cast.none, pace(1_000, 0))?;
        self.paced(&server, "100 check-ins a second, each for 10 of 100 endpoints", &cast.ten, pace(100, 10))?;
        self.paced(&server, "1,000 check-ins a second, each for 1 of 100 endpoints", &cast.one, pace(1_000, 1))?;
        server.stop(&|| ())?;
        Ok(())
    }

    /// The others of 1,000 endpoints while 100 hang, beside the same before and behind it.
    pub(super) fn fair(&mut self) -> Result<()> {
        const PHASES: [&str; 3] = [
            "1,000 check-ins a second, each for 1 of 1,000 endpoints",
            "the same while 100 of the 1,000 endpoints hang, the others",
            "the same again, when they hang no more",
        ];
        let (place, cast) = self.made("fair", Crowd { doctors: ENDPOINTS, patients: ENDPOINTS, ..Crowd::HUNDRED })?;
        let server = self.server(&place)?;
        // Long enough for a receiver that hangs to be given up, and tried again on four lanes.
        let steps = [(Hangs::Nobody, 8), (Hangs::Tenth, 16), (Hangs::Nobody, 8)];
        let mut ns = [Vec::new(), Vec::new()];
        for (phase, (hangs, seconds)) in PHASES.into_iter().zip(steps) {
            self.receiver.hang(hangs);
            let pace = Pace { per_s: 1_000, seconds: self.seconds(seconds), told: 1, hangs };
            let took = self.paced(&server, phase, &cast.one, pace)?;
            let [without, with] = &mut ns;
            if hangs == Hangs::Nobody {
                without.extend(took);
            } else {
                with.extend(took);
            }
            self.receiver.hang(Hangs::Nobody);
            // What hung is answered now, and what waited behind it goes out.
            std::thread::sleep(BREAK * 20);
        }
        let [without, with] = ns.map(|ns| percentile_ms(&ns, 99));
        self.report.add(PHASES[1], "p99, of the p99 before and behind", with / without, "×", AtMost(2.0));
        server.stop(&|| ())?;
        Ok(())
    }

    /// What somebody told adds to a check-in, over one connection: of the median, and of the mean, in which the rest of the
    /// work shows too, as far as requests wait for it.
    fn cost(&mut self, server: &Server, cast: &Cast, phase: &'static str, target: Target) -> Result<()> {
        let kinds = [
            ("nobody told", heads(server.address, CHECK_INS_PATH, &cast.none)),
            ("one told", heads(server.address, CHECK_INS_PATH, &cast.one)),
        ];
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
                        ns.push(nanos(start.elapsed()));
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

    /// Check-ins at a rate; how long each took to the receiver, nanoseconds.
    fn paced(&mut self, server: &Server, phase: &'static str, keys: &[String], pace: Pace) -> Result<Vec<u64>> {
        eprintln!("{phase}");
        let Pace { per_s, seconds, told, hangs } = pace;
        let heads = heads(server.address, CHECK_INS_PATH, keys);
        let count = usize::try_from(u64::from(per_s) * seconds)? / CONNECTIONS;
        let usage_before = server.usage()?;
        let start = Instant::now();
        let answered: Vec<Answered> = ingest::in_threads(CONNECTIONS, |number| {
            send_paced(server.address, &heads, (number, count), f64::from(per_s))
        })?;
        let awaited: Vec<_> = answered.iter().flatten().filter(|(patient, ..)| !hangs.includes(*patient)).collect();
        let mut ns = Vec::with_capacity(awaited.len() * told);
        for (_, id, at) in &awaited {
            let arrivals = self.receiver.wait_for_arrivals(id, told, PATIENCE);
            if arrivals.len() != told {
                return Err(format!("{} of {told} deliveries of a check-in came", arrivals.len()).into());
            }
            ns.extend(arrivals.into_iter().map(|came| nanos(came.saturating_duration_since(*at))));
        }
        let wall = start.elapsed().as_secs_f64();
        let cpu = server.usage()?.cpu.saturating_sub(usage_before.cpu).as_secs_f64() / wall * 100.0;
        let sent = answered.iter().map(Vec::len).sum::<usize>() as f64;
        self.report.add(phase, "check-ins a second", sent / wall, "1/s", NoTarget);
        self.report.add(phase, "server CPU", cpu, "% of a core", if told > 0 { AtMost(100.0) } else { NoTarget });
        self.report.add(phase, "memory", server.usage()?.rss_bytes as f64 / MIB, "MiB", NoTarget);
        if told > 0 {
            self.report.add(phase, "deliveries a second", ns.len() as f64 / wall, "1/s", NoTarget);
            self.report.add_latencies(phase, "from the 201 to the first byte", &ns, AtMost(50.0), AtMost(250.0));
        }
        Ok(ns)
    }
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
