//! Files that people send: written to the data directory as they arrive, gone when their import has ended.
//!
//! ```text
//! body ─▶ pieces ─▶ a thread: gzip or zstd undone, bounded ─▶ imports/imp_… ─▶ synced ─▶ a row ─▶ 202
//! ```
//!
//! A file without a row is an orphan: it is removed by the next start and with every erasure.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use storage::UserId;
use tokio::sync::mpsc;

use super::PREFIX;
use super::halt::Halt;
use crate::auth::random;
use crate::config::Config;
use crate::control::repository::imports;
use crate::control::{self, Control};
use crate::error::ApiError;
use crate::extract::inflate::Coding;
use crate::extract::payload::{linger, next_piece};

/// The folder in the data directory.
pub(crate) const FOLDER: &str = "imports";

/// Names the data directory to the rows of its imports.
const SERVER_FILE: &str = "server";

/// Pieces of a body that may wait for the disk.
const PIECES_WAITING: usize = 16;

/// Bytes after which it is looked whether the disk has room for others.
const LOOK_BYTES: u64 = 16 << 20;

/// What is read of a refused body, so that its sender hears why.
const LINGER_BYTES_MAX: usize = 16 << 20;

/// Where files of imports are.
#[derive(Debug)]
pub struct Uploads {
    folder: PathBuf,
    bytes_max: u64,
    disk_free_bytes_min: u64,
    stall_max: Duration,
    server: Mutex<Option<String>>,
    /// Files that are being written or read, and by whom.
    busy: Mutex<HashMap<String, (UserId, Halt)>>,
}

/// Files were not removed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Whose they are cannot be looked up.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The disk.
    #[error("files of imports")]
    Io(#[from] io::Error),
}

/// Says that a file is being written or read, until it is dropped. One that is being written goes with it, unless it is
/// kept.
#[derive(Debug)]
pub(super) struct Busy<'a> {
    uploads: &'a Uploads,
    id: String,
    halt: Halt,
    is_kept: bool,
}

impl Busy<'_> {
    /// The file is there as a whole, and wanted.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            // The request was given up in the middle. What cannot be removed now is removed by the next start.
            drop(self.uploads.remove(&self.id));
        }
        let mut busy = self.uploads.busy();
        // Whoever reads the file may be there already.
        if busy.get(&self.id).is_some_and(|(_, halt)| halt.is(&self.halt)) {
            busy.remove(&self.id);
        }
    }
}

/// What travels to the thread that writes.
enum Piece {
    Bytes(Bytes),
    /// That was all. Without it the file is not wanted.
    End,
}

impl Uploads {
    /// Below the data directory of a configuration. Touches nothing.
    pub fn new(config: &Config) -> Self {
        Self {
            folder: config.storage.data_dir.join(FOLDER),
            bytes_max: config.imports.bytes_max,
            disk_free_bytes_min: config.imports.disk_free_bytes_min,
            stall_max: config.limits.body_time(),
            server: Mutex::default(),
            busy: Mutex::default(),
        }
    }

