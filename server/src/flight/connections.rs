//! Connections of Flight SQL: so many and no more, and each speaks soon or is closed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Stream, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::metrics::Metrics;

/// How a client of HTTP/2 begins: 24 bytes of preface and the head of its settings (RFC 9113, 3.4 and 4.1).
const OPENING_BYTES: usize = 24 + 9;

/// Wait after the system refused a connection (too many open files, say).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Connections as they come: at most `max` are open, further ones wait in the system's queue; one that has not begun to
/// speak HTTP/2 within `opening` ends.
pub(super) fn accepted(
    listener: TcpListener,
    max: usize,
    opening: Duration,
    metrics: Metrics,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
    stream::unfold((listener, places, metrics), move |(listener, places, metrics)| async move {
        let permit = Arc::clone(&places).acquire_owned().await.ok()?;
        let stream = loop {
            match listener.accept().await.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => break stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection of Flight SQL was not taken");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        };
        let opening = Some(Opening { until: Box::pin(tokio::time::sleep(opening)), bytes_left: OPENING_BYTES });
        let place = Place::new(permit, metrics.clone());
        Some((Ok(Connection { stream, opening, _place: place }), (listener, places, metrics)))
    })
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// While it has said little.
    opening: Option<Opening>,
    _place: Place,
}

#[derive(Debug)]
struct Opening {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

/// The right to be open; given back, and no longer counted, when it is dropped.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    metrics: Metrics,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit, metrics: Metrics) -> Self {
        metrics.flight_connections.increment(1.0);
        Self { _permit: permit, metrics }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.flight_connections.decrement(1.0);
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(opening) = &mut self.opening
            && opening.until.as_mut().poll(ctx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(ctx, buf))?;
        let read = buf.filled().len() - before;
        if let Some(opening) = &mut self.opening {
            opening.bytes_left = opening.bytes_left.saturating_sub(read);
            if opening.bytes_left == 0 {
                self.opening = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(ctx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(ctx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(ctx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(ctx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
