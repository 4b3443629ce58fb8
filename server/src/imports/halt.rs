//! How work is asked to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// A request to end, and why. `Clone` is a reference count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Halt {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    is_asked: AtomicBool,
    is_canceled: AtomicBool,
    token: CancellationToken,
}

impl Halt {
    /// The server goes down: what is not done is left for the next start.
    pub(super) fn stop(&self) {
        self.inner.is_asked.store(true, Ordering::SeqCst);
        self.inner.token.cancel();
    }

    /// Its owner wants no more of it.
    pub(super) fn cancel(&self) {
        self.inner.is_canceled.store(true, Ordering::SeqCst);
        self.stop();
    }

    /// Whether the work is to end. Cost: a load.
    pub(super) fn is_asked(&self) -> bool {
        self.inner.is_asked.load(Ordering::Relaxed)
    }

    /// Whether both are the same request.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether its owner asked.
    pub(super) fn is_canceled(&self) -> bool {
        self.inner.is_canceled.load(Ordering::SeqCst)
    }

    /// Ends when the work is to end.
    pub(super) async fn asked(&self) {
        self.inner.token.cancelled().await;
    }

    /// Blocks for a while; whether the work may go on.
    pub(super) fn pause(&self, runtime: &Handle, pause: Duration) -> bool {
        runtime.block_on(async { tokio::time::timeout(pause, self.asked()).await.is_err() })
    }
}
