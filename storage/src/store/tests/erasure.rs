//! A person, gone for good: from reads at once, from every byte after a compaction, and from backups that come back.

use super::*;
use crate::ledger;
use crate::search::{Needle, Searched, search_unlocked};

fn erase(storage: &Storage, letter: char) {
    storage.delete(Deletion::User(user(letter))).unwrap();
}

/// What any file still says of a user.
fn traces(disk: &SimDisk, letter: char) -> Searched {
    search_unlocked(&place(disk), &[Needle::exact(user(letter).as_str())]).unwrap()
}

fn rows_of(storage: &Storage, letter: char) -> Result<usize> {
    rows_in(&storage.snapshot(), storage, letter)
}

fn rows_in(snapshot: &Snapshot, storage: &Storage, letter: char) -> Result<usize> {
    let metric = storage.metric("heart_rate")?;
    let selection = Selection { metric, users: Users::One(user(letter)), times: TimeRange::ALL };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches: Vec<_> = runtime.block_on(snapshot.read(selection, Columns::ALL).try_collect())?;
    Ok(batches.iter().map(arrow::array::RecordBatch::num_rows).sum())
}

/// Three people at every place that points can be: level 1, level 0, and the log.
fn lived_in(disk: &SimDisk) -> Storage {
    let storage = open(disk).unwrap();
    for step in 0..3 {
        for letter in ['a', 'b', 'c'] {
            append(&storage, user(letter), 40 + step).unwrap();
        }
        match step {
            0 => storage.compact().unwrap(),
            1 => storage.flush().unwrap(),
            _ => {}
        }
    }
    storage
}

#[test]
fn after_a_compaction_no_byte_names_an_erased_user_and_the_others_are_as_they_were() {
    let disk = SimDisk::new(1);
    let storage = lived_in(&disk);
    assert!(traces(&disk, 'b').hits.len() > 4, "the search finds who is there, at every place");
    erase(&storage, 'b');
    assert_eq!(rows_of(&storage, 'b').unwrap(), 0, "invisible at once");
    storage.compact().unwrap();
    let found = traces(&disk, 'b');
    assert_eq!((found.hits, found.unreadable), (Vec::new(), Vec::new()));
    assert!(found.decoded >= 1 && found.files > found.decoded);
    assert_eq!((rows_of(&storage, 'a').unwrap(), rows_of(&storage, 'c').unwrap()), (42, 42));
    assert_eq!(storage.shared.state().version.tombstones, [], "the tombstone names nobody either");
    drop(storage);
    let storage = open(&disk).unwrap();
    assert!(matches!(append(&storage, user('b'), 1), Err(Error::Erased { .. })), "the ledger refuses them for ever");
    assert_eq!(traces(&disk, 'b').hits, []);
}

#[test]
fn the_last_person_leaves_nothing_behind() {
    let disk = SimDisk::new(1);
    let storage = open(&disk).unwrap();
    append(&storage, user('a'), 500).unwrap();
    storage.flush().unwrap();
    append(&storage, user('a'), 3).unwrap();
    erase(&storage, 'a');
    storage.compact().unwrap();
    assert_eq!(traces(&disk, 'a').hits, []);
    assert!(storage.snapshot().live_files().is_empty());
}

#[test]
fn a_deletion_of_a_person_is_physical_by_its_age() {
    let disk = SimDisk::new(1);
    let clock = Arc::new(ManualClock::at(NOW_US));
    let place = Place { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..place(&disk) };
    let storage = Storage::open(place, config(), Box::new(|_| ())).unwrap();
    append(&storage, user('a'), 40).unwrap();
    append(&storage, user('b'), 40).unwrap();
    storage.compact().unwrap();
    erase(&storage, 'a');
    storage.flush().unwrap();
    let background = || background::compact_all(&storage.shared, &storage.work).unwrap();
    clock.advance(config().tombstone_age_max.checked_sub(Duration::from_secs(1)).unwrap());
    background();
    assert_ne!(traces(&disk, 'a').hits, [], "not due yet");
    clock.advance(Duration::from_secs(1));
    background();
    assert_eq!(traces(&disk, 'a').hits, []);
}

