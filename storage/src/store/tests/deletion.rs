//! A deleted range: what was accepted before the deletion goes for good, what came after it stays.

use std::sync::Weak;

use super::*;

/// A clock that does something else first, once, when the thread of the test asks it for the time.
struct Interrupted {
    clock: ManualClock,
    thread: std::thread::ThreadId,
    first: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Interrupted {
    fn new() -> Self {
        Self { clock: ManualClock::at(NOW_US), thread: std::thread::current().id(), first: Mutex::new(None) }
    }
}

impl std::fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interrupted").finish_non_exhaustive()
    }
}

impl Clock for Interrupted {
    fn now_us(&self) -> i64 {
        let is_ours = std::thread::current().id() == self.thread;
        let first = is_ours.then(|| self.first.lock().unwrap().take()).flatten();
        if let Some(first) = first {
            first();
        }
        self.clock.now_us()
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }
}

fn range(storage: &Storage, letter: char) -> Deletion {
    Deletion::Range { user: user(letter), metric: storage.metric("heart_rate").unwrap(), times: TimeRange::ALL }
}

#[test]
fn points_that_are_flushed_and_merged_between_the_cut_and_its_commit_do_not_undo_a_deletion() {
    let disk = SimDisk::new(1);
    let clock = Arc::new(Interrupted::new());
    let place = Place { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..place(&disk) };
    let storage = Arc::new(Storage::open(place, config(), Box::new(|_| ())).unwrap());
    append(&storage, user('a'), 5).unwrap();
    append(&storage, user('b'), 7).unwrap();
    let (there, done): (Weak<Storage>, _) = (Arc::downgrade(&storage), Arc::new(Mutex::new(false)));
    let told = Arc::clone(&done);
    *clock.first.lock().unwrap() = Some(Box::new(move || {
        let storage = there.upgrade().unwrap();
        assert_eq!(storage.shared.state().active.points(), 0, "the deletion has cut");
        append(&storage, user('b'), 9).unwrap();
        storage.compact().unwrap();
        assert_eq!(storage.snapshot().live_files().len(), 1, "points from both sides of the cut are in one file");
        *told.lock().unwrap() = true;
    }));
    storage.delete(range(&storage, 'a')).unwrap();
    assert!(*done.lock().unwrap());
    assert_eq!(rows(&storage).unwrap(), 9, "gone when it is answered");
    storage.compact().unwrap();
    assert_eq!(rows(&storage).unwrap(), 9, "and when it is physical");
    assert_eq!(storage.shared.state().version.tombstones, []);
    drop(storage);
    assert_eq!(rows(&open(&disk).unwrap()).unwrap(), 9);
}

/// Deletes all of a user but the newest two points, which `kept` counts.
fn delete_but_two(storage: &Storage, letter: char, kept: &mut u32) -> Result<()> {
    let metric = storage.metric("heart_rate").unwrap();
    storage.delete_but(user(letter), metric, TimeRange::ALL, |_| {
        *kept += 1;
        Ok(vec![points(storage, user(letter), 2)])
    })
}

#[test]
fn what_a_deletion_keeps_is_there_whenever_it_is_killed() {
    let mut seen = std::collections::BTreeSet::new();
    for call in 1.. {
        let disk = SimDisk::new(call);
        let storage = open(&disk).unwrap();
        append(&storage, user('a'), 5).unwrap();
        append(&storage, user('b'), 7).unwrap();
        disk.crash_at(call);
        let outcome = delete_but_two(&storage, 'a', &mut 0);
        if !disk.is_off() {
            outcome.unwrap();
            assert_eq!(rows(&storage).unwrap(), 2 + 7);
            break;
        }
        let survivor = disk.crash();
        drop(storage);
        let left = rows(&open(&survivor).unwrap()).unwrap();
        assert!(left == 5 + 7 || left == 2 + 7, "killed at call {call}: {left}");
        seen.insert(left);
    }
    assert_eq!(seen.len(), 2, "killed before and behind: {seen:?}");
}

