//! Webhooks in process.
