//! The log as a whole, on the simulated disk: what was acknowledged comes back, whatever happens in between.

use super::replay::{Report, replay};
use super::verify::{Damage, Repaired, repair, verify};
use super::*;
use crate::disk::sim::SimDisk;
use crate::point::{Accepted, MetricId, Origins, Part, UserId};

const DIR: &str = "log";
const FILE_BYTES: u64 = 1 << 16;

pub(super) fn names() -> Vec<Arc<str>> {
    ["heart_rate", "steps", "spo2", "weight"].map(Arc::from).to_vec()
}

/// A batch whose points tell who made it.
pub(super) fn batch(user: u32, points: u32) -> Arc<PointBatch> {
    let mut origins = Origins::default();
    origins.intern("watch", Some("device-1")).unwrap();
    let parts = vec![Part { metric: MetricId(u16::try_from(user % 4).unwrap()), start: 0, end: points }];
    let recorded_at = (0..points).map(|row| i64::from(user) << 32 | i64::from(row)).collect();
    let value = (0..points).map(|row| f64::from(row) + 0.25).collect();
    let id = UserId::parse(&format!("usr_{user:08}")).unwrap();
    Arc::new(PointBatch::new(id, parts, recorded_at, value, vec![0; points as usize], origins).unwrap())
}

#[expect(clippy::unnecessary_wraps, reason = "the signature that frames ask for")]
fn intern(key: &str) -> Result<MetricId> {
    let index = names().iter().position(|name| name.as_ref() == key).unwrap();
    Ok(MetricId(index.try_into().unwrap()))
}

type Replayed = (Vec<(Seq, Arc<PointBatch>)>, Tail, Report);

fn read(disk: &SimDisk, watermark: u64) -> Result<Replayed> {
    let mut found = Vec::new();
    let (tail, report) = replay(disk, Path::new(DIR), Seq(watermark), &mut intern, &mut |accepted: Accepted| {
        found.push((accepted.first_seq, accepted.batch));
        Ok(())
    })?;
    Ok((found, tail, report))
}

fn open(disk: &SimDisk, watermark: u64) -> Result<(Log, Replayed)> {
    let replayed = read(disk, watermark)?;
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), FILE_BYTES, replayed.1.clone())?;
    Ok((log, replayed))
}

fn append(log: &mut Log, user: u32, points: u32) -> Result<Seq> {
    log.append(&[batch(user, points)], &names(), 1_000 + i64::from(user))
}

fn users(found: &[(Seq, Arc<PointBatch>)]) -> Vec<String> {
    found.iter().map(|(_, batch)| batch.user().to_string()).collect()
}

fn expect_users(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|user| format!("usr_{user:08}")).collect()
}

fn damages(disk: &SimDisk, watermark: u64) -> Vec<Damage> {
    verify(disk, Path::new(DIR), Seq(watermark)).unwrap()
}

fn paths(disk: &SimDisk) -> Vec<PathBuf> {
    file::list(disk, Path::new(DIR)).unwrap().into_iter().map(|found| found.path).collect()
}

/// Frames of 3, 5 and 4 points, one frame an append; returns where each ends.
fn three_frames(disk: &SimDisk) -> Vec<u64> {
    let (mut log, _) = open(disk, 0).unwrap();
    let mut ends = Vec::new();
    for (user, points) in [(0, 3), (1, 5), (2, 4)] {
        append(&mut log, user, points).unwrap();
        ends.push(log.active.as_ref().unwrap().capacity() - log.active.as_ref().unwrap().room());
    }
    ends
}

#[test]
fn what_is_appended_comes_back_in_order() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, 0).unwrap();
    let group = [batch(0, 10), batch(1, 20)];
    assert_eq!(log.append(&group, &names(), 5).unwrap(), Seq(1));
    assert_eq!(append(&mut log, 2, 7).unwrap(), Seq(31));
    assert_eq!((log.next_seq(), log.synced_through()), (Seq(38), Seq(37)));
    let (found, tail, report) = read(&disk, 0).unwrap();
    let expected = [(Seq(1), batch(0, 10)), (Seq(11), batch(1, 20)), (Seq(31), batch(2, 7))];
    assert_eq!(found, expected);
    assert_eq!((tail.next_seq, tail.accepted_max_ms, report.points), (Seq(38), 1_002, 37));
}

#[test]
fn an_append_costs_one_write_and_one_sync() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, 0).unwrap();
    append(&mut log, 0, 10).unwrap();
    let before = disk.counters();
    append(&mut log, 1, 10).unwrap();
    let after = disk.counters();
    assert_eq!((after.calls - before.calls, after.syncs - before.syncs), (2, 1));
}

