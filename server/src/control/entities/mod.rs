//! The tables, as rows.
//!
//! Times are microseconds since 1970 UTC, as everywhere in this program, so that SQLite and PostgreSQL mean the same.
//! Secrets are stored as SHA-256; none can be read back.

pub mod api_key;
pub mod auth_change;
pub mod otp;
pub mod refresh_token;
pub mod session;
pub mod user;
