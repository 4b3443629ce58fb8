//! One file of the log: its name, its header, and appending to it.
//!
//! A file is `<first_seq, 20 digits>.log`. It begins with a block of 1,024 bytes that holds the header twice, at 0 and
//! at 512, so that one bad sector does not cost the file; zeros are between. Frames follow, one behind the other, up
//! to the end of the file or to zeros (space that was reserved and not used yet).
//!
//! | offset | bytes | log file header |
//! | --- | --- | --- |
//! | 0 | 4 | magic: `AVWL` |
//! | 4 | 4 | version: 1 |
//! | 8 | 8 | `first_seq`: seq of the first point in the file |
//! | 16 | 4 | `salt`: random; what the frames' checksums begin with |
//! | 20 | 8 | zero |
//! | 28 | 4 | CRC-32C of the 28 bytes before |

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cursor::Cursor;
use crate::disk::{Disk, File};
use crate::error::{Error, Result};
use crate::point::Seq;

/// First bytes of a log file.
pub(crate) const MAGIC: [u8; 4] = *b"AVWL";
/// Version of the layout of log files and frames.
pub(crate) const VERSION: u32 = 1;
/// Length of the header, of which there are two copies.
pub(crate) const HEADER_BYTES: usize = 32;
/// Where the second copy of the header is.
pub(crate) const COPY_AT: usize = 512;
/// Where frames begin.
pub(crate) const FRAMES_AT: usize = 1024;
/// Longest file that is read: larger than any that this program writes.
const FILE_BYTES_MAX: u64 = 1 << 33;
const SUFFIX: &str = ".log";
const SEQ_DIGITS: usize = 20;

/// A log file as it was found in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Path relative to the disk's root.
    pub(crate) path: PathBuf,
    /// Seq of its first point, from its name.
    pub(crate) first_seq: Seq,
    /// Its length, with reserved space.
    pub(crate) bytes: u64,
}

/// Path of the file whose first point is `first_seq`.
pub(crate) fn path(dir: &Path, first_seq: Seq) -> PathBuf {
    dir.join(format!("{:0SEQ_DIGITS$}{SUFFIX}", first_seq.0))
}

/// The log files of a folder in order of their seqs. Other names are left alone.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<Found>> {
    let entries = disk.list(dir).map_err(|error| Error::io("list", dir, error))?;
    let found = entries.into_iter().filter_map(|entry| {
        let digits = entry.path.strip_prefix(dir).ok()?.to_str()?.strip_suffix(SUFFIX)?;
        let is_name = digits.len() == SEQ_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        let first_seq = Seq(if is_name { digits.parse().ok()? } else { return None });
        Some(Found { path: entry.path, first_seq, bytes: entry.bytes })
    });
    Ok(found.collect())
}

/// All bytes of a file.
///
/// # Errors
/// [`Error::Io`], or [`Error::Corrupt`] if it is longer than any log file.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>> {
    let file = disk.open_read(path).map_err(|error| Error::io("open", path, error))?;
    let len = file.len().map_err(|error| Error::io("read", path, error))?;
    let Some(len) = usize::try_from(len).ok().filter(|_| len <= FILE_BYTES_MAX) else {
        return Err(Error::Corrupt { path: path.to_path_buf(), offset: 0, what: "too long for a log file".to_owned() });
    };
    let mut bytes = vec![0; len];
    file.read_at(&mut bytes, 0).map_err(|error| Error::io("read", path, error))?;
    Ok(bytes)
}

/// What a file's first block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Seq of the first point.
    pub(crate) first_seq: Seq,
    /// What the frames' checksums begin with.
    pub(crate) salt: u32,
    /// Whether both copies are sound.
    pub(crate) is_whole: bool,
}

/// A salt that no client can know.
pub(crate) fn random_salt() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().hash_one(SUFFIX).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The first block of a file.
pub(crate) fn encode_header(first_seq: Seq, salt: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(FRAMES_AT);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&first_seq.0.to_le_bytes());
    header.extend_from_slice(&salt.to_le_bytes());
    header.extend_from_slice(&[0; 8]);
    let crc = crc32c::crc32c(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    let mut block = header.clone();
    block.resize(COPY_AT, 0);
    block.extend_from_slice(&header);
    block.resize(FRAMES_AT, 0);
    block
}

