//! FIT files: what their messages become.

use std::io::Cursor;

use super::super::reason;
use super::sink::Seen;
use super::writer::{BYTE, ENUM, Fit, MAY, S16, U8, U16, U32, heart_rates};
use crate::import::Fault;

/// Reads a file to its end.
fn read(file: &[u8]) -> Seen {
    let mut seen = Seen::default();
    super::super::read(Cursor::new(file), &mut seen).unwrap();
    seen
}

/// Reads a file that is broken. Returns where and how, too.
fn read_broken(file: &[u8]) -> (Seen, u64, String) {
    let mut seen = Seen::default();
    match super::super::read(Cursor::new(file), &mut seen) {
        Err(Fault::Broken { at, what }) => (seen, at, what),
        other => panic!("{other:?} after {:?}", seen.found),
    }
}

fn time(seconds: u32) -> [u8; 4] {
    (MAY + seconds).to_le_bytes()
}

#[test]
fn a_heart_rate_stands_at_its_time_with_the_device() {
    let seen = read(&heart_rates(&[62, 63]));
    assert_eq!(
        seen.found,
        ["heart_rate 62 at 2024-05-01T00:00:00Z of garmin-2-3", "heart_rate 63 at 2024-05-01T00:00:01Z of garmin-2-3"]
    );
    assert!(seen.skipped.is_empty(), "{:?}", seen.skipped);
}

#[test]
fn a_heart_rate_of_nothing_or_without_a_date_is_reported() {
    let mut file = Fit::new();
    file.define(1, 20, &[(253, 4, U32), (3, 1, U8)]);
    for (time, rate) in [(MAY, 0), (MAY, 255), (1_000, 60), (0x0FFF_FFFF, 61), (0x1000_0000, 62), (u32::MAX, 63)] {
        file.message(1, &[&time.to_le_bytes(), &[rate]]);
    }
    let seen = read(&file.file());
    assert_eq!(seen.found, ["heart_rate 62 at 1998-07-03T21:24:16Z of garmin-2-3"]);
    assert_eq!([reason::NO_HEART_RATE, reason::UPTIME, reason::NO_TIME].map(|reason| seen.count(reason)), [2, 2, 1]);
    assert_eq!(seen.example(reason::UPTIME), "1000 s");
}

#[test]
fn the_air_at_the_watch_is_not_the_body() {
    let mut file = Fit::new();
    file.define(1, 20, &[(253, 4, U32), (13, 1, 0x01), (99, 1, U8), (108, 2, U16)]);
    file.message(1, &[&time(0), &[20], &[15], &1_450_u16.to_le_bytes()]);
    file.message(1, &[&time(1), &[20], &[16], &u16::MAX.to_le_bytes()]);
    let seen = read(&file.file());
    assert_eq!(
        seen.found,
        [
            "respiratory_rate 14.5 at 2024-05-01T00:00:00Z of garmin-2-3",
            "respiratory_rate 16 at 2024-05-01T00:00:01Z of garmin-2-3"
        ]
    );
    assert_eq!(seen.count(reason::AIR), 2);
}

#[test]
fn a_header_with_part_of_a_time_goes_on_from_the_last_time() {
    let mut file = Fit::new();
    file.define(1, 20, &[(253, 4, U32), (3, 1, U8)]);
    file.define(2, 20, &[(3, 1, U8)]);
    file.message(1, &[&time(30), &[60]]);
    let low = |seconds: u32| u8::try_from((MAY + seconds) % 32).unwrap();
    file.compressed(2, low(35), &[&[61]]);
    file.compressed(2, low(35), &[&[62]]);
    // 31 seconds on, which is one back in the lower bits.
    file.compressed(2, low(66), &[&[63]]);
    assert_eq!(
        read(&file.file()).of("heart_rate"),
        [
            "60 at 2024-05-01T00:00:30Z of garmin-2-3",
            "61 at 2024-05-01T00:00:35Z of garmin-2-3",
            "62 at 2024-05-01T00:00:35Z of garmin-2-3",
            "63 at 2024-05-01T00:01:06Z of garmin-2-3"
        ]
    );
}

