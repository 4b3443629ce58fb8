//! What an open storage refuses, and how it comes back.

mod deletion;
mod erasure;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::TryStreamExt;

use super::*;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::error::ErrorKind;
use crate::point::{Origins, Part, TimeRange, UserId};
use crate::selection::{Columns, Selection, Users};

const NOW_US: i64 = 1_780_000_000_000_000;

fn place(disk: &SimDisk) -> Place {
    Place { disk: Arc::new(disk.clone()), objects: None, ledger: None, clock: Arc::new(ManualClock::at(NOW_US)) }
}

fn config() -> StorageConfig {
    StorageConfig { log_file_bytes: 1 << 16, background: false, ..StorageConfig::default() }
}

fn open(disk: &SimDisk) -> Result<Storage> {
    Storage::open(place(disk), config(), Box::new(|_| ()))
}

fn user(letter: char) -> UserId {
    UserId::parse(&format!("usr_0000000{letter}")).unwrap()
}

/// `count` heart rates of one user, a second apart.
fn points(storage: &Storage, user: UserId, count: u32) -> PointBatch {
    let mut origins = Origins::default();
    let origin = origins.intern("watch", None).unwrap();
    let part = Part { metric: storage.metric("heart_rate").unwrap(), start: 0, end: count };
    let times = (0..i64::from(count)).map(|second| NOW_US - second * 1_000_000).collect();
    let count = count as usize;
    PointBatch::new(user, vec![part], times, vec![60.0; count], vec![origin; count], origins).unwrap()
}

fn append(storage: &Storage, user: UserId, count: u32) -> Result<()> {
    storage.append(points(storage, user, count)).and_then(Ticket::wait)
}

fn rows(storage: &Storage) -> Result<usize> {
    let metric = storage.metric("heart_rate")?;
    let selection = Selection { metric, users: Users::All, times: TimeRange::ALL };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches: Vec<_> = runtime.block_on(storage.snapshot().read(selection, Columns::ALL).try_collect())?;
    Ok(batches.iter().map(arrow::array::RecordBatch::num_rows).sum())
}

#[test]
fn settings_out_of_bounds_are_refused_before_anything_is_touched() {
    let broken = [
        ("log_file_bytes", StorageConfig { log_file_bytes: 1, ..config() }),
        ("queue_bytes_max", StorageConfig { queue_bytes_max: 1, ..config() }),
        ("seal_bytes", StorageConfig { seal_bytes: usize::MAX / 2, ..config() }),
        ("seal_age", StorageConfig { seal_age: Duration::ZERO, ..config() }),
        ("level0_files", StorageConfig { level0_files: 1, ..config() }),
        ("level1_runs", StorageConfig { level1_runs: 1, ..config() }),
        ("level1_file_bytes", StorageConfig { level1_file_bytes: 1, ..config() }),
        ("tombstone_age_max", StorageConfig { tombstone_age_max: Duration::from_hours(24), ..config() }),
    ];
    for (expected, config) in broken {
        let disk = SimDisk::new(1);
        let error = Storage::open(place(&disk), config, Box::new(|_| ())).unwrap_err();
        assert!(matches!(error, Error::Config { key, .. } if key == expected), "{expected}: {error}");
        assert_eq!(disk.calls(), 0);
    }
}

#[test]
fn metric_keys_are_checked() {
    let storage = open(&SimDisk::new(1)).unwrap();
    for key in ["", "Heart", "heart rate", "../x"] {
        let error = storage.metric(key).unwrap_err();
        assert!(matches!(&error, Error::Metric { key: found, .. } if found == key), "{key}: {error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    // A long one comes back cut.
    assert!(matches!(storage.metric(&"x".repeat(65)), Err(Error::Metric { key, .. }) if key.len() == 64));
    let unknown = Deletion::Range { user: user('a'), metric: MetricId(7), times: TimeRange::ALL };
    assert!(matches!(storage.delete(unknown), Err(Error::Metric { .. })));
}

#[test]
fn a_second_owner_is_refused_while_the_first_lives() {
    let disk = SimDisk::new(1);
    let storage = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(Error::Locked { .. })));
    storage.close();
    open(&disk).unwrap();
}

