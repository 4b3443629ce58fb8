//! Archives as phones, watches' makers, other tools and attackers make them, with a reader that notes what it gets.

use std::io::{Cursor, Write as _};

use proptest::prelude::*;

use super::*;

/// How a part of an archive is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::import) enum Pack {
    Stored,
    Deflated,
    /// Deflated, with sums and sizes behind, as Java and a pipe write it.
    Streamed,
}

/// A zip with its parts, without a central directory's entries: its end alone. Written from the format's description,
/// sharing nothing with what reads it.
pub(in crate::import) fn zip(parts: &[(&str, &[u8], Pack)]) -> Vec<u8> {
    let mut zip = Vec::new();
    for (name, content, pack) in parts {
        let mut sum = Crc::new();
        sum.update(content);
        let packed = if *pack == Stored {
            content.to_vec()
        } else {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        };
        let sizes = [u32::try_from(packed.len()).unwrap(), u32::try_from(content.len()).unwrap()];
        let streamed = *pack == Streamed;
        zip.extend(b"PK\x03\x04\x14\0");
        zip.extend(if streamed { [8, 0] } else { [0, 0] });
        zip.extend(if *pack == Stored { [0, 0] } else { [8, 0] });
        zip.extend([0; 4]);
        for number in [sum.sum(), sizes[0], sizes[1]] {
            zip.extend(if streamed { 0 } else { number }.to_le_bytes());
        }
        zip.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        zip.extend([0; 2]);
        zip.extend(name.as_bytes());
        zip.extend(&packed);
        if streamed {
            zip.extend(b"PK\x07\x08");
            for number in [sum.sum(), sizes[0], sizes[1]] {
                zip.extend(number.to_le_bytes());
            }
        }
    }
    zip.extend(b"PK\x05\x06");
    zip.extend([0; 18]);
    zip
}