#[test]
fn a_local_type_means_what_it_was_last_defined_as() {
    let mut file = Fit::new();
    file.define(1, 20, &[(253, 4, U32), (3, 1, U8)]);
    file.message(1, &[&time(0), &[60]]);
    file.define_big_endian(1, 20, &[(3, 1, U8), (253, 4, U32), (108, 2, U16)]);
    file.message(1, &[&[61], &(MAY + 1).to_be_bytes(), &1_450_u16.to_be_bytes()]);
    file.define_with(1, 20, &[(253, 4, U32), (3, 1, U8)], &[(0, 3, 0), (1, 2, 0)]);
    file.message(1, &[&time(2), &[62], &[1, 2, 3], &[4, 5]]);
    file.message(1, &[&time(3), &[63], &[1, 2, 3], &[4, 5]]);
    // A heart rate of 16 bits is one too; one of three bytes is none.
    file.define(1, 20, &[(253, 4, U32), (3, 2, U16)]);
    file.message(1, &[&time(4), &64_u16.to_le_bytes()]);
    file.define(1, 20, &[(253, 4, U32), (3, 3, U16)]);
    file.message(1, &[&time(5), &[65, 0, 0]]);
    assert_eq!(
        read(&file.file()).found,
        [
            "heart_rate 60 at 2024-05-01T00:00:00Z of garmin-2-3",
            "heart_rate 61 at 2024-05-01T00:00:01Z of garmin-2-3",
            "respiratory_rate 14.5 at 2024-05-01T00:00:01Z of garmin-2-3",
            "heart_rate 62 at 2024-05-01T00:00:02Z of garmin-2-3",
            "heart_rate 63 at 2024-05-01T00:00:03Z of garmin-2-3",
            "heart_rate 64 at 2024-05-01T00:00:04Z of garmin-2-3"
        ]
    );
}

#[test]
fn chained_files_are_all_read_each_with_its_own_types() {
    let one = heart_rates(&[62]);
    let seen = read(&[one.clone(), heart_rates(&[63])].concat());
    assert_eq!(seen.found.len(), 2);
    // The second uses a type that only the first has defined.
    let mut second = Fit::default();
    second.message(1, &[&time(0), &[64]]);
    let (seen, at, what) = read_broken(&[one.clone(), second.file()].concat());
    assert_eq!(seen.found.len(), 1);
    assert_eq!((at, what.as_str()), (one.len() as u64 + 14, "a message of a type that was not defined"));
}

#[test]
fn a_file_that_is_cut_anywhere_keeps_what_came_before() {
    let file = heart_rates(&[62, 63, 64]);
    // Three messages of six bytes and the checksum, from the end.
    let whole_at = |cut: usize| (cut.saturating_sub(file.len() - 2 - 3 * 6)) / 6;
    for cut in 0..file.len() {
        let (seen, at, _) = read_broken(&file[..cut]);
        assert_eq!(seen.found.len(), whole_at(cut), "cut at {cut}");
        assert!(at <= cut as u64, "cut at {cut}, broken at {at}");
    }
}

#[test]
fn a_wrong_checksum_says_where_it_stands_and_keeps_what_came_before() {
    let mut file = heart_rates(&[62, 63, 64]);
    let rate = file.len() - 3;
    file[rate] = 99;
    let (seen, at, what) = read_broken(&file);
    assert_eq!(seen.found.len(), 3);
    assert_eq!(at, file.len() as u64 - 2);
    assert!(what.starts_with("the checksum is wrong"), "{what}");

    let mut file = heart_rates(&[62]);
    file[3] ^= 1;
    let (seen, at, what) = read_broken(&file);
    assert_eq!((seen.found.len(), at, what.as_str()), (0, 0, "the header's checksum is wrong"));
    // Without a checksum in the header nothing is compared there, but the one at the end covers it.
    (file[12], file[13]) = (0, 0);
    let (_, at, _) = read_broken(&file);
    assert_eq!(at, file.len() as u64 - 2);
}

