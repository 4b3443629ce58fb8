//! A disk in memory that loses power, tears writes, fails syncs, fills up: all from one seed.
//!
//! It holds two states. The *volatile* one is what running code sees. The *durable* one is what is left after a crash,
//! for certain. Between them lie changes of file bytes (until `sync_data`) and of folder entries (until `sync_dir`).
//! At a crash each of them is kept, lost or (a write) torn, independently of the others, so that a later change can
//! survive an earlier one. A rename is one change: it never half survives.
//!
//! Calls that cannot change anything (opens, reads, lists) are not counted, because a crash at one of them is the same
//! as at the next call that can.

mod inode;
mod state;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::inode::SECTOR_BYTES;
use self::inode::{Change, Random};
use self::state::{EntryChange, Node, State};
use super::{Disk, Entry, File};

/// A simulated disk. `Clone` gives another handle on the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

/// What the disk was asked to do so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Calls that may change something.
    pub calls: u64,
    /// Syncs of files and folders.
    pub syncs: u64,
    /// Bytes written to files.
    pub written_bytes: u64,
    /// Bytes read from files.
    pub read_bytes: u64,
}

impl SimDisk {
    /// An empty disk with no faults planned.
    pub fn new(seed: u64) -> Self {
        Self::of(State { random: Random(seed), ..State::default() })
    }

    fn of(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power fails in the `nth` counted call from now (1 is the next): it may take effect, wholly or (a write) in
    /// part, but it and everything after it answers an error.
    pub fn crash_at(&self, nth: u64) {
        let mut state = self.state();
        state.crash_at = Some(state.counters.calls + nth);
    }

    /// Whether power has failed.
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Turns the power off and gives the disk as it is when power returns: no faults planned, no lock held.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut state = self.state();
        state.off = true;
        Self::of(state.survivor())
    }

    /// An independent copy of the disk as it is, unsynced state and planned faults included, no lock held.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut state = self.state().clone();
        state.locked.clear();
        Self::of(state)
    }

    /// The `nth` sync from now (1 is the next) fails. What it should have made durable is kept, lost or torn there and
    /// then, while readers still see all of it: a later sync that succeeds says nothing about it.
    pub fn fail_sync_at(&self, nth: u64) {
        self.fail_sync_with(nth, io::ErrorKind::Other);
    }

    /// As [`Self::fail_sync_at`], with an error of this kind: of a disk that is full, for one.
    pub fn fail_sync_with(&self, nth: u64, kind: io::ErrorKind) {
        let mut state = self.state();
        state.fail_sync_at = Some((state.counters.syncs + nth, kind));
    }

    /// Lets files grow by `bytes_free` more in all; `u64::MAX` ends the shortage.
    pub fn fill_up(&self, bytes_free: u64) {
        let mut state = self.state();
        state.capacity = (bytes_free != u64::MAX).then(|| state.used().saturating_add(bytes_free));
    }

    /// Calls so far that may change something.
    pub fn calls(&self) -> u64 {
        self.state().counters.calls
    }

    /// All counters.
    pub fn counters(&self) -> Counters {
        self.state().counters
    }

    /// Flips one bit of a file, durably, behind everybody's back. `false` if there is no such byte.
    pub fn flip_bit(&self, path: &Path, byte: u64, bit: u8) -> bool {
        let mut state = self.state();
        let Some(Node::File(id)) = state.names.get(path).copied() else { return false };
        let Some(inode) = state.inodes.get_mut(id) else { return false };
        let mask = 1_u8 << (bit % 8);
        inode.durable.flip(byte, mask);
        inode.volatile.flip(byte, mask)
    }

    /// The bytes of a file as running code sees them.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let Some(Node::File(id)) = state.names.get(path) else { return None };
        let image = &state.inodes.get(*id)?.volatile;
        let mut bytes = image.bytes.clone();
        bytes.resize(usize::try_from(image.len).ok()?, 0);
        Some(bytes)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn File>> {
        let mut state = self.state();
        state.begin()?;
        state.parent_is_there(path)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.room() < bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let id = state.add_file(path, bytes);
        state.power()?;
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let state = self.state();
        state.power()?;
        let id = state.file(path)?;
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        let folders: Vec<PathBuf> = path.ancestors().map(Path::to_path_buf).collect();
        for folder in folders.into_iter().rev().filter(|folder| folder != Path::new("")) {
            match state.names.get(&folder) {
                Some(Node::Folder) => {}
                Some(Node::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
                None => state.change_entry(EntryChange::Add { path: folder, node: Node::Folder }),
            }
        }
        state.power()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state();
        state.power()?;
        let mut found = Vec::new();
        let below = state.names.range(path.to_path_buf()..).take_while(|(name, _)| name.starts_with(path));
        for (name, node) in below.filter(|(name, _)| name.as_path() != path) {
            if let Node::File(id) = node {
                let inode = state.inode(*id)?;
                let modified_ms = i64::try_from(inode.modified).unwrap_or(i64::MAX);
                found.push(Entry { path: name.clone(), bytes: inode.volatile.len, modified_ms });
            }
        }
        Ok(found)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        let id = state.file(from)?;
        state.parent_is_there(to)?;
        if state.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.change_entry(EntryChange::Add { path: to.to_path_buf(), node: Node::File(id) });
        state.power()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        let node = Node::File(state.file(from)?);
        state.parent_is_there(to)?;
        if state.names.get(to) == Some(&Node::Folder) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if from != to {
            state.change_entry(EntryChange::Move { from: from.to_path_buf(), to: to.to_path_buf(), node });
        }
        state.power()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        let node = Node::File(state.file(path)?);
        state.change_entry(EntryChange::Remove { path: path.to_path_buf(), node });
        state.power()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.state().sync_folder(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.state();
        state.power()?;
        state.parent_is_there(path)?;
        if !state.locked.insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !state.names.contains_key(path) {
            state.add_file(path, 0);
        }
        Ok(Box::new(Lock { disk: self.clone(), path: path.to_path_buf() }))
    }
}

/// Holds a lock file until it is dropped.
struct Lock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.path);
    }
}

/// An open file; works on after its name is gone, as on a real disk.
struct SimFile {
    disk: SimDisk,
    id: usize,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("id", &self.id).finish_non_exhaustive()
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.power()?;
        state.counters.read_bytes += buf.len() as u64;
        state.inode(self.id)?.volatile.read(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.disk.state().write(self.id, buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.state().sync_file(self.id)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.begin()?;
        let now = state.counters.calls;
        state.inode_mut(self.id)?.change(Change::SetLen(bytes), now);
        state.power()
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state();
        state.power()?;
        Ok(state.inode(self.id)?.volatile.len)
    }

    fn modified_ms(&self) -> io::Result<i64> {
        let state = self.disk.state();
        state.power()?;
        Ok(i64::try_from(state.inode(self.id)?.modified).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests;
