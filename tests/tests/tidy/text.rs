//! Rules about single files.

use crate::source::{Source, all, code, report, rust};

const PRODUCTION_LINES_MAX: usize = 500;

#[test]
fn every_file_says_what_it_is_for() {
    let bad: Vec<_> =
        rust().iter().filter(|file| !file.text.starts_with("//!")).map(|file| format!("{}:1", file.path)).collect();
    report("a Rust file opens with `//!`: say what it is for, what holds, and what is not here", &bad);
}

#[test]
fn files_stay_small() {
    let bad: Vec<_> = rust()
        .iter()
        .map(|file| (file, file.production().count()))
        .filter(|(_, lines)| *lines > PRODUCTION_LINES_MAX)
        .map(|(file, lines)| format!("{}: {lines} lines", file.path))
        .collect();
    report("a file has at most 500 production lines: split it by what changes together", &bad);
}

#[test]
fn files_are_named_for_what_they_hold() {
    const BANNED: [&str; 9] = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "data", "info"];
    let bad: Vec<_> = rust()
        .iter()
        .filter(|file| file.path.trim_end_matches(".rs").split(['/', '_', '-']).any(|word| BANNED.contains(&word)))
        .map(|file| file.path.clone())
        .collect();
    report("a name that fits everything says nothing: name the file for what it holds", &bad);
}

#[test]
fn modules_live_in_one_folder() {
    let files = rust();
    let bad: Vec<_> = files
        .iter()
        .filter(|file| {
            let folder = format!("{}/", file.path.trim_end_matches(".rs"));
            files.iter().any(|other| other.path.starts_with(&folder))
        })
        .map(|file| file.path.clone())
        .collect();
    report("a module with children is `foo/mod.rs`, not `foo.rs` beside `foo/`", &bad);
}

#[test]
fn production_code_does_not_panic_without_a_reason() {
    const PANICS: [&str; 6] = [".unwrap()", ".expect(\"", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];
    let mut bad = Vec::new();
    for file in rust() {
        // The lint is expected once for the file, or right above the place.
        let whole = file.text.lines().any(|line| line.starts_with("#![expect(") && names_a_panic_lint(line));
        let mut reason_line = 0;
        for (number, line) in file.production() {
            // The harness is for tests alone, and fails by panicking.
            if file.path.starts_with("tests/") {
                break;
            }
            if line.contains("#[expect(") && names_a_panic_lint(line) {
                reason_line = number;
            }
            let near = reason_line > 0 && number - reason_line <= 70;
            if PANICS.iter().any(|panic| code(line).contains(panic)) && !whole && !near {
                bad.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    report("return an error, or carry the proof in `#[expect(lint, reason = \"…\")]` on the function", &bad);
}

fn names_a_panic_lint(line: &str) -> bool {
    ["unwrap_used", "expect_used", "clippy::panic", "clippy::unreachable", "missing_panics"]
        .iter()
        .any(|lint| line.contains(lint))
}

#[test]
fn the_tree_speaks_of_the_product_alone() {
    // Put together at run time, so that this file does not accuse itself.
    let banned = [
        ["/wo", "rk/"].concat(),
        ["/tmp/", "bash"].concat(),
        ["shared/", "design"].concat(),
        ["brief", ".md"].concat(),
    ];
    let mut bad = Vec::new();
    for file in all() {
        for (number, line) in file.lines() {
            if banned.iter().any(|word| line.contains(word.as_str())) {
                bad.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    report("a path of somebody's machine is no use to the reader: take it out", &bad);
}

#[test]
fn a_todo_names_its_issue() {
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let mut bad = Vec::new();
    for file in rust() {
        for (number, line) in file.lines() {
            let marked = words.iter().any(|word| {
                line.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|part| part == word.as_str())
            });
            if marked && !line.contains("(#") {
                bad.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    report("do it, or write the issue's number behind the word as `(#12)`", &bad);
}

#[test]
fn the_binaries_are_one_line() {
    for path in ["server/src/main.rs", "tests/src/bin/avycenna_under_test.rs"] {
        let file = rust().into_iter().find(|file| file.path == path).unwrap();
        let statements: Vec<_> = file
            .lines()
            .map(|(_, line)| code(line).trim())
            .filter(|line| !line.is_empty() && !line.starts_with("fn main()") && *line != "}")
            .collect();
        assert_eq!(statements, ["server::main()"], "{path}: both binaries do the same one thing");
    }
}

/// Folders and files that may open files by themselves, each for its reason.
const FILES_ALLOWED: [(&str, &str); 12] = [
    ("storage/src/disk/", "the one place of the data's files"),
    ("server/src/config/", "reads avycenna.toml and makes the secret, 0600"),
    ("server/src/control/open.rs", "makes the database's file, 0600, before SQLite opens it"),
    ("server/src/auth/", "reads and makes the secret, 0600"),
    ("server/src/mail/", "appends to the mail file, and takes people out of it"),
    ("server/src/imports/", "files that people send, 0600, gone when they are read"),
    ("server/src/webhooks/secret.rs", "reads and makes the key of secrets, 0600"),
    ("server/src/key_file.rs", "reads and makes files of keys, 0600"),
    ("server/src/fhir/bulk/", "writes and reads the files of exports, 0600"),
    ("server/src/cli/", "commands read files that a person names"),
    ("server/src/metrics.rs", "reads the process's own figures from /proc"),
    ("benches/", "measures from outside"),
];

#[test]
fn only_the_disk_touches_files() {
    let mut bad = Vec::new();
    for file in rust() {
        if FILES_ALLOWED.iter().any(|(allowed, _)| file.path.starts_with(allowed)) {
            continue;
        }
        for (number, line) in file.production() {
            if ["std::fs", "tokio::fs", "File::open", "File::create", "OpenOptions"]
                .iter()
                .any(|name| code(line).contains(name))
            {
                bad.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    report("go through `storage::disk::Disk`, or add the file to FILES_ALLOWED with its reason", &bad);
}

#[test]
fn every_error_is_seen_by_a_test() {
    let files = rust();
    let mut bad = Vec::new();
    for path in ["storage/src/error.rs", "engine/src/error.rs"] {
        let source = files.iter().find(|file| file.path == path).unwrap();
        let variants = variants_of(&source.text, "Error");
        assert!(variants.len() >= 6, "{path}: the variants of `Error` were not found");
        for variant in variants {
            let name = format!("Error::{variant}");
            let seen = files.iter().flat_map(Source::tests).any(|(_, line)| {
                line.match_indices(&name)
                    .any(|(at, _)| !line[at + name.len()..].starts_with(|next: char| next.is_ascii_alphanumeric()))
            });
            if !seen {
                bad.push(format!("{path}: {name}"));
            }
        }
    }
    report("no test names this error: write one that provokes it", &bad);
}

/// Names of an enum's variants, for code that rustfmt has formatted.
fn variants_of(text: &str, name: &str) -> Vec<String> {
    let opening = format!("pub enum {name} {{");
    text.lines()
        .skip_while(|line| *line != opening)
        .skip(1)
        .take_while(|line| *line != "}")
        .filter(|line| line.starts_with("    ") && line[4..].starts_with(|first: char| first.is_ascii_uppercase()))
        .map(|line| line.trim().chars().take_while(char::is_ascii_alphanumeric).collect())
        .collect()
}
