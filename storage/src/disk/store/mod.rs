//! The local disk as an object store: what is put is durable before the put returns.
//!
//! `object_store`'s own `LocalFileSystem` syncs neither files nor folders, so a power failure could take a Parquet file
//! that a manifest names, after the log was trimmed. Here an object is written under a temporary name beside its own,
//! synced, then renamed (or linked, where it must not exist yet), then its folder is synced. Temporary names contain
//! a `#`, which no object path can; they are never listed, and [`LocalStore::sweep`] removes leftovers of a crash.
//!
//! All work is done inside the first poll: the futures are ready at once. Local reads of pages that are mostly cached
//! cost less than handing them to another thread, and writers run on their own threads anyway.

mod upload;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, RenameTargetMode, Result,
};

use super::{Disk, Entry, File};

/// Files that are kept open for reading.
const HANDLES_MAX: usize = 512;
/// A whole object is streamed in pieces of this size.
const PIECE_BYTES: u64 = 8 << 20;
/// What marks a temporary name.
const TEMP_MARK: char = '#';

/// An [`ObjectStore`] in a folder of a [`Disk`].
#[derive(Clone)]
pub struct LocalStore(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    prefix: PathBuf,
    handles: Mutex<Handles>,
    /// Folders that this process has made durable, with all their parents.
    folders: Mutex<BTreeSet<PathBuf>>,
    next_temp: AtomicU64,
}

/// Open files by path. Bounded: the one that was not used for longest goes.
#[derive(Default)]
struct Handles {
    by_path: HashMap<Path, (Arc<Handle>, u64)>,
    uses: u64,
}

/// An object that is open for reading; it stays readable after the object is deleted or replaced.
struct Handle {
    file: Box<dyn File>,
    meta: ObjectMeta,
}

/// How a finished temporary file becomes an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publish {
    Replace,
    Create,
}

impl LocalStore {
    /// A store of the objects in the folder `prefix` of the disk, which is made with the first object.
    pub fn new(disk: Arc<dyn Disk>, prefix: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Inner {
            disk,
            prefix: prefix.into(),
            handles: Mutex::default(),
            folders: Mutex::default(),
            next_temp: AtomicU64::new(0),
        }))
    }

    /// Removes temporary files that a crash left behind; returns how many. Nothing may be written meanwhile.
    ///
    /// # Errors
    /// The disk's.
    pub fn sweep(&self) -> io::Result<usize> {
        let inner = &self.0;
        let leftovers: Vec<PathBuf> =
            inner.disk.list(&inner.prefix)?.into_iter().map(|entry| entry.path).filter(|path| is_temp(path)).collect();
        let mut folders = BTreeSet::new();
        for path in &leftovers {
            inner.disk.remove(path)?;
            folders.insert(folder_of(path));
        }
        folders.into_iter().try_for_each(|folder| inner.disk.sync_dir(folder))?;
        Ok(leftovers.len())
    }
}

impl Inner {
    fn place(&self, location: &Path) -> PathBuf {
        self.prefix.join(location.as_ref())
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An open handle. The lock is held while a missing one is opened: whoever replaces or deletes the object forgets
    /// the handle afterwards, so a stale one cannot stay.
    fn handle(&self, location: &Path) -> Result<Arc<Handle>> {
        let mut handles = self.handles();
        handles.uses += 1;
        let now = handles.uses;
        if let Some((handle, used)) = handles.by_path.get_mut(location) {
            *used = now;
            return Ok(Arc::clone(handle));
        }
        let handle = self.open(location).map_err(|error| failure(location, error))?;
        if handles.by_path.len() >= HANDLES_MAX {
            let oldest = handles.by_path.iter().min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone());
            oldest.map(|path| handles.by_path.remove(&path));
        }
        handles.by_path.insert(location.clone(), (Arc::clone(&handle), now));
        Ok(handle)
    }

    fn open(&self, location: &Path) -> io::Result<Arc<Handle>> {
        let file = self.disk.open_read(&self.place(location))?;
        let meta = meta(location.clone(), file.len()?, file.modified_ms()?);
        Ok(Arc::new(Handle { file, meta }))
    }

    fn forget(&self, location: &Path) {
        self.handles().by_path.remove(location);
    }

    /// Makes the folder of a file, with its parents, durably; once per folder and process.
    fn make_folder(&self, path: &FsPath) -> io::Result<()> {
        let folder = folder_of(path);
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if folders.contains(folder) {
            return Ok(());
        }
        self.disk.create_dir(folder)?;
        folder.ancestors().skip(1).try_for_each(|parent| self.disk.sync_dir(parent))?;
        folders.insert(folder.to_path_buf());
        Ok(())
    }

