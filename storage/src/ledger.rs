//! Who was erased, for good: SHA-256 of ids, so that it is no list of people and nobody comes back.
//!
//! ```text
//! erased/<SHA-256 of the user's id, 64 hexadecimal digits>      an empty file for each person: its name says it all
//! ```
//!
//! It outlives backups: a data directory that was restored from an older one is compared with it at the next open, and
//! whoever stands here is erased again. A file for each person, because a crash leaves the file or does not, and because
//! copying a folder over another then adds entries and takes none away. The manifest holds a digest of the entries that
//! were applied to its files; where it is the ledger's own, there is nothing to compare.
//!
//! Not here: the deletion itself.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::manifest::DIGEST_BYTES;
use crate::place::Place;
use crate::point::UserId;

/// Folder of the ledger on the data directory's own disk.
pub const FOLDER: &str = "erased";

/// SHA-256 of a user's id.
type Mark = [u8; DIGEST_BYTES];

/// The entries.
#[derive(Debug, Clone, Default)]
struct Entries {
    all: BTreeSet<Mark>,
    /// Those that the manifest knows of.
    applied: BTreeSet<Mark>,
}

/// The ledger of one place. Looking costs one hash, and nothing at all while it is empty.
#[derive(Debug)]
pub(crate) struct Ledger {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    entries: ArcSwap<Entries>,
    writer: Mutex<()>,
}

/// The mark of a user.
fn mark_of(user: UserId) -> Mark {
    Sha256::digest(user.as_bytes()).into()
}

