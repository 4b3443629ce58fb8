//! The operating system's disk, below one folder.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{Disk, Entry, File};

/// Owner reads and writes, nobody else: health values are nobody else's business.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// Zeros written at a time where the filesystem cannot reserve space.
const ZEROS_BYTES: usize = 1 << 20;

/// A folder of the local filesystem, and nothing outside it.
#[derive(Debug, Clone)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Makes the folder, with its parents, if it is not there, durably.
    ///
    /// # Errors
    /// The operating system's, and `NotADirectory` if `root` is something else.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = std::path::absolute(root.into())?;
        let missing: Vec<&Path> = root.ancestors().take_while(|folder| !fs::exists(folder).unwrap_or(true)).collect();
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&root)?;
        for folder in missing {
            if let Some(parent) = folder.parent() {
                fs::File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self { root })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the root; one that could lead out of it is refused.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        if path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(self.root.join(path));
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} leads out of the data directory", path.display())))
    }

    fn walk(&self, folder: &Path, found: &mut Vec<Entry>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            // Not there, or a file, or gone meanwhile: nothing is below it.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.walk(&entry.path(), found)?;
            } else if kind.is_file() {
                let meta = match entry.metadata() {
                    Ok(meta) => meta,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                let path = entry.path();
                let path = path.strip_prefix(&self.root).map_err(io::Error::other)?.to_path_buf();
                found.push(Entry { path, bytes: meta.len(), modified_ms: modified_ms(&meta)? });
            }
        }
        Ok(())
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn File>> {
        let path = self.resolve(path)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        if let Err(error) = reserve(&file, bytes) {
            // The space that was reserved so far must not stay taken.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(self.resolve(path)?)?;
        Ok(Box::new(RealFile(file)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = fs::File::open(self.resolve(path)?)?;
        // Opening a folder for reading succeeds; a folder is no file here.
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(RealFile(file)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(self.resolve(path)?)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        self.walk(&self.resolve(path)?, &mut found)?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(self.resolve(from)?, self.resolve(to)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.resolve(from)?, self.resolve(to)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.resolve(path)?)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(self.resolve(path)?)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let path = self.resolve(path)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Makes the file `bytes` long, with the space on the disk taken, so that later writes neither fail for want of room
/// nor have to write metadata at each sync.
fn reserve(file: &fs::File, bytes: u64) -> io::Result<()> {
    use rustix::io::Errno;
    if bytes == 0 {
        return Ok(());
    }
    let reserve = || rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes);
    // A signal may come in between.
    match rustix::io::retry_on_intr(reserve) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(file, bytes),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes the space the slow way, for filesystems that cannot reserve it.
fn write_zeros(file: &fs::File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0_u8; ZEROS_BYTES];
    let mut at = 0;
    while at < bytes {
        let len = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ZEROS_BYTES);
        file.write_all_at(zeros.get(..len).unwrap_or_default(), at)?;
        at += len as u64;
    }
    Ok(())
}

fn modified_ms(meta: &fs::Metadata) -> io::Result<i64> {
    let since = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// An open file. Positional calls need no lock: threads share it freely.
#[derive(Debug)]
struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn modified_ms(&self) -> io::Result<i64> {
        modified_ms(&self.0.metadata()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn disk() -> (tempfile::TempDir, RealDisk) {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(folder.path().join("a/b")).unwrap();
        (folder, disk)
    }

    #[test]
    fn files_and_folders_are_the_owners_alone() {
        let (_folder, disk) = disk();
        disk.create_dir(Path::new("x/y")).unwrap();
        drop(disk.create(Path::new("x/y/f"), 0).unwrap());
        let mode = |path: &str| fs::metadata(disk.root().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(""), mode("x"), mode("x/y"), mode("x/y/f")), (0o700, 0o700, 0o700, 0o600));
    }

    #[test]
    fn a_created_file_is_as_long_as_reserved_and_zero() {
        let (_folder, disk) = disk();
        let path = Path::new("f");
        let file = disk.create(path, 100_000).unwrap();
        assert_eq!(file.len().unwrap(), 100_000);
        file.write_at(b"abc", 99_997).unwrap();
        file.sync_data().unwrap();
        let mut tail = [1; 4];
        file.read_at(&mut tail, 99_996).unwrap();
        assert_eq!(&tail, b"\0abc");
        assert_eq!(file.read_at(&mut tail, 99_997).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(disk.create(path, 1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn zeros_are_written_where_space_cannot_be_reserved() {
        let (_folder, disk) = disk();
        let path = disk.root().join("f");
        let bytes = ZEROS_BYTES as u64 * 2 + 5;
        write_zeros(&fs::File::create(&path).unwrap(), bytes).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
    }

    #[test]
    fn more_than_the_disk_has_is_refused_and_leaves_no_file() {
        let (_folder, disk) = disk();
        assert!(disk.create(Path::new("f"), 1 << 60).is_err());
        assert_eq!(disk.list(Path::new("")).unwrap(), []);
    }

    #[test]
    fn a_list_is_recursive_sorted_and_relative_to_the_root() {
        let (_folder, disk) = disk();
        disk.create_dir(Path::new("x/y")).unwrap();
        for path in ["x/y/2", "x/y/1", "x/z"] {
            disk.create(Path::new(path), 7).unwrap();
        }
        let paths: Vec<_> = disk.list(Path::new("x")).unwrap().into_iter().map(|entry| entry.path).collect();
        assert_eq!(paths, ["x/y/1", "x/y/2", "x/z"].map(PathBuf::from));
        assert_eq!(disk.list(Path::new("nowhere")).unwrap(), []);
    }

    #[test]
    fn a_link_never_replaces_and_a_rename_does() {
        let (_folder, disk) = disk();
        let [a, b] = ["a", "b"].map(Path::new);
        disk.create(a, 1).unwrap();
        disk.create(b, 2).unwrap();
        assert_eq!(disk.link(a, b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        disk.rename(a, b).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        assert_eq!(disk.open_read(b).unwrap().len().unwrap(), 1);
        assert_eq!(disk.open_read(a).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        let (_folder, disk) = disk();
        for path in ["../x", "/etc/passwd", "a/../../x"] {
            assert_eq!(disk.open_read(Path::new(path)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn the_lock_is_held_until_its_guard_goes() {
        let (_folder, disk) = disk();
        let path = Path::new("LOCK");
        let guard = disk.lock(path).unwrap();
        assert_eq!(disk.lock(path).err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(guard);
        disk.lock(path).unwrap();
    }
}