#[test]
fn a_read_under_way_ends_for_the_erased_person_and_goes_on_for_others() {
    let disk = SimDisk::new(1);
    let storage = lived_in(&disk);
    let before = storage.snapshot();
    erase(&storage, 'b');
    assert!(matches!(rows_in(&before, &storage, 'b'), Err(Error::SnapshotExpired { .. })));
    assert_eq!(rows_in(&before, &storage, 'a').unwrap(), 42);
    // What the snapshot holds on to goes with it.
    storage.compact().unwrap();
    assert_ne!(traces(&disk, 'b').hits, []);
    drop(before);
    background::compact_all(&storage.shared, &storage.work).unwrap();
    assert_eq!(traces(&disk, 'b').hits, []);
}

#[test]
fn a_batch_on_its_way_cannot_bring_a_person_back() {
    let disk = SimDisk::new(1);
    let storage = Arc::new(open(&disk).unwrap());
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let storage = Arc::clone(&storage);
            std::thread::spawn(move || {
                let refused =
                    std::iter::repeat_with(|| append(&storage, user('a'), 5)).find_map(std::result::Result::err);
                refused.unwrap()
            })
        })
        .collect();
    erase(&storage, 'a');
    for writer in writers {
        assert!(matches!(writer.join().unwrap(), Error::Erased { .. }));
    }
    assert_eq!(rows_of(&storage, 'a').unwrap(), 0);
    storage.compact().unwrap();
    assert_eq!(traces(&disk, 'a').hits, []);
}

#[test]
fn erasing_twice_is_erasing_once() {
    let disk = SimDisk::new(1);
    let storage = lived_in(&disk);
    erase(&storage, 'b');
    erase(&storage, 'b');
    assert_eq!(storage.shared.state().version.tombstones.len(), 1);
    storage.compact().unwrap();
    erase(&storage, 'b');
    assert_eq!(storage.shared.state().version.tombstones.len(), 0);
}

/// Copies the ledger as an operator does who restores a backup.
fn carry_ledger(from: &SimDisk, to: &SimDisk) {
    to.create_dir(Path::new(ledger::FOLDER)).unwrap();
    to.sync_dir(Path::new("")).unwrap();
    for entry in from.list(Path::new(ledger::FOLDER)).unwrap() {
        to.create(&entry.path, 0).unwrap().sync_data().unwrap();
    }
    to.sync_dir(Path::new(ledger::FOLDER)).unwrap();
}

#[test]
fn a_backup_that_comes_back_is_erased_again_whatever_call_it_crashes_at() {
    comes_back(&|disk| lived_in(disk));
}

#[test]
fn so_is_one_that_knows_the_person_from_parquet_alone() {
    comes_back(&|disk| {
        let storage = lived_in(disk);
        storage.flush().unwrap();
        storage
    });
}

#[test]
fn so_is_one_that_knows_the_person_from_the_log_alone() {
    comes_back(&|disk| {
        let storage = open(disk).unwrap();
        append(&storage, user('a'), 42).unwrap();
        storage.flush().unwrap();
        append(&storage, user('b'), 5).unwrap();
        storage
    });
}

fn comes_back(before: &dyn Fn(&SimDisk) -> Storage) {
    let disk = SimDisk::new(1);
    let storage = before(&disk);
    storage.close();
    let backup = disk.fork();
    let storage = open(&disk).unwrap();
    erase(&storage, 'b');
    storage.compact().unwrap();
    storage.close();
    carry_ledger(&disk, &backup);
    let mut call = 1;
    loop {
        let restored = backup.fork();
        restored.crash_at(call);
        let crashed = open(&restored).is_err();
        let restored = restored.crash();
        let storage = open(&restored).unwrap();
        assert_eq!(rows_of(&storage, 'b').unwrap(), 0, "crash at call {call}");
        assert_eq!(rows_of(&storage, 'a').unwrap(), 42, "crash at call {call}");
        assert!(matches!(append(&storage, user('b'), 1), Err(Error::Erased { .. })));
        storage.compact().unwrap();
        assert_eq!(traces(&restored, 'b').hits, [], "crash at call {call}");
        if !crashed {
            break;
        }
        call += 1;
    }
    assert!(call > 5, "{call} calls");
}

