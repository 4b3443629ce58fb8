//! SQL by the clients that people have: ADBC with pandas and polars, DuckDB on the files, the shell.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::{Options, Server, python};

use crate::setup::{bulk, heart_rate, options};

/// What the server prints before the address of Flight SQL.
const FLIGHT: &str = "Flight SQL on ";

/// A server with Flight SQL, one with points, one with a point that is nobody's business; her key.
async fn clinic() -> (Server, String) {
    clinic_with(options()).await
}

async fn clinic_with(options: Options) -> (Server, String) {
    let server = Server::start(options.environment("AVYCENNA_LISTEN_FLIGHT", "127.0.0.1:0")).await;
    server.user("ada@example.org");
    let key = server.key("ada@example.org");
    let ada = server.client().with_key(&key);
    let points: Vec<Value> = (0..48)
        .map(|hour| {
            heart_rate(60.0 + f64::from(hour) / 4.0, &format!("2026-06-{:02}T{:02}:30:00Z", 1 + hour / 24, hour % 24))
        })
        .collect();
    ada.post("/api/v1/wearables/bulk-ingest", &bulk(&points)).await.expect(201);
    let stranger = server.person("bo@example.org");
    stranger.post("/api/v1/wearables/ingest", &heart_rate(161.0, "2026-06-01T08:00:00Z")).await.expect(201);
    (server, key)
}

fn flight_of(server: &Server) -> String {
    let log = server.log();
    let line = log.lines().find_map(|line| line.strip_prefix(FLIGHT)).unwrap_or_else(|| panic!("{log}"));
    line.trim().to_owned()
}

