//! Somebody who takes webhooks: a thread a connection, nothing done but to note when the first byte came.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Result;

/// How often the number of requests is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Which endpoints do not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Hangs {
    /// None.
    #[default]
    Nobody,
    /// Those whose numbers are multiples of ten.
    Tenth,
    /// All.
    Everybody,
}

impl Hangs {
    /// Whether the endpoint of a number is one of them.
    pub(crate) fn includes(self, number: usize) -> bool {
        match self {
            Self::Nobody => false,
            Self::Tenth => number.is_multiple_of(10),
            Self::Everybody => true,
        }
    }
}

/// What comes before the id of a check-in in a body.
const ID_MARK: &str = "\"check_in_id\":\"";

/// A receiver on the loopback; it listens until the program ends.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    count: AtomicUsize,
    hangs: Mutex<Hangs>,
    /// Rung when that changes.
    changed: Condvar,
    /// When the first bytes of the requests about a check-in came.
    arrivals: Mutex<HashMap<String, Vec<Instant>>>,
}

impl Receiver {
    /// Listens.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, shared) = (listener.local_addr()?, Arc::<Shared>::default());
        let taken = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&taken);
                // A connection that ends in the middle ends its thread; the server tries again.
                std::thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Ok(Self { address, shared })
    }

    /// Where an endpoint of a number is.
    pub(crate) fn url(&self, number: u32) -> String {
        format!("http://{}/{number}", self.address)
    }

    /// From now on these do not answer, and others do.
    pub(crate) fn hang(&self, hangs: Hangs) {
        *self.shared.hangs.lock().unwrap_or_else(PoisonError::into_inner) = hangs;
        self.shared.changed.notify_all();
    }

    /// Requests so far, those that hang aside.
    pub(crate) fn count(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// Waits until so many requests have come, `patience` long at most; whether they have.
    pub(crate) fn wait_for(&self, count: usize, patience: Duration) -> bool {
        let start = Instant::now();
        while self.count() < count {
            if start.elapsed() > patience {
                return false;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        true
    }

    /// When the requests about a check-in came, once there are `count` of them, or when `patience` is at its end.
    pub(crate) fn wait_for_arrivals(&self, check_in: &str, count: usize, patience: Duration) -> Vec<Instant> {
        let start = Instant::now();
        loop {
            let arrivals = self.shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            let found = arrivals.get(check_in).cloned().unwrap_or_default();
            drop(arrivals);
            if found.len() >= count || start.elapsed() > patience {
                return found;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    let mut piece = [0; 8 << 10];
    loop {
        bytes.clear();
        let mut first = None;
        let id = loop {
            let read = stream.read(&mut piece)?;
            if read == 0 {
                return Ok(());
            }
            first.get_or_insert_with(Instant::now);
            bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
            if let Some(body) = body_of(&bytes) {
                break body.split_once(ID_MARK).and_then(|(_, rest)| rest.split('"').next()).map(str::to_owned);
            }
        };
        let number = number_of(&bytes).unwrap_or(1);
        let hangs = shared.hangs.lock().unwrap_or_else(PoisonError::into_inner);
        if hangs.includes(number) {
            let changed = shared.changed.wait_while(hangs, |hangs| hangs.includes(number));
            drop(changed.unwrap_or_else(PoisonError::into_inner));
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
            continue;
        }
        drop(hangs);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        if let (Some(id), Some(first)) = (id, first) {
            let mut arrivals = shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            arrivals.entry(id).or_default().push(first);
        }
        shared.count.fetch_add(1, Ordering::SeqCst);
    }
}

/// The number of the endpoint that a request is for: `POST /NUMBER …`.
fn number_of(bytes: &[u8]) -> Option<usize> {
    let line = bytes.split(|byte| *byte == b' ').nth(1).and_then(|path| std::str::from_utf8(path).ok());
    line.and_then(|path| path.strip_prefix('/')?.parse().ok())
}

/// The body of a request that is whole.
fn body_of(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let len = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
    })?;
    body.get(..len)
}
