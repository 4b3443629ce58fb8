//! What the demo has done so far, in `demo.json` of its directory, so that a second run goes on.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::lifelike::{DAY_US, Fleet};

const FILE: &str = "demo.json";

/// The people and how far they are fed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ledger {
    /// The fleet's seed.
    pub(super) seed: u64,
    /// The fleet's first moment, microseconds since 1970 UTC.
    pub(super) start_us: i64,
    /// Days that are to be fed.
    pub(super) days: u32,
    /// Days that were complete before: what they hold is not fed again.
    pub(super) days_before: u32,
    /// Whether everything up to `days` was acknowledged.
    pub(super) is_complete: bool,
    /// The people.
    pub(super) people: Vec<Resident>,
}

/// One person of the demo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resident {
    /// Their id.
    pub(super) user: String,
    /// Their key. Whoever reads this file can read the demo's made-up data.
    pub(super) key: String,
    /// Bodies of the days from `days_before` to `days` that were acknowledged.
    pub(super) bodies: usize,
}

impl Ledger {
    /// A beginning: nobody yet, the last whole day just over.
    pub(super) fn new(days: u32, now_us: i64) -> Self {
        let start_us = Fleet::new(0, 0, days, now_us).start_us();
        Self { seed: 20_260_601, start_us, days, days_before: 0, is_complete: false, people: Vec::new() }
    }

    /// What an earlier run has written; `None` if there was none.
    pub(super) fn read(dir: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(dir.join(FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it whole or not at all, for its owner alone to read.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let (path, fresh): (PathBuf, PathBuf) = (dir.join(FILE), dir.join("demo.json.new"));
        let mut file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_data()?;
        std::fs::rename(fresh, path)
    }

    /// Adds the whole days that have gone by, if everything up to them was fed.
    pub(super) fn catch_up(&mut self, now_us: i64) {
        let gone = u32::try_from((now_us - self.start_us) / DAY_US).unwrap_or(self.days);
        if self.is_complete && gone > self.days {
            self.is_complete = false;
            self.days_before = self.days;
            self.days = gone;
            for person in &mut self.people {
                person.bodies = 0;
            }
        }
    }

    /// The fleet of these people.
    pub(super) fn fleet(&self) -> Fleet {
        let people = u32::try_from(self.people.len()).unwrap_or(u32::MAX);
        Fleet::new(self.seed, people, self.days, self.start_us + i64::from(self.days) * DAY_US)
    }

    /// From where on points are fed: late ones of the days before may have been cut off at their end, so two days of
    /// them come again, which changes nothing.
    pub(super) fn feed_from_us(&self) -> i64 {
        match self.days_before {
            0 => self.start_us,
            days => self.start_us + (i64::from(days) - 2).max(0) * DAY_US,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Ledger::read(dir.path()).unwrap(), None);
        let mut ledger = Ledger::new(3, 1_780_000_000_000_000);
        ledger.people.push(Resident { user: "usr_7jRtHvBk".to_owned(), key: "avk_x".to_owned(), bodies: 2 });
        ledger.write(dir.path()).unwrap();
        ledger.write(dir.path()).unwrap();
        assert_eq!(Ledger::read(dir.path()).unwrap(), Some(ledger));
    }

    #[test]
    fn whole_days_that_have_gone_by_are_added_once_all_is_fed() {
        let now_us = 1_780_000_000_000_000;
        let mut ledger = Ledger::new(3, now_us);
        ledger.people.push(Resident { user: "usr_7jRtHvBk".to_owned(), key: "avk_x".to_owned(), bodies: 5 });
        ledger.catch_up(now_us + 2 * DAY_US);
        assert_eq!((ledger.days, ledger.people[0].bodies), (3, 5));
        ledger.is_complete = true;
        ledger.catch_up(now_us + DAY_US - 1);
        assert_eq!((ledger.days, ledger.people[0].bodies), (3, 5));
        ledger.catch_up(now_us + 2 * DAY_US + 5);
        assert_eq!((ledger.days_before, ledger.days, ledger.people[0].bodies), (3, 5, 0));
        assert!(!ledger.is_complete);
        assert_eq!(ledger.feed_from_us(), ledger.start_us + DAY_US);
        assert_eq!(ledger.fleet().start_us(), ledger.start_us);
    }
}
