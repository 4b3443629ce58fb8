//! All files and names of a simulated disk, and what a power failure leaves of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::Counters;
use super::inode::{Change, Inode, Random};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Folder,
    File(usize),
}

/// A change of a folder's entries that is not durable yet.
#[derive(Debug, Clone)]
pub(super) enum EntryChange {
    Add { path: PathBuf, node: Node },
    Remove { path: PathBuf, node: Node },
    Move { from: PathBuf, to: PathBuf, node: Node },
}

impl EntryChange {
    /// The folder whose sync makes it durable; of a move, the one it ends in.
    pub(super) fn folder(&self) -> &Path {
        let (Self::Add { path, .. } | Self::Remove { path, .. } | Self::Move { to: path, .. }) = self;
        path.parent().unwrap_or(Path::new(""))
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
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
pub(super) struct State {
    pub(super) random: Random,
    pub(super) counters: Counters,
    pub(super) crash_at: Option<u64>,
    pub(super) fail_sync_at: Option<(u64, io::ErrorKind)>,
    pub(super) capacity: Option<u64>,
    pub(super) off: bool,
    pub(super) inodes: Vec<Inode>,
    pub(super) names: BTreeMap<PathBuf, Node>,
    pub(super) durable_names: BTreeMap<PathBuf, Node>,
    pub(super) pending: Vec<EntryChange>,
    pub(super) locked: BTreeSet<PathBuf>,
}

impl State {
    pub(super) fn power(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("power off")) } else { Ok(()) }
    }

    /// Counts a call. If power fails in it, a coin decides whether the call still does its work; `power` afterwards
    /// gives it the error.
    pub(super) fn begin(&mut self) -> io::Result<()> {
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

    /// Counts a sync; answers how it is to fail, if it is the one.
    pub(super) fn begin_sync(&mut self) -> io::Result<Option<io::ErrorKind>> {
        self.begin()?;
        self.counters.syncs += 1;
        Ok(self.fail_sync_at.filter(|(nth, _)| *nth == self.counters.syncs).map(|(_, kind)| kind))
    }

    pub(super) fn used(&self) -> u64 {
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
    pub(super) fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(id)) => Ok(*id),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn inode(&self, id: usize) -> io::Result<&Inode> {
        self.inodes.get(id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn inode_mut(&mut self, id: usize) -> io::Result<&mut Inode> {
        self.inodes.get_mut(id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn folder_is_there(&self, path: &Path) -> bool {
        path == Path::new("") || self.names.get(path) == Some(&Node::Folder)
    }

    pub(super) fn parent_is_there(&self, path: &Path) -> io::Result<()> {
        if self.folder_is_there(path.parent().unwrap_or(Path::new(""))) {
            return Ok(());
        }
        Err(io::ErrorKind::NotFound.into())
    }

    pub(super) fn change_entry(&mut self, change: EntryChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    pub(super) fn add_file(&mut self, path: &Path, bytes: u64) -> usize {
        let id = self.inodes.len();
        let mut inode = Inode::default();
        if bytes > 0 {
            inode.change(Change::SetLen(bytes), self.counters.calls);
        }
        self.inodes.push(inode);
        self.change_entry(EntryChange::Add { path: path.to_path_buf(), node: Node::File(id) });
        id
    }

    pub(super) fn write(&mut self, id: usize, buf: &[u8], offset: u64) -> io::Result<()> {
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

    pub(super) fn sync_file(&mut self, id: usize) -> io::Result<()> {
        let failure = self.begin_sync()?;
        let mut random = self.random.clone();
        let inode = self.inode_mut(id)?;
        for change in std::mem::take(&mut inode.pending) {
            if failure.is_none() {
                change.apply(&mut inode.durable);
            } else {
                change.settle(&mut inode.durable, &mut random);
            }
        }
        self.random = random;
        self.power()?;
        failure.map_or(Ok(()), |kind| Err(io::Error::new(kind, "sync failed")))
    }

    pub(super) fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        let failure = self.begin_sync()?;
        if !self.folder_is_there(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (settled, pending) = std::mem::take(&mut self.pending).into_iter().partition(|c| c.folder() == path);
        self.pending = pending;
        for change in settled {
            if failure.is_none() || self.random.coin() {
                change.apply(&mut self.durable_names);
            }
        }
        self.power()?;
        failure.map_or(Ok(()), |kind| Err(io::Error::new(kind, "sync failed")))
    }

    /// The disk after the power failure.
    pub(super) fn survivor(&mut self) -> Self {
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
