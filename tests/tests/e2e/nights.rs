//! A night that is told more than once, through the real binary: by a phone's exports, by a watch and its account, and killed
//! in between.

#![expect(clippy::disallowed_methods, reason = "the server under test has the system's clock")]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Client, Server};

use crate::importing::{has_ended, send, until, zip};
use crate::interrupted::sql;
use crate::setup::{options, server};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_mins(2);

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// 2024-05-04T00:00:00Z in seconds of FIT, which begin with the year 1990 but for a day.
const MIDNIGHT_S: u32 = 1_714_780_800 - 631_065_600;

const HOUR_S: u32 = 3_600;

/// An export of a night from 23:00 on, made at some time.
fn export(made: &str, end: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<HealthData locale=\"en_US\">\n \
         <ExportDate value=\"2024-05-04 {made}:00 +0000\"/>\n \
         <Record type=\"HKCategoryTypeIdentifierSleepAnalysis\" sourceName=\"Watch\" \
         startDate=\"2024-05-03 23:00:00 +0000\" endDate=\"2024-05-04 {end}:00 +0000\" \
         value=\"HKCategoryValueSleepAnalysisAsleepCore\"/>\n</HealthData>\n"
    )
}

/// What a watch writes of a night of light sleep, seconds from midnight on.
fn watch(start: u32, end: u32) -> Vec<u8> {
    // A level of sleep: its time, and which one.
    let mut content = vec![0x40, 0, 0, 0x13, 0x01, 2, 253, 4, 0x86, 0, 1, 0];
    for (at, level) in [(start, 2), (end, 1)] {
        content.push(0);
        content.extend((MIDNIGHT_S + at).to_le_bytes());
        content.push(level);
    }
    let mut file = vec![12, 0x20, 0, 0];
    file.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    file.extend(b".FIT");
    file.extend(content);
    let sum = file.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 })
    });
    file.extend(sum.to_le_bytes());
    file
}

/// An account's export with a night until seven, and its heart rate variability.
fn account(folder: &Path) -> Vec<u8> {
    let sleep = json!([{
        "calendarDate": "2024-05-04", "sleepStartTimestampGMT": "2024-05-03T23:30:00.0",
        "sleepEndTimestampGMT": "2024-05-04T07:00:00.0", "deepSleepSeconds": 3_600, "lightSleepSeconds": 21_600,
    }]);
    let status = json!([{"calendarDate": "2024-05-04", "metrics": [{"type": "HRV", "value": 42}]}]);
    let script = format!(
        "archive.writestr('DI_CONNECT/1_sleepData.json', '{sleep}')\n    \
         archive.writestr('DI_CONNECT/1_healthStatusData.json', '{status}')"
    );
    zip(folder, "", &script)
}

/// A metric's points: when, how much.
async fn points(client: &Client, metric: &str) -> Vec<(String, f64)> {
    let path = format!("/api/v1/wearables/metric/{metric}?start=2024-05-01T00:00:00Z&end=2024-05-08T00:00:00Z");
    let window = client.get(&path).await.expect(200).json();
    let of = |point: &Value| (point["recorded_at"].as_str().unwrap().to_owned(), point["value"].as_f64().unwrap());
    window["data_points"].as_array().unwrap().iter().map(of).collect()
}

fn night(end: &str, hours: f64) -> Vec<(String, f64)> {
    vec![(format!("2024-05-04T{end}:00Z"), hours)]
}