#[test]
fn a_log_of_three_frames_cut_at_every_byte_gives_a_prefix() {
    let disk = SimDisk::new(1);
    let ends = three_frames(&disk);
    let path = &paths(&disk)[0];
    for cut in 0..ends[2] {
        let fork = disk.fork();
        fork.open(path).unwrap().set_len(cut).unwrap();
        assert_eq!(damages(&fork, 0), [], "cut at {cut}");
        let (mut log, (found, ..)) = open(&fork, 0).unwrap();
        let whole = u32::try_from(ends.iter().filter(|end| **end <= cut).count()).unwrap();
        assert_eq!(users(&found), expect_users(0..whole), "cut at {cut}");
        append(&mut log, whole, 1).unwrap();
        assert_eq!(users(&read(&fork.crash(), 0).unwrap().0), expect_users(0..whole + 1), "cut at {cut}");
    }
}

#[test]
fn a_log_of_three_frames_with_zeros_from_every_byte_gives_a_prefix() {
    let disk = SimDisk::new(1);
    let ends = three_frames(&disk);
    let path = &paths(&disk)[0];
    for cut in file::FRAMES_AT as u64..ends[2] {
        let fork = disk.fork();
        let file = fork.open(path).unwrap();
        file.set_len(cut).unwrap();
        file.set_len(FILE_BYTES).unwrap();
        let (found, ..) = read(&fork, 0).unwrap();
        let whole = u32::try_from(ends.iter().filter(|end| **end <= cut).count()).unwrap();
        // The padding at a frame's end is zeros anyway.
        let found = users(&found);
        let longer = expect_users(0..whole + 1);
        assert!(found == longer[..whole as usize] || found == longer, "cut at {cut}: {found:?}");
    }
}

/// Where the bit rot is decides: before the last frame it is damage, in it nobody can tell it from a torn tail.
#[test]
fn a_log_of_three_frames_flipped_at_every_byte_is_never_wrong() {
    let disk = SimDisk::new(1);
    let ends = three_frames(&disk);
    let path = &paths(&disk)[0];
    for byte in 0..ends[2] + 100 {
        let fork = disk.fork();
        assert!(fork.flip_bit(path, byte, u8::try_from(byte % 8).unwrap()));
        let calls = fork.calls();
        let in_header = byte < file::FRAMES_AT as u64;
        match read(&fork, 0) {
            Ok((found, ..)) if in_header || byte >= ends[2] => assert_eq!(users(&found), expect_users(0..3), "{byte}"),
            Ok((found, ..)) => {
                assert!(byte >= ends[1], "bit rot at {byte} was taken for a torn tail");
                assert_eq!(users(&found), expect_users(0..2), "{byte}");
            }
            Err(Error::Corrupt { offset, .. }) => {
                assert!(!in_header && byte < ends[1] && offset <= byte, "damage at {offset} for {byte}");
                assert_eq!(fork.calls(), calls, "nothing is written to a damaged log");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn the_watermark_tells_bit_rot_in_the_last_frame_from_a_torn_tail() {
    let disk = SimDisk::new(1);
    let ends = three_frames(&disk);
    disk.flip_bit(&paths(&disk)[0], ends[1] + 60, 1);
    assert_eq!(users(&read(&disk.fork(), 8).unwrap().0), [] as [String; 0]);
    assert!(matches!(read(&disk.fork(), 12), Err(Error::Corrupt { .. })));
    assert_eq!(users(&read(&disk, 0).unwrap().0), expect_users(0..2));
}

#[test]
fn a_later_file_tells_bit_rot_from_a_torn_tail() {
    let disk = SimDisk::new(1);
    let ends = three_frames(&disk);
    let first = paths(&disk)[0].clone();
    let (mut log, _) = open(&disk, 0).unwrap();
    append(&mut log, 3, 1).unwrap();
    disk.flip_bit(&first, ends[1] + 60, 1);
    let Err(Error::Corrupt { path, offset, .. }) = read(&disk, 0) else { panic!("not seen") };
    assert_eq!((path, offset), (first, ends[1]));
}

#[test]
fn a_missing_file_is_damage_unless_parquet_has_its_points() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, 0).unwrap();
    for user in 0..3 {
        append(&mut log, user, 10).unwrap();
        log.rotate().unwrap();
    }
    disk.remove(&paths(&disk)[1]).unwrap();
    assert!(matches!(read(&disk.fork(), 10), Err(Error::Corrupt { .. })));
    assert_eq!(damages(&disk, 10)[0].points_lost_at_most, 10);
    assert_eq!(users(&read(&disk.fork(), 20).unwrap().0), expect_users(2..3));
    assert_eq!(damages(&disk, 20), []);
    disk.remove(&paths(&disk)[0]).unwrap();
    assert!(matches!(read(&disk.fork(), 0), Err(Error::Corrupt { .. })));
    assert_eq!(damages(&disk, 0)[0].points_lost_at_most, 20);
}

#[test]
fn a_full_file_is_followed_by_the_next_and_trimmed_when_parquet_has_it() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, 0).unwrap();
    for user in 0..10 {
        append(&mut log, user, 1_000).unwrap();
    }
    assert_eq!(paths(&disk).len(), 3);
    let bytes = log.bytes();
    log.trim(Seq(5_999)).unwrap();
    assert_eq!(paths(&disk).len(), 2);
    assert!(log.bytes() < bytes);
    let crashed = disk.crash();
    let (found, _, report) = read(&crashed, 5_000).unwrap();
    assert_eq!((users(&found), report.files), (expect_users(5..10), 2));
    let (mut log, _) = open(&crashed, 10_000).unwrap();
    log.trim(Seq(10_000)).unwrap();
    assert_eq!(paths(&crashed), [] as [PathBuf; 0]);
    assert_eq!(append(&mut log, 10, 1).unwrap(), Seq(10_001));
}