/// Reads the first block of a file; `None` if neither copy of the header is sound.
///
/// # Errors
/// [`Error::Version`] if a newer program wrote it.
pub(crate) fn decode_header(path: &Path, bytes: &[u8]) -> Result<Option<Header>> {
    let copy = |at: usize| -> Result<Option<(Seq, u32)>> {
        let header = bytes.get(at..at + HEADER_BYTES).unwrap_or_default();
        let Some((fields, crc)) = header.split_last_chunk::<4>() else { return Ok(None) };
        let mut cursor = Cursor::new(fields);
        let is_sound = cursor.array() == Some(MAGIC) && crc32c::crc32c(fields) == u32::from_le_bytes(*crc);
        match cursor.u32() {
            Some(VERSION) if is_sound => Ok(cursor.u64().map(Seq).zip(cursor.u32())),
            Some(found) if is_sound => Err(Error::Version { path: path.to_path_buf(), found, known: VERSION }),
            _ => Ok(None),
        }
    };
    let (first, second) = (copy(0)?, copy(COPY_AT)?);
    let is_whole = first == second;
    Ok(first.or(second).map(|(first_seq, salt)| Header { first_seq, salt, is_whole }))
}

/// The file that is appended to.
#[derive(Debug)]
pub(crate) struct Active {
    file: Box<dyn File>,
    path: PathBuf,
    salt: u32,
    /// Where the next frame goes.
    end: u64,
    /// Length with reserved space.
    capacity: u64,
}

impl Active {
    /// Creates the file with at least `frame_bytes` for its first frame; it is durable, with its name, when this
    /// returns. On failure there is no such file.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Io`].
    pub(crate) fn create(
        disk: &dyn Disk,
        dir: &Path,
        first_seq: Seq,
        file_bytes: u64,
        frame_bytes: u64,
    ) -> Result<Self> {
        let path = path(dir, first_seq);
        let salt = random_salt();
        let capacity = file_bytes.max(FRAMES_AT as u64 + frame_bytes);
        let file = disk.create(&path, capacity).map_err(|error| Error::io("create", &path, error))?;
        let written = file
            .write_at(&encode_header(first_seq, salt), 0)
            .and_then(|()| file.sync_data())
            .and_then(|()| disk.sync_dir(dir));
        if let Err(error) = written {
            // If this fails too, the next attempt finds the name taken, which stops the log.
            let _ = disk.remove(&path);
            return Err(Error::io("create", &path, error));
        }
        Ok(Self { file, path, salt, end: FRAMES_AT as u64, capacity })
    }

    /// What the frames' checksums begin with.
    pub(crate) fn salt(&self) -> u32 {
        self.salt
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it holds no frame.
    pub(crate) fn is_empty(&self) -> bool {
        self.end == FRAMES_AT as u64
    }

    /// Bytes that fit behind the last frame.
    pub(crate) fn room(&self) -> u64 {
        self.capacity - self.end
    }

    /// Length with reserved space.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Writes a sealed frame behind the last one and makes it durable. After [`Error::Full`] nothing counts as
    /// written: the next frame goes to the same place.
    ///
    /// # Errors
    /// [`Error::Full`] if the write found no room; [`Error::Io`] if it or the sync failed in any other way, after which
    /// nobody knows what is on the disk: the log must not be used again.
    pub(crate) fn append(&mut self, frame: &[u8]) -> Result<()> {
        self.file.write_at(frame, self.end).map_err(|error| Error::io("write", &self.path, error))?;
        self.file.sync_data().map_err(|error| self.unsure("sync", error))?;
        self.end += frame.len() as u64;
        Ok(())
    }

    /// Cuts the reserved space off and makes the length durable. Returns the length.
    ///
    /// # Errors
    /// [`Error::Io`], after which the log must not be used again.
    pub(crate) fn close(self) -> Result<u64> {
        self.file.set_len(self.end).map_err(|error| self.unsure("cut", error))?;
        self.file.sync_data().map_err(|error| self.unsure("sync", error))?;
        Ok(self.end)
    }

    /// A failure that leaves the file's state unknown: never [`Error::Full`], which would invite another attempt.
    fn unsure(&self, op: &'static str, error: std::io::Error) -> Error {
        Error::Io { op, path: self.path.clone(), source: Arc::new(error) }
    }
}