fn run(python: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = Command::new(python).args(arguments).envs(environment.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn interpreter() -> Option<std::path::PathBuf> {
    python::interpreter(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

#[tokio::test(flavor = "multi_thread")]
async fn pandas_and_polars_read_by_adbc_what_http_answers() {
    let (server, key) = clinic().await;
    let Some(python) = interpreter() else { return };
    let flight = flight_of(&server);
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/sql_clients.py");
    let said = run(&python, &[client.to_str().unwrap()], &[("FLIGHT", &flight), ("KEY", &key)]);
    let found: Value = serde_json::from_str(&said).unwrap();
    let ada = server.client().with_key(&key);
    let sql = "SELECT metric, recorded_at, value FROM points ORDER BY recorded_at, metric";
    let answer = ada.post("/api/v1/query", &json!({ "sql": sql })).await.expect(200).json();
    let expected: Vec<Value> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row[0], engine::time::parse(row[1].as_str().unwrap()).unwrap(), row[2]]))
        .collect();
    assert_eq!(expected.len(), 48);
    for reader in ["pandas", "polars"] {
        assert_eq!(found[reader].as_array().unwrap(), &expected, "{reader}");
    }
    assert_eq!((&found["prepared"], &found["by_password"]), (&json!(24), &json!(48)));
    assert_eq!(found["tables"], json!({"latest": 5, "metrics": 7, "points": 7}));
    assert_eq!(found["server"], "avycenna");
    assert!(found["refused"].as_str().unwrap().contains("at byte 7"), "{found}");
    assert!(found["unauthenticated"].is_string(), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_of_sqlalchemy_find_tables_keys_types_and_rows() {
    let (server, key) = clinic().await;
    let Some(python) = interpreter() else { return };
    let flight = flight_of(&server);
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/sql_dbapi.py");
    let said = run(&python, &[client.to_str().unwrap()], &[("FLIGHT", &flight), ("KEY", &key)]);
    let found: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let reflected = json!({
        "tables": ["latest", "metrics", "points"],
        "columns": {
            "metric": "TEXT", "user_id": "TEXT", "recorded_at": "TIMESTAMP", "value": "FLOAT",
            "unit": "TEXT", "source": "TEXT", "source_device_id": "TEXT",
        },
        "key": {"constrained_columns": ["metric"], "name": "metrics_key"},
        "count": 48,
    });
    let expected = json!({
        "rows": [{"metric": "heart_rate", "n": 48}],
        "catalogs": ["avycenna"],
        "schemas": ["public"],
        "types": ["TABLE"],
        "like": ["metrics", "points"],
        "info": 2,
        "keys": ["metric", "user_id"],
        "imported": [],
        "exported": [],
        "xdbc": ["BIGINT", "BOOLEAN", "DATE", "DOUBLE", "TIMESTAMP", "VARCHAR"],
        "prepared": [{"unit": "ms"}],
        "fetched": [["heart_rate", 48]],
        "described": ["metric", "n"],
        "sqlalchemy_off": reflected,
        "sqlalchemy_on": reflected,
    });
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sql_examples_of_the_documentation_run() {
    let (server, key) = clinic().await;
    let Some(python) = interpreter() else { return };
    let examples = tests::root().join("docs/examples/python");
    let example = |name: &str| examples.join(name).to_str().unwrap().to_owned();
    let (url, flight) = (server.url(), flight_of(&server));
    let environment = [("URL", url.as_str()), ("FLIGHT", flight.as_str()), ("KEY", key.as_str())];
    let said = run(&python, &[&example("dataframe.py")], &environment);
    assert_eq!(said, "48 heart rates, 65.9 bpm on average\n");
    let said = run(&python, &[&example("sql.py"), "heart_rate", "Europe/Berlin"], &environment);
    assert_eq!(said, "2026-06-01 62.62 22\n2026-06-02 68.38 24\n2026-06-03 71.62 2\n");
    // The page shows the very lines.
    let page = std::fs::read_to_string(tests::root().join("docs/src/sql.md")).unwrap();
    let program = std::fs::read_to_string(example("dataframe.py")).unwrap();
    assert!(page.contains(program.split("\n\nprint").next().unwrap()), "docs/src/sql.md shows other lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_reads_the_files_as_they_lie() {
    let (mut server, key) = clinic().await;
    let ada = server.client().with_key(&key);
    // One is replaced, one deleted: neither may come back.
    ada.post("/api/v1/wearables/ingest", &heart_rate(99.0, "2026-06-01T00:30:00Z")).await.expect(201);
    let path = "/api/v1/wearables/metric/heart_rate?start=2026-06-02T23:00:00Z&end=2026-06-03T00:00:00Z";
    ada.send(ada.request("DELETE", path)).await.expect(204);
    let sql = "SELECT user_id, recorded_at, value FROM points ORDER BY recorded_at";
    let answer = ada.post("/api/v1/query", &json!({ "sql": sql })).await.expect(200).json();
    assert!(server.stop().await.success());
    server.command_ok(&["compact"]);
    let files = server.command_ok(&["files", "--check"]);
    let Some(python) = interpreter() else { return };
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/sql_files.py");
    let folder = server.data_dir();
    let mut arguments = vec![reader.to_str().unwrap(), folder.to_str().unwrap()];
    arguments.extend(files.lines());
    let found: Value = serde_json::from_str(&run(&python, &arguments, &[])).unwrap();
    assert_eq!(found["lying"], found["listed"]);
    let lying = found["lying"].as_array().unwrap();
    assert_eq!(lying.len(), 48, "47 of hers, one of his");
    let user = &answer["rows"][0][0];
    let hers: Vec<Value> = lying.iter().filter(|row| row[1] == *user).map(|row| json!([row[2], row[3]])).collect();
    let expected: Vec<Value> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([engine::time::parse(row[1].as_str().unwrap()).unwrap(), row[2]]))
        .collect();
    assert_eq!(hers, expected);
    assert!(lying.iter().all(|row| row[0] == "heart_rate" && row[4] == "watch"));
}

/// Reads an answer as a program would that knows nothing of breaks; prints what became of it.
const READ_ALL: &str = "
import http.client, json, os, urllib.request
body = json.dumps({'sql': os.environ['SQL'], 'format': os.environ['FORMAT']}).encode()
head = {'X-API-Key': os.environ['KEY'], 'Content-Type': 'application/json'}
try:
    urllib.request.urlopen(urllib.request.Request(os.environ['URL'] + '/api/v1/query', body, head)).read()
    print('whole')
except http.client.IncompleteRead as broken:
    print('broken', broken.partial[-90:].decode(errors='replace'))
";

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_python_see_that_and_why_an_answer_broke_off() {
    let (server, key) = clinic_with(options().environment("AVYCENNA_STORAGE_QUERY_ROWS_MAX", "100000")).await;
    let sql = "SELECT a.recorded_at, b.recorded_at, random() FROM points a, points b, points c";
    let words = "the query hit its bound: 100000 rows in one answer";
    for (format, last) in [
        ("json", format!("],\"error\":{{\"status\":413,\"detail\":\"{words}\"}}}}")),
        ("csv", format!("\n\"error 413: {words}\"\n")),
        ("arrow", String::new()),
        ("parquet", String::new()),
    ] {
        for coding in ["identity", "gzip"] {
            let output = Command::new("curl")
                .args(["-sS", "--compressed", "-H", &format!("Accept-Encoding: {coding}")])
                .args(["-H", &format!("X-API-Key: {key}"), "-H", "Content-Type: application/json"])
                .args(["-w", "%{stderr}%{http_code}", "-d", &json!({"sql": sql, "format": format}).to_string()])
                .arg(format!("{}/api/v1/query", server.url()))
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(18), "{format} {coding}: {told}");
            assert!(told.contains("200"), "{format} {coding}: {told}");
            let end = String::from_utf8_lossy(&output.stdout[output.stdout.len().saturating_sub(200)..]).into_owned();
            assert!(end.ends_with(&last), "{format} {coding}: {end}");
        }
        let Some(python) = interpreter() else { continue };
        let url = server.url();
        let environment = [("URL", url.as_str()), ("KEY", &key), ("SQL", sql), ("FORMAT", format)];
        let said = run(&python, &["-c", READ_ALL], &environment);
        assert!(said.starts_with("broken") && said.trim_end().ends_with(last.trim()), "{format}: {said}");
    }
    let arguments = ["sql", "--url", &server.url(), "--key", &key, "-c", sql].map(str::to_owned);
    for format in ["table", "csv"] {
        let (code, out, err) =
            server.piped(&[&arguments[..], &["--format".to_owned(), format.to_owned()]].concat(), "");
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains(&format!("413: {words}")), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_uses_the_shell() {
    let (server, key) = clinic().await;
    let Some(python) = interpreter() else { return };
    let folder = tempfile::tempdir().unwrap();
    let person = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/sql_shell.py");
    let (folder, url) = (folder.path().to_str().unwrap(), server.url());
    let program = env!("CARGO_BIN_EXE_avycenna-under-test");
    let said = run(&python, &[person.to_str().unwrap(), folder, program, "sql", "--url", &url, "--key", &key], &[]);
    let found: Value = serde_json::from_str(&said).unwrap();
    let expected = json!({
        "table": ["metric", "|", "n", "------------+----", "heart_rate", "|", "48"],
        "place": ["SELECT valu FROM points", "               "],
        "note": ["33", "bytes", "are", "in"],
        "file": "metric\nbody_temperature\ncalories\n",
        "shown": ["The", "first", "1000", "are", "shown;", "\\o", "FILE"],
        "code": 0,
        "kept": ["SELECT metric,\\n  count(*) AS n\\nFROM points GROUP BY metric;"],
        "refused": 1,
    });
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_answers_arguments_and_pipes() {
    let (server, key) = clinic().await;
    let url = server.url();
    let arguments = |more: &[&'static str]| -> Vec<String> {
        ["sql", "--url", &url, "--key", &key].iter().chain(more).map(|text| (*text).to_owned()).collect()
    };
    let shell = |more: &[&'static str], input: &str| server.piped(&arguments(more), input);
    let sql = "SELECT metric, count(*) AS n, min(value) AS least FROM points GROUP BY metric";
    let table = "   metric   | n  | least\n------------+----+-------\n heart_rate | 48 |  60.0\n(1 row)\n";
    let (code, out, err) = shell(&["-c", sql], "");
    assert_eq!((code, out.as_str()), (Some(0), table), "{err}");
    let (code, out, err) = shell(&[], &format!("-- a comment\n{sql};\n{sql}"));
    assert_eq!((code, out), (Some(0), table.repeat(2)), "{err}");
    let (_, out, _) = shell(&["--format", "csv", "-c", "SELECT value FROM points ORDER BY value LIMIT 2"], "");
    assert_eq!(out, "value\n60.0\n60.25\n");
    let (code, out, err) = shell(&["-c", "SELECT value,\n  valu FROM points"], "");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.ends_with("LINE 2:   valu FROM points\n          ^\n"), "{err}");
    let (code, _, err) = shell(&["--key-file", "/nowhere"], "");
    assert_eq!(code, Some(2), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_takes_its_key_from_the_environment_and_shows_it_to_nobody() {
    let (server, key) = clinic().await;
    let ask = |key: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_avycenna-under-test"));
        command.env_clear().env("AVYCENNA_KEY", key).args(["sql", "--url", &server.url(), "-c", "SELECT 1 AS n"]);
        let output = command.args(more).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let csv = ["--format", "csv"];
    assert_eq!(ask(&key, &csv), (Some(0), "n\n1\n".to_owned()));
    let (code, said) = ask("avk_wrong", &csv);
    assert_eq!(code, Some(1), "{said}");
    // What is named goes before what is around.
    assert_eq!(ask("avk_wrong", &["--format", "csv", "--key", &key]), (Some(0), "n\n1\n".to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, &key).unwrap();
    let by_file = ["--format", "csv", "--key-file", file.to_str().unwrap()];
    assert_eq!(ask("avk_wrong", &by_file), (Some(0), "n\n1\n".to_owned()));
    let (_, help) = ask("avk_around", &["--help"]);
    assert!(help.contains("AVYCENNA_KEY") && !help.contains("avk_around"), "{help}");
}
