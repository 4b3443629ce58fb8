//! Who may know whom.

use std::process::Command;

use crate::source::{Source, code, report, root, rust};

fn manifest(package: &str) -> String {
    std::fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap()
}

/// Direct dependencies of a member, its tests' included, as cargo sees them.
fn dependencies(package: &str) -> Vec<(String, bool)> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let metadata: serde_json::Value = serde_json::from_str(&output).unwrap();
    let package = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|member| member["name"] == package)
        .unwrap_or_else(|| panic!("{package} is no member"));
    package["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        // An anchor only fixes features, no code names it (the root manifest says why).
        .filter(|dependency| !dependency["rename"].as_str().is_some_and(|name| name.starts_with("anchor-")))
        .map(|dependency| (dependency["name"].as_str().unwrap().to_owned(), dependency["kind"] == "dev"))
        .collect()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn crates_depend_one_way() {
    let forbidden: [(&str, &[&str]); 3] = [
        ("storage", &["engine", "server", "datafusion", "serde_json", "simd-json", "axum", "sea-orm", "reqwest"]),
        ("engine", &["server", "axum", "sea-orm", "reqwest", "lettre"]),
        ("server", &["benches", "tests"]),
    ];
    let mut bad = Vec::new();
    for (package, names) in forbidden {
        for (name, _) in dependencies(package).iter().filter(|(_, dev)| !dev) {
            if names.contains(&name.as_str()) {
                bad.push(format!("{package}/Cargo.toml names {name}"));
            }
        }
        let prefix = format!("{package}/src/");
        for file in rust().iter().filter(|file| file.path.starts_with(&prefix)) {
            for (number, line) in file.production() {
                for name in names {
                    if code(line).contains(&format!("{}::", name.replace('-', "_"))) && !line.contains("crate::") {
                        bad.push(format!("{}:{number}: {}", file.path, line.trim()));
                    }
                }
            }
        }
    }
    report("the direction is server → engine → storage: move the code to the crate that may know it", &bad);
}

#[test]
fn versions_and_features_are_at_the_root() {
    let mut bad = Vec::new();
    for package in ["storage", "engine", "server", "benches", "tests"] {
        let mut section = String::new();
        for (index, line) in manifest(package).lines().enumerate() {
            if line.starts_with('[') {
                line.clone_into(&mut section);
            }
            let is_dependency = section.contains("dependencies");
            // A member may switch on a feature of a member (the simulated disk), never of a third party.
            let is_own = ["storage", "engine", "server"].iter().any(|own| line.starts_with(&format!("{own} =")));
            if is_dependency && !is_own && (line.contains("features =") || line.contains("version =")) {
                bad.push(format!("{package}/Cargo.toml:{}: {line}", index + 1));
            }
        }
    }
    report("members say `x.workspace = true`: versions and features go to the root manifest", &bad);
}

#[test]
fn types_that_cross_crates_come_in_one_version() {
    let tree = cargo(&["tree", "--workspace", "--offline", "--prefix", "none", "--edges", "normal,build,dev"]);
    for name in ["arrow", "arrow-array", "arrow-schema", "parquet", "object_store", "datafusion"] {
        let prefix = format!("{name} v");
        let mut versions: Vec<_> =
            tree.lines().filter(|line| line.starts_with(&prefix)).map(|line| line.trim_end_matches(" (*)")).collect();
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), 1, "{name}: a second version would make two types of one: {versions:?}");
    }
}

#[test]
fn access_alone_decides_by_a_grant() {
    let mut bad = Vec::new();
    for file in rust().iter().filter(|file| file.path.starts_with("server/src/")) {
        if file.path.starts_with("server/src/access/") || file.path.starts_with("server/src/control/") {
            continue;
        }
        for (number, line) in file.production() {
            if ["grants::between", "grants::hold", "Permissions::allow", ".allow("]
                .iter()
                .any(|name| code(line).contains(name))
            {
                bad.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    report("ask `access::admit`, which writes down what was read", &bad);
}

/// The layers of `storage`, low to high. A file may use its own layer and those below it.
const LAYERS: [&[&str]; 9] = [
    &["error", "config", "point", "schema", "clock", "cursor", "metrics", "names", "priority", "selection"],
    &["disk", "place", "event"],
    &["run", "wal::frame", "segment", "merge", "dedup", "tombstone", "parquet", "manifest"],
    &["memtable", "wal", "retention", "compaction::plan", "ledger", "ending"],
    &["state"],
    &["snapshot", "flush", "recovery", "verify", "search", "erasure", "compaction", "wal::writer"],
    &["background"],
    &["store"],
    &["simulation"],
];

fn layer(module: &str) -> Option<usize> {
    // The longest name wins: `wal::frame` lies below `wal`.
    let mut found: Option<(usize, usize)> = None;
    for (height, names) in LAYERS.iter().enumerate() {
        for name in *names {
            let inside = module == *name || module.starts_with(&format!("{name}::"));
            if inside && found.is_none_or(|(length, _)| name.len() > length) {
                found = Some((name.len(), height));
            }
        }
    }
    found.map(|(_, height)| height)
}

/// Modules of this crate that a line of code names.
fn named(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let path: String =
            rest.chars().take_while(|next| next.is_ascii_alphanumeric() || "_:".contains(*next)).collect();
        let modules: Vec<_> =
            path.split("::").take_while(|part| part.starts_with(|first: char| first.is_ascii_lowercase())).collect();
        if !modules.is_empty() {
            found.push(modules.join("::"));
        }
    }
    found
}

#[test]
fn storage_is_built_in_layers() {
    let mut bad = Vec::new();
    let files: Vec<Source> = rust().into_iter().filter(|file| file.path.starts_with("storage/src/")).collect();
    for file in files.iter().filter(|file| file.path != "storage/src/lib.rs") {
        let module = file.module();
        let module = module.strip_prefix("storage::").unwrap();
        // What only tests see may look from above.
        if file.is_test || module.starts_with("model") {
            continue;
        }
        let Some(own) = layer(module) else {
            bad.push(format!("{}: `{module}` has no place in LAYERS", file.path));
            continue;
        };
        for (number, line) in file.production() {
            for used in named(code(line)) {
                if layer(&used).is_some_and(|height| height > own) {
                    bad.push(format!("{}:{number}: `{module}` uses `{used}`, which lies above it", file.path));
                }
            }
        }
    }
    report("a lower file never imports a higher one: move the shared part down", &bad);
}
