//! From a thread that writes to a body that is read: a few pieces are on their way, the thread waits for room.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Bytes that are handed on at once.
pub(crate) const PIECE_BYTES: usize = 128 << 10;
/// Pieces that may wait for the client.
const PIECES_WAITING: usize = 4;

/// Why nobody takes the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The connection was closed.
    Gone,
    /// The client took nothing for too long.
    Stalled,
}

/// What travels to the body.
#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    /// That was all. Without it the body is broken.
    End,
}

/// Takes the bytes of one answer, in order.
#[derive(Debug)]
pub(crate) struct Sink {
    buffer: Vec<u8>,
    pieces: mpsc::Sender<Piece>,
    runtime: Handle,
    stall_max: Duration,
    loss: Arc<OnceLock<Loss>>,
    is_void: Arc<AtomicBool>,
}

/// Makes a sink swallow whatever is still written to it, when it is dropped: what tidies up behind a failure (an archive
/// that writes its directory) must not make a part look whole.
#[derive(Debug)]
pub(crate) struct Void(Arc<AtomicBool>);

impl Drop for Void {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Void {
    /// The sink goes on taking what is written.
    pub(crate) fn spare(self) {
        let Self(flag) = &self;
        let flag = Arc::clone(flag);
        drop(self);
        flag.store(false, Ordering::Relaxed);
    }
}

/// A sink and the body that it fills. A client that takes no piece for `stall_max` is lost. Must be called on a runtime.
pub(crate) fn channel(stall_max: Duration) -> (Sink, Body) {
    let (pieces, arriving) = mpsc::channel(PIECES_WAITING);
    let sink = Sink {
        buffer: Vec::with_capacity(2 * PIECE_BYTES),
        pieces,
        runtime: Handle::current(),
        stall_max,
        loss: Arc::default(),
        is_void: Arc::default(),
    };
    let body = stream::try_unfold(arriving, |mut arriving| async move {
        match arriving.recv().await {
            Some(Piece::Bytes(bytes)) => Ok(Some((bytes, arriving))),
            Some(Piece::End) => Ok(None),
            None => Err(io::Error::other("the answer broke off")),
        }
    });
    (sink, Body::from_stream(body))
}

impl Sink {
    /// Where the reason will stand if the client is lost.
    pub(crate) fn loss(&self) -> Arc<OnceLock<Loss>> {
        Arc::clone(&self.loss)
    }

    /// A guard that voids the sink, unless it is spared.
    pub(crate) fn void(&self) -> Void {
        Void(Arc::clone(&self.is_void))
    }

    /// What is not on its way yet, to be appended to; [`Self::pass`] follows.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Hands on what is a piece; waits while too many are on their way.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] if nobody takes it any more.
    pub(crate) fn pass(&mut self) -> io::Result<()> {
        if self.buffer.len() < PIECE_BYTES {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(2 * PIECE_BYTES));
        self.send(Piece::Bytes(piece.into()))
    }

    /// Hands on what is left, and that it was all.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub(crate) fn end(mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.buffer);
        if !rest.is_empty() {
            self.send(Piece::Bytes(rest.into()))?;
        }
        self.send(Piece::End)
    }

    fn send(&mut self, piece: Piece) -> io::Result<()> {
        if self.is_void.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Most pieces find room at once; a timer is made for those that do not.
        let loss = match self.pieces.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Loss::Gone,
            Err(mpsc::error::TrySendError::Full(piece)) => {
                let sent = async { tokio::time::timeout(self.stall_max, self.pieces.send(piece)).await };
                match self.runtime.block_on(sent) {
                    Ok(Ok(())) => return Ok(()),
                    Ok(Err(_)) => Loss::Gone,
                    Err(_) => Loss::Stalled,
                }
            }
        };
        self.is_void.store(true, Ordering::Relaxed);
        let _ = self.loss.set(loss);
        Err(io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_void.load(Ordering::Relaxed) {
            self.buffer.extend_from_slice(bytes);
            self.pass()?;
        }
        Ok(bytes.len())
    }

    /// Does nothing: pieces leave when they are full, the last one by [`Sink::end`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
