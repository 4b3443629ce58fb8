//! What was put is durable, a crash leaves no half object, and reading is as the trait says.

use futures::{FutureExt, TryStreamExt};
use object_store::ObjectStoreExt;

use super::*;
use crate::disk::real::RealDisk;
use crate::disk::sim::SimDisk;

/// The result of a future that is ready at its first poll, which is part of what is tested.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the store works inside the first poll")
}

fn store(disk: &SimDisk) -> LocalStore {
    LocalStore::new(Arc::new(disk.clone()), "objects")
}

fn put(store: &LocalStore, path: &str, text: &str) -> Result<PutResult> {
    now(store.put(&Path::from(path), PutPayload::from(text.to_owned())))
}

fn put_new(store: &LocalStore, path: &str, text: &str) -> Result<PutResult> {
    let options = PutOptions::from(PutMode::Create);
    now(store.put_opts(&Path::from(path), PutPayload::from(text.to_owned()), options))
}

fn get(store: &LocalStore, path: &str) -> Option<String> {
    let result = now(store.get(&Path::from(path)));
    match result {
        Ok(found) => Some(String::from_utf8(now(found.bytes()).unwrap().to_vec()).unwrap()),
        Err(Error::NotFound { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn list(store: &LocalStore, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(Path::from);
    let found: Vec<ObjectMeta> = now(store.list(prefix.as_ref()).try_collect()).unwrap();
    found.into_iter().map(|object| object.location.to_string()).collect()
}

#[test]
fn what_was_put_survives_every_crash() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        put(&store(&disk), "a/b/one", "first").unwrap();
        put(&store(&disk), "a/b/one", "second").unwrap();
        put_new(&store(&disk), "a/two", "new").unwrap();
        let after = store(&disk.crash());
        assert_eq!(get(&after, "a/b/one").as_deref(), Some("second"), "seed {seed}");
        assert_eq!(get(&after, "a/two").as_deref(), Some("new"), "seed {seed}");
    }
}

#[test]
fn a_crash_at_any_call_leaves_the_old_object_or_the_new() {
    for seed in 0..30 {
        for call in 1..40 {
            let disk = SimDisk::new(seed);
            put(&store(&disk), "x/over", "old").unwrap();
            disk.crash_at(call);
            let place = format!("seed {seed} call {call}");
            let over = put(&store(&disk), "x/over", "new").is_ok();
            let fresh = put_new(&store(&disk), "y/fresh", "fresh").is_ok();
            let after = store(&disk.crash());
            let found = get(&after, "x/over").unwrap();
            assert!(found == "new" || (!over && found == "old"), "{place}: {found}");
            let found = get(&after, "y/fresh");
            assert!(found.as_deref() == Some("fresh") || (!fresh && found.is_none()), "{place}: {found:?}");
            after.sweep().unwrap();
            assert!(after.0.disk.list(FsPath::new("")).unwrap().iter().all(|entry| !is_temp(&entry.path)), "{place}");
        }
    }
}

#[test]
fn create_never_replaces() {
    let disk = SimDisk::new(1);
    let store = store(&disk);
    put_new(&store, "a", "mine").unwrap();
    assert!(matches!(put_new(&store, "a", "yours"), Err(Error::AlreadyExists { .. })));
    assert_eq!(get(&store, "a").as_deref(), Some("mine"));
    assert_eq!(disk.list(FsPath::new("objects")).unwrap().len(), 1, "no temporary file is left");
}

#[test]
fn a_full_disk_is_told_as_such_and_leaves_nothing() {
    let disk = SimDisk::new(1);
    let store = store(&disk);
    disk.fill_up(3);
    let path = Path::from("a");
    let error = crate::Error::object("write", &path, put(&store, "a", "four").unwrap_err());
    assert!(matches!(error, crate::Error::Full { .. }), "{error}");
    assert_eq!(disk.list(FsPath::new("")).unwrap(), []);
    disk.fill_up(u64::MAX);
    put(&store, "a", "four").unwrap();
}

#[test]
fn a_put_that_may_have_happened_is_never_told_as_a_full_disk() {
    type Way = fn(&LocalStore) -> Result<()>;
    let ways: [(&str, Way); 5] = [
        ("put", |store| put(store, "a/b", "text").map(drop)),
        ("put of what is new", |store| put_new(store, "a/b", "text").map(drop)),
        ("upload", |store| {
            let mut upload = now(store.put_multipart(&Path::from("a/b")))?;
            now(upload.put_part(PutPayload::from("text")))?;
            now(upload.complete()).map(drop)
        }),
        ("rename", |store| now(store.rename(&Path::from("c/d"), &Path::from("a/b")))),
        ("rename to what is new", |store| now(store.rename_if_not_exists(&Path::from("c/d"), &Path::from("a/b")))),
    ];
    for (way, write) in ways {
        let mut unsure = 0;
        for sync in 1.. {
            let disk = SimDisk::new(1);
            let store = store(&disk);
            put(&store, "c/d", "text").unwrap();
            disk.fail_sync_with(sync, io::ErrorKind::StorageFull);
            let Err(error) = write(&store) else { break };
            let error = crate::Error::object("write", &Path::from("a/b"), error);
            let is_there = get(&store, "a/b").is_some();
            let is_full = matches!(error, crate::Error::Full { .. });
            assert_eq!(is_full, !is_there, "{way}, sync {sync}: {error:?}");
            unsure += u32::from(is_there);
        }
        assert!(unsure > 0, "{way}");
    }
}

#[test]
fn an_upload_appears_when_it_is_complete_and_not_before() {
    let disk = SimDisk::new(1);
    let store = store(&disk);
    let path = Path::from("big");
    let mut upload = now(store.put_multipart(&path)).unwrap();
    now(upload.put_part(PutPayload::from("one "))).unwrap();
    now(upload.put_part(PutPayload::from("two"))).unwrap();
    assert_eq!((get(&store, "big"), list(&store, None)), (None, Vec::new()));
    now(upload.complete()).unwrap();
    assert!(now(upload.complete()).is_err());
    drop(upload);
    assert_eq!(get(&self::store(&disk.crash()), "big").as_deref(), Some("one two"));
}

#[test]
fn an_upload_that_is_aborted_dropped_or_broken_leaves_nothing() {
    let disk = SimDisk::new(1);
    let store = store(&disk);
    let path = Path::from("big");
    let mut aborted = now(store.put_multipart(&path)).unwrap();
    now(aborted.put_part(PutPayload::from("one"))).unwrap();
    now(aborted.abort()).unwrap();
    assert!(now(aborted.put_part(PutPayload::from("two"))).is_err());
    drop(now(store.put_multipart(&path)).unwrap());
    let mut broken = now(store.put_multipart(&path)).unwrap();
    disk.fill_up(0);
    assert!(now(broken.put_part(PutPayload::from("one"))).is_err());
    disk.fill_up(u64::MAX);
    assert!(now(broken.complete()).is_err());
    assert_eq!(disk.list(FsPath::new("")).unwrap(), []);
}

#[test]
fn ranges_are_read_exactly() {
    let disk = SimDisk::new(1);
    let store = store(&disk);
    put(&store, "a", "0123456789").unwrap();
    let path = Path::from("a");
    let ranges = [0..2, 2..5, 7..8, 8..10, 0..1];
    let found = now(store.get_ranges(&path, &ranges)).unwrap();
    assert_eq!(found, ["01", "234", "7", "89", "0"].map(Bytes::from));
    for (range, expected) in [
        (GetRange::Bounded(3..100), Some("3456789")),
        (GetRange::Offset(8), Some("89")),
        (GetRange::Suffix(3), Some("789")),
        (GetRange::Offset(10), None),
        (GetRange::Bounded(5..5), None),
    ] {
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        let found = now(store.get_opts(&path, options)).ok().map(|found| now(found.bytes()).unwrap());
        assert_eq!(found, expected.map(Bytes::from));
    }
    assert!(now(store.get_range(&path, 10..11)).is_err());
    assert_eq!(now(store.head(&path)).unwrap().size, 10);
}

#[test]
fn an_open_object_outlives_its_deletion_and_a_new_one_is_seen_at_once() {
    let disk = SimDisk::new(1);
    let store = store(&disk);
    put(&store, "a", "old").unwrap();
    let open = now(store.get(&Path::from("a"))).unwrap();
    put(&store, "a", "new").unwrap();
    assert_eq!(get(&store, "a").as_deref(), Some("new"));
    now(store.delete(&Path::from("a"))).unwrap();
    assert_eq!(get(&store, "a"), None);
    assert_eq!(now(open.bytes()).unwrap(), Bytes::from("old"));
    assert!(matches!(now(store.delete(&Path::from("a"))), Err(Error::NotFound { .. })));
    assert_eq!(get(&self::store(&disk.crash()), "a"), None, "a deletion is durable");
}

#[test]
fn more_objects_than_handles_are_all_readable() {
    let disk = SimDisk::new(1);
    let store = store(&disk);
    for nth in 0..HANDLES_MAX + 10 {
        put(&store, &format!("a/{nth}"), &nth.to_string()).unwrap();
        assert_eq!(get(&store, &format!("a/{nth}")), Some(nth.to_string()));
    }
    assert_eq!(store.0.handles().by_path.len(), HANDLES_MAX);
    assert_eq!(get(&store, "a/0").as_deref(), Some("0"));
}

#[test]
fn listings_hold_objects_below_the_prefix_and_no_temporary_file() {
    let disk = SimDisk::new(1);
    let store = store(&disk);
    for path in ["a/1", "a/b/2", "ab/3", "c"] {
        put(&store, path, "x").unwrap();
    }
    let _open = now(store.put_multipart(&Path::from("a/open"))).unwrap();
    assert_eq!(list(&store, None), ["a/1", "a/b/2", "ab/3", "c"]);
    assert_eq!(list(&store, Some("a")), ["a/1", "a/b/2"]);
    assert_eq!(list(&store, Some("a/1")), [] as [&str; 0]);
    let found = now(store.list_with_delimiter(Some(&Path::from("a")))).unwrap();
    assert_eq!(found.common_prefixes, [Path::from("a/b")]);
    assert_eq!(found.objects.iter().map(|o| o.location.as_ref()).collect::<Vec<_>>(), ["a/1"]);
}

#[test]
fn copies_and_renames_replace_or_refuse() {
    let disk = SimDisk::new(1);
    let store = store(&disk);
    let [a, b, c] = ["x/a", "y/b", "z/c"].map(Path::from);
    put(&store, "x/a", "a").unwrap();
    now(store.copy(&a, &b)).unwrap();
    assert!(matches!(now(store.copy_if_not_exists(&a, &b)), Err(Error::AlreadyExists { .. })));
    assert!(matches!(now(store.rename_if_not_exists(&a, &b)), Err(Error::AlreadyExists { .. })));
    now(store.rename(&a, &c)).unwrap();
    let after = self::store(&disk.crash());
    assert_eq!(list(&after, None), ["y/b", "z/c"]);
    assert_eq!((get(&after, "y/b"), get(&after, "z/c")), (Some("a".to_owned()), Some("a".to_owned())));
}

#[test]
fn it_works_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(folder.path().join("root")).unwrap());
    let store = LocalStore::new(disk, "");
    put(&store, "a/b", "text").unwrap();
    put_new(&store, "a/c", "more").unwrap();
    assert!(matches!(put_new(&store, "a/c", "more"), Err(Error::AlreadyExists { .. })));
    assert_eq!(list(&store, None), ["a/b", "a/c"]);
    assert_eq!(get(&store, "a/b").as_deref(), Some("text"));
    now(store.delete(&Path::from("a/b"))).unwrap();
    assert_eq!(list(&store, Some("a")), ["a/c"]);
    assert_eq!(store.sweep().unwrap(), 0);
}