/// An archive by the crate `zip`, with its directory.
pub(in crate::import) fn packed(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        archive.start_file(*name, ::zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// The same, as a phone streams it: lengths and checksum behind the content.
pub(in crate::import) fn streamed(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ::zip::ZipWriter::new_stream(Vec::new());
    for (name, content) in parts {
        archive.start_file(*name, ::zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// What came of an archive.
#[derive(Debug, Default)]
struct Seen {
    /// `outer.zip/inner.fit: content`, as far as it was read.
    parts: Vec<String>,
    flaws: Vec<String>,
    reached: Vec<u64>,
    read_bytes: Rc<Cell<u64>>,
}

impl Reader for Seen {
    fn part(&mut self, path: &[String], _: Option<i64>, content: &mut dyn Read) -> Result<(), Fault> {
        // Of a large part the beginning is enough; the archive reads the rest.
        let mut text = Vec::new();
        let read = content.take(4_096).read_to_end(&mut text);
        self.parts.push(format!("{}: {}", path.join("/"), String::from_utf8_lossy(&text)));
        if text == b"refused" {
            return Err(broken(7, "refused".to_owned()));
        }
        read.map(drop).map_err(Fault::Io)
    }

    fn flaw(&mut self, path: &[String], flaw: Flaw<'_>) {
        let what = match flaw {
            Flaw::Broken(at, what) => format!("broken at {at}: {what}"),
            Flaw::Encrypted => "encrypted".to_owned(),
            Flaw::Method => "method".to_owned(),
            Flaw::TooDeep => "too deep".to_owned(),
        };
        self.flaws.push(format!("{}: {what}", path.join("/")));
    }

    fn progress(&mut self) -> Result<(), Fault> {
        let reached = self.read_bytes.get();
        if self.reached.last() != Some(&reached) {
            self.reached.push(reached);
        }
        Ok(())
    }
}

fn try_read(archive: &[u8]) -> (Seen, Result<(), Fault>) {
    let (file, read_bytes) = Tracked::new(Cursor::new(archive));
    let mut seen = Seen { read_bytes: Rc::clone(&read_bytes), ..Seen::default() };
    let outcome = Archives::new(&mut seen, read_bytes).read(&mut BufReader::with_capacity(READ_BYTES, file));
    (seen, outcome)
}

fn read(archive: &[u8]) -> Seen {
    let (seen, outcome) = try_read(archive);
    outcome.unwrap();
    seen
}

fn words(outcome: Result<(), Fault>) -> String {
    let Err(Fault::Broken { what, .. }) = outcome else { panic!("{outcome:?}") };
    what
}

use Pack::{Deflated, Stored, Streamed};

#[test]
fn every_part_is_given_however_it_is_packed_and_whatever_its_name() {
    let inner = zip(&[("c.FIT", b"three", Streamed), ("empty", b"", Streamed)]);
    let file = zip(&[
        ("folder/", b"", Stored),
        ("../../etc/a.fit", b"one", Stored),
        ("C:\\b.fit", b"two", Streamed),
        ("in.ZIP", &inner, Streamed),
        ("d", b"four", Deflated),
    ]);
    let seen = read(&file);
    assert_eq!(
        seen.parts,
        ["../../etc/a.fit: one", "C:\\b.fit: two", "in.ZIP/c.FIT: three", "in.ZIP/empty: ", "d: four"]
    );
    assert_eq!((seen.flaws, seen.reached.last()), (vec![], Some(&(file.len() as u64))));
    let parts: [(&str, &[u8]); 2] = [("a", b"one"), ("b", b"two")];
    for file in [packed(&parts), streamed(&parts)] {
        assert_eq!(read(&file).parts, ["a: one", "b: two"], "as another program writes it");
    }
    for (name, file_is, extension_is) in
        [("A/b.Fit", "b.fit", Some("fit")), ("__MACOSX/._b.fit", "._b.fit", None), ("b", "b", None), ("b/", "", None)]
    {
        assert_eq!((file_name(name).as_str(), extension(name).as_deref()), (file_is, extension_is));
    }
}

#[test]
fn an_archive_that_is_cut_anywhere_gives_what_came_before() {
    let file = zip(&[("a", b"one", Streamed), ("b", b"two", Deflated), ("c", b"three", Stored)]);
    let mut most = 0;
    for cut in 4..file.len() - 18 {
        let (seen, outcome) = try_read(&file[..cut]);
        let Err(Fault::Broken { at, .. }) = outcome else { panic!("cut at {cut}: {outcome:?}") };
        assert!(at <= cut as u64);
        let whole = seen.parts.iter().filter(|part| ["a: one", "b: two", "c: three"].contains(&part.as_str())).count();
        assert!(whole >= most, "cut at {cut}: {seen:?}");
        most = whole;
    }
    assert_eq!(most, 3);
}

#[test]
fn a_part_that_breaks_costs_itself_alone() {
    let mut file = zip(&[("a", &[b'x'; 5_000], Deflated), ("b", b"refused", Stored), ("c", b"one", Stored)]);
    // A block of the reserved type.
    file[30 + 1] |= 6;
    let seen = read(&file);
    assert_eq!(seen.parts, ["a: ", "b: refused", "c: one"]);
    assert!(seen.flaws[0].starts_with("a: broken at 0: "), "{:?}", seen.flaws);
    assert_eq!(seen.flaws[1..], ["b: broken at 7: refused"]);
    // Where nobody says how long it is, the next part cannot be found.
    let mut file = zip(&[("a", &[b'x'; 5_000], Streamed), ("c", b"one", Stored)]);
    file[30 + 1] |= 6;
    assert!(words(try_read(&file).1).contains("`a` cannot be inflated"));
}

#[test]
fn a_wrong_checksum_is_a_flaw_of_its_part() {
    for pack in [Stored, Deflated, Streamed] {
        let mut file = zip(&[("a", b"one", pack), ("b", b"two", Stored)]);
        let place =
            if pack == Streamed { file.windows(4).position(|four| four == b"PK\x07\x08").unwrap() + 4 } else { 14 };
        file[place] ^= 1;
        let seen = read(&file);
        assert_eq!(seen.parts, ["a: one", "b: two"]);
        assert_eq!(seen.flaws, ["a: broken at 3: its checksum is wrong"]);
    }
}

#[test]
fn archives_in_archives_end_at_a_depth() {
    for (depth, flaws) in [(100, 1), (DEPTH_MAX, 0)] {
        let (mut file, mut name) = (b"one".to_vec(), "a");
        for _ in 0..depth {
            file = zip(&[(name, &file, Stored)]);
            name = "a.zip";
        }
        let seen = read(&file);
        assert_eq!((seen.parts.len(), seen.flaws.len()), (1 - flaws, flaws), "{seen:?}");
    }
}

#[test]
fn an_archive_that_inflates_without_bounds_is_broken() {
    let zeros = vec![0; 32 << 20];
    let inner = zip(&[("a", &zeros, Deflated)]);
    let mut parts: Vec<(&str, &[u8], Pack)> = vec![("first", b"one", Stored)];
    parts.extend((0..4).map(|_| ("a.zip", inner.as_slice(), Deflated)));
    let (seen, outcome) = try_read(&zip(&parts));
    let what = words(outcome);
    assert!(what.contains("inflates without bounds"), "{what}");
    assert_eq!(seen.parts[0], "first: one", "what came before stands");
}

#[test]
fn an_archive_of_more_parts_than_any_has_is_broken() {
    let mut file = zip(&[("a/", b"", Stored)]);
    file.truncate(file.len() - 22);
    let many = file.repeat(PARTS_MAX as usize + 1);
    let (seen, outcome) = try_read(&many);
    assert_eq!(words(outcome), "more than 1000000 parts");
    assert!(seen.reached.windows(2).all(|pair| pair[1] - pair[0] <= 1 << 20), "progress at least once a mebibyte");
}

#[test]
fn what_is_encrypted_or_packed_otherwise_is_a_flaw() {
    let mut file = zip(&[("a", b"one", Deflated), ("b", b"two", Deflated), ("c", b"three", Stored)]);
    file[6] |= 1;
    let second = 30 + 1 + u32::from_le_bytes(file[18..22].try_into().unwrap()) as usize;
    file[second + 8] = 9;
    let seen = read(&file);
    assert_eq!(
        (seen.parts, seen.flaws),
        (vec!["c: three".to_owned()], vec!["a: encrypted".to_owned(), "b: method".to_owned()])
    );
    let mut file = zip(&[("a", b"one", Streamed)]);
    file[8] = 0;
    assert!(words(try_read(&file).1).contains("has no size"));
}

#[test]
fn names_are_short_and_plain() {
    let name = format!("{}\u{7}\n.txt", "x".repeat(60_000));
    let part = &read(&zip(&[(&name, b"", Stored)])).parts[0];
    assert!(part.len() < 300 && part.ends_with("x.txt: "), "{part}");
}

#[test]
fn sizes_of_64_bits_are_read() {
    let plain = zip(&[("a", b"one", Stored), ("b", b"two", Stored)]);
    let mut file = plain[..18].to_vec();
    // Both sizes stand in an extra field, behind another one.
    file.extend([0xFF; 8]);
    file.extend([1, 0, 26, 0]);
    file.extend(b"a\x09\x00\x02\x00xx\x01\x00\x10\x00");
    file.extend(3_u64.to_le_bytes().repeat(2));
    // The packed size is the second of the two: another first one does not matter.
    let sizes = file.len() - 16;
    file[sizes] ^= 0x55;
    file.extend(&plain[31..]);
    assert_eq!(read(&file).parts, ["a: one", "b: two"]);
}

proptest! {
    #[test]
    fn mutations_and_truncations_are_broken_at_a_byte_that_is_there_and_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
        is_streamed: bool,
    ) {
        let inner = zip(&[("c", b"three", Streamed)]);
        let parts: [(&str, &[u8]); 3] = [("a", b"one"), ("in.zip", &inner), ("b", &[b'x'; 999])];
        let mut bytes = if is_streamed { streamed(&parts) } else { packed(&parts) };
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        for length in [bytes.len(), end.index(bytes.len())] {
            match try_read(&bytes[..length]).1 {
                Ok(()) => {}
                Err(Fault::Broken { at, .. }) => prop_assert!(at <= length as u64),
                Err(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
        }
    }
}
