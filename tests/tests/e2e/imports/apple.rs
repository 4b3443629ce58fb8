//! Apple Health against Python: a real export, read by expat, and exports that a generator wrote, which knows what is in
//! them. None of the truth is computed by our own code.
//!
//! The real export is the one that `ipyhealth` publishes for its own tests (MIT licence): taken from the package registry
//! by name and version, never copied into this repository.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use engine::import::{Fault, apple};
use tests::python;

use super::lines::Lines;

/// Runs the script that knows the truth; what it printed.
fn truth(python: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/imports/apple_truth.py");
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Reads an export, and puts what was found beside it.
fn read(export: &Path) -> (PathBuf, Result<(), Fault>) {
    let mut lines = Lines::default();
    let outcome = apple::read(File::open(export).unwrap(), &mut lines);
    (lines.write_beside(export), outcome)
}

#[test]
fn a_real_export_agrees_with_expat_value_by_value() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let Some(python) = python::interpreter(folder) else { return };
    let export = folder.join("ipyhealth-0.1.2/export.xml");
    if !export.exists() {
        let made = Command::new(&python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/imports/apple_truth.py"))
            .arg("fetch")
            .arg(&export)
            .output()
            .unwrap();
        if !made.status.success() {
            return python::skip(&String::from_utf8_lossy(&made.stderr));
        }
    }
    let own = tempfile::tempdir().unwrap();
    let copy = own.path().join("export.xml");
    std::fs::copy(&export, &copy).unwrap();
    let (found, outcome) = read(&copy);
    outcome.unwrap();
    let report = truth(&python, &["compare", copy.to_str().unwrap(), found.to_str().unwrap()]);
    assert!(report.contains("heart_rate: 350"), "{report}");
}

#[test]
fn generated_exports_agree_with_what_their_generator_knows() {
    let Some(python) = python::interpreter(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let folder = tempfile::tempdir().unwrap();
    for seed in ["1", "2", "3", "4"] {
        let export = folder.path().join(format!("{seed}.zip"));
        let known = folder.path().join(format!("{seed}.truth.ndjson"));
        truth(&python, &["generate", seed, export.to_str().unwrap(), known.to_str().unwrap()]);
        let (found, outcome) = read(&export);
        outcome.unwrap();
        let report = truth(&python, &["agree", known.to_str().unwrap(), found.to_str().unwrap()]);
        for metric in ["heart_rate", "spo2", "body_temperature", "hrv", "hrv_sdnn", "steps", "calories", "sleep_deep"] {
            assert!(report.lines().any(|line| line.starts_with(&format!("{metric}: "))), "seed {seed}: {report}");
        }
    }
}
