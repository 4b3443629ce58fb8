//! Real files of real watches through the documentation's pipeline.
//!
//! The files are those that the crate `fitparser` publishes for its own tests (MIT licence): taken from the package
//! registry by name and version, never copied into this repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::python;
use tests::time::rfc3339;

use crate::setup::server;

/// The folder of `fitparser`'s FIT files, at the version in `Cargo.lock`.
pub(crate) fn fixtures() -> PathBuf {
    let host = run(Command::new("rustc").arg("-vV"));
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let metadata = run(Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host])
        .current_dir(tests::root()));
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "fitparser");
    let manifest = package.unwrap()["manifest_path"].as_str().unwrap();
    Path::new(manifest).parent().unwrap().join("tests/fixtures")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_watchs_heart_rate_is_answered_value_by_value() {
    let Some(python) = python::interpreter(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let files = ["hrv-activity.fit", "garmin-fenix-5-bike.fit"].map(|name| fixtures().join(name));
    let truth = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/truth.py");
    let truth: Vec<(i64, f64)> = serde_json::from_str(&run(Command::new(&python).arg(truth).args(&files))).unwrap();
    assert_eq!(truth.len(), 1_072 + 19, "every record of both files carries a heart rate");

    let server = server().await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let ada = server.client().with_key(&key);
    let pipeline = tests::root().join("docs/examples/python/fit_pipeline.py");
    let (start, end) = (truth[0].0, truth.last().unwrap().0 + 1);
    let path = format!("/api/v1/wearables/metric/heart_rate?start={}&end={}", rfc3339(start), rfc3339(end));
    // Twice: sending again changes nothing.
    for _ in 0..2 {
        let report = run(Command::new(&python).arg(&pipeline).args(&files).env("URL", server.url()).env("KEY", &key));
        assert!(report.contains("heart_rate"), "{report}");
        let answer = ada.get(&path).await.expect(200).json();
        let read: Vec<(String, f64)> = answer["data_points"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|point| (point["recorded_at"].as_str().unwrap().to_owned(), point["value"].as_f64().unwrap()))
            .collect();
        let expected: Vec<_> = truth.iter().map(|(at, value)| (rfc3339(*at), *value)).collect();
        assert_eq!(read, expected);
    }
    let latest = ada.get("/api/v1/wearables/latest").await.expect(200).json();
    assert!(latest["latest"].get("body_temperature").is_none(), "a record's temperature is the air's: {latest}");
}
