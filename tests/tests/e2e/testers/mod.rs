//! Two testers that others wrote, against the real binary: Schemathesis over the API's description, AuthzTrace over the
//! objects of others. Their versions are pinned in `testers/requirements.txt`; their seeds are fixed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tests::{Client, Server, python};

use crate::setup::{heart_rate, inward, server};
use crate::sharing::{person, text};

/// Nothing that the description shows: Schemathesis tries its examples, and would change the password of its own people.
const UNGUESSED: &str = "a password that no example has";

/// Whose account Schemathesis ends.
const LEAVER: &str = "leaver@example.com";

/// A program of the Python environment.
fn program(name: &str) -> Option<PathBuf> {
    let python = python::interpreter(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let program = python.with_file_name(name);
    if !program.is_file() {
        python::skip(&format!("there is no {}", program.display()));
        return None;
    }
    Some(program)
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/testers").join(name)
}

fn printed(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// How Schemathesis logs a person in.
fn login(name: &str, email: &str) -> Value {
    json!({"name": name, "loginEndpointAuth": {
        "endpoint": "/api/v1/auth/login",
        "verb": "POST",
        "contentType": "application/json",
        "payloadRaw": json!({"email": email, "password": UNGUESSED}).to_string(),
        "token": {
            "extractFrom": "body",
            "extractSelector": "/access_token",
            "sendIn": "header",
            "sendName": "Authorization",
            "sendTemplate": "Bearer {token}",
        },
    }})
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let Some(schemathesis) = program("schemathesis") else { return };
    let server = Server::start(inward()).await;
    let roles = [("patient@example.com", "patient"), ("doctor@example.com", "doctor"), (LEAVER, "patient")];
    for (email, role) in roles {
        let body = json!({"name": "Tested Person", "email": email, "password": UNGUESSED, "role": role});
        server.client().post("/api/v1/auth/register", &body).await.expect(201);
    }
    let folder = tempfile::tempdir().unwrap();
    let people = json!({"auth": [login("patient", "patient@example.com"), login("doctor", "doctor@example.com")]});
    std::fs::write(folder.path().join("wfc.json"), people.to_string()).unwrap();
    for name in ["schemathesis.toml", "schemathesis_hooks.py"] {
        std::fs::copy(file(name), folder.path().join(name)).unwrap();
    }
    let login = async || {
        let who = json!({"email": LEAVER, "password": UNGUESSED});
        server.client().post("/api/v1/auth/login", &who).await
    };
    let token = login().await.expect(200).json();
    let (receiver, called) = receiver();
    let output = Command::new(schemathesis)
        .env("TESTED_RECEIVER", receiver)
        .env("TESTED_LEAVER", LEAVER)
        .env("TESTED_LEAVER_TOKEN", text(&token, "access_token"))
        .args(["run", &format!("{}/openapi.json", server.url()), "--checks", "all", "--no-color"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let printed = printed(&output);
    assert!(output.status.success(), "{printed}\n{}", server.log());
    // A run that could not log in, or stopped early, has found nothing either.
    let operations = described(&server).await;
    assert!(printed.contains(&format!("Tested: {operations}")), "{operations} operations: {printed}");
    for phase in ["Examples", "Coverage", "Fuzzing", "Stateful"] {
        assert!(printed.contains(&format!("✅ {phase}")), "{phase}: {printed}");
    }
    assert!(called.load(Ordering::SeqCst) > 0, "webhooks were made, and sent something: {printed}");
    login().await.expect(401);
}

/// Somebody whom webhooks may call, and how often they did; nobody hears an answer.
fn receiver() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, called) = (format!("http://{}", listener.local_addr().unwrap()), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&called);
    std::thread::spawn(move || {
        for _connection in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (url, called)
}

/// How many operations the description has: all are tested.
async fn described(server: &Server) -> usize {
    let description = server.client().get("/openapi.json").await.expect(200).json();
    let paths = description["paths"].as_object().unwrap();
    let operations = paths.values().flat_map(|item| item.as_object().unwrap().keys());
    operations.filter(|method| ["get", "post", "put", "patch", "delete"].contains(&method.as_str())).count()
}

/// A patient with one of everything, and what the contract calls it: variable and value.
async fn patient(server: &Server, name: &str, variables: &mut Vec<(String, String)>) -> Client {
    let lower = name.to_lowercase();
    let patient = person(server, name, &format!("{lower}@example.org"), "patient").await;
    let check_in = json!({"mood": 3, "energy": 3, "focus": 3, "note": format!("{lower}'s own words")});
    let check_in = patient.post("/api/v1/check-ins", &check_in).await.expect(201).json();
    let symptom = json!({"name": format!("{lower}'s headache"), "severity": "mild", "onset_at": tests::time::ago(60)});
    let symptom = patient.post("/api/v1/symptoms", &symptom).await.expect(201).json();
    let mut point = heart_rate(62.0, &tests::time::ago(30));
    point["source"] = json!(format!("{lower}'s watch"));
    patient.post("/api/v1/wearables/ingest", &point).await.expect(201);
    let me = patient.get("/api/v1/users/me").await.expect(200).json();
    let upper = name.to_uppercase();
    for (kind, value) in [("ID", &me), ("CHECK_IN", &check_in), ("SYMPTOM", &symptom)] {
        variables.push((format!("{upper}_{kind}"), text(value, "id").to_owned()));
    }
    patient
}

/// A doctor whom a patient lets in; the grant's id.
async fn let_in(patient: &Client, doctor: &Client, email: &str) -> String {
    let invitation = json!({"patient_email": email, "permissions": ["check_ins", "symptoms"]});
    let grant = doctor.post("/api/v1/grants/invite", &invitation).await.expect(201).json();
    let id = text(&grant, "id").to_owned();
    patient.post(&format!("/api/v1/grants/{id}/accept"), &json!({})).await.expect(200);
    id
}

async fn key(person: &Client, scope: &str) -> String {
    let made = person.post("/api/v1/api-keys", &json!({"name": scope, "scopes": [scope]})).await.expect(201).json();
    text(&made, "key").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn authztrace_reaches_no_object_of_others() {
    let Some(authztrace) = program("authztrace") else { return };
    let server = server().await;
    let mut variables = vec![("TESTED_URL".to_owned(), server.url())];
    let ada = patient(&server, "Ada", &mut variables).await;
    let eve = patient(&server, "Eve", &mut variables).await;
    let ada_doctor = person(&server, "Dr. Blackwell", "blackwell@example.org", "doctor").await;
    let eve_doctor = person(&server, "Dr. Aziz", "aziz@example.org", "doctor").await;
    let stranger = person(&server, "Dr. No", "no@example.org", "doctor").await;
    variables.push(("ADA_GRANT".to_owned(), let_in(&ada, &ada_doctor, "ada@example.org").await));
    variables.push(("EVE_GRANT".to_owned(), let_in(&eve, &eve_doctor, "eve@example.org").await));
    variables.push(("ADA_DOCTOR_KEY".to_owned(), key(&ada_doctor, "read").await));
    variables.push(("ADA_DOCTOR_WRITE_KEY".to_owned(), key(&ada_doctor, "write").await));
    let people = [("ADA", &ada), ("EVE", &eve), ("ADA_DOCTOR", &ada_doctor), ("EVE_DOCTOR", &eve_doctor)];
    for (name, person) in people.into_iter().chain([("STRANGER", &stranger)]) {
        variables.push((name.to_owned(), person.token().unwrap().to_owned()));
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let output = Command::new(authztrace)
        .args(["run", "--strict", "--no-color", "-c"])
        .arg(file("authztrace.yaml"))
        .arg("--json")
        .arg(&report)
        .envs(variables)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}\n{}", printed(&output), server.log());
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    let checks = report["results"].as_array().unwrap();
    // Five operations on two objects, five on each patient, eight actors.
    assert_eq!(checks.len(), (5 * 2 + 5 + 5) * 8, "{report}");
    assert!(checks.iter().all(|check| check["outcome"] == "pass"), "{report}");
}
