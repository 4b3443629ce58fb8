//! Versions come back as they were, an insane one is never written, and of two writers one is fenced.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use proptest::prelude::*;

use super::store::{KEPT, ManifestStore, location};
use super::*;
use crate::disk::sim::SimDisk;
use crate::disk::store::LocalStore;

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("ready at once")
}

fn user(nth: u32) -> UserId {
    UserId::parse(&format!("usr_{nth:08}")).unwrap()
}

fn file(id: u64, first_seq: u64, last_seq: u64) -> FileMeta {
    FileMeta {
        id,
        path: format!("points/{id}.parquet"),
        metric: "heart_rate".to_owned(),
        level: Level::Zero,
        rows: 10,
        bytes: 1_000,
        first_seq: Seq(first_seq),
        last_seq: Seq(last_seq),
        clean_through: 0,
        user_min: user(1),
        user_max: user(2),
        time_min: 0,
        time_max: 1_000,
        accepted_max_ms: 5,
    }
}

fn tombstone(seq: u64) -> Tombstone {
    Tombstone { seq: Seq(seq), version: 0, scope: Scope::User(user(1)), created_ms: 7 }
}

fn range(seq: u64) -> Tombstone {
    let times = TimeRange { start: -5, end: 7_000 };
    Tombstone { scope: Scope::Range { user: user(2), metric: "steps".to_owned(), times }, ..tombstone(seq) }
}

/// Flushes seqs `first..=last` into one file.
fn flush(before: &Version, first: u64, last: u64) -> Version {
    let id = before.next_file_id;
    let edit = Edit {
        add: vec![file(id, first, last)],
        watermark: Some((Seq(last), i64::try_from(last).unwrap())),
        next_file_id: Some(id + 1),
        ..Edit::default()
    };
    before.apply(&edit).unwrap()
}

