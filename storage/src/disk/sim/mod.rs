//! A disk in memory that loses power, tears writes, fails syncs, fills up: all from one seed.
//!
//! It holds two states. The *volatile* one is what running code sees. The *durable* one is what is left after a crash,
//! for certain. Between them lie changes of file bytes (until `sync_data`) and of folder entries (until `sync_dir`).
//! At a crash each of them is kept, lost or (a write) torn, independently of the others, so that a later change can
//! survive an earlier one. A rename is one change: it never half survives.
//!
//! Calls that cannot change anything (opens, reads, lists) are not counted, because a crash at one of them is the same
//! as at the next call that can.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, Entry, File};

/// What a disk writes whole: a torn write is made of such pieces.
pub const SECTOR_BYTES: usize = 512;

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
        let mut state = self.state();
        state.fail_sync_at = Some(state.counters.syncs + nth);
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

/// SplitMix64: small, fast, and the same on every machine.
#[derive(Debug, Clone, Default)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or(0)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

/// The bytes of a file; behind `bytes` come zeros up to `len`, which are not stored.
#[derive(Debug, Clone, Default)]
struct Image {
    bytes: Vec<u8>,
    len: u64,
}

impl Image {
    fn write(&mut self, from: &[u8], offset: u64) {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(from.len());
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(space) = self.bytes.get_mut(start..end) {
            space.copy_from_slice(from);
        }
        self.len = self.len.max(end as u64);
    }

    fn set_len(&mut self, len: u64) {
        self.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        self.len = len;
    }

    fn read(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.saturating_add(into.len() as u64) > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let stored = usize::try_from(offset).ok().and_then(|start| self.bytes.get(start..)).unwrap_or_default();
        let (head, zeros) = into.split_at_mut(stored.len().min(into.len()));
        head.copy_from_slice(stored.get(..head.len()).unwrap_or_default());
        zeros.fill(0);
        Ok(())
    }

    fn flip(&mut self, byte: u64, mask: u8) -> bool {
        if byte >= self.len {
            return false;
        }
        let Ok(at) = usize::try_from(byte) else { return false };
        if self.bytes.len() <= at {
            self.bytes.resize(at + 1, 0);
        }
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte ^= mask;
        }
        true
    }
}

