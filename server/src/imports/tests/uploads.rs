//! Files as they arrive: bounded in every way, and none left behind.

use std::io::Write as _;

use axum::body::Body;

use super::*;
use crate::access::tests::places;

/// A server without a runner: what arrives stays.
async fn quiet(change: impl FnOnce(&mut Config)) -> World {
    let mut database = Database::new().await;
    change(&mut database.config);
    let stage = Stage::on(database).await;
    let ada = stage.patient("Ada").await;
    World { stage, ada, runner: None }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_before_the_file_is_read() {
    let world = quiet(|_| {}).await;
    for (query, place) in [
        ("", "format"),
        ("?format=fitbit", "format"),
        ("?format=garmin&format=garmin", "format"),
        ("?format=garmin&days=3", "days"),
        (&format!("?format=garmin&priority={}", "x".repeat(65)), "priority"),
    ] {
        let (status, answer) = world.stage.send_file(&world.ada.token, query, None, "hr 60 10\n").await;
        assert_eq!((status, places(&answer)), (422, vec![json!(["query", place])]), "{query}: {answer}");
    }
    let (status, _) = world.stage.send_file(&world.ada.read_key, "?format=garmin", None, "hr 60 10\n").await;
    assert_eq!(status, 403);
    let (status, answer) = world.stage.send_file(&world.ada.token, "?format=garmin", None, "").await;
    assert_eq!((status, places(&answer)), (422, vec![json!(["body"])]));
    let (status, _) = world.stage.send_file(&world.ada.token, "?format=garmin", Some("br"), "x").await;
    assert_eq!(status, 415);
    assert_eq!(world.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_is_too_long_is_refused_as_sent_and_as_inflated() {
    let world = quiet(|config| config.imports.bytes_max = 1 << 20).await;
    let token = &world.ada.token;
    let long = vec![b'\n'; (1 << 20) + 1];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&long).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&long[..], 1).unwrap();
    let forms = [(None, long.clone()), (Some("gzip"), gzip.clone()), (Some("zstd"), zstd)];
    for (coding, bytes) in forms {
        let (status, answer) = world.stage.send_file(token, "?format=garmin", coding, bytes).await;
        assert_eq!(status, 413, "{coding:?}: {answer}");
    }
    let cut = gzip[..gzip.len() / 2].to_vec();
    let (status, answer) = world.stage.send_file(token, "?format=garmin", Some("gzip"), cut).await;
    assert_eq!((status, places(&answer)), (422, vec![json!(["body"])]));
    assert_eq!(world.files(), Vec::<String>::new());
    let (status, answer) = world.stage.send_file(token, "?format=garmin", None, vec![b'\n'; 1 << 20]).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(world.files(), [answer["id"].as_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_gzipped_is_imported() {
    let world = World::new().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"hr 60 10\n").unwrap();
    let gzip = gzip.finish().unwrap();
    let (status, answer) = world.stage.send_file(&world.ada.token, "?format=garmin", Some("gzip"), gzip).await;
    assert_eq!(status, 202, "{answer}");
    let done = world.until(answer["id"].as_str().unwrap(), |import| import["status"] == "done").await;
    assert_eq!(done["ingested"], json!({"heart_rate": 1}));
}

#[tokio::test]
async fn a_disk_that_has_no_room_for_others_takes_no_file() {
    let world = quiet(|config| config.imports.disk_free_bytes_min = u64::MAX).await;
    let (status, answer) = world.stage.send_file(&world.ada.token, "?format=garmin", None, "hr 60 10\n").await;
    assert_eq!(status, 507, "{answer}");
    assert_eq!(world.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_person_s_files_that_wait_are_bounded() {
    let world = quiet(|config| config.imports.waiting_max = 2).await;
    for expected in [202, 202, 409] {
        let (status, answer) = world.stage.send_file(&world.ada.token, "?format=garmin", None, "hr 60 10\n").await;
        assert_eq!(status, expected, "{answer}");
    }
    assert_eq!(world.files().len(), 2);
    let bo = world.stage.patient("Bo").await;
    let (status, _) = world.stage.send_file(&bo.token, "?format=garmin", None, "hr 60 10\n").await;
    assert_eq!(status, 202, "others have room of their own");
}

#[tokio::test]
async fn a_file_that_breaks_off_leaves_nothing() {
    let world = quiet(|_| {}).await;
    let pieces = [Ok(bytes::Bytes::from("hr 60 10\n")), Err(io::Error::other("the client is gone"))];
    let body = Body::from_stream(futures::stream::iter(pieces));
    let (status, answer) = world.stage.send_file(&world.ada.token, "?format=garmin", None, body).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(world.files(), Vec::<String>::new());
    assert_eq!(world.stage.read(&world.ada.token, "/imports").await["imports"], json!([]));
}

#[tokio::test]
async fn files_without_an_import_go_at_the_start_and_others_stay() {
    let world = quiet(|_| {}).await;
    let (_, answer) = world.stage.send_file(&world.ada.token, "?format=garmin", None, "hr 60 10\n").await;
    let kept = answer["id"].as_str().unwrap();
    let orphan = world.stage.state.imports.uploads().path("imp_0123456789abcdef");
    std::fs::write(&orphan, "from before a crash").unwrap();
    let removed = world.stage.state.imports.uploads().sweep(&world.stage.state.control).await.unwrap();
    assert_eq!((removed, world.files()), (1, vec![kept.to_owned()]));
}
