//! A person, gone for good.
//!
//! ```text
//! ledger ─▶ cut of the log ─▶ tombstone and digest in the manifest ─▶ reads of theirs end      answered: invisible
//!        … flush, trim of the log, compaction within the tombstone's age …
//! tombstone is dropped ─▶ sweep: older manifests that name them, files that nothing names      physically gone
//! ```
//!
//! Each arrow is durable before the next. A crash in between leaves the ledger ahead of the manifest, and the next open
//! goes on from there ([`behind`]): it looks for the people of the ledger in the files and in what is replayed, and
//! commits the tombstones that are missing. A data directory that was restored from an older backup is the same case.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;
use futures::TryStreamExt;
use object_store::ObjectStore;

use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::manifest::{Edit, FileMeta, Scope, Tombstone, Version};
use crate::parquet::{self, Footers};
use crate::point::{MetricId, Seq, TimeRange, UserId};
use crate::retention;
use crate::selection::{Columns, Selection, Users};
use crate::state::Shared;
use crate::tombstone::{self, Mask};

/// Commits that a user is erased: everything up to `seq` is covered, and nothing came behind it, because the ledger
/// named the user before the cut. Reads of theirs that are under way end.
///
/// # Errors
/// As [`Shared::commit`].
pub(crate) fn commit(shared: &Shared, user: UserId, seq: Seq) -> Result<()> {
    let created_ms = shared.clock.now_us().div_euclid(1_000);
    let erased = shared.ledger.digest_with(user);
    shared.commit(
        |version| {
            let tombstone = Tombstone { seq, version: version.number + 1, scope: Scope::User(user), created_ms };
            let age_max = shared.config.tombstone_age_max;
            Some(Edit { erased: Some(erased), ..tombstone::edit(version, tombstone, age_max) })
        },
        |_| (),
    )?;
    shared.ledger.apply(user);
    shared.endings.end(user, shared.clock.elapsed(), shared.config.snapshot_age_max);
    Ok(())
}

/// Commits, at open, the tombstones of people who are in the ledger and still in the data, and that the manifest knows
/// of everybody in the ledger.
///
/// # Errors
/// As [`Shared::commit`].
pub(crate) fn catch_up(shared: &Shared, users: &BTreeSet<UserId>, seq: Seq) -> Result<()> {
    let digest = shared.ledger.digest();
    let created_ms = shared.clock.now_us().div_euclid(1_000);
    shared.commit(
        |version| {
            let known = users_of(version);
            let missing = users.difference(&known);
            let add_tombstones: Vec<Tombstone> = missing
                .map(|user| Tombstone { seq, version: version.number + 1, scope: Scope::User(*user), created_ms })
                .collect();
            let is_behind = !add_tombstones.is_empty() || version.erased != digest;
            is_behind.then(|| Edit { add_tombstones, erased: Some(digest), ..Edit::default() })
        },
        |_| (),
    )?;
    shared.ledger.apply_all();
    Ok(())
}

/// The users whom a version's tombstones erase.
pub(crate) fn users_of(version: &Version) -> BTreeSet<UserId> {
    version
        .tombstones
        .iter()
        .filter_map(|tombstone| match &tombstone.scope {
            Scope::User(user) => Some(*user),
            Scope::Range { .. } => None,
        })
        .collect()
}

/// The people of the ledger who have rows in a version's files, where the version does not know of everybody in the
/// ledger. Cost: nothing where it does; otherwise one pass over the column of users of every file.
///
/// # Errors
/// What reading the files says.
pub(crate) async fn behind(
    objects: &Arc<dyn ObjectStore>,
    version: &Version,
    ledger: &Ledger,
) -> Result<BTreeSet<UserId>> {
    let mut found = BTreeSet::new();
    if version.erased == ledger.digest() {
        return Ok(found);
    }
    let footers = Arc::new(Footers::new(0));
    for file in &version.files {
        found.extend(users_in(objects, &footers, file, ledger).await?);
    }
    Ok(found)
}

/// The people of the ledger in one file.
async fn users_in(
    objects: &Arc<dyn ObjectStore>,
    footers: &Arc<Footers>,
    file: &FileMeta,
    ledger: &Ledger,
) -> Result<BTreeSet<UserId>> {
    let all = Selection { metric: MetricId(0), users: Users::All, times: TimeRange::ALL };
    let columns = Columns { user_id: true, ..Columns::default() };
    let (objects, footers) = (Arc::clone(objects), Arc::clone(footers));
    let mut batches = parquet::read(objects, Arc::new(file.clone()), footers, all, columns, Mask::default());
    let mut found = BTreeSet::new();
    let mut last = None;
    while let Some(batch) = batches.try_next().await? {
        let users = batch.column_by_name("user_id").and_then(|column| column.as_dictionary_opt::<Int32Type>());
        let texts = users.and_then(|users| users.values().as_string_opt::<i32>());
        let texts = texts.ok_or(Error::Batch { what: "the column of users is of another type" })?;
        for user in (0..texts.len()).filter_map(|row| UserId::parse(texts.value(row))) {
            // Dictionaries of neighbors begin with the same users: one hash for each new one.
            if last != Some(user) && ledger.contains(user) {
                found.insert(user);
            }
            last = Some(user);
        }
    }
    Ok(found)
}

/// Removes what still names people whose tombstones are gone: older manifests, and files that neither the manifest nor
/// a snapshot needs, such as those of a flush that failed. Nothing may flush or compact meanwhile.
///
/// # Errors
/// I/O; it is tried again then.
pub(crate) fn sweep(shared: &Shared) -> Result<()> {
    if !shared.sweep_due.swap(false, Ordering::AcqRel) {
        return Ok(());
    }
    let swept = shared.block_on(async {
        shared.manifest.forget(|user| shared.ledger.contains(user)).await?;
        let retired = shared.retention.lock().unwrap_or_else(PoisonError::into_inner).paths();
        retention::remove_orphans(&*shared.objects, &shared.state().version, &retired).await
    });
    shared.sweep_due.fetch_or(swept.is_err(), Ordering::AcqRel);
    swept.map(|_| ())
}