/// A change of a file's bytes that is not durable yet.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl Change {
    fn apply(&self, image: &mut Image) {
        match self {
            Self::Write { offset, bytes } => image.write(bytes, *offset),
            Self::SetLen(len) => image.set_len(*len),
        }
    }

    /// Keeps, loses or tears it.
    fn settle(&self, image: &mut Image, random: &mut Random) {
        match self {
            Self::SetLen(len) if random.coin() => image.set_len(*len),
            Self::SetLen(_) => {}
            Self::Write { offset, bytes } => match random.below(4) {
                0 => {}
                1 => image.write(bytes, *offset),
                2 => {
                    let torn_at = random.below(bytes.len() + 1);
                    image.write(bytes.get(..torn_at).unwrap_or_default(), *offset);
                }
                _ => {
                    for (nth, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                        if random.coin() {
                            image.write(sector, offset + (nth * SECTOR_BYTES) as u64);
                        }
                    }
                }
            },
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Inode {
    volatile: Image,
    durable: Image,
    pending: Vec<Change>,
    modified: u64,
}

impl Inode {
    fn change(&mut self, change: Change, now: u64) {
        change.apply(&mut self.volatile);
        self.pending.push(change);
        self.modified = now;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

/// A change of a folder's entries that is not durable yet.
#[derive(Debug, Clone)]
enum EntryChange {
    Add { path: PathBuf, node: Node },
    Remove { path: PathBuf, node: Node },
    Move { from: PathBuf, to: PathBuf, node: Node },
}

impl EntryChange {
    /// The folder whose sync makes it durable; of a move, the one it ends in.
    fn folder(&self) -> &Path {
        let (Self::Add { path, .. } | Self::Remove { path, .. } | Self::Move { to: path, .. }) = self;
        path.parent().unwrap_or(Path::new(""))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Add { path, node } => {
                names.insert(path.clone(), *node);
            }
            Self::Remove { path, node } => {
                if names.get(path) == Some(node) {
                    names.remove(path);
                }
            }
            Self::Move { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct State {
    random: Random,
    counters: Counters,
    crash_at: Option<u64>,
    fail_sync_at: Option<u64>,
    capacity: Option<u64>,
    off: bool,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    pending: Vec<EntryChange>,
    locked: BTreeSet<PathBuf>,
}

impl State {
    fn power(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("power off")) } else { Ok(()) }
    }

    /// Counts a call. If power fails in it, a coin decides whether the call still does its work; `power` afterwards
    /// gives it the error.
    fn begin(&mut self) -> io::Result<()> {
        self.power()?;
        self.counters.calls += 1;
        if self.crash_at == Some(self.counters.calls) {
            self.off = true;
            if self.random.coin() {
                return self.power();
            }
        }
        Ok(())
    }

    /// Counts a sync; `false` if it is the one that is to fail.
    fn begin_sync(&mut self) -> io::Result<bool> {
        self.begin()?;
        self.counters.syncs += 1;
        Ok(self.fail_sync_at != Some(self.counters.syncs))
    }

    fn used(&self) -> u64 {
        let named: BTreeSet<usize> = self
            .names
            .values()
            .filter_map(|node| match node {
                Node::File(id) => Some(*id),
                Node::Folder => None,
            })
            .collect();
        named.iter().filter_map(|id| self.inodes.get(*id)).map(|inode| inode.volatile.len).sum()
    }

    /// How many more bytes files may grow by.
    fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(id)) => Ok(*id),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn inode(&self, id: usize) -> io::Result<&Inode> {
        self.inodes.get(id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inode_mut(&mut self, id: usize) -> io::Result<&mut Inode> {
        self.inodes.get_mut(id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn folder_is_there(&self, path: &Path) -> bool {
        path == Path::new("") || self.names.get(path) == Some(&Node::Folder)
    }

    fn parent_is_there(&self, path: &Path) -> io::Result<()> {
        if self.folder_is_there(path.parent().unwrap_or(Path::new(""))) {
            return Ok(());
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn change_entry(&mut self, change: EntryChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    fn add_file(&mut self, path: &Path, bytes: u64) -> usize {
        let id = self.inodes.len();
        let mut inode = Inode::default();
        if bytes > 0 {
            inode.change(Change::SetLen(bytes), self.counters.calls);
        }
        self.inodes.push(inode);
        self.change_entry(EntryChange::Add { path: path.to_path_buf(), node: Node::File(id) });
        id
    }

    fn write(&mut self, id: usize, buf: &[u8], offset: u64) -> io::Result<()> {
        self.begin()?;
        let len = self.inode(id)?.volatile.len;
        let fits = if offset.saturating_add(buf.len() as u64) > len {
            len.saturating_add(self.room()).saturating_sub(offset)
        } else {
            u64::MAX
        };
        // As the system does, a write that hits the limit leaves what still fitted.
        let fits = usize::try_from(fits).unwrap_or(usize::MAX).min(buf.len());
        let kept = if self.off { self.random.below(fits + 1) } else { fits };
        let now = self.counters.calls;
        let bytes = buf.get(..kept).unwrap_or_default().to_vec();
        self.counters.written_bytes += kept as u64;
        if kept > 0 {
            self.inode_mut(id)?.change(Change::Write { offset, bytes }, now);
        }
        self.power()?;
        if fits < buf.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync_file(&mut self, id: usize) -> io::Result<()> {
        let good = self.begin_sync()?;
        let mut random = self.random.clone();
        let inode = self.inode_mut(id)?;
        for change in std::mem::take(&mut inode.pending) {
            if good {
                change.apply(&mut inode.durable);
            } else {
                change.settle(&mut inode.durable, &mut random);
            }
        }
        self.random = random;
        self.power()?;
        if good { Ok(()) } else { Err(io::Error::other("sync failed")) }
    }

    fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        let good = self.begin_sync()?;
        if !self.folder_is_there(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (settled, pending) = std::mem::take(&mut self.pending).into_iter().partition(|c| c.folder() == path);
        self.pending = pending;
        for change in settled {
            if good || self.random.coin() {
                change.apply(&mut self.durable_names);
            }
        }
        self.power()?;
        if good { Ok(()) } else { Err(io::Error::other("sync failed")) }
    }

    /// The disk after the power failure.
    fn survivor(&mut self) -> Self {
        let mut names = self.durable_names.clone();
        for change in &self.pending {
            if self.random.coin() {
                change.apply(&mut names);
            }
        }
        let all = names.clone();
        names.retain(|path, _| {
            path.ancestors()
                .skip(1)
                .filter(|folder| *folder != Path::new(""))
                .all(|folder| all.get(folder) == Some(&Node::Folder))
        });
        let mut inodes = Vec::new();
        let mut ids = BTreeMap::new();
        for node in names.values_mut() {
            let Node::File(id) = node else { continue };
            let Some(inode) = self.inodes.get(*id) else { continue };
            let random = &mut self.random;
            *id = *ids.entry(*id).or_insert_with(|| {
                let mut image = inode.durable.clone();
                for change in &inode.pending {
                    change.settle(&mut image, random);
                }
                let modified = inode.modified;
                inodes.push(Inode { volatile: image.clone(), durable: image, pending: Vec::new(), modified });
                inodes.len() - 1
            });
        }
        let random = Random(self.random.next());
        Self { random, inodes, durable_names: names.clone(), names, capacity: self.capacity, ..Self::default() }
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
        let state = self.disk.state();
        state.power()?;
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
