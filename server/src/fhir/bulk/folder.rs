//! The files of exports in the data directory: `bulk/<export>/<patient>-<part>.ndjson`, their owner's alone.
//!
//! A name begins with whose data is in it, so that an erasure finds its files by their names, whatever became of rows.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{ID_PREFIX, Part};
use crate::auth::random;
use crate::control::entities::bulk_file;

/// The folder below the data directory.
const NAME: &str = "bulk";

/// The file that says by which name rows know this folder.
const PLACE: &str = "place";

/// Longest name of a place, bytes.
const PLACE_BYTES_MAX: u64 = 64;

/// Where the files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Below a data directory. Touches nothing.
    pub fn new(data_dir: &Path) -> Self {
        Self { root: data_dir.join(NAME) }
    }

    /// By which name rows know this folder; made the first time.
    ///
    /// # Errors
    /// The disk.
    pub fn place(&self) -> io::Result<String> {
        let path = self.root.join(PLACE);
        match read_place(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::make(&self.root)?;
                let draft = self.root.join(random::base62(".place.", 8).map_err(io::Error::other)?);
                let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
                file.write_all(random::base62("", 16).map_err(io::Error::other)?.as_bytes())?;
                file.sync_all()?;
                let linked = match std::fs::hard_link(&draft, &path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    linked => linked,
                };
                let removed = std::fs::remove_file(&draft);
                linked.and(removed)?;
                sync(&self.root)?;
                read_place(&path)
            }
            read => read,
        }
    }

    /// By which name rows know this folder, if it was ever made.
    ///
    /// # Errors
    /// The disk.
    pub fn known_place(&self) -> io::Result<Option<String>> {
        match read_place(&self.root.join(PLACE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn make(folder: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }

    /// Where a part of a patient is.
    pub fn path(&self, job_id: &str, patient_id: &str, part: Part) -> PathBuf {
        self.root.join(job_id).join(format!("{patient_id}-{}.ndjson", part.as_str()))
    }

    /// The file of a row, for reading; `None` if it is not there as it was written.
    ///
    /// # Errors
    /// The disk.
    pub async fn open(&self, row: &bulk_file::Model) -> io::Result<Option<tokio::fs::File>> {
        let Some(part) = Part::parse(&row.part) else { return Ok(None) };
        let file = match tokio::fs::File::open(self.path(&row.job_id, &row.patient_id, part)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let bytes = file.metadata().await?.len();
        if i64::try_from(bytes) != Ok(row.bytes) {
            tracing::error!(export = row.job_id, file = row.seq, bytes, "a file of an export is not as long as it was");
            return Ok(None);
        }
        Ok(Some(file))
    }

    /// An empty file for a part of a patient, in the place of one that a crash may have left.
    ///
    /// # Errors
    /// The disk.
    pub fn create(&self, job_id: &str, patient_id: &str, part: Part) -> io::Result<File> {
        Self::make(&self.root.join(job_id))?;
        let path = self.path(job_id, patient_id, part);
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)
    }

    /// Makes the names of an export's files durable.
    ///
    /// # Errors
    /// The disk.
    pub fn sync(&self, job_id: &str) -> io::Result<()> {
        sync(&self.root.join(job_id))?;
        sync(&self.root)
    }

    /// Removes a part of a patient, if it is there.
    ///
    /// # Errors
    /// The disk.
    pub fn remove(&self, job_id: &str, patient_id: &str, part: Part) -> io::Result<()> {
        gone(std::fs::remove_file(self.path(job_id, patient_id, part)))
    }

    /// Removes everything of an export, if there is anything.
    ///
    /// # Errors
    /// The disk.
    pub fn remove_job(&self, job_id: &str) -> io::Result<()> {
        gone(std::fs::remove_dir_all(self.root.join(job_id)))
    }

    /// The exports that have a folder.
    ///
    /// # Errors
    /// The disk.
    pub fn jobs(&self) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut jobs = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            jobs.extend(name.to_str().filter(|name| name.starts_with(ID_PREFIX)).map(str::to_owned));
        }
        Ok(jobs)
    }

    /// Removes every file that holds a person's data, of whichever export; how many.
    ///
    /// # Errors
    /// The disk.
    pub fn forget(&self, user_id: &str) -> io::Result<usize> {
        let mut removed = 0;
        for job in self.jobs()? {
            let folder = self.root.join(&job);
            let mut is_touched = false;
            for part in Part::ALL {
                match std::fs::remove_file(self.path(&job, user_id, part)) {
                    Ok(()) => (removed, is_touched) = (removed + 1, true),
                    Err(error) => gone(Err(error))?,
                }
            }
            if is_touched {
                gone(sync(&folder))?;
            }
        }
        Ok(removed)
    }
}

fn read_place(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    File::open(path)?.take(PLACE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What is not there need not be removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