    fn busy(&self) -> MutexGuard<'_, HashMap<String, (UserId, Halt)>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of an import.
    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    /// Notes that a file is being written.
    pub(super) fn arrive(&self, id: &str, user: UserId, halt: &Halt) -> Busy<'_> {
        self.busy().insert(id.to_owned(), (user, halt.clone()));
        Busy { uploads: self, id: id.to_owned(), halt: halt.clone(), is_kept: false }
    }

    /// Notes that a file is being read.
    pub(super) fn hold(&self, id: &str, user: UserId, halt: &Halt) -> Busy<'_> {
        let mut busy = self.arrive(id, user, halt);
        busy.keep();
        busy
    }

    /// How many files of a person are being written or read.
    pub(super) fn count_busy(&self, user: UserId) -> usize {
        self.busy().values().filter(|(owner, _)| *owner == user).count()
    }

    /// How many files are being written or read.
    pub(super) fn count_all_busy(&self) -> usize {
        self.busy().len()
    }

    /// Asks whoever writes or reads a file to end, as its owner wants no more of it.
    pub(super) fn cancel(&self, id: &str) {
        if let Some((_, halt)) = self.busy().get(id) {
            halt.cancel();
        }
    }

    /// The name of this data directory among those of one control database; made the first time.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn server(&self) -> io::Result<String> {
        // Held while it is made: two that made it would not agree.
        let mut known = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = &*known {
            return Ok(name.clone());
        }
        let path = self.folder.join(SERVER_FILE);
        let name = match std::fs::read_to_string(&path) {
            Ok(name) => name.trim().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder()?;
                let name = random::base62("srv_", 16).map_err(io::Error::other)?;
                let beside = path.with_extension("tmp");
                let mut file = options().create(true).truncate(true).open(&beside)?;
                file.write_all(name.as_bytes())?;
                file.sync_all()?;
                std::fs::rename(&beside, &path)?;
                sync_folder(&self.folder)?;
                name
            }
            Err(error) => return Err(error),
        };
        *known = Some(name.clone());
        Ok(name)
    }

    fn make_folder(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.folder.parent().map_or(Ok(()), sync_folder)
    }

    /// Removes the file of an import, if it is there.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn remove(&self, id: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The imports that have a file here.
    fn ids(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| name.starts_with(PREFIX)).collect())
    }

    /// Removes the files of imports that have ended, or whose rows are gone; how many. What is being written is no such.
    ///
    /// # Errors
    /// [`SweepError`].
    pub(crate) async fn sweep(&self, control: &Control) -> Result<usize, SweepError> {
        let mut ids = self.ids()?;
        {
            let busy = self.busy();
            ids.retain(|id| !busy.contains_key(id));
        }
        let mut removed = 0;
        for some in ids.chunks(500) {
            let wanted = imports::waiting_among(control.read(), some).await?;
            for id in some.iter().filter(|id| !wanted.contains(id)) {
                self.remove(id)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes the files that somebody's uploads and imports are at, and ends these: the rows are gone.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn forget(&self, user: UserId) -> io::Result<()> {
        let theirs: Vec<String> = {
            let busy = self.busy();
            let theirs = busy.iter().filter(|(_, (owner, _))| *owner == user);
            theirs
                .map(|(id, (_, halt))| {
                    halt.cancel();
                    id.clone()
                })
                .collect()
        };
        theirs.iter().try_for_each(|id| self.remove(id))
    }

    /// Writes a body to the file of an import, which is durable then; its length. Must be called on a runtime.
    ///
    /// # Errors
    /// What the client is told; then there is no file.
    pub(super) async fn take(
        &self,
        id: &str,
        halt: &Halt,
        headers: &HeaderMap,
        body: &mut Body,
    ) -> Result<u64, ApiError> {
        let coding = Coding::of(headers)?;
        let (pieces, arriving) = mpsc::channel(PIECES_WAITING);
        let file = Bounded {
            path: self.path(id),
            file: None,
            bytes: 0,
            looked: 0,
            bytes_max: self.bytes_max,
            free_min: self.disk_free_bytes_min,
            refusal: None,
        };
        self.make_folder().map_err(ApiError::internal)?;
        let path = self.path(id);
        let writer = tokio::task::spawn_blocking(move || {
            let written = write(file, coding, arriving);
            if !matches!(written, Ok(Some(_))) {
                // The request may be gone already. What is not there need not be removed.
                drop(std::fs::remove_file(path));
            }
            written
        });
        let sent = self.send(body, &pieces, halt).await;
        drop(pieces);
        let written = writer.await.map_err(ApiError::internal)?;
        let result = match (sent, written) {
            // The writer's reason is why it takes no more.
            (_, Err(refusal)) => Err(refusal),
            (Err(error), Ok(_)) => Err(error),
            (Ok(()), Ok(Some(bytes))) => Ok(bytes),
            (Ok(()), Ok(None)) => Err(ApiError::bad_request("the body ended early")),
        };
        if result.is_err() {
            linger(body, LINGER_BYTES_MAX).await;
        }
        result
    }

    async fn send(&self, body: &mut Body, pieces: &mpsc::Sender<Piece>, halt: &Halt) -> Result<(), ApiError> {
        let gone = || ApiError::from(crate::auth::AuthError::Invalid);
        loop {
            let piece = tokio::select! {
                piece = tokio::time::timeout(self.stall_max, next_piece(body)) => piece,
                () = halt.asked() => return Err(gone()),
            };
            let slow = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "nothing more arrived for too long");
            let piece = piece.map_err(slow)??;
            let is_end = piece.is_none();
            if pieces.send(piece.map_or(Piece::End, Piece::Bytes)).await.is_err() || is_end {
                return Ok(());
            }
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes pieces as they arrive. `None` if they did not come to their end.
fn write(file: Bounded, coding: Option<Coding>, mut arriving: mpsc::Receiver<Piece>) -> Result<Option<u64>, ApiError> {
    let mut out = Decoder::new(file, coding).map_err(ApiError::internal)?;
    let mut is_whole = false;
    while let Some(piece) = arriving.blocking_recv() {
        match piece {
            Piece::Bytes(bytes) => out.write_all(&bytes).map_err(|error| out.refusal(error))?,
            Piece::End => {
                is_whole = true;
                break;
            }
        }
    }
    if !is_whole {
        return Ok(None);
    }
    let file = out.finish()?;
    let bytes = file.bytes;
    file.sync().map_err(refused)?;
    Ok(Some(bytes))
}

fn refused(error: io::Error) -> ApiError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(),
        _ => ApiError::internal(error),
    }
}

fn full() -> ApiError {
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "the server's disk has no room for the file; nothing was stored")
}

