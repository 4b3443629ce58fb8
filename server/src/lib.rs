//! The avycenna server: HTTP API, accounts, command line.
//!
//! ```text
//! serve ─▶ middleware (request id, rate limits, panics, compression) ─▶ router ─▶ extract ─▶ routes ─▶ engine, control
//! ```
//!
//! Routes are thin: extract, call, render. What a point means is the engine's; who may ask is `auth`'s.

pub mod access;
pub mod auth;
pub mod cli;
pub mod config;
pub mod control;
pub mod erasure;
pub mod error;
pub mod export;
pub mod extract;
pub mod fhir;
pub mod flight;
pub mod imports;
pub mod key_file;
pub mod lifelike;
pub mod mail;
pub mod metrics;
pub mod middleware;
pub mod openapi;
pub mod pages;
pub mod router;
pub mod routes;
pub mod serve;
pub mod shutdown;
pub mod sql;
pub mod state;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod webhooks;

/// Many short-lived buffers of all sizes on few threads: what the system's allocator is slow and wasteful at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the command line of this process and answers its exit code.
pub fn main() -> std::process::ExitCode {
    cli::run()
}
