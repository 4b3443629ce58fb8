//! Threads for SQL alone, so that a query over a whole fleet takes nothing from those that answer requests.
//!
//! They run with the lowest priority: on a busy machine all others go first.
//!
//! What is planned and computed here travels to whoever asked through a channel of a few pieces; when they are gone, the
//! work is aborted.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::query::malformed;

/// Bytes of a thread's stack. Much of what looks at an expression goes as deep as it is, and so does what drops one that is
/// refused: 64 KiB of a statement are 32,768 levels (`1+1+1…`). What is not touched takes no memory.
const STACK_BYTES: usize = 64 << 20;
/// Pieces that may wait to be taken.
const PIECES_WAITING: usize = 4;

/// The threads.
#[derive(Debug)]
pub(super) struct Pool {
    /// Always there until it is dropped.
    runtime: Option<Runtime>,
}

impl Pool {
    /// So many threads.
    ///
    /// # Errors
    /// The system's, if it has no thread.
    pub(super) fn new(threads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(threads)
            .thread_name("avycenna-sql")
            .thread_stack_size(STACK_BYTES)
            .on_thread_start(storage::priority::step_back_behind_all)
            // Work beside a query may open a connection to the control database.
            .enable_all()
            .build();
        let failed = |error| Error::Query(std::sync::Arc::new(datafusion::common::DataFusionError::IoError(error)));
        Ok(Self { runtime: Some(runtime.map_err(failed)?) })
    }

    /// Does `work` on the pool; stops it when the returned future is dropped.
    ///
    /// # Errors
    /// Those of `work`; an internal one if it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut task = self.spawn(work)?;
        match (&mut task.0).await {
            Ok(done) => done,
            Err(_) => Err(malformed("end of a query")),
        }
    }

    /// Begins `work`, which hands on pieces; stops it when these are dropped.
    pub(super) fn pipe<T, W, F>(&self, work: W) -> Pieces<T>
    where
        T: Send + 'static,
        W: FnOnce(Outlet<T>) -> F,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (sender, arriving) = mpsc::channel(PIECES_WAITING);
        let work = work(Outlet(sender.clone()));
        let task = self.spawn(async move {
            let last = match work.await {
                Ok(()) => Piece::End,
                Err(error) => Piece::Item(Err(error)),
            };
            // Nobody may be waiting any more.
            let _ = sender.send(last).await;
            Ok(())
        });
        Pieces { arriving, _task: task.ok(), is_done: false }
    }

    fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<Task<T>> {
        let runtime = self.runtime.as_ref().ok_or_else(|| malformed("query behind the end"))?;
        Ok(Task(runtime.spawn(work)))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Waiting for threads is not possible where the last owner is a task.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Work that stops when nobody waits for it.
#[derive(Debug)]
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
enum Piece<T> {
    Item(Result<T>),
    /// That was all. Without it the answer is broken.
    End,
}

/// Where the pieces of an answer are put in.
#[derive(Debug)]
pub(super) struct Outlet<T>(mpsc::Sender<Piece<T>>);

impl<T> Outlet<T> {
    /// Hands on a piece; waits while too many are on their way. `false` if nobody takes it any more.
    pub(super) async fn put(&self, piece: T) -> bool {
        self.0.send(Piece::Item(Ok(piece))).await.is_ok()
    }
}

/// The pieces of an answer, in order; an error is the last. Dropped, it ends the work.
#[derive(Debug)]
pub struct Pieces<T> {
    arriving: mpsc::Receiver<Piece<T>>,
    _task: Option<Task<Result<()>>>,
    is_done: bool,
}

impl<T> Stream for Pieces<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let Poll::Ready(piece) = self.arriving.poll_recv(ctx) else { return Poll::Pending };
        self.is_done = !matches!(piece, Some(Piece::Item(Ok(_))));
        Poll::Ready(match piece {
            Some(Piece::Item(item)) => Some(item),
            Some(Piece::End) => None,
            // The work has panicked.
            None => Some(Err(malformed("end of a query"))),
        })
    }
}
