//! Streams of points: any length, any number of people, acknowledged chunk by chunk.
//!
//! ```text
//! body ─▶ inflate ─▶ Decoder ─▶ Chunk ─▶ may they write? ─▶ append ──tickets──▶ acknowledge ─▶ Report ─▶ answer
//!         └────────────── reading task ───────────────┘   (two on their way)   └─ acknowledging task ─┘
//! ```
//!
//! - The answer begins at once and grows while the body is read: a line for each chunk that is durable.
//! - A body is read no faster than its points become durable; a storage that is full for the moment makes it wait.
//! - An answer that its client does not read holds nothing up: acknowledgments say *up to here*, so a later one stands for
//!   those before it.
//! - What may end before a stream does (a credential, a grant) is looked at every second.
//!
//! Not here: what a point must be (`engine::ingest::stream`), who may write for whom (`crate::access::writing`).

mod inflate;
mod reader;
mod report;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use engine::ingest::stream::{Format, LineFault, OnError};
use storage::{Ticket, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use self::inflate::Inflate;
use self::reader::Reading;
use self::report::{Report, Stopped};
use crate::access::writing::Writing;
use crate::config::Limits;
use crate::error::ApiError;
use crate::extract::inflate::Coding;
use crate::state::AppState;

/// Streams of one account at once.
const STREAMS_PER_PERSON_MAX: usize = 4;
/// Chunks that may wait for the disk while the next one is read.
const CHUNKS_WAITING: usize = 2;
/// Seconds after which a client may ask again for a place.
const RETRY_AFTER_S: u32 = 10;
/// Marks an answer that grows while it is read: a compressor would hold its lines back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growing;

/// What a stream's answer is.
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// How many streams run, and whose.
#[derive(Debug)]
pub struct Streams {
    places: Arc<Semaphore>,
    people: Mutex<HashMap<UserId, usize>>,
    stall_max: Duration,
    closing: CancellationToken,
}

/// The right to one running stream; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    streams: Arc<Streams>,
    user: UserId,
    _permit: OwnedSemaphorePermit,
}

impl Streams {
    /// None runs; limits are those of a configuration.
    pub fn new(limits: &Limits) -> Self {
        let places = usize::try_from(limits.streams_max).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            people: Mutex::default(),
            stall_max: Duration::from_secs(limits.stream_stall_s),
            closing: CancellationToken::new(),
        }
    }

    /// Takes a place for a person.
    ///
    /// # Errors
    /// 503 if all are taken, or if this person has their share already.
    pub(crate) fn begin(self: &Arc<Self>, user: UserId) -> Result<Place, ApiError> {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        if people.get(&user).is_some_and(|running| *running >= STREAMS_PER_PERSON_MAX) {
            return Err(ApiError::busy("so many streams of yours are running; wait for one to end", RETRY_AFTER_S));
        }
        let full = |_| ApiError::busy("too many streams are running; try again later", RETRY_AFTER_S);
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        *people.entry(user).or_default() += 1;
        Ok(Place { streams: Arc::clone(self), user, _permit: permit })
    }

    /// Lets every stream end behind the chunk it is at: the server stops.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut people = self.streams.people.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = people.get_mut(&self.user) {
            *running -= 1;
            if *running == 0 {
                people.remove(&self.user);
            }
        }
    }
}

/// What a stream is, as its request says.
#[derive(Debug)]
pub(crate) struct Request {
    /// How points are written.
    pub(crate) format: Format,
    /// What becomes of it at a fault.
    pub(crate) on_error: OnError,
    /// The coding of the body.
    pub(crate) coding: Option<Coding>,
    /// By these the credential is looked at again.
    pub(crate) headers: HeaderMap,
}

/// A chunk that the log has, and that is acknowledged once it is durable.
#[derive(Debug)]
struct Step {
    tickets: Vec<Ticket>,
    points: usize,
    through: u64,
    faults: Vec<LineFault>,
}

/// What the reading task tells the acknowledging one.
#[derive(Debug)]
enum Told {
    Step(Step),
    /// Nothing follows; why, if not because the body ended.
    End(Option<Stopped>),
}

/// Reads a stream and answers it. The answer is there at once; its body follows the stream.
///
/// # Errors
/// 415, 503, before anything is read.
pub(crate) fn run(
    state: AppState,
    place: Place,
    writing: Writing,
    request: Request,
    body: Body,
) -> Result<Response, ApiError> {
    let inflate = Inflate::new(request.coding).map_err(ApiError::internal)?;
    let (told, telling) = mpsc::channel(CHUNKS_WAITING);
    let (report, answer) = report::channel();
    let (stall_max, closing) = (place.streams.stall_max, place.streams.closing.clone());
    let on_error = request.on_error;
    let reading = Reading::new(state, writing, request, stall_max, closing);
    tokio::spawn(async move {
        reading.run(inflate, body, told).await;
        drop(place);
    });
    tokio::spawn(acknowledge(telling, report, on_error));
    let mut response = Response::new(answer);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, NDJSON);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(Growing);
    Ok(response)
}

/// Waits for each chunk to be durable and says so, in order.
async fn acknowledge(mut telling: mpsc::Receiver<Told>, report: Report, on_error: OnError) {
    while let Some(told) = telling.recv().await {
        match told {
            Told::Step(step) => {
                for ticket in step.tickets {
                    if let Err(error) = ticket.await {
                        // The chunks behind it are not acknowledged, whatever became of them: sending them again is safe.
                        return report.end(Some(Stopped::of(&ApiError::from(error))));
                    }
                }
                if on_error == OnError::Skip {
                    report.skipped(&step.faults);
                    report.acked(step.through, step.points);
                } else {
                    report.acked(step.through, step.points);
                    if let Some(fault) = step.faults.first() {
                        return report.end(Some(Stopped::at(fault)));
                    }
                }
            }
            Told::End(stopped) => return report.end(stopped),
        }
    }
    // The reading task is gone without a word: the report breaks off.
}