fn refusal(before: &Version, edit: &Edit) -> &'static str {
    match before.apply(edit) {
        Err(Error::Invariant { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_edit_makes_the_next_version() {
    let one = flush(&Version::default(), 1, 10);
    let two = flush(&one, 11, 20);
    assert_eq!((two.number, two.watermark, two.accepted_max_ms, two.next_file_id), (2, Seq(20), 20, 2));
    let with = two.apply(&Edit { add_tombstones: vec![tombstone(20)], ..Edit::default() }).unwrap();
    assert_eq!(with.tombstones, [Tombstone { version: 3, ..tombstone(20) }]);
    let merged = FileMeta { level: Level::One { month: 0 }, ..file(2, 1, 20) };
    let edit = Edit {
        add: vec![merged.clone()],
        remove: vec![0, 1],
        drop_tombstones: with.tombstones.clone(),
        next_file_id: Some(3),
        ..Edit::default()
    };
    let compacted = with.apply(&edit).unwrap();
    assert_eq!((compacted.files, compacted.tombstones.len(), compacted.watermark), (vec![merged], 0, Seq(20)));
}

#[test]
fn each_invariant_stops_an_edit() {
    let base = flush(&flush(&Version::default(), 1, 10), 11, 20);
    let add = |file: FileMeta| Edit { add: vec![file], next_file_id: Some(9), ..Edit::default() };
    let ranges = "each file's ranges are in order and it is not empty";
    let order = "level-0 files of a metric follow each other, behind its level 1";
    for (edit, what) in [
        (Edit { remove: vec![7], ..Edit::default() }, "a file is removed that is not there"),
        (Edit { drop_tombstones: vec![tombstone(1)], ..Edit::default() }, "a tombstone is dropped that is not there"),
        (Edit { watermark: Some((Seq(19), 20)), ..Edit::default() }, "the watermark never goes back"),
        (Edit { watermark: Some((Seq(21), 19)), ..Edit::default() }, "accepted_max_ms never goes back"),
        (Edit { next_file_id: Some(1), ..Edit::default() }, "next_file_id never goes back"),
        (
            Edit { add_tombstones: vec![range(19)], ..Edit::default() },
            "a range is deleted before points from behind its cut are in files",
        ),
        (add(file(1, 12, 20)), "each file and each path is there once"),
        (Edit { add: vec![file(2, 20, 20)], ..Edit::default() }, "next_file_id is above all ids"),
        (add(FileMeta { rows: 0, metric: "steps".to_owned(), ..file(3, 1, 2) }), ranges),
        (add(FileMeta { user_min: user(3), ..file(3, 1, 2) }), ranges),
        (add(FileMeta { time_min: 1_001, ..file(3, 1, 2) }), ranges),
        (add(file(3, 3, 2)), ranges),
        (add(file(3, 21, 22)), "a file holds only what the watermark covers"),
        (
            add(FileMeta { level: Level::One { month: 1 }, metric: "steps".to_owned(), ..file(3, 1, 2) }),
            "a level-1 file lies within its month",
        ),
        (add(file(3, 15, 20)), order),
        (add(FileMeta { level: Level::One { month: 0 }, ..file(3, 1, 10) }), order),
        (
            add(FileMeta { clean_through: 4, metric: "steps".to_owned(), ..file(3, 1, 2) }),
            "no file and no tombstone comes from a later version",
        ),
    ] {
        assert_eq!(refusal(&base, &edit), what);
    }
}

fn versions() -> impl Strategy<Value = Version> {
    let scope = prop_oneof![
        (0_u32..9).prop_map(|nth| Scope::User(user(nth))),
        (0_u32..9, "[a-z_]{1,64}", any::<i64>(), any::<i64>()).prop_map(|(nth, metric, start, end)| Scope::Range {
            user: user(nth),
            metric,
            times: TimeRange { start, end },
        }),
    ];
    let tombstone = (any::<u64>(), scope, any::<i64>()).prop_map(|(seq, scope, created_ms)| Tombstone {
        seq: Seq(seq),
        version: 1,
        scope,
        created_ms,
    });
    let lens = proptest::collection::vec((1_u64..1_000, "[a-z/=é.]{1,80}", any::<bool>()), 0..12);
    (1_u64..1 << 60, any::<i64>(), lens, proptest::collection::vec(tombstone, 0..5)).prop_map(
        |(number, accepted_max_ms, lens, tombstones)| {
            let mut files = Vec::new();
            let mut seq = 0;
            for (id, (len, path, is_old)) in lens.into_iter().enumerate() {
                let id = id as u64;
                let metric = format!("metric_{id}");
                let level = if is_old { Level::One { month: 0 } } else { Level::Zero };
                files.push(FileMeta { path: format!("{path}{id}"), metric, level, ..file(id, seq + 1, seq + len) });
                seq += len;
            }
            let next_file_id = files.len() as u64;
            let erased = std::array::from_fn(|nth| number.to_le_bytes()[nth % 8]);
            Version { number, next_file_id, watermark: Seq(seq), accepted_max_ms, erased, files, tombstones }
        },
    )
}

proptest! {
    #[test]
    fn a_version_comes_back_as_it_was(version in versions(), writer: u64) {
        let bytes = codec::encode(&version, writer).unwrap();
        prop_assert_eq!(codec::decode(Path::new("m"), &bytes).unwrap(), version);
    }

    #[test]
    fn a_damaged_version_is_corrupt(version in versions(), at: prop::sample::Index, bit in 0_u8..8, is_cut: bool) {
        let mut bytes = codec::encode(&version, 1).unwrap();
        let at = at.index(bytes.len());
        if is_cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        let is_corrupt = matches!(codec::decode(Path::new("m"), &bytes), Err(Error::Corrupt { .. }));
        prop_assert!(is_corrupt);
    }

    /// A checksum that holds over nonsense still cannot make us panic or allocate.
    #[test]
    fn nonsense_with_a_checksum_is_refused_in_bounds(
        version in versions(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = codec::encode(&version, 1).unwrap();
        for (at, byte) in edits {
            let at = codec::HEADER_BYTES + at.index(bytes.len() - codec::HEADER_BYTES);
            bytes[at] = byte;
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..24]), &bytes[codec::HEADER_BYTES..]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        if let Ok(found) = codec::decode(Path::new("m"), &bytes) {
            invariants::check(&found).unwrap();
        }
    }
}

#[test]
fn the_newest_version_is_the_truth() {
    let store = ManifestStore::new(Arc::new(InMemory::new()));
    assert_eq!(now(store.latest()).unwrap(), None);
    let mut version = Version::default();
    for step in 0..12 {
        version = flush(&version, step * 10 + 1, step * 10 + 10);
        now(store.commit(&version)).unwrap();
    }
    assert_eq!(now(store.latest()).unwrap(), Some(version));
}

#[test]
fn of_two_writers_one_is_fenced() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (ours, theirs) = (ManifestStore::new(Arc::clone(&objects)), ManifestStore::new(objects));
    let one = flush(&Version::default(), 1, 10);
    now(ours.commit(&one)).unwrap();
    now(ours.commit(&one)).expect("the same put twice, as a network may make it");
    assert!(matches!(now(theirs.commit(&one)), Err(Error::Fenced { version: 1 })));
}

#[test]
fn a_writer_that_slept_is_fenced_although_its_number_is_free_again() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (ours, theirs) = (ManifestStore::new(Arc::clone(&objects)), ManifestStore::new(objects));
    let one = flush(&Version::default(), 1, 10);
    let mut version = one.clone();
    for step in 1..12 {
        version = flush(&version, step * 10 + 1, step * 10 + 10);
        now(ours.commit(&version)).unwrap();
    }
    now(ours.prune(KEPT)).unwrap();
    assert!(matches!(now(theirs.commit(&flush(&one, 11, 20))), Err(Error::Fenced { version: 2 })));
    assert_eq!(now(ours.latest()).unwrap(), Some(version));
}

#[test]
fn pruning_keeps_the_newest() {
    let objects = Arc::new(InMemory::new());
    let store = ManifestStore::new(Arc::clone(&objects) as Arc<dyn ObjectStore>);
    let mut version = Version::default();
    for step in 0..12 {
        version = flush(&version, step * 10 + 1, step * 10 + 10);
        now(store.commit(&version)).unwrap();
    }
    now(store.prune(KEPT)).unwrap();
    for number in 1..=12 {
        assert_eq!(now(objects.head(&location(number))).is_ok(), number > 4, "version {number}");
    }
    now(store.prune(0)).unwrap();
    assert_eq!(now(store.latest()).unwrap(), Some(version));
}

#[test]
fn a_damaged_newest_version_is_never_replaced_by_the_one_before() {
    let objects = Arc::new(InMemory::new());
    let store = ManifestStore::new(Arc::clone(&objects) as Arc<dyn ObjectStore>);
    let one = flush(&Version::default(), 1, 10);
    now(store.commit(&one)).unwrap();
    let two = codec::encode(&flush(&one, 11, 20), 1).unwrap();
    for (bytes, what) in [
        (two[..40].to_vec(), "length"),
        (codec::encode(&one, 1).unwrap(), "holds version 1"),
        (Vec::new(), "too short"),
    ] {
        now(objects.put(&location(2), PutPayload::from(bytes))).unwrap();
        let error = now(store.latest()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }) && error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_newer_format_is_named_as_such() {
    let mut bytes = codec::encode(&flush(&Version::default(), 1, 10), 1).unwrap();
    bytes[4] = 3;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..24]), &bytes[codec::HEADER_BYTES..]);
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
    assert!(matches!(codec::decode(Path::new("m"), &bytes), Err(Error::Version { found: 3, known: 2, .. })));
}

