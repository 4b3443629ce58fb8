//! The simulated disk keeps what was synced, and nothing else for certain.

use std::collections::BTreeSet;

use super::*;

const ROOT: &str = "";

fn path(text: &str) -> &Path {
    Path::new(text)
}

/// A file that is durable with the given bytes.
fn durable(disk: &SimDisk, name: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = disk.create(path(name), 0).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(path(ROOT)).unwrap();
    file
}

#[test]
fn what_was_synced_survives_every_crash() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        durable(&disk, "f", b"hello");
        assert_eq!(disk.crash().bytes(path("f")).unwrap(), b"hello", "seed {seed}");
    }
}

#[test]
fn unsynced_bytes_are_kept_lost_or_torn() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..500 {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "f", &[b'a'; 1024]);
        file.write_at(&[b'b'; 1024], 0).unwrap();
        let bytes = disk.crash().bytes(path("f")).unwrap();
        outcomes.insert((bytes[0], bytes[1023]));
    }
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
}

#[test]
fn a_later_write_can_survive_an_earlier_one() {
    let reordered = (0..200).any(|seed| {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "f", b"..");
        file.write_at(b"1", 0).unwrap();
        file.write_at(b"2", 1).unwrap();
        disk.crash().bytes(path("f")).unwrap() == b".2"
    });
    assert!(reordered);
}

#[test]
fn entries_need_their_folder_synced_and_folders_their_parent() {
    let survives = |sync_root: bool, seed| {
        let disk = SimDisk::new(seed);
        disk.create_dir(path("d")).unwrap();
        disk.create(path("d/f"), 4).unwrap().sync_data().unwrap();
        disk.sync_dir(path("d")).unwrap();
        if sync_root {
            disk.sync_dir(path(ROOT)).unwrap();
        }
        disk.crash().bytes(path("d/f")).is_some()
    };
    assert!((0..100).all(|seed| survives(true, seed)));
    assert!((0..100).any(|seed| !survives(false, seed)));
    assert!((0..100).any(|seed| survives(false, seed)));
}

#[test]
fn a_rename_never_half_survives() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        durable(&disk, "old", b"old");
        durable(&disk, "new", b"new");
        disk.rename(path("new"), path("old")).unwrap();
        let after = disk.crash();
        let found = (after.bytes(path("old")).unwrap(), after.bytes(path("new")));
        assert!(found == (b"new".to_vec(), None) || found == (b"old".to_vec(), Some(b"new".to_vec())), "seed {seed}");
    }
}

#[test]
fn after_the_planned_call_everything_fails() {
    let disk = SimDisk::new(7);
    let file = durable(&disk, "f", b"x");
    disk.crash_at(2);
    file.write_at(b"y", 0).unwrap();
    assert!(file.sync_data().is_err());
    assert!(disk.is_off());
    assert!(file.read_at(&mut [0], 0).is_err());
    assert!(disk.list(path(ROOT)).is_err());
    assert!(disk.create(path("g"), 0).is_err());
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        for name in ["a", "b", "c"] {
            disk.create(path(name), 0).unwrap().write_at(&[1; 3000], 0).unwrap();
        }
        let after = disk.crash();
        ["a", "b", "c"].map(|name| after.bytes(path(name)))
    };
    assert_eq!(run(3), run(3));
    assert!((0..20).any(|seed| run(seed) != run(3)));
}

#[test]
fn a_failed_sync_stays_in_doubt_for_ever() {
    let lost = (0..50).any(|seed| {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "f", b"a");
        disk.fail_sync_at(1);
        file.write_at(b"b", 0).unwrap();
        assert!(file.sync_data().is_err());
        assert_eq!(disk.bytes(path("f")).unwrap(), b"b");
        file.sync_data().unwrap();
        disk.crash().bytes(path("f")).unwrap() == b"a"
    });
    assert!(lost);
}

#[test]
fn a_full_disk_takes_what_fits_and_recovers() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "f", b"abc");
    disk.fill_up(2);
    assert_eq!(file.write_at(b"defg", 3).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.bytes(path("f")).unwrap(), b"abcde");
    file.write_at(b"ABC", 0).unwrap();
    assert_eq!(disk.create(path("g"), 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.fill_up(u64::MAX);
    file.write_at(b"defg", 3).unwrap();
}

#[test]
fn a_crash_and_a_drop_release_the_lock() {
    let disk = SimDisk::new(1);
    let guard = disk.lock(path("LOCK")).unwrap();
    assert_eq!(disk.lock(path("LOCK")).err().unwrap().kind(), io::ErrorKind::WouldBlock);
    let after = disk.crash();
    let again = after.lock(path("LOCK")).unwrap();
    drop(guard);
    assert_eq!(after.lock(path("LOCK")).err().unwrap().kind(), io::ErrorKind::WouldBlock);
    drop(again);
    after.lock(path("LOCK")).unwrap();
}

#[test]
fn a_flipped_bit_is_there_for_readers_and_after_a_crash() {
    let disk = SimDisk::new(1);
    durable(&disk, "f", b"a");
    assert!(disk.flip_bit(path("f"), 0, 1));
    assert!(!disk.flip_bit(path("f"), 1, 1));
    assert_eq!(disk.bytes(path("f")).unwrap(), b"c");
    assert_eq!(disk.crash().bytes(path("f")).unwrap(), b"c");
}
