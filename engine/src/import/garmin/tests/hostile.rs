//! Bytes that mean harm, or nothing.

use std::io::Cursor;

use proptest::prelude::*;

use super::sink::Seen;
use super::writer::{Fit, MAY, U8, U16, U32, heart_rates};
use crate::import::Fault;
use crate::import::archive::tests::{Pack, zip};

/// Some of everything that a file can hold.
fn everything() -> Vec<u8> {
    let mut file = Fit::new();
    file.define(1, 103, &[(253, 4, U32), (0, 4, U32), (5, 2, U16)]);
    file.message(1, &[&MAY.to_le_bytes(), &(MAY + 3_600).to_le_bytes(), &1_800_u16.to_le_bytes()]);
    file.define(2, 55, &[(3, 4, U32), (26, 2, U16), (24, 1, U8), (27, 1, U8)]);
    file.define_with(3, 275, &[(253, 4, U32), (0, 1, U8)], &[(1, 200, 0)]);
    file.define(4, 78, &[(0, 6, U16)]);
    file.define_big_endian(5, 20, &[(3, 1, U8), (253, 4, U32), (108, 2, U16)]);
    for second in 0..20_u32 {
        let [low, high, ..] = (MAY + second).to_le_bytes();
        file.message(2, &[&second.to_le_bytes(), &[low, high], &[6], &[60]]);
        file.message(3, &[&(MAY + second).to_le_bytes(), &[2], &[7; 200]]);
        file.message(4, &[&[0xE8, 3, 0xF0, 3, 0xFF, 0xFF]]);
        file.message(5, &[&[61], &(MAY + second).to_be_bytes(), &[5, 100]]);
    }
    file.file()
}

/// Reads whatever it is: without a panic, and broken at a byte that is there.
fn read(file: &[u8]) -> Result<Seen, TestCaseError> {
    let mut seen = Seen::default();
    match super::super::read(Cursor::new(file), &mut seen) {
        Ok(()) | Err(Fault::Parts { .. } | Fault::Foreign { .. }) => {}
        Err(Fault::Broken { at, .. }) => prop_assert!(at <= file.len() as u64, "broken at {at} of {}", file.len()),
        Err(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
    }
    Ok(seen)
}

proptest! {
    #[test]
    fn random_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        read(&bytes)?;
        read(&[&heart_rates(&[60])[..12], &[0, 0], &bytes].concat())?;
        read(&[b"PK\x03\x04\x14\0", &bytes[..]].concat())?;
        read(&zip(&[("a.fit", &bytes, Pack::Deflated), ("UDSFile_1.json", &bytes, Pack::Stored)]))?;
    }

    #[test]
    fn changed_bytes_are_read_without_harm(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        for mut file in [everything(), zip(&[("a.fit", &everything(), Pack::Streamed), ("b.fit", &everything(), Pack::Deflated)])] {
            for (place, byte) in &changes {
                let place = place.index(file.len());
                file[place] = *byte;
            }
            read(&file)?;
        }
    }

    #[test]
    fn a_cut_file_gives_the_beginning_of_what_the_whole_gives(cut in any::<prop::sample::Index>()) {
        let file = everything();
        let whole = read(&file)?.found;
        let part = read(&file[..cut.index(file.len())])?.found;
        // What is open at the break is given there, so the last few may be of the day and the night that were open.
        let same = part.iter().zip(&whole).take_while(|(part, whole)| part == whole).count();
        prop_assert!(part.len() - same <= 4, "{part:#?}");
    }
}

#[test]
fn the_largest_message_is_read_in_bounded_memory() {
    let fields: Vec<_> = (0..255).map(|number| (number, 255, 0x0D)).collect();
    let mut file = Fit::new();
    file.define_with(1, 20, &fields, &fields);
    let body = vec![0xFF; 2 * 255 * 255];
    for _ in 0..20 {
        file.message(1, &[&body]);
    }
    file.define(2, 20, &[(253, 4, U32), (3, 1, U8)]);
    file.message(2, &[&MAY.to_le_bytes(), &[62]]);
    let mut seen = Seen::default();
    super::super::read(Cursor::new(file.file()), &mut seen).unwrap();
    assert_eq!(seen.found, ["heart_rate 62 at 2024-05-01T00:00:00Z of garmin-2-3"]);
}