/// Undoes the coding of a body.
enum Decoder {
    Plain(Bounded),
    Gzip(Box<flate2::write::MultiGzDecoder<Bounded>>),
    Zstd(zstd::stream::write::Decoder<'static, Bounded>),
}

impl Decoder {
    fn new(file: Bounded, coding: Option<Coding>) -> io::Result<Self> {
        Ok(match coding {
            None => Self::Plain(file),
            Some(Coding::Gzip) => Self::Gzip(Box::new(flate2::write::MultiGzDecoder::new(file))),
            Some(Coding::Zstd) => Self::Zstd(crate::extract::inflate::zstd_decoder(file)?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
            Self::Zstd(decoder) => decoder.write_all(bytes),
        }
    }

    /// What the client is told.
    fn refusal(&mut self, error: io::Error) -> ApiError {
        let (file, word) = match self {
            Self::Plain(file) => (file, None),
            Self::Gzip(decoder) => (decoder.get_mut(), Some("gzip")),
            Self::Zstd(decoder) => (decoder.get_mut(), Some("zstd")),
        };
        match (file.refusal.take(), word) {
            (Some(refusal), _) => refusal,
            (None, Some(word)) => broken(word),
            (None, None) => ApiError::internal(error),
        }
    }

    fn finish(mut self) -> Result<Bounded, ApiError> {
        let finished = match &mut self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zstd(decoder) => decoder.do_finish(),
        };
        finished.map_err(|error| self.refusal(error))?;
        match self {
            Self::Plain(file) => Ok(file),
            Self::Gzip(decoder) => decoder.finish().map_err(|_| broken("gzip")),
            Self::Zstd(decoder) => Ok(decoder.into_inner()),
        }
    }
}

fn broken(word: &str) -> ApiError {
    let msg = format!("is not valid {word}, or was cut");
    ApiError::fault(&[engine::Loc::Key("body")], msg, engine::FaultKind::Value)
}

/// A file that refuses to grow beyond its bound, or where the disk would have no room for others.
struct Bounded {
    path: PathBuf,
    /// Made with its first byte.
    file: Option<File>,
    bytes: u64,
    looked: u64,
    bytes_max: u64,
    free_min: u64,
    refusal: Option<ApiError>,
}

impl Bounded {
    fn take(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        let total = self.bytes + bytes.len() as u64;
        if total > self.bytes_max {
            return Err(ApiError::too_large("the file", usize::try_from(self.bytes_max).unwrap_or(usize::MAX)));
        }
        if self.file.is_none() {
            self.file = Some(options().create_new(true).open(&self.path).map_err(refused)?);
        }
        if self.bytes == 0 || total - self.looked >= LOOK_BYTES {
            self.looked = total;
            if free_bytes(&self.path).map_err(refused)? < self.free_min {
                return Err(full());
            }
        }
        if let Some(file) = &mut self.file {
            file.write_all(bytes).map_err(refused)?;
        }
        self.bytes = total;
        Ok(())
    }

    /// Makes file and name durable.
    fn sync(self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.sync_all()?;
        }
        self.path.parent().map_or(Ok(()), sync_folder)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.take(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(refusal) => {
                self.refusal = Some(refusal);
                Err(io::Error::other("refused"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the disk of a file has left for this process.
fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
