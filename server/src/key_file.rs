//! Files that hold keys: their owner's alone, made whole or not at all.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use crate::auth::random;

/// A file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It could not be read or made.
    #[error("{what} {path}")]
    Io {
        /// What it holds.
        what: &'static str,
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It can be read by others.
    #[error("{what} {path} can be read by others; run `chmod 600 {path}`")]
    Open {
        /// What it holds.
        what: &'static str,
        /// The file.
        path: String,
    },
    /// It is longer than any such file.
    #[error("{what} {path} is longer than {bytes_max} bytes")]
    Long {
        /// What it holds.
        what: &'static str,
        /// The file.
        path: String,
        /// The most that is read.
        bytes_max: u64,
    },
    /// The operating system has no randomness to give.
    #[error("no randomness from the operating system")]
    Random(#[from] rand::rngs::SysError),
}

/// Where keys lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// What it holds, for messages: `signing secrets`.
    pub what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The most that is read, bytes.
    pub bytes_max: u64,
}

impl KeyFile {
    /// Its text. If it is not there it is made with the text that `fresh` gives; of two processes that start together one
    /// wins, and both read the same.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn read_or_create(
        &self,
        fresh: impl FnOnce() -> Result<String, rand::rngs::SysError>,
    ) -> Result<String, KeyFileError> {
        let file = match OpenOptions::new().read(true).open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.create(&fresh()?)?;
                OpenOptions::new().read(true).open(&self.path)
            }
            opened => opened,
        };
        let file = file.map_err(|source| self.io(source))?;
        if file.metadata().map_err(|source| self.io(source))?.permissions().mode() & 0o077 != 0 {
            return Err(KeyFileError::Open { what: self.what, path: self.name() });
        }
        let mut text = String::new();
        file.take(self.bytes_max.saturating_add(1)).read_to_string(&mut text).map_err(|source| self.io(source))?;
        if text.len() as u64 > self.bytes_max {
            let bytes_max = self.bytes_max;
            return Err(KeyFileError::Long { what: self.what, path: self.name(), bytes_max });
        }
        Ok(text)
    }

    /// The file, for messages.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn io(&self, source: std::io::Error) -> KeyFileError {
        KeyFileError::Io { what: self.what, path: self.name(), source }
    }

    /// Writes and syncs it under another name, then links it: nobody ever reads half of it, and one that is there stays.
    fn create(&self, text: &str) -> Result<(), KeyFileError> {
        let io = |source| self.io(source);
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(std::path::Path::new("."));
        std::fs::create_dir_all(parent).map_err(io)?;
        let draft = parent.join(random::base62(".key.", 8)?);
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        let linked = written.and_then(|()| match std::fs::hard_link(&draft, &self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
        let removed = std::fs::remove_file(&draft);
        linked.and(removed).map_err(io)?;
        std::fs::File::open(parent).and_then(|directory| directory.sync_all()).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn at(path: &Path) -> KeyFile {
        KeyFile { what: "a key", path: path.to_path_buf(), bytes_max: 8 }
    }

    fn fresh(text: &str) -> impl FnOnce() -> Result<String, rand::rngs::SysError> {
        let text = text.to_owned();
        move || Ok(text)
    }

    #[test]
    fn a_key_file_is_made_once_and_is_its_owner_s_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = at(&dir.path().join("deep").join("key"));
        assert_eq!(file.read_or_create(fresh("first")).unwrap(), "first");
        assert_eq!(file.read_or_create(|| panic!("it is there")).unwrap(), "first");
        assert_eq!(std::fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
        let parent = file.path.parent().unwrap();
        assert_eq!(std::fs::read_dir(parent).unwrap().count(), 1, "no draft is left");
        // One that is there is not overwritten by who found none a moment before.
        file.create("second").unwrap();
        assert_eq!(file.read_or_create(fresh("third")).unwrap(), "first");
        assert_eq!(std::fs::read_dir(parent).unwrap().count(), 1);
    }

    #[test]
    fn of_many_that_start_together_all_read_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let file = at(&dir.path().join("key"));
        let read: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..8)
                .map(|nth| {
                    scope.spawn({
                        let file = &file;
                        move || file.read_or_create(|| Ok(nth.to_string())).unwrap()
                    })
                })
                .collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(read.iter().all(|text| *text == read[0]), "{read:?}");
    }

    #[test]
    fn one_that_others_can_read_or_that_is_too_long_or_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = at(&dir.path().join("key"));
        file.read_or_create(fresh("12345678")).unwrap();
        for mode in [0o640, 0o604, 0o610] {
            std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(file.read_or_create(fresh("")), Err(KeyFileError::Open { .. })), "{mode:o}");
        }
        std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&file.path, "123456789").unwrap();
        let error = file.read_or_create(fresh("")).unwrap_err();
        assert_eq!(error.to_string(), format!("a key {} is longer than 8 bytes", file.name()));
        std::fs::remove_file(&file.path).unwrap();
        std::fs::create_dir(&file.path).unwrap();
        std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(file.read_or_create(fresh("")), Err(KeyFileError::Io { .. })));
    }
}
