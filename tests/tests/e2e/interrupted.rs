//! Imports that are interrupted: by Ctrl-C at the command line, and by SIGKILL at each step of making totals.

#![expect(clippy::disallowed_methods, reason = "the server under test has the system's clock")]

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::server::signal;
use tests::{Client, Server};

use crate::importing::{count, export, has_ended, send, until};
use crate::setup::{options, server};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_mins(2);

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

/// Heart rates of a file that takes a few times as long to read as there is between two notes of how far it is.
const RECORDS: i64 = 300_000;

/// What a command line said, and its exit code.
fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// An `avycenna import` of a file that is being read.
#[expect(clippy::zombie_processes, reason = "the caller waits for it; a test that fails here ends with its processes")]
async fn reading(server: &Server, ada: &Client, folder: &Path, key: &str) -> (Child, String) {
    let arguments = ["import", "apple-health", "export.xml", "--key", key, "--url", &server.url()];
    let child = options().begin(&arguments, folder);
    let deadline = Instant::now() + DEADLINE;
    loop {
        let list = ada.get("/api/v1/imports").await.expect(200).json();
        if let Some(import) = list["imports"].as_array().unwrap().first() {
            assert!(!has_ended(import), "it was too fast for this test: {import}");
            if import["progress"].as_f64().unwrap() > 0.0 {
                return (child, import["id"].as_str().unwrap().to_owned());
            }
        }
        assert!(Instant::now() < deadline, "{list}");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_import_says_how_to_have_the_rest_and_so_it_is() {
    let server = server().await;
    let ada = server.person("ada@example.org");
    let key = server.key("ada@example.org");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("export.xml"), export(RECORDS)).unwrap();
    let (child, id) = reading(&server, &ada, folder.path(), &key).await;
    signal(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (code, said, told) = (output.status.code(), text(&output.stderr), text(&output.stdout));
    assert_eq!(code, Some(1), "{said}");
    let promised = "the import was ended; what was taken stays, and the same file again brings the rest";
    assert!(said.contains(promised), "{said}");
    let report = ada.get(&format!("/api/v1/imports/{id}")).await.expect(200).json();
    assert_eq!(report["status"], "partial", "{report}");
    assert!(told.contains("export.xml: partial\n") && told.contains("such as cancelled at byte "), "{told}");
    let deadline = Instant::now() + DEADLINE;
    while server.data_dir().join("imports").join(&id).exists() {
        assert!(Instant::now() < deadline, "the file goes with the import");
        tokio::time::sleep(POLL).await;
    }
    let taken = count(&ada, "heart_rate").await;
    assert!(0 < taken && taken < RECORDS, "{taken} of {RECORDS} were taken");
    assert_eq!(report["ingested"]["heart_rate"], taken, "as many as the report says");
    let arguments = ["import", "apple-health", "export.xml", "--key", &key, "--url", &server.url()];
    let again = options().run(&arguments, folder.path());
    assert!(again.status.success(), "{again:?}");
    assert_eq!((count(&ada, "heart_rate").await, count(&ada, "steps").await), (RECORDS, RECORDS / 1_440));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_that_the_server_does_not_hear_says_that_the_import_goes_on_and_it_does() {
    let mut server = server().await;
    let ada = server.person("ada@example.org");
    let key = server.key("ada@example.org");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("export.xml"), export(RECORDS)).unwrap();
    let (child, id) = reading(&server, &ada, folder.path(), &key).await;
    server.kill();
    signal(child.id(), "INT");
    let (code, said) = ended(child);
    assert_eq!(code, Some(1), "{said}");
    let promised =
        format!("the import, which goes on; `DELETE {}/api/v1/imports/{id}` with the key ends it", server.url());
    assert!(said.contains(&promised), "{said}");
    server.restart().await;
    let ada = ada.moved_to(&server.url());
    assert_eq!(until(&ada, &id, has_ended).await["ingested"]["heart_rate"], RECORDS);
}

#[test]
fn ctrl_c_while_a_file_is_sent_says_so() {
    // A server that takes the beginning of the file and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("export.xml"), export(RECORDS)).unwrap();
    let child =
        options().begin(&["import", "apple-health", "export.xml", "--key", "avk_x", "--url", &url], folder.path());
    let (mut taken, _) = listener.accept().unwrap();
    taken.read_exact(&mut [0; 1_024]).unwrap();
    signal(child.id(), "INT");
    let (code, said) = ended(child);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("stopped before export.xml was there; send it again"), "{said}");
}

/// Days of an hour by watch and phone, each another number of steps.
fn walks(days: i64) -> String {
    let mut xml = "<HealthData locale=\"en_US\">\n".to_owned();
    let at = |second: i64| tests::time::rfc3339(1_704_067_200 + second).replace('T', " ").replace('Z', " +0000");
    for day in 0..days {
        for (source, begin, value) in [("iPhone", 36_000, 1_000 + day), ("Apple Watch", 37_800, 1_200 + day)] {
            let (start, end) = (at(day * 86_400 + begin), at(day * 86_400 + begin + 3_600));
            writeln!(
                xml,
                " <Record type=\"HKQuantityTypeIdentifierStepCount\" sourceName=\"{source}\" unit=\"count\" \
                 startDate=\"{start}\" endDate=\"{end}\" value=\"{value}\"/>"
            )
            .unwrap();
        }
    }
    xml + "</HealthData>\n"
}

/// Does something in the server's database from beside it, which every process with the file may; what a query answers.
pub(crate) fn sql(server: &Server, statement: &str) -> String {
    let program = "import sqlite3, sys\nopen = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n\
                   print(open.execute(sys.argv[2]).fetchall())";
    let database = server.data_dir().join("control.db");
    let asked = Command::new("python3").args(["-c", program]).arg(database).arg(statement).output().unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    String::from_utf8(asked.stdout).unwrap().trim().to_owned()
}

/// Everything that an import of walks makes.
async fn made(client: &Client) -> Vec<Value> {
    let mut all = Vec::new();
    for metric in ["steps", "steps_sample"] {
        let path = format!("/api/v1/wearables/metric/{metric}?start=2024-01-01T00:00:00Z&end=2025-01-01T00:00:00Z");
        all.push(client.get(&path).await.expect(200).json()["data_points"].clone());
    }
    all
}

/// Imports a file whose work breaks at a statement of the database, kills the server there, and lets it go on. `is_stored`
/// says whether totals are stored by then.
async fn killed_at(broken_statement: &str, is_stored: bool) {
    let days = 70;
    let mut server = server().await;
    let (ada, bo) = (server.person("ada@example.org"), server.person("bo@example.org"));
    let undisturbed = send(&bo, "apple_health", walks(days)).await;
    let undisturbed = until(&bo, &undisturbed, has_ended).await;
    let expected = made(&bo).await;
    assert_eq!(expected[0].as_array().unwrap().len(), usize::try_from(days).unwrap());
    sql(&server, &format!("CREATE TRIGGER stop BEFORE {broken_statement} BEGIN SELECT RAISE(ABORT, 'stop'); END"));
    let id = send(&ada, "apple_health", walks(days)).await;
    let deadline = Instant::now() + DEADLINE;
    while !server.log().contains("an import broke off") {
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(POLL).await;
    }
    let open = "SELECT count(*) FROM day_pieces WHERE is_settled = 0";
    assert_ne!(sql(&server, open), "[(0,)]", "pieces are kept that no total holds yet");
    assert_ne!(made(&ada).await[0].as_array().unwrap().is_empty(), is_stored);
    server.kill();
    sql(&server, "DROP TRIGGER stop");
    server.restart().await;
    let ada = ada.moved_to(&server.url());
    let resumed = until(&ada, &id, has_ended).await;
    for part in ["status", "ingested", "skipped"] {
        assert_eq!(resumed[part], undisturbed[part], "{resumed}");
    }
    assert_eq!(resumed["ingested"], json!({"steps": days, "steps_sample": 2 * days}));
    assert_eq!(made(&ada).await, expected, "as if nothing had happened");
    assert_eq!(sql(&server, open), "[(0,)]");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_keeping_the_pieces_of_days_and_noting_how_far_it_is_an_import_makes_the_same_totals() {
    killed_at("UPDATE OF calls_taken ON imports", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_keeping_the_pieces_of_days_and_noting_their_totals_an_import_makes_the_same() {
    killed_at("INSERT ON day_totals", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_storing_totals_and_settling_them_an_import_makes_the_same() {
    killed_at("UPDATE OF is_settled ON day_pieces", true).await;
}
