//! Questions in SQL: a doctor's over the whole fleet, one person's own over Flight, and what the others feel of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use server::lifelike::DAY_US;
use tonic::transport::Endpoint;

use super::Bench;
use crate::client::{Connection, Head};
use crate::query::{self, QUESTIONS};
use crate::report::Target::{AtMost, None as NoTarget};
use crate::report::percentile_ms;
use crate::shared::Shared;
use crate::{Result, process};

const PATH: &str = "/api/v1/query";
/// The fleet's daily average.
const FLEET: &str = "SELECT date_bin(INTERVAL '1 day', recorded_at) AS day, avg(value) AS mean, count(*) AS n \
                     FROM points WHERE metric = 'heart_rate' GROUP BY day ORDER BY day";
/// Times the fleet is asked for on a quiet server.
const FLEET_COUNT: usize = 20;
/// Times each other question is asked.
const COUNT: usize = 2_000;
/// Times that the fleet is asked for without a pause while another question is asked.
const FLEET_BESIDE_COUNT: usize = 3;
/// A question beside the fleet and as many alone take turns in so many pieces, so that a change of the machine meets both.
const PIECES: usize = 10;
/// Largest relative error of a mean.
const MEAN_ERROR_MAX: f64 = 1e-9;

impl Bench<'_> {
    /// After compaction, as a doctor whom everybody has let in.
    pub(super) fn sql(&mut self, data_dir: &Path, shared: &Shared) -> Result<()> {
        const PHASE: &str = "SQL, quiet server, after compaction";
        eprintln!("questions in SQL");
        let flight = process::free_address()?;
        let server = self.server(data_dir, &[("AVYCENNA_LISTEN_FLIGHT", flight.to_string())])?;
        let head = Head::post(&server.address.to_string(), PATH, Some(&shared.doctor_key));
        let body = json!({ "sql": FLEET }).to_string();
        let mut connection = Connection::open(server.address)?;
        let first = ask(&mut connection, &head, &body)?;
        self.check_fleet(&serde_json::from_slice(connection.body())?)?;
        self.report.add(PHASE, "fleet's daily average, first, right", first as f64 / 1e6, "ms", NoTarget);
        let count = if self.args.quick { 3 } else { FLEET_COUNT };
        let fleet: Vec<u64> = (0..count).map(|_| ask(&mut connection, &head, &body)).collect::<Result<_>>()?;
        let what = format!("fleet's daily average, doctor of {}", shared.patient_ids.len());
        self.report.add_latencies(PHASE, &what, &fleet, AtMost(220.0), NoTarget);
        let own: Vec<u64> = self.by_flight(flight, if self.args.quick { COUNT / 20 } else { COUNT })?;
        self.report.add_latencies(PHASE, "one's own 30 days, Flight", &own, AtMost(4.0), NoTarget);
        self.beside_the_fleet(server.address, &head, &body)?;
        self.stop(server)?;
        Ok(())
    }

    /// The three questions while the fleet is asked for without a pause, and as often alone, in turns.
    fn beside_the_fleet(&mut self, address: SocketAddr, fleet: &Head, body: &str) -> Result<()> {
        const PHASE: &str = "questions while the fleet is asked for by SQL";
        let pieces = if self.args.quick { 1 } else { PIECES };
        for question in QUESTIONS {
            let heads = self.question_heads(address, question, self.start_us, self.end_us)?;
            query::of_everybody(address, &heads)?;
            let (mut alone, mut beside) = (Vec::new(), Vec::new());
            for _ in 0..pieces {
                let piece = beside_one(address, &heads, (fleet, body))?;
                alone.extend(query::one_by_one(address, &heads, piece.len())?);
                beside.extend(piece);
            }
            let name = question.name();
            self.report.add_latencies(PHASE, &format!("{name}, alone"), &alone, NoTarget, NoTarget);
            self.report.add_latencies(PHASE, &format!("{name}, beside"), &beside, NoTarget, NoTarget);
            let ratio = percentile_ms(&beside, 99) / percentile_ms(&alone, 99);
            self.report.add(PHASE, format!("{name}, p99 beside by alone"), ratio, "times", AtMost(2.0));
            self.report.add(PHASE, format!("{name}, asked beside, and alone"), beside.len() as f64, "", NoTarget);
        }
        Ok(())
    }

    /// One person's 30 days of heart rate over Flight, each time another person: nanoseconds of each.
    fn by_flight(&self, flight: SocketAddr, count: usize) -> Result<Vec<u64>> {
        const OWN: &str = "SELECT recorded_at, value FROM points WHERE metric = 'heart_rate' ORDER BY recorded_at";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let channel = Endpoint::from_shared(format!("http://{flight}"))?.tcp_nodelay(true).connect().await?;
            let mut took_ns = Vec::with_capacity(count);
            for key in self.keys.iter().cycle().take(count) {
                let mut client = FlightSqlServiceClient::new(channel.clone());
                client.set_header("x-api-key", key);
                let began = Instant::now();
                let info = client.execute(OWN.to_owned(), None).await?;
                let ticket =
                    info.endpoint.into_iter().next().and_then(|endpoint| endpoint.ticket).ok_or("no ticket")?;
                let batches: Vec<_> = client.do_get(ticket).await?.try_collect().await?;
                took_ns.push(u64::try_from(began.elapsed().as_nanos())?);
                let rows = batches.iter().fold(0, |rows, batch| rows + batch.num_rows());
                if rows < 1_000 {
                    return Err(format!("{rows} heart rates in 30 days").into());
                }
            }
            Ok(took_ns)
        })
    }

    /// Compares the fleet's answer with everybody's points.
    fn check_fleet(&self, answer: &Value) -> Result<()> {
        let mut days: BTreeMap<i64, (f64, u64)> = BTreeMap::new();
        for person in 0..self.people {
            // Some points are sent twice, and stored once.
            let truth = self.fleet.person(person).truth();
            let mut day = self.start_us.div_euclid(DAY_US) * DAY_US;
            while day < self.end_us {
                let figures = truth.window("heart_rate", day, day + DAY_US);
                if figures.count > 0 {
                    let (sum, n) = days.entry(day).or_default();
                    *sum += figures.sum;
                    *n += figures.count as u64;
                }
                day += DAY_US;
            }
        }
        let rows = answer["rows"].as_array().ok_or("no rows")?;
        if rows.len() != days.len() {
            return Err(format!("{} days instead of {}", rows.len(), days.len()).into());
        }
        for (row, (day, (sum, n))) in rows.iter().zip(days) {
            let at: jiff::Timestamp = row[0].as_str().ok_or("no day")?.parse()?;
            let mean = sum / n as f64;
            let found = row[1].as_f64().unwrap_or(f64::NAN);
            let is_right = at.as_microsecond() == day
                && row[2].as_u64() == Some(n)
                && (found - mean).abs() <= mean.abs() * MEAN_ERROR_MAX;
            if !is_right {
                return Err(format!("{row} instead of {mean} over {n} at {day} µs").into());
            }
        }
        Ok(())
    }
}

/// Asks over one connection, each time for a person at random, until the fleet was asked for a few times over another one.
fn beside_one(address: SocketAddr, heads: &[Head], (fleet, body): (&Head, &str)) -> Result<Vec<u64>> {
    let is_over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(move || -> Result<()> {
            let asked = Connection::open(address).and_then(|mut connection| {
                (0..FLEET_BESIDE_COUNT).try_for_each(|_| ask(&mut connection, fleet, body).map(drop))
            });
            is_over.store(true, Ordering::Relaxed);
            asked
        });
        let beside = query::until(address, heads, is_over);
        asking.join().map_err(|_| "the asking thread panicked")??;
        beside
    })
}

fn ask(connection: &mut Connection, head: &Head, body: &str) -> Result<u64> {
    let began = Instant::now();
    let status = connection.post(head, body.as_bytes())?;
    let ns = u64::try_from(began.elapsed().as_nanos())?;
    if status == 200 {
        return Ok(ns);
    }
    Err(format!("{status}: {}", String::from_utf8_lossy(connection.body())).into())
}
