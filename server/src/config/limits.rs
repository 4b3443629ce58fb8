//! `[limits]`: how much of everything one client may ask for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Flaw;

/// Rates, sizes and times. `enabled = false` turns the rates off and leaves the sizes and times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Whether rates are limited.
    pub enabled: bool,
    /// Requests a second of one API key or one person's tokens, sustained.
    pub key_per_s: u32,
    /// Requests of one key at once.
    pub key_burst: u32,
    /// Requests a second of one address, sustained.
    pub address_per_s: u32,
    /// Requests of one address at once.
    pub address_burst: u32,
    /// Requests a minute of one address to `/api/v1/auth/*`, sustained.
    pub auth_per_minute: u32,
    /// Requests of one address at once to `/api/v1/auth/*`.
    pub auth_burst: u32,
    /// Longest request body as it is sent, bytes.
    pub body_bytes_max: usize,
    /// Longest request body after gzip or zstd is undone, bytes.
    pub inflated_bytes_max: usize,
    /// Bytes of request bodies that may be in memory at once, all clients together.
    pub bodies_bytes_max: usize,
    /// Most header lines of one request.
    pub headers_max: usize,
    /// Bytes of one request's line and headers.
    pub header_bytes_max: usize,
    /// Longest time until a request's headers are there, seconds.
    pub header_s: u64,
    /// Longest time until a request's body is there, seconds.
    pub body_s: u64,
    /// Longest time until an answer begins, seconds.
    pub request_s: u64,
    /// Exports that run at once, all people together; one person has one.
    pub exports_max: u32,
    /// Queries in SQL that run at once, all people together.
    pub queries_max: u32,
    /// Queries in SQL that one person has running at once.
    pub queries_each_max: u32,
    /// Longest time for which the client of an export takes nothing, seconds.
    pub export_stall_s: u64,
    /// Streams of points that run at once, all accounts together.
    pub streams_max: u32,
    /// Longest time for which the client of a stream sends nothing, seconds.
    pub stream_stall_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            enabled: true,
            key_per_s: 100,
            key_burst: 200,
            address_per_s: 200,
            address_burst: 400,
            auth_per_minute: 30,
            auth_burst: 20,
            body_bytes_max: 4 << 20,
            inflated_bytes_max: 16 << 20,
            bodies_bytes_max: 64 << 20,
            headers_max: 64,
            header_bytes_max: 32 << 10,
            header_s: 10,
            body_s: 30,
            request_s: 60,
            exports_max: 2,
            queries_max: 8,
            queries_each_max: 4,
            export_stall_s: 60,
            streams_max: 16,
            stream_stall_s: 60,
        }
    }
}

impl Limits {
    /// Longest time until a request's body is there.
    pub fn body_time(&self) -> Duration {
        Duration::from_secs(self.body_s)
    }

    /// Longest time until a request's headers are there.
    pub fn header_time(&self) -> Duration {
        Duration::from_secs(self.header_s)
    }

    /// Longest time until an answer begins.
    pub fn request_time(&self) -> Duration {
        Duration::from_secs(self.request_s)
    }

    /// Checks what the types alone cannot.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        let at_least_one = [
            ("key_per_s", u64::from(self.key_per_s)),
            ("key_burst", u64::from(self.key_burst)),
            ("address_per_s", u64::from(self.address_per_s)),
            ("address_burst", u64::from(self.address_burst)),
            ("auth_per_minute", u64::from(self.auth_per_minute)),
            ("auth_burst", u64::from(self.auth_burst)),
            ("header_s", self.header_s),
            ("body_s", self.body_s),
            ("request_s", self.request_s),
            ("exports_max", u64::from(self.exports_max)),
            ("queries_max", u64::from(self.queries_max)),
            ("queries_each_max", u64::from(self.queries_each_max)),
            ("export_stall_s", self.export_stall_s),
            ("streams_max", u64::from(self.streams_max)),
            ("stream_stall_s", self.stream_stall_s),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                return Err(Flaw::new(key, "must be at least 1"));
            }
        }
        if self.body_bytes_max < 1 << 20 {
            return Err(Flaw::new("body_bytes_max", "must be at least 1048576 (1 MiB)"));
        }
        if self.inflated_bytes_max < self.body_bytes_max {
            return Err(Flaw::new("inflated_bytes_max", "must be at least body_bytes_max"));
        }
        if self.bodies_bytes_max < self.inflated_bytes_max {
            return Err(Flaw::new("bodies_bytes_max", "must be at least inflated_bytes_max"));
        }
        if !(16..=1024).contains(&self.headers_max) {
            return Err(Flaw::new("headers_max", "must be between 16 and 1024"));
        }
        if !(8 << 10..=1 << 20).contains(&self.header_bytes_max) {
            return Err(Flaw::new("header_bytes_max", "must be between 8192 and 1048576"));
        }
        Ok(())
    }
}
