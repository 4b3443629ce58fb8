//! The reading side: pieces of the body into chunks, chunks into the log.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use engine::ingest::stream::{Chunk, Decoder};
use http_body_util::BodyExt;
use storage::{PointBatch, Ticket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::inflate::Inflate;
use super::report::Stopped;
use super::{Request, Step, Told};
use crate::access::writing::{LOOK_EVERY, Writing};
use crate::error::ApiError;
use crate::state::AppState;

/// Longest time that lines wait for more of their chunk.
const LINGER: Duration = Duration::from_millis(5);
/// First and longest pause before a storage that is full for the moment is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));
/// Longest time for which the storage may be full for the moment.
const PAUSED_MAX: Duration = Duration::from_secs(30);

/// What came of waiting for the body.
enum Arrived {
    Piece(Bytes),
    /// Nothing for a moment.
    Lull,
    End,
}

/// Why the reading ends early.
enum Ending {
    Stopped(Stopped),
    /// Nobody is there to be told.
    Gone,
}

impl From<Stopped> for Ending {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl From<ApiError> for Ending {
    fn from(error: ApiError) -> Self {
        Self::Stopped(Stopped::of(&error))
    }
}

/// One stream that is read.
pub(super) struct Reading {
    state: AppState,
    writing: Writing,
    request: Request,
    stall_max: Duration,
    closing: CancellationToken,
    decoder: Decoder,
    chunk: Chunk,
    /// When the credential was looked at last.
    looked: Duration,
    is_over: bool,
}

impl Reading {
    pub(super) fn new(
        state: AppState,
        writing: Writing,
        request: Request,
        stall_max: Duration,
        closing: CancellationToken,
    ) -> Self {
        let decoder = Decoder::new(request.format, writing.sender());
        let looked = state.clock.elapsed();
        Self { state, writing, request, stall_max, closing, decoder, chunk: Chunk::new(), looked, is_over: false }
    }

    /// Reads to the end of the body, or to what ends it before.
    pub(super) async fn run(mut self, mut inflate: Inflate, mut body: Body, told: mpsc::Sender<Told>) {
        let ending = match self.read(&mut inflate, &mut body, &told).await {
            Ok(()) => Told::End(None),
            Err(Ending::Stopped(stopped)) => Told::End(Some(stopped)),
            Err(Ending::Gone) => return,
        };
        drop(told.send(ending).await);
    }

    async fn read(&mut self, inflate: &mut Inflate, body: &mut Body, told: &mpsc::Sender<Told>) -> Result<(), Ending> {
        let mut is_waiting = false;
        while !self.is_over {
            match self.arrived(body, is_waiting).await? {
                Arrived::Piece(piece) => {
                    inflate.push(piece);
                    while let Some(plain) = inflate.next()? {
                        self.decoder.push(plain);
                        while self.decoder.is_full() && !self.is_over {
                            self.store(false, told).await?;
                        }
                    }
                    is_waiting = true;
                }
                Arrived::Lull => {
                    self.store(false, told).await?;
                    is_waiting = false;
                }
                Arrived::End => {
                    inflate.finish()?;
                    while !self.is_over && self.store(true, told).await? {}
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The next piece; where lines wait for more, a lull soon.
    async fn arrived(&self, body: &mut Body, is_waiting: bool) -> Result<Arrived, Ending> {
        let patience = if is_waiting { LINGER } else { self.stall_max };
        loop {
            let frame = tokio::select! {
                biased;
                () = self.closing.cancelled() => return Err(Stopped::because("the server stops; go on with another").into()),
                frame = tokio::time::timeout(patience, body.frame()) => frame,
            };
            return match frame {
                Err(_) if is_waiting => Ok(Arrived::Lull),
                Err(_) => Err(Stopped::because("nothing came for too long").into()),
                Ok(None) => Ok(Arrived::End),
                Ok(Some(Err(_))) => {
                    Err(Stopped::because("the body ended early, or is not what its headers say").into())
                }
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => Ok(Arrived::Piece(piece)),
                    // Trailers.
                    Err(_) => continue,
                },
            };
        }
    }

    /// Hands the next chunk to the log; `false` if there was none.
    async fn store(&mut self, is_end: bool, told: &mpsc::Sender<Told>) -> Result<bool, Ending> {
        let engine = Arc::clone(&self.state.engine);
        let metrics = engine.stream_metrics();
        if !self.decoder.fill(&metrics, self.state.clock.now_us(), is_end, &mut self.chunk) {
            return Ok(false);
        }
        self.look().await?;
        let admitted = self.writing.admit(self.chunk.people()).await;
        admitted.map_err(ApiError::from)?;
        let writing = &self.writing;
        let settled = self.chunk.settle(&metrics, self.request.on_error, |person| writing.allows(person));
        let settled = settled.map_err(ApiError::from)?;
        let mut tickets = Vec::with_capacity(settled.batches.len());
        for batch in settled.batches {
            tickets.push(self.append(Arc::new(batch)).await?);
        }
        let step = Step { tickets, points: settled.points, through: settled.through, faults: settled.faults };
        self.is_over = settled.is_stopped;
        told.send(Told::Step(step)).await.map_err(|_| Ending::Gone)?;
        Ok(true)
    }

    /// Queues a batch; while the storage is full for the moment, waits.
    async fn append(&self, batch: Arc<PointBatch>) -> Result<Ticket, Ending> {
        let (mut pause, pause_max) = PAUSES;
        let began = self.state.clock.elapsed();
        loop {
            match self.state.engine.storage().append(Arc::clone(&batch)) {
                Ok(ticket) => return Ok(ticket),
                Err(storage::Error::Overloaded { .. })
                    if self.state.clock.elapsed().saturating_sub(began) < PAUSED_MAX
                        && !self.closing.is_cancelled() =>
                {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(pause_max);
                }
                Err(error) => return Err(ApiError::from(error).into()),
            }
        }
    }

    /// Looks at the credential again if that is due.
    async fn look(&mut self) -> Result<(), Ending> {
        let now = self.state.clock.elapsed();
        if now.saturating_sub(self.looked) < LOOK_EVERY {
            return Ok(());
        }
        let principal = self.state.auth.authenticate(&self.request.headers).await.map_err(ApiError::from)?;
        principal.require_write().map_err(ApiError::from)?;
        self.looked = now;
        Ok(())
    }
}