#[test]
fn files_up_to_the_watermark_are_not_read() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, 0).unwrap();
    for user in 0..10 {
        append(&mut log, user, 1_000).unwrap();
    }
    disk.flip_bit(&paths(&disk)[0], 5_000, 0);
    let (found, tail, report) = read(&disk, 9_000).unwrap();
    assert_eq!((users(&found), report.files, tail.closed.len()), (expect_users(9..10), 1, 3));
}

#[test]
fn a_group_larger_than_a_file_gets_its_own() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, 0).unwrap();
    append(&mut log, 0, 10).unwrap();
    append(&mut log, 1, 60_000).unwrap();
    append(&mut log, 2, 10).unwrap();
    assert_eq!(paths(&disk).len(), 3);
    assert_eq!(users(&read(&disk, 0).unwrap().0), expect_users(0..3));
}

#[test]
fn a_full_disk_refuses_and_goes_on_at_the_same_place() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, 0).unwrap();
    disk.fill_up(100);
    assert!(matches!(append(&mut log, 0, 10), Err(Error::Full { .. })));
    assert_eq!(paths(&disk), [] as [PathBuf; 0]);
    disk.fill_up(FILE_BYTES + 100);
    for user in 0..4 {
        append(&mut log, user, 1_000).unwrap();
    }
    // The next one needs another file.
    for _ in 0..3 {
        assert!(matches!(append(&mut log, 4, 1_000), Err(Error::Full { .. })));
    }
    assert_eq!(users(&read(&disk.fork(), 0).unwrap().0), expect_users(0..4));
    disk.fill_up(u64::MAX);
    assert_eq!(append(&mut log, 4, 1_000).unwrap(), Seq(4_001));
    assert_eq!(users(&read(&disk.crash(), 0).unwrap().0), expect_users(0..5));
}

#[test]
fn a_sync_that_fails_is_never_called_full_and_its_points_are_safe_if_they_come_back() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let (mut log, _) = open(&disk, 0).unwrap();
        append(&mut log, 0, 100).unwrap();
        disk.fail_sync_at(1);
        assert!(matches!(append(&mut log, 1, 100), Err(Error::Io { .. })));
        // The process restarts, the machine does not: the cache still shows the frame.
        let (log, (found, ..)) = open(&disk, 0).unwrap();
        assert_eq!(users(&found), expect_users(0..2));
        drop(log);
        assert_eq!(users(&read(&disk.crash(), 0).unwrap().0), expect_users(0..2), "seed {seed}");
    }
}

/// Appends, rotates and trims until the power fails at `crash_at`; returns how many appends were acknowledged.
fn run_until_crash(disk: &SimDisk, watermark: &mut u64) -> u32 {
    let mut acknowledged = 0;
    let Ok((mut log, _)) = open(disk, 0) else { return 0 };
    for user in 0..8 {
        if append(&mut log, user, 900 + user).is_err() {
            return acknowledged;
        }
        acknowledged += 1;
        if user == 3 && log.rotate().is_err() {
            return acknowledged;
        }
        if user == 5 {
            // What a flush would have made durable in Parquet.
            *watermark = (0_u32..4).map(|user| u64::from(900 + user)).sum();
            if log.trim(Seq(*watermark)).is_err() {
                return acknowledged;
            }
        }
    }
    acknowledged
}

