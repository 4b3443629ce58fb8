//! The background task of the credentials: looks for changes by other processes, notes the use of keys, sweeps what
//! has expired.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Auth, AuthError, Inner};
use crate::control::repository::{api_keys, otps, sessions, smart};

/// Between two looks at the counter of changes.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks between two sweeps: an hour of them.
const LOOKS_A_SWEEP: u32 = 4 * 3600;

/// How long an expired session is kept: an access token of its last moment lives a day at most.
const KEEP_EXPIRED_US: i64 = 24 * 3600 * 1_000_000;

/// Runs until the last [`Auth`] is gone.
pub(super) async fn run(inner: Weak<Inner>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    let mut looks: u32 = 0;
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let auth = Auth { inner };
        watch.look(&auth).await;
        if let Err(error) = note_uses(&auth).await {
            tracing::warn!(%error, "the use of API keys was not noted");
        }
        if looks.is_multiple_of(LOOKS_A_SWEEP)
            && let Err(error) = sweep(&auth).await
        {
            tracing::warn!(%error, "expired sessions and codes were not swept");
        }
        looks = looks.wrapping_add(1);
    }
}

/// What the last look found.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Option<i64>,
    is_failing: bool,
}

impl Watch {
    /// One look at the counter of changes. A look that fails leaves the cached credentials to run out by themselves.
    pub(super) async fn look(&mut self, auth: &Auth) {
        let began = auth.control().clock().elapsed();
        match auth.control().changes().await {
            Ok(counter) => {
                if self.seen != Some(counter) {
                    auth.forget();
                    self.seen = Some(counter);
                }
                auth.inner.credentials.looked(began);
                self.is_failing = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "changes by other processes cannot be seen; every request asks the database");
                }
                self.seen = None;
            }
        }
    }
}

/// Writes down which keys were used; each at most once an hour.
pub(super) async fn note_uses(auth: &Auth) -> Result<(), AuthError> {
    let used = std::mem::take(&mut *auth.inner.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    if used.is_empty() {
        return Ok(());
    }
    let write = auth.control().write().await?;
    for (id, used_at) in used {
        api_keys::touch(write.on(), &id, used_at).await?;
    }
    Ok(write.commit().await?)
}

/// Removes what has expired.
pub(super) async fn sweep(auth: &Auth) -> Result<(), AuthError> {
    let write = auth.control().write().await?;
    let now_us = auth.control().now_us();
    sessions::sweep(write.on(), now_us.saturating_sub(KEEP_EXPIRED_US)).await?;
    otps::sweep(write.on(), now_us).await?;
    smart::sweep(write.on(), now_us).await?;
    Ok(write.commit().await?)
}

/// Starts the task on the current runtime.
pub(super) fn spawn(inner: &Arc<Inner>) {
    drop(tokio::spawn(run(Arc::downgrade(inner))));
}
