//! The tables, as rows.
//!
//! Times are microseconds since 1970 UTC, as everywhere in this program, so that SQLite and PostgreSQL mean the same.
//! Secrets are stored as SHA-256 and cannot be read back; those of webhooks, which sign, are encrypted.

pub mod api_key;
pub mod audit_head;
pub mod audit_query;
pub mod audit_record;
pub mod auth_change;
pub mod check_in;
pub mod delivery;
pub mod erasure;
pub mod event;
pub mod fhir_key;
pub mod grant;
pub mod otp;
pub mod refresh_token;
pub mod session;
pub mod symptom;
pub mod user;
pub mod webhook;