#[test]
fn every_acknowledged_batch_survives_a_crash_at_every_call() {
    let quiet = SimDisk::new(0);
    run_until_crash(&quiet, &mut 0);
    let calls = quiet.calls();
    for seed in 0..12 {
        for call in 1..=calls {
            let disk = SimDisk::new(seed * 1_000 + call);
            disk.crash_at(call);
            let mut watermark = 0;
            let acknowledged = run_until_crash(&disk, &mut watermark);
            let disk = disk.crash();
            let place = format!("seed {seed}, call {call}");
            assert_eq!(damages(&disk, watermark), [], "{place}");
            let (mut log, (found, ..)) = open(&disk, watermark).unwrap_or_else(|error| panic!("{place}: {error}"));
            let from = if watermark == 0 { 0 } else { 4 };
            let found = users(&found);
            let exact = expect_users(from..acknowledged);
            let one_more = expect_users(from..acknowledged + 1);
            assert!(found == exact || found == one_more, "{place}: {acknowledged} acknowledged, found {found:?}");
            // And again, with a crash right after: what was found once stays.
            append(&mut log, 99, 1).unwrap();
            let again = users(&read(&disk.crash(), watermark).unwrap().0);
            assert_eq!(again[..again.len() - 1], found, "{place}");
        }
    }
}

#[test]
fn a_crash_during_replay_loses_nothing() {
    let disk = SimDisk::new(5);
    three_frames(&disk);
    for call in 1..=4 {
        for seed in 0..20 {
            let fork = disk.fork();
            let torn = fork.open(&paths(&fork)[0]).unwrap();
            torn.write_at(b"AVF1 torn frame", torn.len().unwrap() - 4_000 - seed * 8).unwrap();
            fork.crash_at(call);
            let _ = read(&fork, 0);
            let (found, ..) = read(&fork.crash(), 0).unwrap();
            assert_eq!(users(&found), expect_users(0..3), "call {call}");
        }
    }
}

#[test]
fn verify_names_the_place_and_repair_gives_up_only_that() {
    let disk = SimDisk::new(1);
    let ends = three_frames(&disk);
    let path = paths(&disk)[0].clone();
    disk.flip_bit(&path, ends[0] + 100, 3);
    let found = damages(&disk, 0);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].offset, found[0].points_lost_at_most, &found[0].path), (ends[0], 5, &path));

    let refused = repair(&disk, Path::new(DIR), Seq(0), &mut |_| false).unwrap();
    assert_eq!(refused, Repaired { dropped: 0, refused: 1 });
    assert_eq!(damages(&disk, 0), found);

    let mut asked = Vec::new();
    let repaired = repair(&disk, Path::new(DIR), Seq(0), &mut |damage| {
        asked.push(damage.clone());
        true
    });
    assert_eq!((repaired.unwrap(), asked), (Repaired { dropped: 1, refused: 0 }, found));
    let disk = disk.crash();
    assert_eq!(damages(&disk, 0), []);
    let (mut log, (found, tail, report)) = open(&disk, 0).unwrap();
    assert_eq!(found, [(Seq(1), batch(0, 3)), (Seq(9), batch(2, 4))]);
    assert_eq!((tail.next_seq, report.lost), (Seq(13), 5));
    assert_eq!(append(&mut log, 3, 1).unwrap(), Seq(13));
}

/// Two files of three frames each.
fn two_files(disk: &SimDisk) -> Vec<PathBuf> {
    let (mut log, _) = open(disk, 0).unwrap();
    for user in 0..6 {
        append(&mut log, user, 10).unwrap();
        if user == 2 {
            log.rotate().unwrap();
        }
    }
    paths(disk)
}