    /// Creates a temporary file beside the object.
    fn create_temp(&self, path: &FsPath, bytes: u64) -> io::Result<(PathBuf, Box<dyn File>)> {
        self.make_folder(path)?;
        loop {
            let nth = self.next_temp.fetch_add(1, Ordering::Relaxed);
            let mut temp = path.as_os_str().to_owned();
            temp.push(format!("{TEMP_MARK}{nth}"));
            match self.disk.create(FsPath::new(&temp), bytes) {
                // A leftover of a crash that nobody swept yet.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(file) => return Ok((temp.into(), file)),
            }
        }
    }

    /// Writes an object in one go.
    fn put(&self, location: &Path, payload: &PutPayload, publish: Publish) -> io::Result<()> {
        let path = self.place(location);
        let (temp, file) = self.create_temp(&path, payload.content_length() as u64)?;
        let written = || {
            let mut offset = 0;
            for piece in payload {
                file.write_at(piece, offset)?;
                offset += piece.len() as u64;
            }
            file.sync_data()
        };
        self.publish(written(), &temp, location, publish)
    }

    /// Gives a temporary file that was `written` and synced its name, durably; or removes it.
    fn publish(&self, written: io::Result<()>, temp: &FsPath, location: &Path, publish: Publish) -> io::Result<()> {
        let path = self.place(location);
        let named = written.and_then(|()| match publish {
            Publish::Replace => self.disk.rename(temp, &path),
            Publish::Create => self.disk.link(temp, &path),
        });
        self.forget(location);
        if named.is_err() || publish == Publish::Create {
            // A leftover costs space until the next sweep, nothing else.
            let _ = self.disk.remove(temp);
        }
        named.and_then(|()| self.sync_name(&path))
    }

    /// Makes the name durable that a file has got. A failure leaves it unknown whether the object is there: it is never
    /// told as a full disk, which would say that nothing was written and invite another attempt.
    fn sync_name(&self, path: &FsPath) -> io::Result<()> {
        let unsure = |error: io::Error| io::Error::other(format!("the new name may not be durable: {error}"));
        self.disk.sync_dir(folder_of(path)).map_err(unsure)
    }

    fn delete(&self, location: &Path) -> io::Result<()> {
        let path = self.place(location);
        self.disk.remove(&path)?;
        self.forget(location);
        self.disk.sync_dir(folder_of(&path))
    }

    fn copy(&self, from: &Path, to: &Path, publish: Publish) -> Result<()> {
        let source = self.handle(from)?;
        let work = || {
            let (temp, file) = self.create_temp(&self.place(to), source.meta.size)?;
            let written = || {
                for range in pieces(0..source.meta.size) {
                    file.write_at(&source.read(range.clone())?, range.start)?;
                }
                file.sync_data()
            };
            self.publish(written(), &temp, to, publish)
        };
        work().map_err(|error| failure(to, error))
    }

    fn rename(&self, from: &Path, to: &Path, publish: Publish) -> io::Result<()> {
        let (source, target) = (self.place(from), self.place(to));
        self.make_folder(&target)?;
        match publish {
            Publish::Replace => self.disk.rename(&source, &target)?,
            Publish::Create => self.disk.link(&source, &target)?,
        }
        self.forget(from);
        self.forget(to);
        self.sync_name(&target)?;
        if publish == Publish::Create {
            self.disk.remove(&source)?;
        }
        self.sync_name(&source)
    }

    /// The objects below a path.
    fn list(&self, prefix: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        let root = Path::default();
        let below = prefix.unwrap_or(&root);
        let entries = self.disk.list(&self.place(below)).map_err(|error| failure(below, error))?;
        Ok(entries.into_iter().filter_map(|entry| self.listed(&entry)).collect())
    }

    /// An entry as an object; `None` for what is none.
    fn listed(&self, entry: &Entry) -> Option<ObjectMeta> {
        if is_temp(&entry.path) {
            return None;
        }
        let location = Path::parse(entry.path.strip_prefix(&self.prefix).ok()?.to_str()?).ok()?;
        Some(meta(location, entry.bytes, entry.modified_ms))
    }
}

impl Handle {
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut buffer = vec![0; len];
        self.file.read_at(&mut buffer, range.start)?;
        Ok(buffer.into())
    }

    fn read_at_most(&self, range: &GetRange) -> Result<Bytes> {
        let range = range.as_range(self.meta.size).map_err(|source| Error::Generic {
            store: "local",
            source: format!("{}: {source}", self.meta.location).into(),
        })?;
        self.read(range).map_err(|error| failure(&self.meta.location, error))
    }
}

