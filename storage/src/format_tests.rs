//! The page of formats says what the code does: the same tables, the same constants.

use crate::point::{BATCH_POINTS_MAX, USER_ID_BYTES};
use crate::wal::{file, frame};
use crate::{disk, manifest};

const PAGE: &str = include_str!("../../docs/src/storage-format.md");

/// The rows of each table of a text, cells trimmed, head and rule left out.
fn tables(text: &str) -> Vec<Vec<Vec<&str>>> {
    let mut tables = Vec::new();
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with('|') {
            continue;
        }
        let mut rows = vec![cells(line)];
        while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
            rows.push(cells(row));
        }
        rows.remove(1);
        tables.push(rows);
    }
    tables
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// The byte table whose last column has this head.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    tables(PAGE).into_iter().find(|table| table[0].last() == Some(&head)).expect(head)
}

#[test]
fn the_constants_on_the_page_are_those_of_the_code() {
    let text = |magic: [u8; 4]| String::from_utf8(magic.to_vec()).unwrap();
    let expected = [
        ("log file: magic", text(file::MAGIC)),
        ("log file: version", file::VERSION.to_string()),
        ("log file: bytes of a header", file::HEADER_BYTES.to_string()),
        ("log file: second copy of the header at", file::COPY_AT.to_string()),
        ("log file: frames begin at", file::FRAMES_AT.to_string()),
        ("frame: magic of points", text(frame::MAGIC_POINTS)),
        ("frame: magic of a gap", text(frame::MAGIC_GAP)),
        ("frame: bytes of the header", frame::HEADER_BYTES.to_string()),
        ("frame: alignment", frame::ALIGN_BYTES.to_string()),
        ("manifest: magic", text(manifest::codec::MAGIC)),
        ("manifest: version", manifest::codec::VERSION.to_string()),
        ("manifest: bytes of the header", manifest::codec::HEADER_BYTES.to_string()),
        ("bytes of a user id", USER_ID_BYTES.to_string()),
        ("points in a batch, at most", BATCH_POINTS_MAX.to_string()),
    ];
    let page = table("value");
    let page: Vec<_> = page[1..].iter().map(|row| (row[0], row[1].to_owned())).collect();
    assert_eq!(page, expected);
}

#[test]
fn the_byte_tables_have_no_holes_and_the_length_of_the_header() {
    for (head, bytes) in [
        ("log file header", file::HEADER_BYTES),
        ("frame header", frame::HEADER_BYTES),
        ("manifest header", manifest::codec::HEADER_BYTES),
    ] {
        let mut at = 0;
        for row in &table(head)[1..] {
            assert_eq!(row[0].parse::<usize>().unwrap(), at, "{head}: {row:?}");
            at += row[1].parse::<usize>().unwrap();
        }
        assert_eq!(at, bytes, "{head}");
    }
}

#[test]
fn the_tables_in_the_source_are_those_on_the_page() {
    let page = tables(PAGE);
    for source in [include_str!("wal/file.rs"), include_str!("wal/frame/mod.rs"), include_str!("manifest/codec.rs")] {
        let lines: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let doc = lines.join("\n");
        let found = tables(&doc);
        assert!(!found.is_empty());
        for table in found {
            assert!(page.contains(&table), "not on the page: {table:?}");
        }
    }
}

/// Reads a log and a manifest with nothing but what the page says.
#[test]
fn a_reader_written_from_the_page_finds_the_points() {
    use crate::disk::Disk;
    use std::path::Path;
    let disk = disk::sim::SimDisk::new(1);
    let tail = crate::wal::Tail { next_seq: crate::Seq(1), accepted_max_ms: 0, closed: Vec::new() };
    let mut log = crate::wal::Log::open(std::sync::Arc::new(disk.clone()), Path::new("log"), 1 << 16, tail).unwrap();
    let mut origins = crate::Origins::default();
    origins.intern("watch", Some("left")).unwrap();
    let parts = vec![crate::Part { metric: crate::MetricId(0), start: 0, end: 2 }];
    let user = crate::UserId::parse("usr_00000001").unwrap();
    let batch = crate::PointBatch::new(user, parts, vec![5, -6], vec![1.5, 62.0], vec![0, 0], origins).unwrap();
    log.append(&[std::sync::Arc::new(batch)], &["heart_rate".into()], 77).unwrap();

    let path = &disk.list(Path::new("log")).unwrap()[0].path;
    assert_eq!(path, Path::new("log/00000000000000000001.log"));
    let bytes = disk.bytes(path).unwrap();
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!((&bytes[0..4], u32_at(4), u64_at(8)), (&b"AVWL"[..], 1, 1));
    assert_eq!(bytes[0..32], bytes[512..544]);
    assert_eq!(u32_at(28), crc32c::crc32c(&bytes[0..28]));
    let salt = u32_at(16);

    let frame = 1024;
    assert_eq!(&bytes[frame..frame + 4], b"AVF1");
    let end = frame + 48 + u32_at(frame + 4) as usize;
    assert_eq!((u64_at(frame + 8), u64_at(frame + 16), u64_at(frame + 24), u32_at(frame + 32)), (1, 0, 77, 2));
    assert_eq!(u32_at(frame + 40), crc32c::crc32c_append(salt, &bytes[frame + 48..end]));
    assert_eq!(u32_at(frame + 44), crc32c::crc32c_append(salt, &bytes[frame..frame + 44]));
    let body = [
        &b"\x01\x00\x0aheart_rate\x01\x00\x00\x00"[..],
        b"usr_00000001\x02\x00\x00\x00\x01\x00\x00\x00",
        b"\x00\x00\x02\x00\x00\x00",
        b"\x05\x00\x05\x00watchleft",
        b"\x00\x00\x00",
        &5_i64.to_le_bytes(),
        &(-6_i64).to_le_bytes(),
        &1.5_f64.to_le_bytes(),
        &62_f64.to_le_bytes(),
    ]
    .concat();
    assert_eq!(bytes[frame + 48..][..body.len()], body);
    assert!(end - (frame + 48 + body.len()) < 8 && bytes[frame + 48 + body.len()..].iter().all(|byte| *byte == 0));
}
