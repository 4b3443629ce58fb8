//! The documentation's examples, run as they stand.
//!
//! Every fence `sh`, `python`, `js` and `toml` of `README.md` and `docs/src/*.md` is executed; what is only to be
//! looked at is `console` or `text`. The fences of a page are one script in order, so that a variable set above is
//! there below. A `json` fence right behind one is what it prints: `"…"` stands for any value.
//!
//! There are `URL` and `KEY` of a running server, whose webhooks may lead to the loopback, and `avycenna` on the `PATH`,
//! on that server's data directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tests::Server;

use crate::setup::{inward, options};

/// Stands between the outputs of two blocks.
const MARK: &str = "--- next block ---";

/// One fenced block of a page.
#[derive(Debug)]
struct Fence {
    line: usize,
    language: String,
    text: String,
}

impl Fence {
    fn is_run(&self) -> bool {
        ["sh", "python", "js"].contains(&self.language.as_str())
    }

    /// The example as shell.
    fn command(&self) -> String {
        let program = match self.language.as_str() {
            "python" => "python3 -",
            "js" => "node --input-type=module -",
            _ => return self.text.clone(),
        };
        format!("{program} <<'END_OF_EXAMPLE'\n{}END_OF_EXAMPLE", self.text)
    }
}

fn fences(page: &str) -> Vec<Fence> {
    let mut found: Vec<Fence> = Vec::new();
    let mut open = false;
    for (index, line) in page.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            if !open {
                found.push(Fence { line: index + 1, language: language.trim().to_owned(), text: String::new() });
            }
            open = !open;
        } else if open && let Some(fence) = found.last_mut() {
            fence.text.push_str(line);
            fence.text.push('\n');
        }
    }
    assert!(!open, "a fence is not closed");
    found
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![tests::root().join("README.md")];
    let folder = std::fs::read_dir(tests::root().join("docs/src")).unwrap();
    pages.extend(
        folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|ext| ext == "md")),
    );
    pages.sort();
    pages
}

/// What the examples find around them.
struct Place {
    folder: tempfile::TempDir,
    server: Server,
    key: String,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_avycenna-under-test"), folder.path().join("avycenna")).unwrap();
        let server = Server::start(inward()).await;
        server.user("ada@example.org");
        let key = server.key("ada@example.org");
        Self { folder, server, key }
    }

    /// Runs a program to its end and returns what it printed; fails with what it said.
    fn run(&self, command: &mut Command, name: &str) -> String {
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap_or_default());
        command.current_dir(self.folder.path()).stdin(Stdio::null()).env("PATH", path);
        command.env("URL", self.server.url()).env("KEY", &self.key);
        command.env("AVYCENNA_STORAGE_DATA_DIR", self.server.data_dir());
        let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
        let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}: {}\n{printed}\n{said}", output.status);
        printed.into_owned()
    }

    /// Runs the fences of a page in one shell, in order; what each of them printed.
    fn play(&self, fences: &[&Fence], name: &str) -> Vec<String> {
        let blocks: Vec<_> = fences.iter().map(|fence| fence.command()).collect();
        let script = blocks.join(&format!("\necho; echo '{MARK}'\n"));
        let printed = self.run(Command::new("bash").args(["-euo", "pipefail", "-c", &script]), name);
        let outputs: Vec<_> = printed.split(MARK).map(|output| output.trim().to_owned()).collect();
        assert_eq!(outputs.len(), fences.len(), "{name}: {printed}");
        outputs
    }
}

/// Whether `found` is what `expected` shows; `"…"` is anything, and so is what stands behind it in a list.
fn matches(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::String(text), _) if text == "…" => true,
        (Value::String(text), Value::String(found)) => match text.strip_suffix('…') {
            Some(start) => found.starts_with(start),
            None => text == found,
        },
        (Value::Object(expected), Value::Object(found)) => {
            expected.len() == found.len()
                && expected.iter().all(|(key, value)| found.get(key).is_some_and(|found| matches(value, found)))
        }
        (Value::Array(expected), Value::Array(found)) => {
            let is_open = expected.last().is_some_and(|last| last == "…");
            let shown = if is_open { expected.len() - 1 } else { expected.len() };
            (if is_open { found.len() >= shown } else { found.len() == shown })
                && expected.iter().take(shown).zip(found).all(|(expected, found)| matches(expected, found))
        }
        _ => expected == found,
    }
}