#[test]
fn any_damage_anywhere_is_repaired_to_a_log_that_opens() {
    let disk = SimDisk::new(1);
    let files = two_files(&disk);
    let before = read(&disk.fork(), 0).unwrap().0;
    for (nth, path) in files.iter().enumerate() {
        let end = disk.bytes(path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64;
        for byte in (0..=end).step_by(7) {
            let fork = disk.fork();
            fork.flip_bit(path, byte, 5);
            fork.flip_bit(path, byte + 512, 2);
            let lost: u64 = damages(&fork, 0).iter().map(|damage| damage.points_lost_at_most).sum();
            repair(&fork, Path::new(DIR), Seq(0), &mut |_| true).unwrap();
            let place = format!("file {nth} byte {byte}");
            assert_eq!(damages(&fork, 0), [], "{place}");
            let (mut log, (found, ..)) = open(&fork, 0).unwrap_or_else(|error| panic!("{place}: {error}"));
            assert!(found.iter().all(|batch| before.contains(batch)), "{place}");
            // A torn tail is no damage, so the last file may lose its last frame beyond what was told.
            let gone = 10 * (before.len() - found.len()) as u64;
            assert!(gone <= lost + if nth == 1 { 30 } else { 0 }, "{place}: {gone} gone, {lost} told");
            append(&mut log, 9, 1).unwrap();
        }
    }
}

#[test]
fn one_damaged_copy_of_a_header_costs_nothing() {
    let disk = SimDisk::new(1);
    let files = two_files(&disk);
    disk.flip_bit(&files[0], 9, 0);
    disk.flip_bit(&files[1], file::COPY_AT as u64 + 17, 0);
    assert_eq!(damages(&disk, 0).iter().map(|damage| damage.points_lost_at_most).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(users(&read(&disk.fork(), 0).unwrap().0), expect_users(0..6));
    repair(&disk, Path::new(DIR), Seq(0), &mut |_| true).unwrap();
    assert_eq!(damages(&disk, 0), []);
    assert_eq!(users(&read(&disk, 0).unwrap().0), expect_users(0..6));
}

#[test]
fn a_repair_that_crashes_leaves_the_old_file_or_the_new() {
    for seed in 0..20 {
        for call in 1..=6 {
            let disk = SimDisk::new(seed);
            let files = two_files(&disk);
            disk.flip_bit(&files[0], 1_100, 0);
            let before = damages(&disk, 0);
            disk.crash_at(call);
            let _ = repair(&disk, Path::new(DIR), Seq(0), &mut |_| true);
            let disk = disk.crash();
            let after = damages(&disk, 0);
            assert!(after.is_empty() || after == before, "seed {seed} call {call}: {after:?}");
            repair(&disk, Path::new(DIR), Seq(0), &mut |_| true).unwrap();
            assert_eq!(users(&read(&disk, 0).unwrap().0), expect_users(1..6));
        }
    }
}

#[test]
fn a_frame_hidden_in_values_is_not_found_by_the_search_behind_damage() {
    // The values spell a whole frame that claims that everything is durable.
    let mut hidden = Vec::new();
    frame::encode(&mut hidden, Seq(1_000), Seq(999), 0, &[batch(1, 50)], &names()).unwrap();
    frame::seal(&mut hidden, 0);
    let value: Vec<f64> = hidden.as_chunks::<8>().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect();
    let mut origins = Origins::default();
    origins.intern("s", None).unwrap();
    let len = u32::try_from(value.len()).unwrap();
    let parts = vec![Part { metric: MetricId(0), start: 0, end: len }];
    let user = UserId::parse("usr_attacker").unwrap();
    let rows = value.len();
    let batch = PointBatch::new(user, parts, vec![0; rows], value, vec![0; rows], origins).unwrap();

    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk, 0).unwrap();
    log.append(&[Arc::new(batch)], &names(), 0).unwrap();
    // The crash tears the frame's header.
    disk.flip_bit(&paths(&disk)[0], file::FRAMES_AT as u64 + 1, 0);
    assert_eq!(damages(&disk, 0), []);
    assert_eq!(read(&disk, 0).unwrap().0, []);
}

#[test]
fn a_file_of_a_newer_version_is_refused_by_name() {
    let disk = SimDisk::new(1);
    three_frames(&disk);
    let path = &paths(&disk)[0];
    let file = disk.open(path).unwrap();
    let mut header = file::encode_header(Seq(1), 7);
    header[4] = 9;
    let crc = crc32c::crc32c(&header[..28]);
    header[28..32].copy_from_slice(&crc.to_le_bytes());
    file.write_at(&header[..32], 0).unwrap();
    assert!(matches!(read(&disk, 0), Err(Error::Version { found: 9, known: 1, .. })));
}

#[test]
fn a_watermark_inside_a_batch_is_refused() {
    let disk = SimDisk::new(1);
    three_frames(&disk);
    assert!(matches!(read(&disk.fork(), 5), Err(Error::Corrupt { .. })));
    assert_eq!(users(&read(&disk, 8).unwrap().0), expect_users(2..3));
}
