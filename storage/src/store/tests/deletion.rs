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

impl crate::Clock for Interrupted {
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
    let place = Place { clock: Arc::clone(&clock) as Arc<dyn crate::Clock>, ..place(&disk) };
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
