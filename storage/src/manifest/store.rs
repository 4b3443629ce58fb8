//! Manifest versions as objects: one each, created and never changed. The highest number is the truth.
//!
//! The object of version 7 is `manifest/00000000000000000007.avm`. It is written with put-if-absent, so that of two
//! processes that both believe to own the data only one gets version 7; the other learns that it is fenced.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::{Version, codec, invariants};
use crate::error::{Error, Result};
use crate::point::UserId;

/// Versions that are kept beside the newest, for people who have to look back.
pub(crate) const KEPT: usize = 8;

/// Folder of all versions.
pub(crate) const FOLDER: &str = "manifest";
const SUFFIX: &str = ".avm";
const NUMBER_DIGITS: usize = 20;

/// Reads and commits manifest versions.
#[derive(Debug, Clone)]
pub(crate) struct ManifestStore {
    store: Arc<dyn ObjectStore>,
    /// In every version of this process, so that it knows its own when a network made it send one twice.
    writer: u64,
}

impl ManifestStore {
    /// The manifests in an object store.
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, writer: RandomState::new().hash_one(FOLDER) }
    }

    /// The newest version; `None` if there is none yet.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the newest one is damaged (an older one is never taken instead: it names files that may be
    /// gone, and a watermark behind which the log is trimmed); [`Error::Version`]; [`Error::Object`].
    pub(crate) async fn latest(&self) -> Result<Option<Version>> {
        match self.numbers().await?.last() {
            Some(number) => self.read(*number).await.map(Some),
            None => Ok(None),
        }
    }

    /// Writes a version. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::Fenced`] if another process committed this version or a later one: stop writing. [`Error::Invariant`]
    /// and [`Error::Full`]: not written. [`Error::Object`]: nobody knows; stop writing, and read it anew.
    pub(crate) async fn commit(&self, version: &Version) -> Result<()> {
        invariants::check(version)?;
        let location = location(version.number);
        let bytes = codec::encode(version, self.writer)?;
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&location, PutPayload::from(bytes.clone()), options).await {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                // A put whose answer was lost is sent again by the client, and then finds its own object.
                if self.bytes(&location).await? != bytes {
                    return Err(Error::Fenced { version: version.number });
                }
            }
            Err(error) => return Err(Error::object("write", &location, error)),
        }
        // A process that slept while others went on and removed old versions could create one that is long past.
        match self.numbers().await?.last() {
            Some(highest) if *highest > version.number => Err(Error::Fenced { version: version.number }),
            _ => Ok(()),
        }
    }

    /// Removes all versions but the newest `keep` (at least one).
    ///
    /// # Errors
    /// [`Error::Object`].
    pub(crate) async fn prune(&self, keep: usize) -> Result<()> {
        let numbers = self.numbers().await?;
        for number in numbers.iter().rev().skip(keep.max(1)) {
            self.remove(*number).await?;
        }
        Ok(())
    }

    /// Removes the versions before the newest that name a user of whom `is_erased` is true, or that cannot be read.
    /// Cost: reads each of the few that are kept.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub(crate) async fn forget(&self, is_erased: impl Fn(UserId) -> bool) -> Result<()> {
        let numbers = self.numbers().await?;
        for number in numbers.iter().rev().skip(1) {
            let names = match self.read(*number).await {
                Ok(version) => version.names(&is_erased),
                // Who it names cannot be told, and nobody needs it.
                Err(Error::Corrupt { .. } | Error::Version { .. }) => true,
                Err(error) => return Err(error),
            };
            if names {
                self.remove(*number).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, number: u64) -> Result<()> {
        let location = location(number);
        match self.store.delete(&location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::object("remove", &location, error)),
        }
    }

    /// The numbers of all versions, ascending.
    async fn numbers(&self) -> Result<Vec<u64>> {
        let folder = Path::from(FOLDER);
        let listed: Vec<_> =
            self.store.list(Some(&folder)).try_collect().await.map_err(|e| Error::object("list", &folder, e))?;
        let mut numbers: Vec<u64> = listed.iter().filter_map(|object| number(&object.location)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn read(&self, number: u64) -> Result<Version> {
        let location = location(number);
        let bytes = self.bytes(&location).await?;
        let path = PathBuf::from(location.as_ref());
        let version = codec::decode(&path, &bytes)?;
        if version.number != number {
            let what = format!("it holds version {}", version.number);
            return Err(Error::Corrupt { path, offset: codec::HEADER_BYTES as u64, what });
        }
        Ok(version)
    }

    async fn bytes(&self, location: &Path) -> Result<bytes::Bytes> {
        let object = self.store.get(location).await.map_err(|error| Error::object("read", location, error))?;
        object.bytes().await.map_err(|error| Error::object("read", location, error))
    }
}

/// Where a version is.
pub(crate) fn location(number: u64) -> Path {
    Path::from(format!("{FOLDER}/{number:0NUMBER_DIGITS$}{SUFFIX}"))
}

fn number(location: &Path) -> Option<u64> {
    let digits = location.as_ref().strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(SUFFIX)?;
    let is_name = digits.len() == NUMBER_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_name { digits.parse().ok() } else { None }
}
