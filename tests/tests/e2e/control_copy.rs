//! An installation's control database moved to another one, and the server started on it.

use std::process::Output;

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tests::Server;

use crate::setup::{options, server};
use crate::sharing::{person, text};

const URL: &str = "AVYCENNA_CONTROL_URL";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server with a patient, a doctor, a grant, a check-in and two looks at it; a request that a doctor's key can make.
struct Installation {
    server: Server,
    key: String,
    path: String,
}

impl Installation {
    async fn new() -> Self {
        let server = server().await;
        let patient = person(&server, "Zoë 🫀", "ada@example.org", "patient").await;
        let doctor = person(&server, "Dr. Blackwell", "doc@example.org", "doctor").await;
        let made = doctor.post("/api/v1/api-keys", &json!({"name": "report"})).await.expect(201).json();
        let invitation = json!({"patient_email": "ada@example.org", "permissions": ["check_ins"]});
        let grant = doctor.post("/api/v1/grants/invite", &invitation).await.expect(201).json();
        let accept = format!("/api/v1/grants/{}/accept", text(&grant, "id"));
        let accepted = patient.send(patient.request("POST", &accept)).await.expect(200).json();
        let check_in =
            json!({"mood": 4, "energy": 2, "focus": 3, "sleep_hours": 7.1, "note": "gut, \"fast\" wie früher"});
        patient.post("/api/v1/check-ins", &check_in).await.expect(201);
        let path = format!("/api/v1/grants/patient/{}/check-ins?days=30", text(&accepted, "patient_id"));
        let found = Self { server, key: text(&made, "key").to_owned(), path };
        found.look().await;
        found.look().await;
        found
    }

    async fn look(&self) -> Value {
        self.server.client().with_key(&self.key).get(&self.path).await.expect(200).json()
    }

    /// Copies to `target`, starts the server there, and says what the copy printed.
    async fn moves_to(&mut self, target: &str) -> String {
        let before = self.look().await;
        let copy = ["control", "copy", "--to", target];
        let running = self.server.command(&copy);
        assert_eq!(running.status.code(), Some(3), "while the server runs: {}", said(&running));
        assert!(self.server.stop().await.success());
        let copied = self.server.command(&copy);
        assert_eq!(copied.status.code(), Some(0), "{}", said(&copied));
        let again = self.server.command(&copy);
        assert_eq!(again.status.code(), Some(1), "{}", said(&again));
        assert!(said(&again).contains("is not empty"), "{}", said(&again));
        self.server.restart_with(options().environment(URL, target)).await;
        assert_eq!(self.look().await, before, "the same key, grant and check-in");
        String::from_utf8(copied.stdout).unwrap()
    }
}

fn rows_of(printed: &str, table: &str) -> u64 {
    let line = printed.lines().find(|line| line.starts_with(&format!("{table}\t"))).unwrap();
    line.split('\t').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_moves_to_another_file() {
    let mut place = Installation::new().await;
    let folder = tempfile::tempdir().unwrap();
    let target = format!("sqlite:{}", folder.path().join("moved.db").display());
    let printed = place.moves_to(&target).await;
    let counts = ["users", "grants", "check_ins", "audit_records"].map(|table| rows_of(&printed, table));
    assert_eq!(counts, [2, 1, 1, 3], "{printed}");
    assert!(place.server.stop().await.success());
    // Now the copy is what the configuration names.
    let own = place.server.command(&["control", "copy", "--to", &target]);
    assert_eq!(own.status.code(), Some(2), "{}", said(&own));
    assert!(said(&own).contains("in use already"), "{}", said(&own));
    let verified = place.server.command_ok(&["verify"]);
    assert!(verified.contains("4 records of reads") && verified.contains("no damage"), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_moves_to_postgresql_and_back() {
    let Some(there) = postgres("avycenna_e2e_copy").await else { return };
    let mut place = Installation::new().await;
    let printed = place.moves_to(&there).await;
    assert!(rows_of(&printed, "audit_records") == 3 && !printed.contains("postgres"), "{printed}");
    let folder = tempfile::tempdir().unwrap();
    let printed = place.moves_to(&format!("sqlite:{}", folder.path().join("back.db").display())).await;
    assert!(place.server.stop().await.success());
    assert_eq!(rows_of(&printed, "audit_records"), 5);
    let verified = place.server.command_ok(&["verify"]);
    assert!(verified.contains("6 records of reads") && verified.contains("no damage"), "{verified}");
}

#[tokio::test]
async fn what_cannot_be_copied_is_refused_before_anything_is_made() {
    let mut server = server().await;
    assert!(server.stop().await.success());
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target.db");
    let target_url = format!("sqlite:{}", target.display());
    let refused = |arguments: &[&str], expected: &str| {
        let output = server.command(arguments);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
    };
    refused(&["control", "copy", "--to", "mysql://x"], "`control.database_url` from flag --to");
    let absent = format!("control.database_url=sqlite:{}", folder.path().join("absent.db").display());
    refused(&["control", "copy", "--to", &target_url, "--set", &absent], "there is no control database");
    assert!(!target.exists() && !folder.path().join("absent.db").exists());
}

/// A fresh schema on the PostgreSQL server of `AVYCENNA_TEST_POSTGRES`.
async fn postgres(schema: &str) -> Option<String> {
    let Ok(url) = std::env::var("AVYCENNA_TEST_POSTGRES") else {
        eprintln!("SKIPPED: set AVYCENNA_TEST_POSTGRES=postgres://user:password@host/database to test PostgreSQL");
        return None;
    };
    let admin = sea_orm::Database::connect(&url).await.unwrap();
    let name = format!("{schema}_{}", std::process::id());
    admin.execute_unprepared(&format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")).await.unwrap();
    admin.close().await.unwrap();
    let separator = if url.contains('?') { '&' } else { '?' };
    Some(format!("{url}{separator}options=-c%20search_path%3D{name}"))
}
