//! The tree as text.

use std::path::{Path, PathBuf};

/// One file of the repository.
pub(crate) struct Source {
    /// Path relative to the root, `/` between.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Whether the whole file is test code.
    pub(crate) is_test: bool,
}

impl Source {
    /// The file's name without folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }

    /// Whether the name ends in `.` and this.
    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        self.name().rsplit_once('.').is_some_and(|(_, found)| found == extension)
    }

    /// Lines (from 1) before the test module; none in a test file.
    pub(crate) fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().take(self.production_lines())
    }

    /// Lines that only tests see.
    pub(crate) fn tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().skip(self.production_lines())
    }

    /// A test module stands at the end of its file; one that is only declared there does not end the file.
    fn production_lines(&self) -> usize {
        if self.is_test {
            return 0;
        }
        let lines: Vec<_> = self.text.lines().collect();
        let is_module = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{');
        lines.windows(2).position(is_module).unwrap_or(lines.len())
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// `storage::wal::frame` for `storage/src/wal/frame.rs`.
    pub(crate) fn module(&self) -> String {
        let path = self.path.replacen("/src/", "/", 1);
        let path = path.strip_suffix(".rs").unwrap_or(&path);
        path.strip_suffix("/mod").unwrap_or(path).replace('/', "::")
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every text file, without what is built and what git holds.
pub(crate) fn all() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if matches!(name.as_str(), ".git" | "target" | "avycenna-demo" | "data" | "book" | "node_modules") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                let path = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
                let is_test = path.contains("/tests/");
                found.push(Source { path, text, is_test });
            }
        }
    }
    let test_modules: Vec<_> = found.iter().flat_map(test_modules).collect();
    for source in &mut found {
        source.is_test |= test_modules.iter().any(|module| source.path.starts_with(module.as_str()));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 50, "the tree was not found below {}", root.display());
    found
}

/// The files and folders of modules that are declared behind `#[cfg(test)]`.
fn test_modules(file: &Source) -> Vec<String> {
    let lines: Vec<_> = file.text.lines().collect();
    let own = file.path.trim_end_matches(".rs");
    let folder = match own.rsplit_once('/') {
        Some((folder, "mod" | "lib" | "main")) => folder,
        _ => own,
    };
    let behind = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with(';'));
    let names = behind.filter_map(|pair| pair[1].trim_end_matches(';').split_once("mod ").map(|(_, name)| name));
    names.flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/")]).collect()
}

/// Every Rust file.
pub(crate) fn rust() -> Vec<Source> {
    all().into_iter().filter(|source| source.has_extension("rs")).collect()
}

/// Fails with all complaints at once.
pub(crate) fn report(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}\n  {}\n", complaints.join("\n  "));
}

/// The code of a line, without what stands behind `//`, and nothing of a line that is a comment.
pub(crate) fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}