#[test]
fn what_a_deletion_keeps_is_kept_again_where_a_flush_has_come_between() {
    let disk = SimDisk::new(1);
    let clock = Arc::new(Interrupted::new());
    let place = Place { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..place(&disk) };
    let storage = Arc::new(Storage::open(place, config(), Box::new(|_| ())).unwrap());
    append(&storage, user('a'), 5).unwrap();
    append(&storage, user('b'), 7).unwrap();
    let there: Weak<Storage> = Arc::downgrade(&storage);
    let mut kept = 0;
    let metric = storage.metric("heart_rate").unwrap();
    let deleted: Result<()> = storage.delete_but(user('a'), metric, TimeRange::ALL, |_| {
        kept += 1;
        let there = Weak::clone(&there);
        *clock.first.lock().unwrap() = (kept == 1)
            .then(|| -> Box<dyn FnOnce() + Send> { Box::new(move || there.upgrade().unwrap().compact().unwrap()) });
        Ok(vec![points(&storage, user('a'), 2)])
    });
    deleted.unwrap();
    assert_eq!((kept, rows(&storage).unwrap()), (2, 2 + 7));
    storage.compact().unwrap();
    assert_eq!(rows(&storage).unwrap(), 2 + 7, "and when it is physical");
}

#[test]
fn a_deletion_that_cannot_keep_what_it_wants_to_deletes_nothing() {
    let storage = open(&SimDisk::new(1)).unwrap();
    append(&storage, user('a'), 5).unwrap();
    let metric = storage.metric("heart_rate").unwrap();
    let refused: Result<()> = storage.delete_but(user('a'), metric, TimeRange::ALL, |_| Err(Error::Closed));
    assert!(matches!(refused, Err(Error::Closed)));
    assert_eq!(rows(&storage).unwrap(), 5);
}

#[test]
fn a_range_that_is_deleted_again_and_again_is_a_handful_of_tombstones_and_physical_by_its_age() {
    let disk = SimDisk::new(1);
    let clock = Arc::new(ManualClock::at(NOW_US));
    let place = Place { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..place(&disk) };
    let storage = Storage::open(place, config(), Box::new(|_| ())).unwrap();
    append(&storage, user('a'), 40).unwrap();
    append(&storage, user('b'), 30).unwrap();
    storage.compact().unwrap();
    let tombstones = || storage.shared.state().version.tombstones.len();
    let in_files = || storage.snapshot().live_files().iter().map(|file| file.rows).sum::<u64>();
    for _ in 0..50 {
        storage.delete(range(&storage, 'a')).unwrap();
    }
    assert_eq!(tombstones(), 1);
    let step = Duration::from_mins(10);
    let steps = config().tombstone_age_max.as_secs() / step.as_secs();
    for _ in 1..steps {
        clock.advance(step);
        storage.delete(range(&storage, 'a')).unwrap();
        background::compact_all(&storage.shared, &storage.work).unwrap();
        assert_eq!(in_files(), 70, "not due yet");
    }
    assert!((2..=12).contains(&tombstones()), "{}", tombstones());
    clock.advance(step);
    storage.delete(range(&storage, 'a')).unwrap();
    background::compact_all(&storage.shared, &storage.work).unwrap();
    assert_eq!((in_files(), tombstones()), (30, 0));
}

#[test]
fn an_erasure_takes_the_place_of_the_persons_deletions() {
    let disk = SimDisk::new(1);
    let storage = open(&disk).unwrap();
    append(&storage, user('a'), 40).unwrap();
    append(&storage, user('b'), 30).unwrap();
    storage.delete(range(&storage, 'a')).unwrap();
    storage.delete(range(&storage, 'b')).unwrap();
    storage.delete(Deletion::User(user('a'))).unwrap();
    let version = Arc::clone(&storage.shared.state().version);
    let left: Vec<UserId> = version.tombstones.iter().map(|tombstone| tombstone.scope.user()).collect();
    assert_eq!(left, [user('b'), user('a')]);
    assert_eq!(rows(&storage).unwrap(), 0);
    storage.compact().unwrap();
    assert_eq!(storage.shared.state().version.tombstones, []);
}