#[test]
fn what_is_no_watch_file_is_said_to_be_none() {
    for file in [&b""[..], b"PK", b"hello, world, this is text", &[0; 100]] {
        let (_, at, what) = read_broken(file);
        assert_eq!((at, what.as_str()), (0, "no FIT file begins here"));
    }
    let (seen, at, what) = read_broken(&[heart_rates(&[62]), vec![0; 20]].concat());
    assert_eq!((seen.found.len(), what.as_str()), (1, "no FIT file begins here"));
    assert_eq!(at, heart_rates(&[62]).len() as u64);
}

#[test]
fn beat_intervals_become_the_variability_of_five_minutes() {
    let mut file = Fit::new();
    file.define(1, 20, &[(253, 4, U32)]);
    file.define(2, 78, &[(0, 10, U16)]);
    // One a second for ten minutes: 1,000 and 1,010 ms in turn, so each difference is 10.
    for second in 0..600 {
        file.message(1, &[&time(second)]);
        let interval = if second % 2 == 0 { 1_000_u16 } else { 1_010 };
        let none = u16::MAX.to_le_bytes();
        file.message(2, &[&interval.to_le_bytes(), &none, &none, &none, &none]);
    }
    assert_eq!(
        read(&file.file()).of("hrv"),
        ["10 at 2024-05-01T00:00:00Z of garmin-2-3", "10 at 2024-05-01T00:05:00Z of garmin-2-3"]
    );
}

#[test]
fn what_a_strap_kept_stands_at_its_own_clock_with_the_device_of_the_file_before() {
    let mut file = Fit::default();
    file.define(1, 132, &[(253, 4, U32), (0, 2, U16), (9, 4, U32), (6, 1, U8)]);
    file.define(2, 132, &[(6, 2, U8), (10, 3, BYTE)]);
    file.message(2, &[&[59, 59], &[0; 3]]);
    // Half a second behind the time, the strap's clock shows 4,000 (of 1,024 to the second).
    file.message(1, &[&time(0), &16_384_u16.to_le_bytes(), &4_000_u32.to_le_bytes(), &[60]]);
    // 4,512 is half a second on, and over the end of twelve bits; 5,024 a whole one.
    file.message(2, &[&[61, 62], &[0xA0, 0x01, 0x3A]]);
    file.message(2, &[&[255, 63], &[0xA1, 0xB3, 0x3A]]);
    let seen = read(&[heart_rates(&[50]), file.file()].concat());
    assert_eq!(
        seen.of("heart_rate"),
        [
            "50 at 2024-05-01T00:00:00Z of garmin-2-3",
            "60 at 2024-05-01T00:00:00.500Z of garmin-2-3",
            "61 at 2024-05-01T00:00:01Z of garmin-2-3",
            "62 at 2024-05-01T00:00:01.500Z of garmin-2-3",
            "63 at 2024-05-01T00:00:01.510742Z of garmin-2-3"
        ]
    );
    assert_eq!([reason::NO_TIME, reason::NO_HEART_RATE].map(|reason| seen.count(reason)), [2, 1]);
}

#[test]
fn a_missed_beat_costs_its_pairs_and_too_many_cost_the_window() {
    let window = |missed_every: u32| {
        let mut file = Fit::new();
        file.define(1, 20, &[(253, 4, U32)]);
        file.define(2, 78, &[(0, 2, U16)]);
        for second in 0..300 {
            file.message(1, &[&time(second)]);
            let even = if second % 2 == 0 { 1_000_u16 } else { 1_010 };
            let interval = if second % missed_every == 3 { 2_000 } else { even };
            file.message(2, &[&interval.to_le_bytes()]);
        }
        read(&file.file())
    };
    assert_eq!(window(20).of("hrv"), ["10 at 2024-05-01T00:00:00Z of garmin-2-3"]);
    let seen = window(8);
    assert!(seen.of("hrv").is_empty());
    assert_eq!(seen.count(reason::FEW_BEATS), 1);
}

/// The fields of a monitoring message with the lower half of its time, a counter, and the activity behind it.
const COUNTED: [(u8, u8, u8); 3] = [(3, 4, U32), (26, 2, U16), (24, 1, BYTE)];
const WALKING: u8 = 6;
const RUNNING: u8 = 1;
const SEDENTARY: u8 = 8;

