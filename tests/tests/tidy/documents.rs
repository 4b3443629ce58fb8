//! What the documents say about the code.

use crate::source::{Source, all, report, rust};

/// `1 << 20`, `64 * 4`, `65_536`, `b"AVF1"`: what constants are written as.
fn evaluate(expression: &str) -> Option<String> {
    let expression = expression.trim().trim_end_matches(';').trim();
    let text = expression.trim_start_matches(['b', '*']).trim_matches('"');
    if text.len() + 2 <= expression.len() && expression.ends_with('"') {
        return Some(text.to_owned());
    }
    let mut total: Option<u128> = None;
    let mut operator = "";
    for token in expression.split_whitespace() {
        if ["*", "<<", "+", "-"].contains(&token) {
            operator = token;
            continue;
        }
        let digits = token.replace('_', "");
        let digits = digits.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let number: u128 = match digits.strip_prefix("0x") {
            Some(hex) => u128::from_str_radix(hex, 16).ok()?,
            None => digits.parse().ok()?,
        };
        total = Some(match (total, operator) {
            (None, _) => number,
            (Some(left), "*") => left * number,
            (Some(left), "<<") => left << number,
            (Some(left), "+") => left + number,
            (Some(left), "-") => left.checked_sub(number)?,
            _ => return None,
        });
    }
    total.map(|number| number.to_string())
}

/// Every `const NAME: T = …;` of one line.
fn constants(files: &[Source]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in files {
        for (_, line) in file.lines() {
            let Some((_, rest)) = line.split_once("const ") else { continue };
            let Some((name, rest)) = rest.split_once(':') else { continue };
            let Some((_, value)) = rest.split_once(" = ") else { continue };
            if let Some(value) = evaluate(value) {
                found.push((name.to_owned(), value));
            }
        }
    }
    found
}

#[test]
fn constants_in_documents_equal_the_codes() {
    let constants = constants(&rust());
    let mut bad = Vec::new();
    let mut seen = 0;
    for page in all().iter().filter(|file| file.path.starts_with("docs/") && file.has_extension("md")) {
        for (number, line) in page.lines() {
            let cells: Vec<_> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
            let [name, value, ..] = cells.as_slice() else { continue };
            let is_constant = name.len() > 4
                && name.starts_with('`')
                && name.ends_with('`')
                && name.trim_matches('`').chars().all(|l| l.is_ascii_uppercase() || l.is_ascii_digit() || l == '_');
            if !is_constant || name.contains("AVYCENNA_") {
                continue;
            }
            seen += 1;
            let name = name.trim_matches('`');
            let value = value.trim_matches('`').replace(',', "");
            let value = value.split_whitespace().next().unwrap_or_default();
            let known: Vec<_> = constants.iter().filter(|(known, _)| known == name).collect();
            if known.is_empty() {
                bad.push(format!("{}:{number}: no constant `{name}` in the code", page.path));
            } else if !known.iter().any(|(_, code)| code == value) {
                bad.push(format!("{}:{number}: `{name}` is {} in the code", page.path, known[0].1));
            }
        }
    }
    assert!(seen > 0, "no table of constants was found in docs/");
    report("the document disagrees with the code: correct the wrong one", &bad);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let files = all();
    let mut bad = Vec::new();
    for page in files.iter().filter(|file| file.has_extension("md")) {
        let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, line) in page.lines() {
            for part in line.split("](").skip(1) {
                let target = part.split([')', '#', ' ']).next().unwrap_or_default();
                if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let path = crate::source::root().join(folder).join(target);
                if !path.exists() {
                    bad.push(format!("{}:{number}: {target}", page.path));
                }
            }
        }
    }
    report("a link to nothing: correct it", &bad);
}

/// The names in code that a table's cell holds and that can be a test's: keys of the configuration have a dot.
fn tests_of(cell: &str) -> impl Iterator<Item = &str> {
    let names = cell.split('`').skip(1).step_by(2);
    names.filter(|name| {
        name.contains('_') && name.chars().all(|l| l.is_ascii_lowercase() || l.is_ascii_digit() || l == '_')
    })
}

fn is_test(files: &[Source], name: &str) -> bool {
    let (declaration, macro_made) = (format!("fn {name}("), format!("{name},"));
    files.iter().any(|file| file.text.contains(&declaration) || file.text.contains(&macro_made))
}

/// The rows of a page's tables, with their lines, without heads.
fn rows(page: &Source) -> Vec<(usize, Vec<String>)> {
    let rows = page.lines().filter(|(_, line)| line.starts_with("| ") && !line.starts_with("| ---"));
    rows.map(|(number, line)| (number, line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()))
        .collect()
}

fn page(path: &str) -> Source {
    all().into_iter().find(|file| file.path == path).unwrap()
}

#[test]
fn every_test_that_proves_a_guarantee_exists() {
    let files = rust();
    let mut bad = Vec::new();
    let mut seen = 0;
    for (path, column) in [("docs/src/guarantees.md", 1), ("docs/src/asvs.md", 3)] {
        for (number, cells) in rows(&page(path)) {
            for name in cells.get(column).into_iter().flat_map(|cell| tests_of(cell)) {
                seen += 1;
                if !is_test(&files, name) {
                    bad.push(format!("{path}:{number}: {name}"));
                }
            }
        }
    }
    assert!(seen > 130, "the tables of promises were not found: {seen} tests");
    report("no test has this name: name the one that proves the promise", &bad);
}

#[test]
fn every_line_of_the_standard_has_a_state_and_its_proof_or_reason() {
    let mut bad = Vec::new();
    let mut met = 0;
    for (number, cells) in rows(&page("docs/src/asvs.md")) {
        let [line, _, state, proof] = cells.as_slice() else {
            bad.push(format!("line {number}: not four cells"));
            continue;
        };
        if line == "line" {
            continue;
        }
        let is_proven = tests_of(proof).next().is_some() || proof.contains("](");
        let is_right = match state.as_str() {
            "met" => is_proven,
            "in part" | "not met" | "n/a" => !proof.is_empty(),
            _ => false,
        };
        met += usize::from(state == "met");
        if !is_right {
            bad.push(format!("{line}: {state}: {proof}"));
        }
    }
    assert!(met > 30, "the table was not found: {met} lines are met");
    report("`met` names a test or a page, any other state (`in part`, `not met`, `n/a`) says why", &bad);
}