/// What the first version of the format wrote: it has no ledger.
#[test]
fn a_manifest_of_the_first_version_is_read() {
    let bytes = include_bytes!("../../fixtures/manifest-v1.avm");
    let mut expected = flush(&flush(&Version::default(), 1, 10), 11, 20);
    let add_tombstones = vec![tombstone(20), range(20)];
    expected = expected.apply(&Edit { add_tombstones, ..Edit::default() }).unwrap();
    expected.files[0].level = Level::One { month: 0 };
    assert_eq!(codec::decode(Path::new("m"), bytes).unwrap(), expected);
    let erased = Edit { erased: Some([7; DIGEST_BYTES]), ..Edit::default() };
    let next = expected.apply(&erased).unwrap();
    assert_eq!(codec::decode(Path::new("m"), &codec::encode(&next, 1).unwrap()).unwrap().erased, [7; DIGEST_BYTES]);
}

#[test]
fn versions_that_name_an_erased_user_are_forgotten_but_for_the_newest() {
    let disk = SimDisk::new(1);
    let manifests = ManifestStore::new(Arc::new(LocalStore::new(Arc::new(disk.clone()), "")));
    let one = flush(&Version::default(), 1, 10);
    let two = one.apply(&Edit { remove: vec![0], ..Edit::default() }).unwrap();
    let three = two.apply(&Edit { add_tombstones: vec![tombstone(10)], ..Edit::default() }).unwrap();
    let four = three.apply(&Edit { drop_tombstones: three.tombstones.clone(), ..Edit::default() }).unwrap();
    for version in [&one, &two, &three] {
        now(manifests.commit(version)).unwrap();
    }
    now(manifests.forget(|who| who == user(1))).unwrap();
    assert_eq!(now(manifests.latest()).unwrap().unwrap(), three, "the newest stays, whoever it names");
    now(manifests.commit(&four)).unwrap();
    now(manifests.forget(|who| who == user(1))).unwrap();
    let left: Vec<_> =
        [1, 2, 3, 4].into_iter().filter(|n| disk.bytes(Path::new(location(*n).as_ref())).is_some()).collect();
    assert_eq!(left, [2, 4]);
}

#[test]
fn a_committed_version_survives_a_crash_at_every_call() {
    for seed in 0..20 {
        for call in 1..40 {
            let disk = SimDisk::new(seed);
            disk.crash_at(call);
            let manifests = |disk: &SimDisk| ManifestStore::new(Arc::new(LocalStore::new(Arc::new(disk.clone()), "")));
            let (mut version, mut committed) = (Version::default(), 0);
            for step in 0..4 {
                version = flush(&version, step * 10 + 1, step * 10 + 10);
                if now(manifests(&disk).commit(&version)).is_err() {
                    break;
                }
                committed = version.number;
            }
            let found = now(manifests(&disk.crash()).latest()).unwrap().map_or(0, |version| version.number);
            assert!((committed..=committed + 1).contains(&found), "seed {seed} call {call}: {found} of {committed}");
        }
    }
}

/// A plain level-0 file.
pub(crate) fn example_file(id: u64) -> FileMeta {
    let user = |text| UserId::parse(text).unwrap();
    FileMeta {
        id,
        path: format!("points/metric=heart_rate/level0/{id}.parquet"),
        metric: "heart_rate".to_owned(),
        level: Level::Zero,
        rows: 1,
        bytes: 1,
        first_seq: Seq(id),
        last_seq: Seq(id),
        clean_through: 0,
        user_min: user("usr_00000000"),
        user_max: user("usr_zzzzzzzz"),
        time_min: 0,
        time_max: 1,
        accepted_max_ms: 0,
    }
}
