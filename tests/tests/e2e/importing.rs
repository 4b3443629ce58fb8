//! Files through the real binary: killed in the middle, two at once, hostile ones, and the command line.

#![expect(clippy::disallowed_methods, reason = "the server under test has the system's clock")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Client, Server};

use crate::setup::{bulk, heart_rate, options, server};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_mins(3);

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// Most resident memory of a server that reads a hostile file, kB: as much as any server with its caches may take.
const RESIDENT_KB_MAX: u64 = 512 << 10;

/// An export of Apple Health with so many heart rates, one a minute from 2024 on, and an hour of steps a day by watch and
/// phone.
pub(crate) fn export(count: i64) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<HealthData locale=\"en_US\">\n".to_owned();
    let at = |minute: i64| tests::time::rfc3339(1_704_067_200 + minute * 60).replace('T', " ").replace('Z', " +0000");
    let mut record = |kind: &str, source: &str, unit: &str, start: String, end: String, value: i64| {
        let kind = format!("HKQuantityTypeIdentifier{kind}");
        writeln!(
            xml,
            " <Record type=\"{kind}\" sourceName=\"{source}\" sourceVersion=\"10.3\" unit=\"{unit}\" \
             creationDate=\"{end}\" startDate=\"{start}\" endDate=\"{end}\" value=\"{value}\"/>"
        )
        .unwrap();
    };
    for minute in 0..count {
        record("HeartRate", "Apple Watch", "count/min", at(minute), at(minute), 60 + minute % 40);
    }
    for day in 0..(count / 1_440).max(1) {
        let start = day * 1_440 + 600;
        record("StepCount", "iPhone", "count", at(start), at(start + 60), 1_000);
        record("StepCount", "Apple Watch", "count", at(start), at(start + 60), 1_200);
    }
    xml + "</HealthData>\n"
}

pub(crate) async fn send(client: &Client, format: &str, file: impl Into<reqwest::Body>) -> String {
    let request = client.request("POST", &format!("/api/v1/imports?format={format}")).body(file);
    let queued = client.send(request).await.expect(202).json();
    queued["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn until(client: &Client, id: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let import = client.get(&format!("/api/v1/imports/{id}")).await.expect(200).json();
        if is_wanted(&import) {
            return import;
        }
        assert!(Instant::now() < deadline, "{import}");
        tokio::time::sleep(POLL).await;
    }
}

pub(crate) fn has_ended(import: &Value) -> bool {
    !["queued", "running"].contains(&import["status"].as_str().unwrap())
}

pub(crate) async fn count(client: &Client, metric: &str) -> i64 {
    let range = "start=2024-01-01T00:00:00Z&end=2026-01-01T00:00:00Z";
    let buckets = client.get(&format!("/api/v1/wearables/metric/{metric}?{range}&bucket=1mo&agg=count")).await;
    let buckets = buckets.expect(200).json();
    buckets["buckets"].as_array().unwrap().iter().map(|bucket| bucket["count"].as_i64().unwrap()).sum()
}

/// Resident memory of a process, at its peak, kB.
fn resident_kb(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on_and_holds_each_point() {
    let records = 300_000;
    let mut server = server().await;
    let mut ada = server.person("ada@example.org");
    let id = send(&ada, "apple_health", export(records)).await;
    let begun = until(&ada, &id, |import| import["progress"].as_f64().unwrap() > 0.0).await;
    server.kill();
    assert!(!has_ended(&begun), "it was too fast for this test: {begun}");
    server.restart().await;
    ada = ada.moved_to(&server.url());
    let done = until(&ada, &id, has_ended).await;
    assert_eq!(done["status"], "done", "{done}");
    let days = records / 1_440;
    let expected = json!({"heart_rate": records, "steps_sample": 2 * days, "steps": days});
    assert_eq!(done["ingested"], expected, "each was counted once");
    assert_eq!((count(&ada, "heart_rate").await, count(&ada, "steps").await), (records, days));
    let newest = ada.get("/api/v1/wearables/latest").await.expect(200).json();
    assert_eq!(newest["latest"]["steps"]["value"], 1_200, "the watch counts, the phone does not");
    let left = std::fs::read_dir(server.data_dir().join("imports")).unwrap();
    let left: Vec<_> = left.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["server"], "the file is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_imports_at_once_let_requests_through() {
    let server = server().await;
    let (ada, bo) = (server.person("ada@example.org"), server.person("bo@example.org"));
    let file = export(60_000);
    let (of_ada, of_bo) = (send(&ada, "apple_health", file.clone()).await, send(&bo, "apple_health", file).await);
    let mut slowest = Duration::ZERO;
    for nth in 0..100 {
        let began = Instant::now();
        let point = heart_rate(61.0, &tests::time::ago(nth));
        ada.post("/api/v1/wearables/bulk-ingest", &bulk(&[point])).await.expect(201);
        ada.get("/api/v1/wearables/latest").await.expect(200);
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(10), "a write and a read took {slowest:?}");
    for (client, id) in [(&ada, of_ada), (&bo, of_bo)] {
        assert_eq!(until(client, &id, has_ended).await["ingested"]["heart_rate"], 60_000);
    }
}

/// A zip with one member, as Python writes it.
pub(crate) fn zip(folder: &Path, name: &str, script: &str) -> Vec<u8> {
    let path = folder.join("made.zip");
    let program = format!(
        "import sys, zipfile, io\nwith zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as archive:\n    {script}\n"
    );
    let made = Command::new("python3").args(["-c", &program]).arg(&path).arg(name).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_files_fail_in_bounded_memory_and_the_server_lives() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let folder = tempfile::tempdir().unwrap();
    // 512 MiB of nothing, and of spaces inside of a document.
    let zeros = zip(folder.path(), "export.xml", "archive.writestr(sys.argv[2], bytes(1 << 29))");
    let spaces = "archive.writestr(sys.argv[2], b'<HealthData locale=\"en_US\">' + b' ' * (1 << 29))";
    let spaces = zip(folder.path(), "apple_health_export/export.xml", spaces);
    let nested = "data = b'x'\n    for _ in range(100):\n        out = io.BytesIO()\n        \
                  zipfile.ZipFile(out, 'w').writestr('a.zip', data)\n        data = out.getvalue()\n    \
                  archive.writestr('a.zip', data)";
    let nested = zip(folder.path(), "", nested);
    let upwards = zip(folder.path(), "../../../etc/export.xml", "archive.writestr(sys.argv[2], b'<HealthData/>')");
    let mut random = Vec::new();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..1 << 17 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        random.extend_from_slice(&state.to_le_bytes());
    }
    for (name, file) in
        [("zeros", zeros), ("spaces", spaces), ("nested", nested), ("upwards", upwards), ("random", random)]
    {
        for format in ["apple_health", "garmin"] {
            let id = send(&ada, format, file.clone()).await;
            let ended = until(&ada, &id, has_ended).await;
            assert_eq!(ended["ingested"], json!({}), "{name} as {format}: {ended}");
            assert_ne!(ended["status"], "partial", "{name} as {format}: {ended}");
            assert!(ended["error"].is_null() || !ended["error"].as_str().unwrap().contains("log"), "{ended}");
        }
    }
    let resident = resident_kb(&server);
    assert!(resident < RESIDENT_KB_MAX, "{resident} kB");
    ada.get("/api/v1/wearables/latest").await.expect(200);
    assert!(!Path::new("/etc/export.xml").exists());
}

