//! A deleted range: what was accepted before the deletion goes for good, what came after it stays.

use std::sync::Weak;

use super::*;

/// A clock that does something else first, once, when it is asked for the time.
struct Interrupted {
    clock: ManualClock,
    first: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interrupted").finish_non_exhaustive()
    }
}

impl Clock for Interrupted {
    fn now_us(&self) -> i64 {
        let first = self.first.lock().unwrap().take();
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
    let clock = Arc::new(Interrupted { clock: ManualClock::at(NOW_US), first: Mutex::new(None) });
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