/// A file of a day that begins at midnight in a zone two hours east, and what the body burns at rest.
fn monitoring() -> Fit {
    let mut file = Fit::new();
    file.define(1, 103, &[(253, 4, U32), (0, 4, U32), (5, 2, U16)]);
    file.message(1, &[&(MAY - 7_200).to_le_bytes(), &time(3), &1_728_u16.to_le_bytes()]);
    file
}

fn low(seconds: u32) -> [u8; 2] {
    u16::try_from((MAY + seconds) % 65_536).unwrap().to_le_bytes()
}

#[test]
fn a_counter_is_read_with_the_activity_that_stands_behind_it() {
    let mut file = monitoring();
    file.define(2, 55, &COUNTED);
    for (second, cycles, activity) in
        [(3_600, 100_u32, WALKING), (7_200, 30, RUNNING), (7_260, 150, WALKING), (7_320, 9, SEDENTARY)]
    {
        file.message(2, &[&cycles.to_le_bytes(), &low(second), &[activity | 5 << 5]]);
    }
    let seen = read(&file.file());
    assert_eq!(
        seen.of("steps"),
        [
            "shows 100 on strand 6 at 2024-05-01T01:00:00Z, since 2024-04-30T22:00:00Z of garmin-2-3",
            "shows 30 on strand 1 at 2024-05-01T02:00:00Z, since 2024-04-30T22:00:00Z of garmin-2-3",
            "shows 150 on strand 6 at 2024-05-01T02:01:00Z, since 2024-04-30T22:00:00Z of garmin-2-3"
        ]
    );
    assert_eq!(seen.example(reason::NOT_STEPS), "9 cycles of activity 8");
    // At rest: 1,728 kcal a day, of which 4 h 2 min have gone by.
    let at_rest = seen.of("calories");
    assert_eq!(
        at_rest,
        ["shows 290.4 on strand 255 at 2024-05-01T02:02:00Z, since 2024-04-30T22:00:00Z of garmin-2-3"]
    );
}

#[test]
fn half_a_time_goes_on_from_the_last_and_a_little_back() {
    let mut file = monitoring();
    file.define(2, 55, &[(26, 2, U16), (27, 1, U8)]);
    // Seventeen hours on, a minute back, then over the end of 16 bits and on.
    for (second, rate) in [(54_000, 60), (53_940, 61), (54_060, 62), (100_000, 63), (160_000, 64)] {
        file.message(2, &[&low(second), &[rate]]);
    }
    assert_eq!(
        read(&file.file()).of("heart_rate"),
        [
            "60 at 2024-05-01T15:00:00Z of garmin-2-3",
            "61 at 2024-05-01T14:59:00Z of garmin-2-3",
            "62 at 2024-05-01T15:01:00Z of garmin-2-3",
            "63 at 2024-05-02T03:46:40Z of garmin-2-3",
            "64 at 2024-05-02T20:26:40Z of garmin-2-3"
        ]
    );
}

#[test]
fn energy_is_counted_for_each_activity_and_a_new_day_starts_at_local_midnight() {
    let mut file = monitoring();
    file.define(2, 55, &[(253, 4, U32), (5, 1, ENUM), (19, 2, U16)]);
    let midnight = 22 * 3_600;
    for (second, activity, kcal) in [(60, WALKING, 5_u16), (midnight, RUNNING, 70), (midnight + 60, WALKING, 1)] {
        file.message(2, &[&time(second), &[activity], &kcal.to_le_bytes()]);
    }
    file.message(2, &[&time(midnight + 120), &[254], &500_u16.to_le_bytes()]);
    let seen = read(&file.file());
    assert_eq!(
        seen.of("calories"),
        [
            "shows 5 on strand 6 at 2024-05-01T00:01:00Z, since 2024-04-30T22:00:00Z of garmin-2-3",
            "shows 70 on strand 1 at 2024-05-01T22:00:00Z, since 2024-04-30T22:00:00Z of garmin-2-3",
            "shows 1 on strand 6 at 2024-05-01T22:01:00Z, since 2024-05-01T22:00:00Z of garmin-2-3",
            "shows 1728 on strand 255 at 2024-05-01T22:00:00Z, since 2024-04-30T22:00:00Z of garmin-2-3",
            "shows 2.4 on strand 255 at 2024-05-01T22:02:00Z, since 2024-05-01T22:00:00Z of garmin-2-3"
        ]
    );
    assert_eq!(seen.count(reason::NO_ACTIVITY), 1);
}

