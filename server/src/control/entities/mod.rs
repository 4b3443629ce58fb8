//! The tables, as rows.
//!
//! Times are microseconds since 1970 UTC, as everywhere in this program, so that SQLite and PostgreSQL mean the same.
//! Secrets are stored as SHA-256; none can be read back.

pub mod api_key;
pub mod audit_head;
pub mod audit_record;
pub mod auth_change;
pub mod check_in;
pub mod erasure;
pub mod grant;
pub mod otp;
pub mod refresh_token;
pub mod session;
pub mod symptom;
pub mod user;
