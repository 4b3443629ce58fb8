//! A sink and its body: bounded, ended when nobody reads, and never whole by accident.

use std::io::Write as _;

use axum::body::to_bytes;
use futures::StreamExt as _;
use serde_json::json;

use super::document::{Archive, Document, Head};
use super::*;

const STALL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(30);

fn exports(places: u32) -> Arc<Exports> {
    Arc::new(Exports::new(&Limits { exports_max: places, ..Limits::default() }))
}

fn user(letter: char) -> UserId {
    UserId::parse(&format!("usr_0000000{letter}")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_arrives_in_order_and_ends() {
    let (mut sink, body) = sink::channel(PATIENCE);
    let written: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let expected = written.clone();
    let writer = std::thread::spawn(move || {
        for piece in written.chunks(7_001) {
            sink.write_all(piece).unwrap();
        }
        sink.end().unwrap();
    });
    assert!(to_bytes(body, usize::MAX).await.unwrap() == expected);
    writer.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_whose_writer_is_gone_is_broken() {
    let (mut sink, body) = sink::channel(PATIENCE);
    sink.write_all(&vec![b'x'; 2 * sink::PIECE_BYTES]).unwrap();
    drop(sink);
    let mut pieces = body.into_data_stream();
    assert!(pieces.next().await.unwrap().is_ok());
    assert!(pieces.next().await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_holds_little_memory_and_is_left() {
    let (mut sink, body) = sink::channel(STALL);
    let loss = sink.loss();
    let writer = std::thread::spawn(move || {
        let mut bytes = 0;
        while sink.write_all(&[b'x'; 1_024]).is_ok() {
            bytes += 1_024;
        }
        // What comes behind the failure goes nowhere, and costs nothing.
        sink.write_all(&vec![b'y'; 1 << 24]).unwrap();
        (bytes, sink.buffer().len())
    });
    let (bytes, left) = tokio::task::spawn_blocking(move || writer.join().unwrap()).await.unwrap();
    assert!(bytes <= 6 * sink::PIECE_BYTES, "{bytes} bytes were taken");
    assert!(left <= sink::PIECE_BYTES, "{left} bytes are left");
    assert_eq!(loss.get(), Some(&Loss::Stalled));
    assert!(to_bytes(body, usize::MAX).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_gone_ends_the_writing() {
    let (mut sink, body) = sink::channel(PATIENCE);
    drop(body);
    let failed = sink.write_all(&vec![b'x'; sink::PIECE_BYTES]).unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(sink.loss().get(), Some(&Loss::Gone));
}

/// Bytes that arrive of an archive whose writer ends before its end.
async fn archive_broken_by(end: impl FnOnce(Archive) + Send + 'static) -> Vec<u8> {
    let (sink, body) = sink::channel(PATIENCE);
    let writer = std::thread::spawn(move || {
        let mut archive = Archive::new(sink, Head::new("usr_7jRtHvBk", "2026-06-01T00:00:00Z".to_owned())).unwrap();
        // A directory of all these is longer than what waits for a piece to be full: it would arrive.
        for nth in 0..4_000 {
            let name: &'static str = format!("record-{nth}").leak();
            archive.single(name, &json!({"nth": nth})).unwrap();
        }
        end(archive);
    });
    let (mut arrived, mut pieces) = (Vec::new(), body.into_data_stream());
    while let Some(Ok(piece)) = pieces.next().await {
        arrived.extend_from_slice(&piece);
    }
    drop(tokio::task::spawn_blocking(move || writer.join()).await);
    assert!(arrived.len() > sink::PIECE_BYTES, "something arrived");
    arrived
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_breaks_off_or_panics_has_no_directory() {
    let dropped = archive_broken_by(drop).await;
    let panicked = archive_broken_by(|_archive| panic!("in the middle of an archive")).await;
    for arrived in [dropped, panicked] {
        assert!(zip::ZipArchive::new(io::Cursor::new(&arrived)).is_err());
        assert!(!arrived.windows(4).any(|bytes| bytes == b"PK\x01\x02"), "an entry of a directory");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_one_place_and_everybody_together_have_so_many() {
    let exports = exports(2);
    let first = exports.begin(user('a')).unwrap();
    assert_eq!(exports.begin(user('a')).unwrap_err().status(), 503);
    let second = exports.begin(user('b')).unwrap();
    assert_eq!(exports.begin(user('c')).unwrap_err().status(), 503);
    drop(first);
    let third = exports.begin(user('c')).unwrap();
    assert_eq!(exports.begin(user('a')).unwrap_err().status(), 503);
    drop((second, third));
    exports.ended(PATIENCE).await;
    exports.begin(user('a')).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_panics_breaks_its_body_and_gives_its_place_back() {
    let (exports, metrics) = (exports(1), Metrics::new());
    let place = exports.begin(user('a')).unwrap();
    let body = place.start(metrics.clone(), |_sink| panic!("in the middle of an export")).unwrap();
    assert!(to_bytes(body, usize::MAX).await.is_err());
    exports.ended(PATIENCE).await;
    exports.begin(user('a')).unwrap();
}
