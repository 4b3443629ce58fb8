//! The tables, as rows.
//!
//! Times are microseconds since 1970 UTC, as everywhere in this program, so that SQLite and PostgreSQL mean the same.
//! Secrets are stored as SHA-256 and cannot be read back; those of webhooks, which sign, are encrypted.

pub mod api_key;
pub mod audit_head;
pub mod audit_query;
pub mod audit_record;
pub mod auth_change;
pub mod bulk_file;
pub mod bulk_job;
pub mod check_in;
pub mod day_piece;
pub mod day_total;
pub mod delivery;
pub mod erasure;
pub mod event;
pub mod fhir_key;
pub mod grant;
pub mod import;
pub mod night;
pub mod otp;
pub mod refresh_token;
pub mod session;
pub mod smart_client;
pub mod source_priority;
pub mod symptom;
pub mod user;
pub mod webhook;
