//! `[imports]`: files that people send.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Flaw;

/// Sizes, times and numbers of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Imports {
    /// Longest file, bytes, after gzip or zstd of the request is undone.
    pub bytes_max: u64,
    /// What the disk must have left while a file arrives, bytes; below it the answer is 507.
    pub disk_free_bytes_min: u64,
    /// Imports of one person that wait or run.
    pub waiting_max: u32,
    /// Longest time until a file is there, seconds.
    pub upload_s: u64,
}

impl Default for Imports {
    fn default() -> Self {
        Self { bytes_max: 8 << 30, disk_free_bytes_min: 1 << 30, waiting_max: 4, upload_s: 3_600 }
    }
}

impl Imports {
    /// Longest time until a file is there.
    pub fn upload_time(&self) -> Duration {
        Duration::from_secs(self.upload_s)
    }

    /// Checks what the types alone cannot.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        if self.bytes_max < 1 << 20 {
            return Err(Flaw::new("bytes_max", "must be at least 1048576 (1 MiB)"));
        }
        if self.waiting_max == 0 {
            return Err(Flaw::new("waiting_max", "must be at least 1"));
        }
        if self.upload_s == 0 {
            return Err(Flaw::new("upload_s", "must be at least 1"));
        }
        Ok(())
    }
}
