//! A request's body, whole, in memory that belongs to the handler, and bounded in every way.
//!
//! | what                                   | bound                     | answer |
//! |----------------------------------------|---------------------------|--------|
//! | bytes as sent                          | `limits.body_bytes_max`   | 413    |
//! | bytes after gzip or zstd is undone     | `limits.inflated_bytes_max` | 413  |
//! | bytes of all bodies in memory          | `limits.bodies_bytes_max` | 503    |
//! | time until the last byte is there      | `limits.body_s`           | 408    |
//!
//! Memory is taken as bytes arrive, never because a header promised them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::inflate::{Coding, Inflater, Refusal};
use crate::config::Limits;
use crate::error::ApiError;
use crate::state::AppState;

/// Memory is counted in pieces of this size.
const PIECE_BYTES: usize = 16 << 10;

/// Most bytes that are reserved because `Content-Length` says so, before they are there.
const TRUSTED_BYTES_MAX: usize = 128 << 10;

/// Longest wait for the rest of a body that was refused.
const LINGER: Duration = Duration::from_secs(1);

/// A request's body. What it takes of the [`Room`] comes back when it is dropped.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    _lease: Lease,
}

impl Payload {
    /// The bytes, to be used up as scratch.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl std::ops::Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl FromRequest<AppState> for Payload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let limits = &state.config.limits;
        let coding = Coding::of(request.headers())?;
        let promised = promised_bytes(request.headers(), limits)?;
        let lease = Lease::new(&state.room);
        let mut body = request.into_body();
        let read = async {
            match coding {
                None => read_plain(&mut body, promised, limits, lease).await,
                Some(coding) => read_coded(&mut body, coding, limits, lease).await,
            }
        };
        let slow = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, format!("the body took over {} s", limits.body_s));
        let answer = tokio::time::timeout(limits.body_time(), read).await.map_err(slow)?;
        if answer.is_err() {
            linger(&mut body, limits.body_bytes_max).await;
        }
        answer
    }
}

/// Reads and forgets what is left of a refused body, for a moment. Closing while the client still sends would reset the
/// connection, and the client would never read why.
pub(crate) async fn linger(body: &mut Body, bytes_max: usize) {
    drop(tokio::time::timeout(LINGER, skip(body, bytes_max)).await);
}

/// Reads and forgets what is left of a refused body, so many bytes at most.
async fn skip(body: &mut Body, bytes_max: usize) {
    let mut bytes = 0;
    while let Ok(Some(piece)) = next_piece(body).await {
        bytes += piece.len();
        if bytes > bytes_max {
            return;
        }
    }
}

/// What `Content-Length` says; refuses at once what it says is too long.
fn promised_bytes(headers: &HeaderMap, limits: &Limits) -> Result<usize, ApiError> {
    let promised = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match usize::try_from(promised.unwrap_or(0)) {
        Ok(promised) if promised <= limits.body_bytes_max => Ok(promised),
        _ => Err(ApiError::too_large("the body", limits.body_bytes_max)),
    }
}

async fn read_plain(body: &mut Body, promised: usize, limits: &Limits, mut lease: Lease) -> Result<Payload, ApiError> {
    let mut bytes = Vec::with_capacity(promised.min(TRUSTED_BYTES_MAX));
    while let Some(piece) = next_piece(body).await? {
        let total = bytes.len() + piece.len();
        if total > limits.body_bytes_max {
            return Err(ApiError::too_large("the body", limits.body_bytes_max));
        }
        lease.grow_to(total)?;
        bytes.extend_from_slice(&piece);
    }
    Ok(Payload { bytes, _lease: lease })
}

async fn read_coded(body: &mut Body, coding: Coding, limits: &Limits, lease: Lease) -> Result<Payload, ApiError> {
    let mut inflater = Inflater::new(coding, limits.inflated_bytes_max, lease).map_err(ApiError::internal)?;
    let mut sent = 0;
    while let Some(piece) = next_piece(body).await? {
        sent += piece.len();
        if sent > limits.body_bytes_max {
            return Err(ApiError::too_large("the body", limits.body_bytes_max));
        }
        inflater.push(&piece).map_err(|refusal| refused(refusal, coding))?;
    }
    let (bytes, lease) = inflater.finish().map_err(|refusal| refused(refusal, coding))?;
    Ok(Payload { bytes, _lease: lease })
}

fn refused(refusal: Refusal, coding: Coding) -> ApiError {
    match refusal {
        Refusal::TooLong(bytes_max) => ApiError::too_large("the body, inflated,", bytes_max),
        Refusal::NoRoom(error) => error,
        Refusal::Broken => ApiError::fault(
            &[engine::Loc::Key("body")],
            format!("is not valid {}, or was cut", coding.as_str()),
            engine::FaultKind::Value,
        ),
    }
}

/// The next bytes; `None` at the end. Trailers are skipped.
pub(crate) async fn next_piece(body: &mut Body) -> Result<Option<bytes::Bytes>, ApiError> {
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
            Err(_) => return Err(ApiError::bad_request("the body ended early, or is not what its headers say")),
        }
    }
    Ok(None)
}

/// Memory for all bodies together.
#[derive(Debug, Clone)]
pub struct Room(Arc<Semaphore>);

impl Room {
    /// Room for so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes_max / PIECE_BYTES).clamp(1, Semaphore::MAX_PERMITS))))
    }
}

/// What one body has taken of the room.
#[derive(Debug)]
pub(super) struct Lease {
    room: Room,
    permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    pub(super) fn new(room: &Room) -> Self {
        Self { room: room.clone(), permit: None }
    }

    /// Takes what is missing for `bytes`; answers 503 if it is not there.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), ApiError> {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.div_ceil(PIECE_BYTES).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let full = || ApiError::overloaded("too many request bodies at once; try again in a moment");
        let missing = u32::try_from(missing).map_err(|_| full())?;
        let more = Arc::clone(&self.room.0).try_acquire_many_owned(missing).map_err(|_| full())?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_is_taken_comes_back() {
        let room = Room::new(4 * PIECE_BYTES);
        let mut first = Lease::new(&room);
        first.grow_to(1).unwrap();
        first.grow_to(3 * PIECE_BYTES).unwrap();
        let mut second = Lease::new(&room);
        second.grow_to(PIECE_BYTES).unwrap();
        assert_eq!(second.grow_to(PIECE_BYTES + 1).unwrap_err().status(), 503);
        drop(first);
        second.grow_to(4 * PIECE_BYTES).unwrap();
    }
}
