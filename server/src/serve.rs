//! A running server: opens everything, answers until it is asked to stop, closes everything.
//!
//! ```text
//! open ─▶ bind ─▶ accept ─▶ a task per connection ─▶ Edge ─▶ router
//!                   │ asked to stop
//!                   └▶ no more connections ─▶ requests in flight end (bounded) ─▶ webhooks' tries end ─▶ mail, engine, control closed
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use engine::Engine;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use storage::SystemClock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::config::{self, Config};
use crate::control::Control;
use crate::fhir::bulk;
use crate::mail::Mailer;
use crate::metrics::{Metrics, UPKEEP_EVERY};
use crate::middleware::Edge;
use crate::state::AppState;
use crate::webhooks::{Webhooks, dispatcher};
use crate::{auth, control, erasure, flight, mail, router, routes, shutdown, webhooks};

/// Smallest read buffer of a connection: bodies come in few pieces.
const READ_BYTES_MIN: usize = 128 << 10;

/// Requests at once on one HTTP/2 connection: each may hold an answer of a megabyte that its client does not take.
const STREAMS_MAX: u32 = 32;

/// Longest wait for an export to notice that its client is gone.
const EXPORT_ENDS: Duration = Duration::from_secs(5);

/// Wait after the system refused a connection (too many open files, say).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Why a server did not start, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data directory cannot be used.
    #[error("the data directory {}", path.display())]
    DataDir {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has the data directory.
    #[error("the data directory {} is in use by another process; stop it first, or name another by --data-dir", path.display())]
    InUse {
        /// Which.
        path: std::path::PathBuf,
    },
    /// The configuration's metrics.
    #[error("configuration: {0}")]
    Config(#[from] config::Error),
    /// The points cannot be opened.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The control database cannot be opened.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// Signing secrets or password hashing.
    #[error(transparent)]
    Auth(#[from] auth::OpenError),
    /// Outgoing mail.
    #[error(transparent)]
    Mail(#[from] mail::MailError),
    /// Webhooks.
    #[error(transparent)]
    Webhooks(#[from] webhooks::OpenError),
    /// The operating system has no randomness to give.
    #[error("no randomness from the operating system")]
    Random(#[from] rand::rngs::SysError),
    /// The address cannot be had.
    #[error("listen at {address}; is another server there? `--listen 127.0.0.1:0` takes a free port")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The runtime or a signal handler.
    #[error("start the runtime")]
    Runtime(#[source] io::Error),
    /// The thread that opened or closed the engine panicked.
    #[error("the engine's thread ended early")]
    Engineless,
}

/// Serves until SIGTERM or SIGINT, on a runtime of its own. Says `listening on http://…` on standard output once
/// connections are taken.
///
/// # Errors
/// [`Error`]; a data directory in use by another process is [`Error::InUse`].
pub fn run(config: Arc<Config>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(async {
        let asked = shutdown::asked().map_err(Error::Runtime)?;
        let server = Server::open(config).await?;
        announce(server.address()?, server.flight_address());
        server.serve(asked).await
    })
}

/// Tells people and scripts where the server is.
fn announce(address: SocketAddr, flight: Option<SocketAddr>) {
    use std::io::Write;
    let mut out = io::stdout().lock();
    if let Some(flight) = flight {
        let _ = writeln!(out, "Flight SQL on grpc://{flight}");
        tracing::info!(address = %flight, "Flight SQL listens");
    }
    // Nobody may be listening to standard output; the log says it too.
    let _ = writeln!(out, "listening on http://{address}");
    let _ = out.flush();
    tracing::info!(%address, "listening");
}

/// A server that is open and bound, but does not answer yet.
#[derive(Debug)]
pub struct Server {
    state: AppState,
    listener: TcpListener,
    metrics_listener: Option<TcpListener>,
    flight_listener: Option<TcpListener>,
}

impl Server {
    /// Opens the data directory, the control database and the addresses. Replays the log, which may take a while.
    ///
    /// # Errors
    /// As [`run`]. What was opened is closed again.
    pub async fn open(config: Arc<Config>) -> Result<Self, Error> {
        let clock = Arc::new(SystemClock::default());
        let (settings, place_clock) = (Arc::clone(&config), Arc::clone(&clock));
        let engine = blocking(move || open_engine(&settings, place_clock)).await??;
        let control = Control::open(&config, clock).await?;
        let auth = Auth::open(&config, control.clone())?;
        let mail = Mailer::open(&config)?;
        let webhooks = Webhooks::open(&config)?;
        let listener = bind(config.listen.address).await?;
        let metrics_listener = bind_where(config.listen.metrics).await?;
        let flight_listener = bind_where(config.listen.flight).await?;
        let state = AppState::new(Arc::new(engine), control, auth, config, mail, webhooks);
        // Before anybody is answered: who came back with a backup must not be seen. What fails is tried again.
        if let Err(error) = state.eraser.catch_up().await {
            tracing::error!(%error, cause = erasure::cause(&error), "an erasure is not finished; it is tried again");
        }
        Ok(Self { state, listener, metrics_listener, flight_listener })
    }

    /// Where it listens: the port is the real one, also if port 0 was asked for.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn address(&self) -> Result<SocketAddr, Error> {
        self.listener.local_addr().map_err(Error::Runtime)
    }

    /// Where Flight SQL listens, if it does.
    pub fn flight_address(&self) -> Option<SocketAddr> {
        self.flight_listener.as_ref()?.local_addr().ok()
    }

    /// The open parts.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// Answers until `stop` is ready, lets requests in flight end (at most `listen.stop_s` seconds), then closes
    /// everything: what was acknowledged is in the log.
    ///
    /// # Errors
    /// [`Error`] of what could not be closed.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { state, listener, metrics_listener, flight_listener } = self;
        let mut side_tasks = JoinSet::new();
        side_tasks.spawn(upkeep(state.metrics.clone()));
        side_tasks.spawn(state.eraser.clone().tend());
        if let Some(metrics_listener) = metrics_listener {
            let routes = routes::health::metrics_router(state.clone());
            side_tasks.spawn(async move {
                if let Err(error) = axum::serve(metrics_listener, routes).await {
                    tracing::error!(%error, "the address of /metrics answers no more");
                }
            });
        }
        let patience = Duration::from_secs(state.config.listen.stop_s);
        let stopping = CancellationToken::new();
        let flight = flight_listener
            .map(|listener| tokio::spawn(flight::serve(state.clone(), listener, stopping.clone(), patience)));
        let dispatcher = dispatcher::start(&state)?;
        let exports = bulk::start(&state).map_err(Error::Runtime)?;
        let imports = state.imports.start();
        let edge = Arc::new(Edge::new(router::router(state.clone()), state.clone()));
        let connections = Connections::new(&state.config, edge, state.metrics.clone());
        let streams = Arc::clone(&state.streams);
        let stop = async move {
            stop.await;
            // They would go on for as long as their clients send.
            streams.close();
            stopping.cancel();
        };
        connections.serve(listener, stop, patience).await;
        if let Some(flight) = flight
            && flight.await.is_err()
        {
            tracing::error!("the task of Flight SQL panicked");
        }
        imports.stop().await;
        // Behind the last request: what it has caused may still be sent, and is sent after the next start if not.
        if let Some(dispatcher) = dispatcher {
            dispatcher.stop().await;
        }
        exports.stop().await;
        side_tasks.shutdown().await;
        close(state).await
    }
}

fn open_engine(config: &Config, clock: Arc<SystemClock>) -> Result<Engine, Error> {
    let path = &config.storage.data_dir;
    let place = config.storage.place(clock).map_err(|source| Error::DataDir { path: path.clone(), source })?;
    Engine::open(place, config.engine()?).map_err(|error| match error {
        engine::Error::Storage(storage::Error::Locked { .. }) => Error::InUse { path: path.clone() },
        error => error.into(),
    })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })
}

async fn bind_where(address: Option<SocketAddr>) -> Result<Option<TcpListener>, Error> {
    match address {
        Some(address) => bind(address).await.map(Some),
        None => Ok(None),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Engineless)
}

async fn upkeep(metrics: Metrics) {
    let mut every = tokio::time::interval(UPKEEP_EVERY);
    loop {
        every.tick().await;
        metrics.upkeep();
    }
}

async fn close(state: AppState) -> Result<(), Error> {
    // Their connections are closed: what still runs ends at its next piece.
    state.exports.ended(EXPORT_ENDS).await;
    state.mail.close().await;
    let engine = Arc::clone(&state.engine);
    blocking(move || engine.close()).await?;
    state.control.close().await?;
    tracing::info!("stopped");
    Ok(())
}

/// What all connections share.
struct Connections {
    builder: auto::Builder<TokioExecutor>,
    edge: Arc<Edge>,
    metrics: Metrics,
    places: Arc<Semaphore>,
}

impl Connections {
    fn new(config: &Config, edge: Arc<Edge>, metrics: Metrics) -> Self {
        let limits = &config.limits;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // Up to this many headers the answer is ours (431 in the API's form), beyond it hyper's.
        let headers_max = limits.headers_max.max(100);
        let buffer_bytes_max = limits.header_bytes_max.max(READ_BYTES_MIN);
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time())
            .max_buf_size(buffer_bytes_max);
        if headers_max > 100 {
            builder.http1().max_headers(headers_max);
        }
        builder
            .http2()
            .timer(TokioTimer::new())
            // As above: what is not beyond the buffer is refused by us, in the API's form.
            .max_header_list_size(u32::try_from(buffer_bytes_max).unwrap_or(u32::MAX))
            .max_concurrent_streams(STREAMS_MAX)
            .keep_alive_interval(limits.header_time())
            .keep_alive_timeout(limits.header_time());
        let places = config.listen.connections_max.min(Semaphore::MAX_PERMITS);
        Self { builder, edge, metrics, places: Arc::new(Semaphore::new(places)) }
    }

    /// Takes connections until `stop`, then waits for what is in flight, `patience` long.
    async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()>, patience: Duration) {
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&listener) => accepted,
                () = &mut stop => break,
            };
            // Ended tasks give their memory back here.
            while tasks.try_join_next().is_some() {}
            match accepted {
                Ok((stream, peer, place)) => self.spawn(&mut tasks, stream, peer, place, graceful.watcher()),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not taken");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
        drop(listener);
        if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
            tracing::warn!(patience_s = patience.as_secs(), "requests were cut off");
        }
        tasks.shutdown().await;
    }

    /// A connection, once there is a place for it.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer, place))
    }

    fn spawn(
        &self,
        tasks: &mut JoinSet<()>,
        stream: TcpStream,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
        watcher: Watcher,
    ) {
        let edge = Arc::clone(&self.edge);
        let service = service_fn(move |request: Request<Incoming>| {
            let edge = Arc::clone(&edge);
            async move { Ok::<_, std::convert::Infallible>(edge.answer(request, peer.ip()).await) }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let metrics = self.metrics.clone();
        tasks.spawn(async move {
            metrics.connections.increment(1.0);
            if let Err(error) = watcher.watch(connection).await {
                // Clients that go away, or do not speak HTTP: nothing that an operator must act on.
                tracing::debug!(%error, "a connection ended");
            }
            metrics.connections.decrement(1.0);
            drop(place);
        });
    }
}
