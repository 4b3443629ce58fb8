//! The app Health Auto Export against Python, which reads its published format independently: bodies by a generator, as
//! the app's settings and versions make them, and what may be wrong with them. The app publishes no sample of its own.

use std::path::Path;
use std::process::Command;

use engine::import::health_auto_export;
use tests::python;

use super::lines::Lines;

/// Runs the script that knows the truth; what it printed.
fn truth(python: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/imports/health_auto_export_truth.py");
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bodies_of_the_app_agree_with_an_independent_reader_value_by_value() {
    let Some(python) = python::interpreter(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut reports = String::new();
    for seed in ["1", "2", "3", "4", "5", "6"] {
        truth(&python, &["generate", seed, folder.path().to_str().unwrap()]);
        for name in ["minutes", "hours", "days", "weeks", "moments", "nights", "intervals", "edges", "nothing"] {
            let body = folder.path().join(format!("{name}.json"));
            let mut lines = Lines::default();
            health_auto_export::read(&std::fs::read(&body).unwrap(), &mut lines).unwrap();
            let found = lines.write_beside(&body);
            reports += &truth(&python, &["compare", body.to_str().unwrap(), found.to_str().unwrap()]);
        }
    }
    for metric in [
        "heart_rate: ",
        "spo2: ",
        "respiratory_rate: ",
        "body_temperature: ",
        "hrv_sdnn: ",
        "steps: ",
        "calories: ",
        "sleep_duration: ",
        "sleep_deep: ",
        "sleep_rem: ",
        "left out, weeks or months: ",
        "left out, time in bed: ",
        "left out, without a value: ",
        "left out, time cannot be read: ",
        "left out, metrics that are none here: ",
        "left out, unit that is not known: ",
        "left out, kind that is not known: ",
    ] {
        assert!(reports.lines().any(|line| line.starts_with(metric)), "{metric}\n{reports}");
    }
}
