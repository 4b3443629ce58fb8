//! A Python with the packages that the documentation's examples import, and testers that others wrote.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What is installed: for the documentation's examples, and the testers that others wrote.
const REQUIREMENTS: [&str; 2] = ["docs/examples/python/requirements.txt", "tests/tests/e2e/testers/requirements.txt"];

/// The interpreter, made once a run below `folder`; `None`, with a loud line, where the packages cannot be had.
///
/// `AVYCENNA_TEST_PYTHON` names one that is ready. In CI a missing package is a failure.
pub fn interpreter(folder: &Path) -> Option<PathBuf> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    MADE.get_or_init(|| {
        if let Ok(ready) = std::env::var("AVYCENNA_TEST_PYTHON") {
            return Some(PathBuf::from(ready));
        }
        match make(&folder.join("python")) {
            Ok(python) => Some(python),
            Err(reason) => {
                skip(&reason);
                None
            }
        }
    })
    .clone()
}

/// Says that something is not tested; fails instead in CI.
pub fn skip(reason: &str) {
    assert!(!crate::is_ci(), "in CI nothing is skipped: {reason}");
    #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
    {
        eprintln!("\n*** SKIPPED, NOT TESTED: {reason} ***\n");
    }
}

fn make(venv: &Path) -> Result<PathBuf, String> {
    let python = venv.join("bin/python");
    let requirements = REQUIREMENTS.map(|file| crate::root().join(file));
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
    }
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(requirements.iter().flat_map(|file| [Path::new("--requirement"), file])))?;
    Ok(python)
}

pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