#[test]
fn without_a_local_time_no_counter_has_a_day() {
    let mut file = Fit::new();
    file.define(2, 55, &[(253, 4, U32), (5, 1, ENUM), (3, 4, U32)]);
    file.message(2, &[&time(60), &[WALKING], &5_u32.to_le_bytes()]);
    let seen = read(&file.file());
    assert!(seen.found.is_empty());
    assert_eq!(seen.example(reason::NO_LOCAL_TIME), "2024-05-01T00:01:00Z");
}

#[test]
fn levels_of_sleep_become_a_night_at_its_end() {
    let mut file = Fit::new();
    file.define(1, 275, &[(253, 4, U32), (0, 1, ENUM)]);
    file.define(2, 21, &[(253, 4, U32), (0, 1, ENUM), (1, 1, ENUM)]);
    let hour = 3_600;
    // Awake, light, deep, unmeasurable, REM, light; then the end, an hour and a half on.
    for (second, level) in [(0, 1), (hour, 2), (3 * hour, 3), (4 * hour, 0), (5 * hour, 4), (6 * hour, 2)] {
        file.message(1, &[&time(second), &[level]]);
    }
    file.message(2, &[&time(6 * hour + 5_400), &[74], &[1]]);
    assert_eq!(
        read(&file.file()).found,
        [
            "sleep_duration 5.5 at 2024-05-01T07:30:00Z of garmin-2-3",
            "sleep_deep 1 at 2024-05-01T07:30:00Z of garmin-2-3",
            "sleep_rem 1 at 2024-05-01T07:30:00Z of garmin-2-3"
        ]
    );
}

#[test]
fn a_level_that_would_hold_for_hours_ends_the_night() {
    let mut file = Fit::new();
    file.define(1, 275, &[(253, 4, U32), (0, 1, ENUM)]);
    let hour = 3_600;
    for (second, level) in [(0, 2), (2 * hour, 3), (20 * hour, 2), (21 * hour, 1)] {
        file.message(1, &[&time(second), &[level]]);
    }
    assert_eq!(
        read(&file.file()).of("sleep_duration"),
        ["2 at 2024-05-01T02:00:00Z of garmin-2-3", "1 at 2024-05-01T21:00:00Z of garmin-2-3"]
    );
}

#[test]
fn oxygen_respiration_and_a_nights_variability_are_scaled() {
    let mut file = Fit::new();
    file.define(1, 269, &[(253, 4, U32), (0, 1, U8)]);
    file.define(2, 297, &[(253, 4, U32), (0, 2, S16)]);
    file.define(3, 371, &[(253, 4, U32), (0, 2, U16)]);
    file.define(4, 227, &[(1, 4, U32), (0, 2, S16)]);
    file.message(1, &[&time(0), &[96]]);
    file.message(1, &[&time(1), &[0]]);
    file.message(2, &[&time(0), &1_425_i16.to_le_bytes()]);
    file.message(2, &[&time(1), &(-300_i16).to_le_bytes()]);
    file.message(3, &[&time(0), &5_440_u16.to_le_bytes()]);
    file.message(4, &[&time(0), &30_i16.to_le_bytes()]);
    let seen = read(&file.file());
    assert_eq!(
        seen.found,
        [
            "spo2 96 at 2024-05-01T00:00:00Z of garmin-2-3",
            "respiratory_rate 14.25 at 2024-05-01T00:00:00Z of garmin-2-3",
            "hrv 42.5 at 2024-05-01T00:00:00Z of garmin-2-3"
        ]
    );
    assert_eq!([reason::NO_SPO2, reason::NO_BREATH, reason::STRESS].map(|reason| seen.count(reason)), [1, 1, 1]);
}
