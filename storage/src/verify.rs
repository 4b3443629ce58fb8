//! Looks for damage, and repairs it only as far as a person says so.
//!
//! [`verify`] reads every byte that the storage keeps and changes nothing. [`repair`] names what would be lost before
//! it drops anything, and asks. [`live_files`] says which Parquet files count.

use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStoreExt;

use crate::error::{Error, Result};
use crate::manifest::store::ManifestStore;
use crate::manifest::{Edit, FileMeta, Version};
use crate::parquet;
use crate::place::Place;
use crate::recovery::{LOG, lock, objects, runtime};
use crate::wal;

/// One piece of damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file or object.
    pub path: String,
    /// Where in it, bytes; 0 if it is about the whole file.
    pub offset: u64,
    /// What is wrong: expected and found.
    pub what: String,
    /// Points that are lost at most if it is dropped.
    pub points_lost_max: u64,
}

/// What was looked at and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Number of the newest manifest version, 0 if there is none.
    pub manifest_version: u64,
    /// Parquet files read.
    pub files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The damage; empty is good.
    pub findings: Vec<Finding>,
}

/// Reads everything and reports damage. Changes nothing; takes the lock, so that nothing changes meanwhile either.
///
/// # Errors
/// [`Error::Locked`] while a server runs on the directory; I/O that is not damage.
pub fn verify(place: &Place) -> Result<Report> {
    let _lock = lock(place)?;
    let runtime = runtime()?;
    let objects = objects(place);
    runtime.block_on(async {
        let manifest = ManifestStore::new(Arc::clone(&objects));
        let mut report = Report::default();
        let version = match manifest.latest().await {
            Ok(version) => version.unwrap_or_default(),
            Err(Error::Corrupt { path, offset, what }) => {
                // Without the manifest nothing says which files count, so there is nothing more to look at.
                let path = path.display().to_string();
                report.findings.push(Finding { path, offset, what, points_lost_max: 0 });
                return Ok(report);
            }
            Err(error) => return Err(error),
        };
        report.manifest_version = version.number;
        for file in &version.files {
            report.files += 1;
            report.rows += file.rows;
            report.bytes += file.bytes;
            report.findings.extend(look_at_file(&objects, file).await?);
        }
        for damage in wal::verify::verify(&*place.disk, Path::new(LOG), version.watermark)? {
            report.findings.push(from_log(&damage));
        }
        Ok(report)
    })
}

/// The Parquet files of the newest manifest version, in its order; none where there is no version yet. Changes nothing and
/// takes no lock: of a directory that a server uses, a file may be gone a moment later.
///
/// # Errors
/// [`Error::Corrupt`] for a damaged manifest; I/O.
pub fn live_files(place: &Place) -> Result<Vec<FileMeta>> {
    let version = runtime()?.block_on(ManifestStore::new(objects(place)).latest())?;
    Ok(version.unwrap_or_default().files)
}

async fn look_at_file(objects: &Arc<dyn object_store::ObjectStore>, file: &FileMeta) -> Result<Vec<Finding>> {
    let finding = |what| Finding { path: file.path.clone(), offset: 0, what, points_lost_max: file.rows };
    match parquet::verify(Arc::clone(objects), file).await {
        Ok(faults) => Ok(faults.into_iter().map(finding).collect()),
        Err(error @ (Error::Corrupt { .. } | Error::Parquet { .. } | Error::Version { .. })) => {
            Ok(vec![finding(error.to_string())])
        }
        Err(Error::Object { source, .. }) if matches!(*source, object_store::Error::NotFound { .. }) => {
            Ok(vec![finding("the manifest names it, but it is not there".to_owned())])
        }
        Err(error) => Err(error),
    }
}

fn from_log(damage: &wal::scan::Damage) -> Finding {
    Finding {
        path: damage.path.display().to_string(),
        offset: damage.offset,
        what: damage.what.clone(),
        points_lost_max: damage.points_lost_at_most,
    }
}

/// Drops damaged parts, each only if `agree` says so. A damaged file leaves the manifest whole; a damaged frame leaves
/// the log; a damaged newest manifest gives way to the one before it.
///
/// # Errors
/// As [`verify`]; I/O while changing something.
pub fn repair(place: &Place, agree: &mut dyn FnMut(&Finding) -> bool) -> Result<Report> {
    let found = verify(place)?;
    let _lock = lock(place)?;
    let runtime = runtime()?;
    let objects = objects(place);
    let dropped = runtime.block_on(async {
        let manifest = ManifestStore::new(Arc::clone(&objects));
        let mut dropped = Vec::new();
        let version = match manifest.latest().await {
            Ok(version) => version.unwrap_or_default(),
            Err(Error::Corrupt { path, .. }) => {
                let text = path.display().to_string();
                if let Some(finding) = found.findings.iter().find(|finding| finding.path == text)
                    && agree(finding)
                {
                    let object = object_store::path::Path::from(text.as_str());
                    objects.delete(&object).await.map_err(|error| Error::object("remove", &object, error))?;
                    dropped.push(finding.clone());
                }
                return Ok(dropped);
            }
            Err(error) => return Err(error),
        };
        dropped.extend(drop_files(&manifest, &version, &found, agree).await?);
        Ok::<_, Error>(dropped)
    })?;
    let mut report = Report { findings: dropped, ..found };
    let watermark = runtime.block_on(ManifestStore::new(objects).latest()).ok().flatten();
    if let Some(version) = watermark {
        let log = Path::new(LOG);
        let mut lost = Vec::new();
        wal::verify::repair(&*place.disk, log, version.watermark, &mut |damage| {
            let finding = from_log(damage);
            let is_agreed = agree(&finding);
            if is_agreed {
                lost.push(finding);
            }
            is_agreed
        })?;
        report.findings.extend(lost);
    }
    Ok(report)
}

async fn drop_files(
    manifest: &ManifestStore,
    version: &Version,
    found: &Report,
    agree: &mut dyn FnMut(&Finding) -> bool,
) -> Result<Vec<Finding>> {
    let mut remove = Vec::new();
    let mut dropped = Vec::new();
    for file in &version.files {
        if let Some(finding) = found.findings.iter().find(|finding| finding.path == file.path)
            && agree(finding)
        {
            remove.push(file.id);
            dropped.push(finding.clone());
        }
    }
    if !remove.is_empty() {
        let next = version.apply(&Edit { remove, ..Edit::default() })?;
        manifest.commit(&next).await?;
    }
    Ok(dropped)
}
