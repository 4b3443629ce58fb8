//! Sending bodies: as fast as they are acknowledged, or at a fixed rate.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Result;
use crate::client::{Connection, Head};
use crate::traffic::{Delivery, Progress, Traffic};

/// Wait after a 503: shorter than what `Retry-After` can say, for the loop is closed anyway.
const REFUSED_WAIT: Duration = Duration::from_millis(20);
/// Most 503 in a row for one body.
const REFUSED_MAX: u32 = 3_000;

/// What sending gave.
#[derive(Debug, Default)]
pub(crate) struct Ingested {
    /// Points answered with 201.
    pub(crate) points: u64,
    /// From the first request to the last answer.
    pub(crate) wall: Duration,
    /// Nanoseconds from each request to its 201.
    pub(crate) acks_ns: Vec<u64>,
    /// Answers 503.
    pub(crate) refused: u64,
}

impl Ingested {
    fn merge(parts: Vec<Self>, wall: Duration) -> Self {
        let mut all = Self { wall, ..Self::default() };
        for part in parts {
            all.points += part.points;
            all.refused += part.refused;
            all.acks_ns.extend(part.acks_ns);
        }
        all
    }

    /// Points a second.
    pub(crate) fn points_per_second(&self) -> f64 {
        self.points as f64 / self.wall.as_secs_f64()
    }
}

/// One sender: a connection and a buffer.
struct Sender<'a> {
    connection: Connection,
    heads: &'a [Head],
    body: Vec<u8>,
    sent: Ingested,
}

impl<'a> Sender<'a> {
    fn open(address: std::net::SocketAddr, heads: &'a [Head]) -> Result<Self> {
        Ok(Self { connection: Connection::open(address)?, heads, body: Vec::new(), sent: Ingested::default() })
    }

    /// Sends `self.body` until it is acknowledged.
    fn send(&mut self, delivery: &Delivery) -> Result<()> {
        let head = self.heads.get(delivery.person as usize).ok_or("a person without a key")?;
        for _ in 0..REFUSED_MAX {
            let start = Instant::now();
            match self.connection.post(head, &self.body)? {
                201 => {
                    self.sent.acks_ns.push(u64::try_from(start.elapsed().as_nanos())?);
                    self.sent.points += delivery.points;
                    return Ok(());
                }
                503 => {
                    self.sent.refused += 1;
                    std::thread::sleep(REFUSED_WAIT);
                }
                status => {
                    let body = String::from_utf8_lossy(self.connection.body()).into_owned();
                    return Err(format!("ingest was answered {status}: {body}").into());
                }
            }
        }
        Err("the server refuses for too long".into())
    }
}

/// Sends `deliveries` over `connections` connections, each waiting for its answer before its next body. A person's
/// bodies go over one connection, in order.
pub(crate) fn closed_loop(
    address: std::net::SocketAddr,
    heads: &[Head],
    traffic: &Traffic,
    deliveries: &[Delivery],
    connections: usize,
    progress: &Progress,
) -> Result<Ingested> {
    let start = Instant::now();
    let parts = in_threads(connections, |own| {
        let mut sender = Sender::open(address, heads)?;
        for delivery in deliveries.iter().filter(|delivery| delivery.person as usize % connections == own) {
            traffic.read(delivery, &mut sender.body)?;
            sender.send(delivery)?;
            progress.add(delivery.points);
        }
        Ok(sender.sent)
    })?;
    Ok(Ingested::merge(parts, start.elapsed()))
}

/// Sends the first bodies round and round for `time`, each of `connections` connections its own share.
pub(crate) fn for_a_while(
    address: std::net::SocketAddr,
    heads: &[Head],
    traffic: &Traffic,
    connections: usize,
    time: Duration,
) -> Result<Ingested> {
    let start = Instant::now();
    let parts = in_threads(connections, |own| {
        let mut sender = Sender::open(address, heads)?;
        for delivery in traffic.deliveries.iter().cycle().skip(own).step_by(connections) {
            if start.elapsed() > time {
                break;
            }
            traffic.read(delivery, &mut sender.body)?;
            sender.send(delivery)?;
        }
        Ok(sender.sent)
    })?;
    Ok(Ingested::merge(parts, start.elapsed()))
}

/// Sends everything at `points_per_second`, whichever connection is free taking the next body when it is due.
pub(crate) fn paced(
    address: std::net::SocketAddr,
    heads: &[Head],
    traffic: &Traffic,
    connections: usize,
    points_per_second: f64,
    progress: &Progress,
) -> Result<Ingested> {
    let mut points_before = 0;
    let schedule: Vec<(Duration, &Delivery)> = (traffic.deliveries.iter())
        .map(|delivery| {
            let due = Duration::from_secs_f64(points_before as f64 / points_per_second);
            points_before += delivery.points;
            (due, delivery)
        })
        .collect();
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let parts = in_threads(connections, |_| {
        let mut sender = Sender::open(address, heads)?;
        while let Some((due, delivery)) = schedule.get(next.fetch_add(1, Ordering::Relaxed)) {
            traffic.read(delivery, &mut sender.body)?;
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            sender.send(delivery)?;
            progress.add(delivery.points);
        }
        Ok(sender.sent)
    })?;
    Ok(Ingested::merge(parts, start.elapsed()))
}

/// Runs `work` once for each number below `count`, each on a thread of its own.
pub(crate) fn in_threads<T: Send>(count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread of the driver panicked")?).collect()
    })
}