/// The name of a mark's file.
fn name_of(mark: &Mark) -> String {
    mark.iter().fold(String::with_capacity(DIGEST_BYTES * 2), |mut name, byte| {
        use std::fmt::Write;
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// The mark of a file's name; other names mean nothing.
fn mark_in(name: &str) -> Option<Mark> {
    let mut mark = [0; DIGEST_BYTES];
    let is_lower = name.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
    if !is_lower || name.len() != DIGEST_BYTES * 2 {
        return None;
    }
    for (nth, byte) in mark.iter_mut().enumerate() {
        *byte = u8::from_str_radix(name.get(nth * 2..nth * 2 + 2)?, 16).ok()?;
    }
    Some(mark)
}

fn digest(marks: &BTreeSet<Mark>) -> [u8; DIGEST_BYTES] {
    if marks.is_empty() {
        return [0; DIGEST_BYTES];
    }
    let mut digest = Sha256::new();
    for mark in marks {
        digest.update(mark);
    }
    digest.finalize().into()
}

/// Whether a user stands in the ledger of a place.
///
/// # Errors
/// [`Error::Io`].
pub fn contains(place: &Place, user: UserId) -> Result<bool> {
    Ok(Ledger::open(place)?.contains(user))
}

impl Ledger {
    /// Reads the ledger of a place. Makes nothing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn open(place: &Place) -> Result<Self> {
        let (disk, folder) = match &place.ledger {
            Some(disk) => (Arc::clone(disk), PathBuf::new()),
            None => (Arc::clone(&place.disk), PathBuf::from(FOLDER)),
        };
        let listed = disk.list(&folder).map_err(|error| Error::io("list", &folder, error))?;
        let all = listed.iter().filter_map(|entry| mark_in(entry.path.strip_prefix(&folder).ok()?.to_str()?)).collect();
        let entries = ArcSwap::from_pointee(Entries { all, applied: BTreeSet::new() });
        Ok(Self { disk, folder, entries, writer: Mutex::new(()) })
    }

    /// Whether nobody was ever erased.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.load().all.is_empty()
    }

    /// Whether a user was erased.
    pub(crate) fn contains(&self, user: UserId) -> bool {
        let entries = self.entries.load();
        !entries.all.is_empty() && entries.all.contains(&mark_of(user))
    }

    /// Whether the manifest knows that a user was erased.
    pub(crate) fn is_applied(&self, user: UserId) -> bool {
        self.entries.load().applied.contains(&mark_of(user))
    }

    /// Writes a user down, for good: durable when it returns, and from then on [`Self::contains`] says so. One that is
    /// there already is made durable once more.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Io`].
    pub(crate) fn add(&self, user: UserId) -> Result<()> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = mark_of(user);
        let path = self.folder.join(name_of(&mark));
        self.write(&path).map_err(|error| Error::io("write", &path, error))?;
        self.change(|entries| {
            entries.all.insert(mark);
        });
        Ok(())
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        if self.folder != Path::new("") {
            self.disk.create_dir(&self.folder)?;
            self.disk.sync_dir(Path::new(""))?;
        }
        match self.disk.create(path, 0) {
            Ok(file) => file.sync_data()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        self.disk.sync_dir(&self.folder)
    }

    /// Notes that the manifest knows of a user.
    pub(crate) fn apply(&self, user: UserId) {
        let mark = mark_of(user);
        self.change(|entries| {
            entries.applied.insert(mark);
        });
    }

    /// Notes that the manifest knows of everybody.
    pub(crate) fn apply_all(&self) {
        self.change(|entries| entries.applied.clone_from(&entries.all));
    }

    /// What a manifest says that knows of everybody.
    pub(crate) fn digest(&self) -> [u8; DIGEST_BYTES] {
        digest(&self.entries.load().all)
    }

    /// What a manifest says that knows of this user besides those it knows of already.
    pub(crate) fn digest_with(&self, user: UserId) -> [u8; DIGEST_BYTES] {
        let mut applied = self.entries.load().applied.clone();
        applied.insert(mark_of(user));
        digest(&applied)
    }

    fn change(&self, change: impl Fn(&mut Entries)) {
        self.entries.rcu(|entries| {
            let mut next = Entries::clone(entries);
            change(&mut next);
            next
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::disk::sim::SimDisk;

    fn place(disk: &SimDisk) -> Place {
        Place { disk: Arc::new(disk.clone()), objects: None, ledger: None, clock: Arc::new(ManualClock::at(0)) }
    }

    fn user(letter: char) -> UserId {
        UserId::parse(&format!("usr_0000000{letter}")).unwrap()
    }

    #[test]
    fn who_was_written_down_stays_across_a_crash_and_is_not_named() {
        let disk = SimDisk::new(1);
        let ledger = Ledger::open(&place(&disk)).unwrap();
        assert!(ledger.is_empty() && !ledger.contains(user('a')));
        assert_eq!(ledger.digest(), [0; DIGEST_BYTES]);
        ledger.add(user('a')).unwrap();
        ledger.add(user('a')).unwrap();
        let again = Ledger::open(&place(&disk.crash())).unwrap();
        assert!(again.contains(user('a')) && !again.contains(user('b')));
        assert_eq!(again.digest(), ledger.digest());
        for entry in disk.fork().list(Path::new(FOLDER)).unwrap_or_default() {
            assert!(!entry.path.to_string_lossy().contains("usr_"), "{entry:?}");
        }
    }

    #[test]
    fn a_digest_is_of_those_who_were_applied_alone() {
        let ledger = Ledger::open(&place(&SimDisk::new(1))).unwrap();
        ledger.add(user('a')).unwrap();
        ledger.add(user('b')).unwrap();
        assert_ne!(ledger.digest_with(user('a')), ledger.digest(), "b was not applied");
        assert!(!ledger.is_applied(user('a')));
        ledger.apply(user('a'));
        assert!(ledger.is_applied(user('a')));
        assert_eq!(ledger.digest_with(user('b')), ledger.digest());
    }

    #[test]
    fn a_mark_is_the_sha_256_of_the_id() {
        // printf usr_7jRtHvBk | sha256sum
        let name = name_of(&mark_of(UserId::parse("usr_7jRtHvBk").unwrap()));
        assert_eq!(mark_in(&name), Some(mark_of(UserId::parse("usr_7jRtHvBk").unwrap())));
        assert_eq!(name, "266e0c376c0f2846e2bbc1208a7ff772abc20bdef2bfa9134b10b90da3caabfc");
        for other in ["", "x", &name[1..], &name.to_uppercase()] {
            assert_eq!(mark_in(other), None, "{other}");
        }
    }
}