#[test]
fn an_erased_user_is_refused_across_a_restart_and_others_are_not() {
    let disk = SimDisk::new(1);
    let storage = open(&disk).unwrap();
    append(&storage, user('a'), 3).unwrap();
    append(&storage, user('b'), 2).unwrap();
    storage.delete(Deletion::User(user('a'))).unwrap();
    assert!(matches!(append(&storage, user('a'), 1), Err(Error::Erased { user: who }) if who == user('a')));
    assert_eq!(rows(&storage).unwrap(), 2);
    drop(storage);
    let storage = open(&disk).unwrap();
    assert!(matches!(append(&storage, user('a'), 1), Err(Error::Erased { .. })));
    append(&storage, user('b'), 3).unwrap();
    assert_eq!(rows(&storage).unwrap(), 3);
}

#[test]
fn a_full_memtable_is_overload_until_a_flush() {
    let budgets = StorageConfig { memtable_bytes_max: 16 << 10, seal_bytes: 8 << 10, ..config() };
    let storage = Storage::open(place(&SimDisk::new(1)), budgets, Box::new(|_| ())).unwrap();
    let refused = (0..100).find_map(|_| append(&storage, user('a'), 200).err()).expect("the budget is never hit");
    assert!(matches!(refused, Error::Overloaded { what: "the memtable", .. }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    storage.flush().unwrap();
    append(&storage, user('a'), 200).unwrap();
}

#[test]
fn a_failed_sync_poisons_writes_and_reads_go_on() {
    let disk = SimDisk::new(1);
    let storage = open(&disk).unwrap();
    append(&storage, user('a'), 3).unwrap();
    disk.fail_sync_at(1);
    assert!(matches!(append(&storage, user('b'), 1), Err(Error::Poisoned { .. })));
    assert!(matches!(storage.health(), Health::Poisoned(_)));
    // The disk is sound again, and still nothing is acknowledged: what it holds is unknown.
    assert!(matches!(append(&storage, user('b'), 1), Err(Error::Poisoned { .. })));
    assert_eq!(rows(&storage).unwrap(), 3);
    drop(storage);
    let storage = open(&disk.crash()).unwrap();
    assert_eq!(storage.health(), Health::Writable);
    assert!(matches!(rows(&storage).unwrap(), 3 | 4));
    append(&storage, user('c'), 1).unwrap();
}

#[test]
fn a_full_disk_refuses_and_comes_back_by_itself() {
    let disk = SimDisk::new(1);
    let storage = open(&disk).unwrap();
    append(&storage, user('a'), 1).unwrap();
    disk.fill_up(0);
    // What fits into the log file that is there already is still taken.
    let refused = (0..1_000).find_map(|_| append(&storage, user('a'), 500).err()).expect("the disk is never full");
    assert!(matches!(refused, Error::Full { .. }), "{refused}");
    assert_eq!((refused.kind(), storage.health()), (ErrorKind::Full, Health::Full));
    assert!(rows(&storage).unwrap() >= 1);
    disk.fill_up(u64::MAX);
    append(&storage, user('a'), 500).unwrap();
    assert_eq!(storage.health(), Health::Writable);
}

#[test]
fn a_disk_that_has_room_again_is_noticed_although_nobody_writes() {
    let disk = SimDisk::new(1);
    let config = StorageConfig { background: true, ..config() };
    let storage = Storage::open(place(&disk), config, Box::new(|_| ())).unwrap();
    disk.fill_up(0);
    let refused = (0..1_000).find_map(|_| append(&storage, user('a'), 500).err()).expect("the disk is never full");
    assert!(matches!(refused, Error::Full { .. }), "{refused}");
    assert_eq!(storage.health(), Health::Full);
    disk.fill_up(u64::MAX);
    let clock = SystemClock::default();
    while storage.health() != Health::Writable {
        assert!(clock.elapsed() < Duration::from_secs(10), "{:?}", storage.health());
        std::thread::yield_now();
    }
    append(&storage, user('a'), 500).unwrap();
}

#[test]
fn a_commit_that_may_have_happened_poisons_and_one_that_did_not_is_tried_again() {
    let (mut tried_again, mut poisoned) = (0, 0);
    for sync in 1.. {
        let disk = SimDisk::new(sync);
        let (storage, _) = at_rest(&disk);
        let metric = storage.metric("heart_rate").unwrap();
        let delete = || storage.delete(Deletion::Range { user: user('a'), metric, times: TimeRange::ALL });
        disk.fail_sync_with(sync, std::io::ErrorKind::StorageFull);
        match delete() {
            Ok(()) => break,
            Err(Error::Full { .. }) => {
                delete().unwrap();
                tried_again += 1;
            }
            Err(_) => {
                assert!(matches!(storage.health(), Health::Poisoned(_)), "sync {sync}");
                assert!(matches!(delete(), Err(Error::Poisoned { .. })), "sync {sync}");
                poisoned += 1;
            }
        }
        assert!(matches!(rows(&open(&disk.crash()).unwrap()).unwrap(), 0 | 500));
    }
    assert!(tried_again > 0 && poisoned > 0, "{tried_again} {poisoned}");
}

#[test]
fn a_closed_storage_says_so() {
    let storage = open(&SimDisk::new(1)).unwrap();
    let batch = points(&storage, user('a'), 1);
    storage.close();
    storage.close();
    assert!(matches!(storage.append(batch), Err(Error::Closed)));
    assert!(matches!(storage.flush(), Err(Error::Closed)));
    assert_eq!(storage.health(), Health::Closed);
}

#[test]
fn a_snapshot_past_its_longest_life_reads_no_more() {
    let disk = SimDisk::new(1);
    let clock = Arc::new(ManualClock::at(NOW_US));
    let place = Place { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..place(&disk) };
    let storage = Storage::open(place, config(), Box::new(|_| ())).unwrap();
    append(&storage, user('a'), 2).unwrap();
    let selection =
        Selection { metric: storage.metric("heart_rate").unwrap(), users: Users::All, times: TimeRange::ALL };
    let snapshot = storage.snapshot();
    clock.advance(config().snapshot_age_max);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let read = runtime.block_on(snapshot.read(selection, Columns::ALL).try_collect::<Vec<_>>());
    assert!(matches!(read, Err(Error::SnapshotExpired { .. })), "{read:?}");
    assert_eq!(rows(&storage).unwrap(), 2, "a new one reads");
}

/// A storage with one Parquet file at rest, and that file's path.
fn at_rest(disk: &SimDisk) -> (Storage, PathBuf) {
    let storage = open(disk).unwrap();
    append(&storage, user('a'), 500).unwrap();
    storage.flush().unwrap();
    let path = PathBuf::from(storage.snapshot().live_files()[0].path.clone());
    (storage, path)
}

#[test]
fn a_file_that_is_gone_fails_the_read_and_names_it() {
    let disk = SimDisk::new(1);
    let (storage, path) = at_rest(&disk);
    drop(storage);
    disk.remove(&path).unwrap();
    let storage = open(&disk).unwrap();
    let error = rows(&storage).unwrap_err();
    assert!(matches!(&error, Error::Object { path: found, .. } if Path::new(found) == path), "{error:?}");
}

#[test]
fn no_flipped_bit_of_a_file_gives_other_rows() {
    let sound = SimDisk::new(1);
    let (storage, path) = at_rest(&sound);
    drop(storage);
    let bytes = sound.bytes(&path).unwrap().len() as u64;
    let (mut as_corrupt, mut as_parquet) = (0, 0);
    for byte in (0..bytes).step_by(7) {
        let disk = sound.fork();
        assert!(disk.flip_bit(&path, byte, (byte % 8) as u8));
        let storage = open(&disk).unwrap();
        match rows(&storage) {
            // A byte that no read of these columns needs.
            Ok(rows) => assert_eq!(rows, 500, "byte {byte}"),
            Err(Error::Corrupt { path: found, .. }) => {
                assert_eq!(found, path);
                as_corrupt += 1;
            }
            Err(Error::Parquet { path: found, .. }) => {
                assert_eq!(found, path);
                as_parquet += 1;
            }
            Err(error) => panic!("byte {byte}: {error}"),
        }
    }
    assert!(as_corrupt > 0 && as_parquet > 0, "{as_corrupt} {as_parquet}");
}
