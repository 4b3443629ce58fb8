//! The write-ahead log: what makes an acknowledgement true.
//!
//! ```text
//! log/00000000000000000001.log   full, cut to its length, synced, closed
//! log/00000000000000731250.log   the active one: header │ frame │ frame │ … │ zeros up to the reserved length
//! ```
//!
//! [`Log::append`] writes one frame and syncs it; then it is durable. Files are closed before the next one begins, and
//! every open begins a new file, so that nothing is ever written behind bytes that a crash left. [`Log::trim`]
//! removes files whose points are in Parquet. [`replay`] reads what is there, [`verify`] judges it.
//!
//! Not here: the thread that groups batches, what a poisoned log means for the rest, the memtable.

pub(crate) mod file;
pub mod frame;
pub(crate) mod replay;
pub(crate) mod scan;
pub(crate) mod verify;
pub(crate) mod writer;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::point::{PointBatch, Seq};
use file::Active;

/// A buffer that grew beyond this for one large group is given back.
const BUFFER_BYTES_MAX: usize = 8 << 20;

/// A file of the log that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Path relative to the disk's root.
    pub(crate) path: PathBuf,
    /// Seq of its last point.
    pub(crate) last_seq: Seq,
    /// Its length.
    pub(crate) bytes: u64,
}

/// Where a replayed log ends: what [`Log::open`] goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Seq of the next point. Everything before it is durable.
    pub(crate) next_seq: Seq,
    /// Latest `accepted_at` in the frames that were read, `i64::MIN` if there were none.
    pub(crate) accepted_max_ms: i64,
    /// The files, oldest first.
    pub(crate) closed: Vec<Closed>,
}

/// The log, open for appending. One owner; no locks.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file_bytes: u64,
    next_seq: Seq,
    closed: VecDeque<Closed>,
    active: Option<Active>,
    buffer: Vec<u8>,
    /// Length of the last frame.
    frame_bytes: u64,
}

impl Log {
    /// Opens the log for appending behind what [`replay::replay`] found. Makes the folder if it is not there; the first
    /// file is made by the first append.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Io`].
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path, file_bytes: u64, tail: Tail) -> Result<Self> {
        make_folder(disk.as_ref(), dir).map_err(|error| Error::io("create", dir, error))?;
        Ok(Self {
            disk,
            dir: dir.to_path_buf(),
            file_bytes,
            next_seq: tail.next_seq,
            closed: tail.closed.into(),
            active: None,
            buffer: Vec::new(),
            frame_bytes: 0,
        })
    }

    /// Writes the batches as one frame and makes it durable; returns the seq of their first point. Costs one write and
    /// one sync; a group that does not fit into the file costs a few more for the next file.
    ///
    /// # Errors
    /// [`Error::Full`]: nothing was written, and the same call may be made again later. [`Error::Batch`]: the batches
    /// cannot be a frame. Anything else: what is on the disk is unknown, and the log must not be used again.
    pub(crate) fn append(
        &mut self,
        batches: &[Arc<PointBatch>],
        names: &[Arc<str>],
        accepted_at_ms: i64,
    ) -> Result<Seq> {
        let first_seq = self.next_seq;
        let synced_through = self.synced_through();
        let count = frame::encode(&mut self.buffer, first_seq, synced_through, accepted_at_ms, batches, names)?;
        let frame_bytes = self.buffer.len() as u64;
        if self.active.as_ref().is_some_and(|active| active.room() < frame_bytes) {
            self.end_file()?;
        }
        let active = match &mut self.active {
            Some(active) => active,
            none => {
                none.insert(Active::create(self.disk.as_ref(), &self.dir, first_seq, self.file_bytes, frame_bytes)?)
            }
        };
        frame::seal(&mut self.buffer, active.salt());
        active.append(&self.buffer)?;
        self.frame_bytes = frame_bytes;
        self.next_seq = Seq(first_seq.0 + count);
        if self.buffer.capacity() > BUFFER_BYTES_MAX {
            self.buffer = Vec::new();
        }
        Ok(first_seq)
    }

    /// Whether there is room for more: makes the next file, if there is none to go on with.
    ///
    /// # Errors
    /// [`Error::Full`] if there is none. Anything else: the log must not be used again.
    pub(crate) fn find_room(&mut self) -> Result<()> {
        if self.active.is_none() {
            let file = Active::create(self.disk.as_ref(), &self.dir, self.next_seq, self.file_bytes, 0)?;
            self.active = Some(file);
        }
        Ok(())
    }

    /// Bytes of the frame that was written last.
    pub(crate) fn frame_bytes(&self) -> u64 {
        self.frame_bytes
    }

    /// Seq of the next point.
    pub(crate) fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Every seq up to this one is durable.
    pub(crate) fn synced_through(&self) -> Seq {
        Seq(self.next_seq.0 - 1)
    }

    /// Bytes on the disk, reserved space included.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> u64 {
        self.closed.iter().map(|file| file.bytes).sum::<u64>() + self.active.as_ref().map_or(0, Active::capacity)
    }

    /// Closes the active file, so that all points so far can be trimmed. The next append begins a new one.
    ///
    /// # Errors
    /// [`Error::Io`], after which the log must not be used again.
    pub(crate) fn rotate(&mut self) -> Result<()> {
        if self.active.as_ref().is_some_and(|active| !active.is_empty()) {
            self.end_file()?;
        }
        Ok(())
    }

    /// Closes the active file, or removes it if it holds nothing: its successor has the same name.
    fn end_file(&mut self) -> Result<()> {
        let Some(active) = self.active.take() else { return Ok(()) };
        let path = active.path().to_path_buf();
        if active.is_empty() {
            return self.disk.remove(&path).map_err(|error| Error::io("remove", &path, error));
        }
        let bytes = active.close()?;
        self.closed.push_back(Closed { path, last_seq: self.synced_through(), bytes });
        Ok(())
    }

    /// Removes the closed files that hold only points up to `watermark`.
    ///
    /// # Errors
    /// [`Error::Io`]; the log stays usable, and the next call tries again.
    pub(crate) fn trim(&mut self, watermark: Seq) -> Result<()> {
        let mut removed = false;
        while let Some(file) = self.closed.front().filter(|file| file.last_seq <= watermark) {
            match self.disk.remove(&file.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &file.path, error));
                }
                _ => {}
            }
            self.closed.pop_front();
            removed = true;
        }
        if removed {
            self.disk.sync_dir(&self.dir).map_err(|error| Error::io("sync", &self.dir, error))?;
        }
        Ok(())
    }
}

/// Makes a folder and its parents, durably.
fn make_folder(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    disk.create_dir(dir)?;
    dir.ancestors().skip(1).try_for_each(|parent| disk.sync_dir(parent))
}

#[cfg(test)]
mod tests;