#[test]
fn a_ledger_elsewhere_outlives_the_data_directory() {
    let (disk, elsewhere) = (SimDisk::new(1), SimDisk::new(2));
    let at = |disk: &SimDisk| Place { ledger: Some(Arc::new(elsewhere.clone())), ..place(disk) };
    lived_in(&disk).close();
    let backup = disk.fork();
    let storage = Storage::open(at(&disk), config(), Box::new(|_| ())).unwrap();
    erase(&storage, 'c');
    storage.close();
    assert!(disk.list(Path::new(ledger::FOLDER)).unwrap().is_empty());
    let storage = Storage::open(at(&backup), config(), Box::new(|_| ())).unwrap();
    assert!(storage.is_erased(user('c')) && storage.has_erased());
    assert_eq!((rows_of(&storage, 'c').unwrap(), rows_of(&storage, 'a').unwrap()), (0, 42));
}

#[test]
fn a_ledger_that_was_lost_is_put_together_from_what_the_manifest_knows() {
    let disk = SimDisk::new(1);
    let storage = lived_in(&disk);
    erase(&storage, 'a');
    storage.close();
    for entry in disk.list(Path::new(ledger::FOLDER)).unwrap() {
        disk.remove(&entry.path).unwrap();
    }
    let storage = open(&disk).unwrap();
    assert!(storage.is_erased(user('a')));
    assert_eq!(disk.list(Path::new(ledger::FOLDER)).unwrap().len(), 1);
}

#[test]
fn a_log_that_was_flushed_before_a_crash_is_trimmed_by_the_next_open() {
    let disk = SimDisk::new(1);
    let storage = open(&disk).unwrap();
    append(&storage, user('a'), 10).unwrap();
    let log = disk.list(Path::new("log")).unwrap().remove(0).path;
    let bytes = disk.bytes(&log).unwrap();
    storage.flush().unwrap();
    storage.close();
    // As if power had failed before the file was removed.
    let file = disk.create(&log, 0).unwrap();
    file.write_at(&bytes, 0).unwrap();
    open(&disk).unwrap().close();
    assert!(disk.bytes(&log).is_none());
}

#[test]
fn what_a_failed_flush_left_goes_with_the_next_erasure() {
    let disk = SimDisk::new(1);
    let storage = lived_in(&disk);
    let orphan = Path::new("points/metric=heart_rate/level0/1-2-99999.parquet");
    disk.create(orphan, 0).unwrap().write_at(user('b').as_bytes(), 0).unwrap();
    storage.compact().unwrap();
    assert!(disk.bytes(orphan).is_some(), "nobody was erased yet");
    erase(&storage, 'b');
    storage.compact().unwrap();
    assert_eq!(traces(&disk, 'b').hits, []);
    assert_eq!(rows_of(&storage, 'a').unwrap(), 42);
}

#[test]
fn leftovers_of_a_crash_are_removed_before_anything_else() {
    let disk = SimDisk::new(1);
    open(&disk).unwrap().close();
    for path in ["points/x.parquet#0", "manifest/00000000000000000009.avm#1", "log/repair.tmp"] {
        disk.create_dir(Path::new(path).parent().unwrap()).unwrap();
        disk.create(Path::new(path), 0).unwrap().write_at(user('a').as_bytes(), 0).unwrap();
    }
    disk.create(Path::new("notes#1"), 0).unwrap();
    open(&disk).unwrap().close();
    assert_eq!(traces(&disk, 'a').hits, []);
    assert!(disk.bytes(Path::new("notes#1")).is_some(), "what is not ours stays");
}
