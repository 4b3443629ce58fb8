//! One request to one endpoint.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;

use super::address::Rules;
use super::resolve::{ResolveError, Resolver};
use super::schedule::{Outcome, TRY_MAX, retry_after_s};
use super::sign::Signature;
use super::target::Target;

/// Most bytes of an answer that are read; what lies behind them is left.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Longest time for the body of an answer behind its status.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// Most bytes of an answer that are kept for the owner to see.
pub(crate) const ANSWER_KEPT_BYTES_MAX: usize = 1 << 10;

/// How long a connection is kept for the next event.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Idle connections to one host.
const IDLE_PER_HOST_MAX: usize = 8;

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    /// The first bytes of the answer.
    pub(crate) answer: Option<String>,
}

impl From<Outcome> for Sent {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, answer: None }
    }
}

/// Sends. `Clone` is a reference count.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    http: reqwest::Client,
    rules: Arc<Rules>,
}

impl Sender {
    /// A client that follows nothing, remembers nothing and dials what `resolver` has judged.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn new(rules: Arc<Rules>, resolver: Resolver) -> Result<Self, reqwest::Error> {
        // The client has no TLS provider of its own; where one is installed already, that one does.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .dns_resolver(Arc::new(resolver))
            .timeout(TRY_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .user_agent(concat!("avycenna/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, rules })
    }

    /// Makes one try; takes [`TRY_MAX`] and [`ANSWER_TIME_MAX`] at most. The URL is judged again: rules may have changed since it was stored.
    pub(crate) async fn send(&self, url: &str, event_id: &str, signed: Signature, body: String, now_us: i64) -> Sent {
        let Ok(Target { url, .. }) = Target::parse(url, &self.rules) else { return Outcome::Refused.into() };
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("x-avycenna-signature", signed.published)
            .header("webhook-id", event_id)
            .header("webhook-timestamp", signed.timestamp)
            .header("webhook-signature", signed.standard)
            .body(body);
        // The client's own limit covers the body as well; this one holds whatever the client does.
        let mut response = match tokio::time::timeout(TRY_MAX, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return failed(&error).into(),
            Err(_) => return Outcome::Failed("timeout").into(),
        };
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after_s = retry_after.and_then(|text| retry_after_s(text, now_us));
        // The receiver has said what it has to say: a body that breaks or does not end changes nothing of that.
        let mut answer = Vec::new();
        let reading = async {
            while answer.len() < ANSWER_BYTES_MAX {
                let Ok(Some(piece)) = response.chunk().await else { break };
                answer.extend_from_slice(&piece);
            }
        };
        let _cut_short = tokio::time::timeout(ANSWER_TIME_MAX, reading).await;
        let answer = Some(kept(&answer)).filter(|answer| !answer.is_empty());
        Sent { outcome: Outcome::Answered { status, retry_after_s }, answer }
    }
}

/// The beginning of an answer as text. PostgreSQL stores no NUL.
fn kept(answer: &[u8]) -> String {
    let first = answer.get(..ANSWER_KEPT_BYTES_MAX).unwrap_or(answer);
    String::from_utf8_lossy(first).replace('\0', "\u{fffd}")
}

fn failed(error: &reqwest::Error) -> Outcome {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(found) = cause {
        match found.downcast_ref::<ResolveError>() {
            Some(ResolveError::Refused) => return Outcome::Refused,
            Some(ResolveError::Unknown) => return Outcome::Failed("unknown_host"),
            None => cause = found.source(),
        }
    }
    Outcome::Failed(if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else {
        "broken_answer"
    })
}
