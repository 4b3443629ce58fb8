//! Webhooks: a doctor's system is told what happens, signed, in order, and until it has been told.
//!
//! ```text
//! cause (check-in, symptom, grant) ─┐ one transaction
//!   outbox::announce ── a notice: the event, and the endpoints that access names
//!                                   └─ commit ─▶ 201 ─▶ note
//! spread ── of all notices that wait: an event row each, a delivery row for each endpoint ─▶ wake
//! dispatcher ─▶ lease endpoints ─▶ a worker each ─▶ next due delivery ─▶ access again ─▶ sign ─▶ send ─▶ record
//!                                                      ▲                                            │
//!                                                      └───────────── schedule::after ──────────────┘
//! ```
//!
//! - What was committed with its cause is sent, whatever dies meanwhile: a notice goes in the transaction that makes its
//!   deliveries, and a delivery leaves `pending` only by a try that was
//!   recorded. So a receiver may see an event twice, with the same id and the same bytes.
//! - One dispatcher at a time sends for an endpoint. Its lease ends by itself when it dies.
//! - While tries succeed an endpoint gets its events one after the other, in the order of their creation. Once one has
//!   failed there is no order to keep, and up to [`dispatcher::LANES_MAX`] are tried at once.
//! - Nothing is dialled but an address that [`address`] has let through.
//!
//! Not here: who may be told (`access::receive`), and the statements (`control::repository`).

mod address;
pub mod dispatcher;
mod event;
pub mod feed;
pub mod outbox;
mod resolve;
mod schedule;
pub mod secret;
mod send;
mod sign;
pub mod spread;
mod target;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};

use self::address::Rules;
pub use self::event::Kind;
use self::resolve::Resolver;
pub(crate) use self::schedule::Step;
use self::secret::{KeyError, Vault};
use self::send::Sender;
use self::target::Target;
use crate::config::Config;

/// Most endpoints of one account.
pub const PER_USER_MAX: u64 = 20;

/// How long the secret before signs too, microseconds: a day.
pub const OLD_SECRET_US: i64 = 24 * 3_600 * 1_000_000;

/// How long events can be caught up with, microseconds: thirty days.
pub const KEPT_US: i64 = 30 * 24 * 3_600 * 1_000_000;

/// Wakes that may wait for the dispatcher; what finds no room is found by its next look.
const WAKES_MAX: usize = 1_024;

/// Webhooks cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The key of secrets.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The HTTP client.
    #[error("webhooks: set up TLS")]
    Client(#[from] reqwest::Error),
}

/// What the dispatcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wake {
    /// These endpoints have something new.
    Endpoints(Vec<String>),
    /// Look for yourself.
    Look,
}

/// What requests and the dispatcher share. `Clone` is a reference count.
#[derive(Debug, Clone)]
pub struct Webhooks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    vault: Vault,
    rules: Arc<Rules>,
    resolver: Resolver,
    sender: Sender,
    wakes: mpsc::Sender<Wake>,
    /// Rung when there is a notice.
    noted: Notify,
    /// Taken by the one dispatcher of this process.
    woken: Mutex<Option<mpsc::Receiver<Wake>>>,
}

impl Webhooks {
    /// Reads the key, or makes it; nothing is sent yet. Must be called on a runtime.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        Self::with_resolver(config, Resolver::system)
    }

    fn with_resolver(config: &Config, resolver: impl FnOnce(Arc<Rules>) -> Resolver) -> Result<Self, OpenError> {
        let rules = Arc::new(Rules::new(&config.webhooks));
        let resolver = resolver(Arc::clone(&rules));
        let sender = Sender::new(Arc::clone(&rules), resolver.clone())?;
        let (wakes, woken) = mpsc::channel(WAKES_MAX);
        let vault = Vault::open(config)?;
        let (noted, woken) = (Notify::new(), Mutex::new(Some(woken)));
        let inner = Inner { vault, rules, resolver, sender, wakes, noted, woken };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Seals and opens secrets.
    pub fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    /// Whether an endpoint may have this URL: its normal form.
    ///
    /// # Errors
    /// What is wrong with it, for its owner.
    pub async fn check_url(&self, text: &str) -> Result<String, String> {
        let target = Target::parse(text, &self.inner.rules)?;
        self.inner.resolver.judge(&target).await.map_err(|error| error.to_string())?;
        Ok(target.url.into())
    }

    /// Tells the dispatcher that these endpoints have something new. Never waits; nothing is lost if nobody listens.
    pub fn wake(&self, endpoints: Vec<String>) {
        if !endpoints.is_empty() {
            drop(self.inner.wakes.try_send(Wake::Endpoints(endpoints)));
        }
    }

    /// Tells the dispatcher that there is a notice.
    pub fn note(&self) {
        self.inner.noted.notify_one();
    }

    /// Tells the dispatcher to look for what is due.
    pub fn look(&self) {
        drop(self.inner.wakes.try_send(Wake::Look));
    }

    fn take_woken(&self) -> Option<mpsc::Receiver<Wake>> {
        self.inner.woken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
