//! The demo as a client of its own server: what any other client would do.

use std::time::Duration;

use reqwest::StatusCode;
use storage::Clock;

/// Why the demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The server did not answer.
    #[error("ask the server")]
    Http(#[from] reqwest::Error),
    /// The server answered something unexpected.
    #[error("the server answered {status}")]
    Refused {
        /// Its status.
        status: StatusCode,
    },
    /// The ledger cannot be read or written.
    #[error("{}", path.display())]
    Ledger {
        /// Where it is.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The carried watch file.
    #[error("the watch file")]
    WatchFile(#[from] engine::import::Fault),
    /// A task ended early.
    #[error("a task ended early")]
    Cut,
}

/// A client of one server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
}

/// An answer, and how long it took.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) took: Duration,
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:8080`.
    pub(super) fn new(base: String) -> Result<Self, Error> {
        // Plain HTTP to this machine: no proxy, and no certificates are needed.
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
        Ok(Self { http, base })
    }

    /// Sends a bulk body.
    pub(super) async fn ingest(&self, key: &str, body: bytes::Bytes) -> Result<StatusCode, Error> {
        let url = format!("{}/api/v1/wearables/bulk-ingest", self.base);
        let request = self.http.post(url).header("x-api-key", key).header("content-type", "application/json");
        let response = request.body(body).send().await?;
        let status = response.status();
        // Read to its end, so that the connection is used again.
        response.bytes().await?;
        Ok(status)
    }

    /// Asks, and takes the time until the whole answer is there.
    pub(super) async fn ask(&self, key: &str, path: &str, clock: &dyn Clock) -> Result<Answer, Error> {
        let began = clock.elapsed();
        let response = self.http.get(format!("{}{path}", self.base)).header("x-api-key", key).send().await?;
        let status = response.status();
        let text = response.text().await?;
        let took = clock.elapsed().saturating_sub(began);
        if status.is_success() { Ok(Answer { text, took }) } else { Err(Error::Refused { status }) }
    }
}
