//! The harness of the end-to-end tests: the real binary as a process, and a client that speaks to it.
//!
//! ```text
//! Server::start(binary, Options) ─ spawns `serve --listen 127.0.0.1:0`, reads the address from its output, waits for /readyz
//!   ├─ user(email), key(email)   ─ the command line, while the server runs
//!   ├─ kill(), stop(), restart() ─ SIGKILL, SIGTERM, again on the same data
//!   └─ client(credential)        ─ requests with a key, a token, or nothing
//! ```
//!
//! Everything waits with a deadline and nothing sleeps a fixed time. A test that fails prints the server's log.
//!
//! Not here: what the answers should be. That is each test's own.

#![expect(clippy::expect_used, clippy::panic, reason = "a harness fails by panicking")]
#![expect(clippy::missing_errors_doc, reason = "a harness returns no errors")]

pub mod client;
pub mod gzip;
pub mod node;
pub mod python;
pub mod raw;
pub mod receiver;
pub mod server;
pub mod time;

pub use crate::client::{Answer, Client};
pub use crate::receiver::Receiver;
pub use crate::server::{Options, Server};

/// Whether a test that cannot reach a package registry must fail instead of skipping.
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "0" && value != "false")
}

/// The repository's root.
pub fn root() -> std::path::PathBuf {
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("the crate lies in the repository").to_path_buf()
}