fn folder_of(path: &FsPath) -> &FsPath {
    path.parent().unwrap_or(FsPath::new(""))
}

fn is_temp(path: &FsPath) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.contains(TEMP_MARK))
}

fn meta(location: Path, size: u64, modified_ms: i64) -> ObjectMeta {
    // By way of Arrow, so that this crate need not name `chrono`.
    let last_modified =
        arrow::temporal_conversions::timestamp_ms_to_datetime(modified_ms).unwrap_or_default().and_utc();
    let e_tag = Some(format!("{modified_ms:x}-{size:x}"));
    ObjectMeta { location, last_modified, size, e_tag, version: None }
}

fn failure(location: &Path, error: io::Error) -> Error {
    let path = location.to_string();
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: error.into() },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
        _ => Error::Generic { store: "local", source: error.into() },
    }
}

/// A range in pieces of bounded size.
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send + 'static {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let start = at;
        at = range.end.min(start.saturating_add(PIECE_BYTES));
        (start < at).then_some(start..at)
    })
}

/// Ranges that follow each other directly are read at once; each part is then a slice of the one buffer.
fn runs(ranges: &[Range<u64>]) -> Vec<(Range<u64>, usize)> {
    let mut runs: Vec<(Range<u64>, usize)> = Vec::new();
    for range in ranges {
        match runs.last_mut() {
            Some((run, parts)) if run.end == range.start && range.start < range.end => {
                run.end = range.end;
                *parts += 1;
            }
            _ => runs.push((range.clone(), 1)),
        }
    }
    runs
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.0.prefix.display())
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let publish = match options.mode {
            PutMode::Overwrite => Publish::Replace,
            PutMode::Create => Publish::Create,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented { operation: "update".to_owned(), implementer: self.to_string() });
            }
        };
        self.0.put(location, &payload, publish).map_err(|error| failure(location, error))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = upload::Upload::begin(&self.0, location).map_err(|error| failure(location, error))?;
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let handle = self.0.handle(location)?;
        options.check_preconditions(&handle.meta)?;
        let meta = handle.meta.clone();
        let range = match &options.range {
            Some(range) => range
                .as_range(meta.size)
                .map_err(|source| Error::Generic { store: "local", source: format!("{location}: {source}").into() })?,
            None => 0..meta.size,
        };
        let wanted = if options.head { 0..0 } else { range.clone() };
        let pieces = stream::iter(pieces(wanted))
            .map(move |piece| handle.read(piece).map_err(|error| failure(&handle.meta.location, error)));
        let payload = GetResultPayload::Stream(pieces.boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let handle = self.0.handle(location)?;
        let mut found = Vec::with_capacity(ranges.len());
        let mut wanted = ranges.iter();
        for (run, parts) in runs(ranges) {
            let mut bytes = handle.read_at_most(&GetRange::Bounded(run))?;
            for range in wanted.by_ref().take(parts) {
                let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
                found.push(bytes.split_to(len.min(bytes.len())));
            }
        }
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let inner = Arc::clone(&self.0);
        locations
            .map(move |location| {
                let location = location?;
                inner.delete(&location).map_err(|error| failure(&location, error))?;
                Ok(location)
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.0.list(prefix) {
            Ok(objects) => stream::iter(objects.into_iter().map(Ok)).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let root = Path::default();
        let below = prefix.unwrap_or(&root);
        let mut common_prefixes = BTreeSet::new();
        let mut objects = Vec::new();
        for object in self.0.list(prefix)? {
            let Some(mut parts) = object.location.prefix_match(below) else { continue };
            let (Some(first), second) = (parts.next(), parts.next()) else { continue };
            if second.is_some() {
                common_prefixes.insert(below.clone().join(first));
            } else {
                drop(parts);
                objects.push(object);
            }
        }
        Ok(ListResult { common_prefixes: common_prefixes.into_iter().collect(), objects })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let publish = match options.mode {
            CopyMode::Overwrite => Publish::Replace,
            CopyMode::Create => Publish::Create,
        };
        self.0.copy(from, to, publish)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let publish = match options.target_mode {
            RenameTargetMode::Overwrite => Publish::Replace,
            RenameTargetMode::Create => Publish::Create,
        };
        self.0.rename(from, to, publish).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => failure(to, error),
            _ => failure(from, error),
        })
    }
}

#[cfg(test)]
mod tests;
