//! The validators of `tests/fhir`: that they find what is wrong, and what they say of the server's answers.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tests::node;

/// Runs one of the scripts; `None`, with a loud line, where its packages cannot be had.
pub(super) fn script(name: &str, files: &[&Path]) -> Option<Output> {
    let folder = node::fhir(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let output = Command::new("node").arg(folder.join(name)).args(files).output();
    Some(output.unwrap_or_else(|error| panic!("node {name}: {error}")))
}

pub(super) fn printed(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_validators_pass_what_is_good_and_find_every_planted_fault() {
    let Some(output) = script("selftest.mjs", &[]) else { return };
    assert!(output.status.success(), "{}", printed(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    // A run that looked at nothing would find nothing either.
    assert!(report["good"].as_u64() >= Some(18), "{report}");
    assert!(report["planted"].as_u64() >= Some(70), "{report}");
    for (kind, count) in [("Observation", 64), ("Patient", 22), ("Device", 2), ("Provenance", 5), ("Bundle", 39)] {
        assert_eq!(report["passed"][kind], count, "HL7's examples of {kind}: {report}");
    }
}
