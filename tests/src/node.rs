//! Folders with scripts for Node and the packages that they import, at the locked versions.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::python::{run, skip};

/// Says where the packages of `tests/fhir` are installed already: its `node_modules`.
const FHIR_PACKAGES: &str = "AVYCENNA_TEST_FHIR_PACKAGES";

/// The examples of `docs/examples/webhooks` in a copy below `folder`, their packages beside them; `None`, with a loud
/// line, where the packages cannot be had. In CI a missing package is a failure.
pub fn webhooks(folder: &Path) -> Option<PathBuf> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    MADE.get_or_init(|| said(make("docs/examples/webhooks", &folder.join("node"), None))).clone()
}

/// The same of the validators in `tests/fhir`.
///
/// `AVYCENNA_TEST_FHIR_PACKAGES` names a `node_modules` that is ready.
pub fn fhir(folder: &Path) -> Option<PathBuf> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let ready = std::env::var_os(FHIR_PACKAGES).map(PathBuf::from);
    MADE.get_or_init(|| said(make("tests/fhir", &folder.join("fhir"), ready.as_deref()))).clone()
}

fn said(made: Result<PathBuf, String>) -> Option<PathBuf> {
    made.inspect_err(|reason| skip(reason)).ok()
}

/// Copies the files of `source`, a folder of the repository: a module finds its packages from where it lies.
fn make(source: &str, copy: &Path, ready: Option<&Path>) -> Result<PathBuf, String> {
    run(Command::new("mkdir").arg("-p").arg(copy))?;
    let files = ["-maxdepth", "1", "-type", "f", "-exec", "cp", "-t"];
    run(Command::new("find").arg(crate::root().join(source)).args(files).arg(copy).args(["{}", "+"]))?;
    match ready {
        Some(packages) => {
            let place = copy.join("node_modules");
            run(Command::new("rm").arg("-rf").arg(&place))?;
            run(Command::new("ln").arg("-s").arg(packages).arg(place))?;
        }
        None => install(copy)?,
    }
    Ok(copy.to_path_buf())
}

/// `npm ci`, unless it has installed the same lock before.
fn install(copy: &Path) -> Result<(), String> {
    let (lock, installed) = (copy.join("package-lock.json"), copy.join("node_modules/installed-lock.json"));
    if run(Command::new("cmp").arg("-s").arg(&lock).arg(&installed)).is_ok() {
        return Ok(());
    }
    run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]).current_dir(copy))?;
    run(Command::new("cp").arg(&lock).arg(&installed))
}