fn assert_printed(expected: &Fence, output: &str, page: &str) {
    let place = format!("{page}:{}", expected.line);
    let wanted: Value = serde_json::from_str(&expected.text).unwrap_or_else(|error| panic!("{place}: {error}"));
    let found: Value = serde_json::from_str(output).unwrap_or_else(|error| panic!("{place}: {error} in {output:?}"));
    assert!(matches(&wanted, &found), "{place}: the example printed\n{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_pages_does_what_it_says() {
    let mut executed = 0;
    for path in pages() {
        let page = path.strip_prefix(tests::root()).unwrap().display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        let all = fences(&text);
        let run: Vec<_> = all.iter().filter(|fence| fence.is_run()).collect();
        if run.is_empty() {
            continue;
        }
        executed += run.len();
        let outputs = Place::new().await.play(&run, &page);
        for (fence, output) in run.iter().zip(outputs) {
            let next = all.iter().find(|next| next.line > fence.line);
            if let Some(expected) = next.filter(|next| next.language == "json") {
                assert_printed(expected, &output, &page);
            }
        }
    }
    assert!(executed >= 10, "only {executed} examples were found: the pages have many more");
}

#[test]
fn every_configuration_in_the_pages_is_taken() {
    for path in pages() {
        let text = std::fs::read_to_string(&path).unwrap();
        for fence in fences(&text).iter().filter(|fence| fence.language == "toml") {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("avycenna.toml"), &fence.text).unwrap();
            let output = options().run(&["serve", "--print-config"], folder.path());
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}:{}: {said}", path.display(), fence.line);
        }
    }
}

fn examples(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = tests::root().join("docs/examples").join(folder);
    let mut found: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no *.{extension} in {}", folder.display());
    found
}

async fn run_all(program: &str, arguments: &[&str], files: &[PathBuf]) {
    let place = Place::new().await;
    for file in files {
        let name = file.display().to_string();
        let printed = place.run(Command::new(program).args(arguments).arg(file), &name);
        assert!(!printed.trim().is_empty(), "{name} printed nothing");
    }
    let ada = place.server.client().with_key(&place.key);
    let latest = ada.get("/api/v1/wearables/latest").await.expect(200).json();
    assert!(latest["latest"]["heart_rate"].is_object(), "the examples stored a heart rate: {latest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_examples_run() {
    run_all("bash", &[], &examples("curl", "sh")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_examples_run() {
    run_all("node", &[], &examples("node", "mjs")).await;
}

#[test]
fn the_python_examples_are_all_tested() {
    let names: Vec<_> = examples("python", "py").iter().map(|path| name(path)).collect();
    assert_eq!(
        names,
        ["check_ins.py", "dataframe.py", "export.py", "fit_pipeline.py", "sql.py", "stream.py"],
        "`sharing`, `export`, `sql`, `watch` and `stream` run these; test a new one too"
    );
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn an_example_answer_matches_by_shape() {
    let yes = |expected: Value, found: Value| assert!(matches(&expected, &found), "{expected} {found}");
    let no = |expected: Value, found: Value| assert!(!matches(&expected, &found), "{expected} {found}");
    use serde_json::json;
    yes(json!({"a": "…", "b": 1}), json!({"a": [3], "b": 1}));
    no(json!({"a": "…"}), json!({"a": 1, "b": 1}));
    no(json!({"a": 1.0}), json!({"a": 2.0}));
    yes(json!(["…"]), json!([]));
    yes(json!([1, "…"]), json!([1, 2, 3]));
    no(json!([1, 2]), json!([1]));
    yes(json!("usr_…"), json!("usr_abc"));
    no(json!("usr_…"), json!("key_abc"));
}
