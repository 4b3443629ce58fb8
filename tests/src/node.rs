//! A folder with the Node packages that the documentation's examples import.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::python::{run, skip};

/// The examples of `docs/examples/webhooks` in a copy below `folder`, their packages at the locked versions beside them;
/// `None`, with a loud line, where the packages cannot be had. In CI a missing package is a failure.
pub fn webhooks(folder: &Path) -> Option<PathBuf> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    MADE.get_or_init(|| match make(&folder.join("node")) {
        Ok(copy) => Some(copy),
        Err(reason) => {
            skip(&reason);
            None
        }
    })
    .clone()
}

fn make(copy: &Path) -> Result<PathBuf, String> {
    run(Command::new("mkdir").arg("-p").arg(copy))?;
    let examples = crate::root().join("docs/examples/webhooks");
    for name in ["package.json", "package-lock.json", "standard.mjs"] {
        run(Command::new("cp").arg(examples.join(name)).arg(copy))?;
    }
    run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]).current_dir(copy))?;
    Ok(copy.to_path_buf())
}
