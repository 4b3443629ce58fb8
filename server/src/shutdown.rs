//! When to stop: SIGTERM from a supervisor, SIGINT from a person.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Becomes ready at the first signal to stop. The handlers are in place when this returns, so that no signal is lost
/// between the start and the first wait.
///
/// # Errors
/// The operating system refuses a handler.
pub fn asked() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
    })
}