async fn import(client: &Client, format: &str, file: impl Into<reqwest::Body>) -> Value {
    let id = send(client, format, file).await;
    let ended = until(client, &id, has_ended).await;
    assert_eq!(ended["status"], "done", "{ended}");
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn two_exports_of_one_night_leave_one_night_in_every_answer() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let key = server.key("ada@example.org");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("early.xml"), export("03:10", "03:00")).unwrap();
    std::fs::write(folder.path().join("late.xml"), export("09:00", "07:00")).unwrap();
    for (files, there) in [
        (&["early.xml"][..], night("03:00", 4.0)),
        (&["late.xml"], night("07:00", 8.0)),
        (&["early.xml", "late.xml", "early.xml"], night("07:00", 8.0)),
    ] {
        let url = server.url();
        let arguments = [&["import", "apple-health"], files, &["--key", &key, "--url", &url]].concat();
        let output = options().run(&arguments, folder.path());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.contains("in whose place another one stands"), files.len() > 1, "{said}");
        assert_eq!(points(&ada, "sleep_duration").await, there);
    }
    let latest = ada.get("/api/v1/wearables/latest").await.expect(200).json();
    let newest = &latest["latest"]["sleep_duration"];
    assert_eq!(
        (&newest["recorded_at"], newest["value"].as_f64()),
        (&json!("2024-05-04T07:00:00Z"), Some(8.0)),
        "{latest}"
    );
    let export = ada.get("/api/v1/export?format=ndjson").await.expect(200);
    assert_eq!(export.text.matches(r#""metric":"sleep_duration","value""#).count(), 1, "{}", export.text);
    let bundle = ada.get("/fhir/R4/Observation?code=http://loinc.org|93832-4").await.expect(200).json();
    assert_eq!(bundle["entry"].as_array().map(Vec::len), Some(1), "{bundle}");
    assert_eq!(bundle["entry"][0]["resource"]["valueQuantity"]["value"].as_f64(), Some(8.0), "{bundle}");
    let statement = "SELECT count(*) AS nights, sum(value) AS hours FROM points WHERE metric = 'sleep_duration'";
    let counted = ada.post("/api/v1/query", &json!({ "sql": statement })).await.expect(200).json();
    assert_eq!(counted["rows"], json!([[1, 8.0]]), "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_s_file_and_the_account_s_export_leave_one_night_in_both_orders() {
    let server = server().await;
    let folder = tempfile::tempdir().unwrap();
    let (watch, account) = (watch(0, 6 * HOUR_S), account(folder.path()));
    for (person, files) in [("ada@example.org", [&watch, &account]), ("bo@example.org", [&account, &watch])] {
        let client = server.person(person);
        for file in files {
            import(&client, "garmin", file.clone()).await;
        }
        assert_eq!(points(&client, "sleep_duration").await, night("07:00", 7.0), "{person}");
        assert_eq!(points(&client, "hrv").await, night("07:00", 42.0), "{person}");
        // Corrected, and pushed: what the old night had at its end is not left behind.
        let pushed = json!({"sleeps": [{
            "summaryId": "s", "validation": "ENHANCED_FINAL", "startTimeInSeconds": 1_714_780_800,
            "durationInSeconds": 5 * HOUR_S, "lightSleepDurationInSeconds": 5 * HOUR_S,
        }]});
        client.post("/api/v1/integrations/garmin/push", &pushed).await.expect(200);
        import(&client, "garmin", files[0].clone()).await;
        assert_eq!(points(&client, "sleep_duration").await, night("05:00", 5.0), "{person}");
        assert_eq!(points(&client, "sleep_deep").await, [], "{person}");
        assert_eq!(points(&client, "hrv").await, night("05:00", 42.0), "{person}");
    }
}

/// Imports a night twice, kills the server where the second import breaks at a statement, and lets it go on; `there` is what
/// stands in between.
async fn killed_at(broken_statement: &str, there: Vec<(String, f64)>) {
    let mut server = server().await;
    let ada = server.person("ada@example.org");
    import(&ada, "apple_health", export("03:10", "03:00")).await;
    sql(&server, &format!("CREATE TRIGGER stop BEFORE {broken_statement} BEGIN SELECT RAISE(ABORT, 'stop'); END"));
    let id = send(&ada, "apple_health", export("09:00", "07:00")).await;
    broken_off(&server).await;
    assert_eq!(points(&ada, "sleep_duration").await, there);
    server.kill();
    sql(&server, "DROP TRIGGER stop");
    server.restart().await;
    let ada = ada.moved_to(&server.url());
    let resumed = until(&ada, &id, has_ended).await;
    assert_eq!(resumed["ingested"], json!({"sleep_duration": 1, "sleep_deep": 1, "sleep_rem": 1}), "{resumed}");
    assert_eq!(points(&ada, "sleep_duration").await, night("07:00", 8.0));
    assert_eq!(sql(&server, "SELECT ended_at - began_at, is_stored FROM nights"), "[(28800000000, 1)]");
}

async fn broken_off(server: &Server) {
    let deadline = Instant::now() + DEADLINE;
    while !server.log().contains("an import broke off") {
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_a_night_is_noted_an_import_leaves_one_night() {
    killed_at("INSERT ON nights", night("03:00", 4.0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_a_displaced_night_is_forgotten_an_import_leaves_one_night() {
    killed_at("DELETE ON nights", night("07:00", 8.0)).await;
}