fn avycenna(server: &Server, folder: &Path, arguments: &[&str]) -> (i32, String) {
    let url = server.url();
    let output: Output = options().run(&[&["import"], arguments, &["--url", &url]].concat(), folder);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sends_files_and_says_what_became_of_them() {
    let server = server().await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("export.xml"), export(3)).unwrap();
    std::fs::write(folder.path().join("broken.xml"), "<HealthData><Record").unwrap();
    let arguments = ["apple-health", "export.xml", "--key", &key];
    let (code, said) = avycenna(&server, folder.path(), &arguments);
    assert_eq!(code, 0, "{said}");
    let expected = "export.xml: done\n  heart_rate    3\n  steps         1\n  steps_sample  2\n";
    assert_eq!(said, expected);
    let (code, said) = avycenna(&server, folder.path(), &["apple-health", "broken.xml", "export.xml", "--key", &key]);
    assert_eq!(code, 7, "{said}");
    assert!(said.contains("broken.xml: failed: ") && said.contains("export.xml: done"), "{said}");
    let (code, said) = avycenna(&server, folder.path(), &["apple-health", "export.xml", "--key", "avk_wrong"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the server answered 401"), "{said}");
    let (code, said) = avycenna(&server, folder.path(), &["apple-health", "nowhere.xml", "--key", &key]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("nowhere.xml"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sends_a_folder_as_one() {
    let server = server().await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("watch/Activity");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let asset = tests::root().join("server/assets/garmin-fenix-5-bike.fit");
    std::fs::copy(asset, inside.join("ride.FIT")).unwrap();
    std::fs::write(folder.path().join("watch/note.txt"), "not for us").unwrap();
    let (code, said) = avycenna(&server, folder.path(), &["garmin", "watch", "--key", &key]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("watch: done") && said.contains("heart_rate"), "{said}");
    // One that breaks off leaves the other, and is told.
    let whole = std::fs::read(inside.join("ride.FIT")).unwrap();
    std::fs::write(inside.join("cut.fit"), &whole[..whole.len() / 2]).unwrap();
    let (code, said) = avycenna(&server, folder.path(), &["garmin", "watch", "--key", &key]);
    assert_eq!(code, 7, "{said}");
    assert!(said.contains("watch: partial\n") && said.contains("such as Activity/cut.fit: broken at byte"), "{said}");
    let (code, said) = avycenna(&server, folder.path(), &["apple-health", "watch/Activity/ride.FIT", "--key", &key]);
    assert_eq!(code, 7, "{said}");
    assert!(said.contains("failed: ") && said.contains("`avycenna import garmin`"), "{said}");
    for (format, endings) in [("garmin", ".fit, .zip or .json"), ("apple-health", ".zip or .xml")] {
        let (code, said) = avycenna(&server, folder.path(), &[format, "empty", "--key", &key]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(&format!("empty holds no file that ends in {endings}")), "{said}");
    }
    // As a browser leaves an export that it has unpacked.
    std::fs::create_dir(folder.path().join("apple_health_export")).unwrap();
    std::fs::write(folder.path().join("apple_health_export/export.xml"), export(3)).unwrap();
    let (code, said) = avycenna(&server, folder.path(), &["apple-health", "apple_health_export", "--key", &key]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("apple_health_export: done\n  heart_rate    3\n"), "{said}");
}
