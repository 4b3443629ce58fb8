//! FHIR's exports out of the real binary: by another system with its own key, and across a SIGKILL.

#![expect(clippy::disallowed_methods, reason = "the server under test has the system's clock")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Client, Server, python};

use crate::setup::{bulk, server};
use crate::sharing::{person, text};

/// Longest wait for an export.
const EXPORT_MAX: Duration = Duration::from_mins(2);

/// How long a client that was removed by another process may still be let in.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// Between two looks.
const POLL: Duration = Duration::from_millis(20);

const PATIENTS: usize = 4;
const POINTS_EACH: i64 = 10_000;

/// A patient who lets the doctor read points, with so many heart rates, a minute apart.
async fn granted(server: &Server, doctor: &Client, nth: usize, points: i64) -> Client {
    let email = format!("patient{nth}@example.org");
    let patient = person(server, "Patient", &email, "patient").await;
    let invitation = json!({"patient_email": email, "permissions": ["wearables"]});
    let grant = doctor.post("/api/v1/grants/invite", &invitation).await.expect(201).json();
    let accept = format!("/api/v1/grants/{}/accept", text(&grant, "id"));
    patient.send(patient.request("POST", &accept)).await.expect(200);
    let point = |at: i64| {
        let recorded_at = engine::time::format(1_750_000_000_000_000 + at * 60_000_000);
        json!({"metric": "heart_rate", "value": 60, "unit": "bpm", "recorded_at": recorded_at, "source": "watch"})
    };
    let all: Vec<Value> = (0..points).map(point).collect();
    for chunk in all.chunks(500) {
        patient.post("/api/v1/wearables/bulk-ingest", &bulk(chunk)).await.expect(201);
    }
    patient
}

/// Asks for an export; the path of its status.
pub(crate) async fn kick_off(client: &Client, path: &str) -> String {
    let request = client.request("GET", path).header("prefer", "respond-async");
    let location = client.send(request).await.expect(202).header("content-location").to_owned();
    let (_, path) = location.split_once("/fhir/").unwrap();
    format!("/fhir/{path}")
}

/// How many patients are done, or the manifest.
pub(crate) async fn look(client: &Client, status: &str) -> Result<u64, Value> {
    let answer = client.get(status).await;
    match answer.status {
        202 => Ok(answer.header("x-progress").split(' ').next().unwrap().parse().unwrap()),
        200 => Err(answer.json()),
        other => panic!("{other}: {}", answer.text),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_sigkill_interrupts_is_taken_up_by_the_next_start_and_comes_out_whole() {
    let mut server = server().await;
    let doctor = person(&server, "Doc", "doc@example.org", "doctor").await;
    for nth in 0..PATIENTS {
        granted(&server, &doctor, nth, POINTS_EACH).await;
    }
    let status = kick_off(&doctor, "/fhir/R4/Patient/$export?_type=Observation").await;
    let deadline = Instant::now() + EXPORT_MAX;
    let mut done = 0;
    while done == 0 {
        match look(&doctor, &status).await {
            Ok(patients) => done = patients,
            Err(manifest) => panic!("it was over before it could be killed: {manifest}"),
        }
        assert!(Instant::now() < deadline, "no patient was done");
        tokio::time::sleep(POLL).await;
    }
    server.kill();
    server.restart().await;
    let doctor = doctor.moved_to(&server.url());
    let manifest = loop {
        match look(&doctor, &status).await {
            Err(manifest) => break manifest,
            Ok(patients) => assert!(patients >= done, "{patients} patients are done, and {done} were"),
        }
        assert!(Instant::now() < deadline, "it does not go on");
        tokio::time::sleep(POLL).await;
    };
    let files = manifest["output"].as_array().unwrap();
    assert_eq!(files.len(), PATIENTS, "{manifest}");
    let mut ids = BTreeSet::new();
    for file in files {
        let (_, path) = text(file, "url").split_once("/fhir/").unwrap();
        let lines = doctor.get(&format!("/fhir/{path}")).await.expect(200).text;
        for line in lines.lines() {
            let resource: Value = serde_json::from_str(line).unwrap();
            assert!(ids.insert(text(&resource, "id").to_owned()), "twice: {line}");
        }
    }
    assert_eq!(i64::try_from(ids.len()).unwrap(), POINTS_EACH * i64::try_from(PATIENTS).unwrap());
}

/// What an example says.
fn run(python: &Path, folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<String, String> {
    let example = tests::root().join("docs/examples/fhir/bulk_export.py");
    let mut command = Command::new(python);
    command.arg(example).args(arguments).current_dir(folder).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.into_owned()) } else { Err(err.into_owned()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_of_the_documentation_exports_what_was_granted_by_smart_until_its_client_is_removed() {
    let Some(python) = python::interpreter(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let server = server().await;
    let doctor = person(&server, "Doc", "doc@example.org", "doctor").await;
    let ada = granted(&server, &doctor, 1, 10).await;
    granted(&server, &doctor, 2, 5).await;
    let folder = tempfile::tempdir().unwrap();
    run(&python, folder.path(), &["keys"], &[]).unwrap();
    let keys = folder.path().join("keys.json");
    let add =
        ["smart", "client", "add", "--owner", "doc@example.org", "--name", "test", "--jwks", keys.to_str().unwrap()];
    let client = server.command_ok(&add).trim().to_owned();
    let base = format!("{}/fhir/R4", server.url());
    let environment = [("BASE", base.as_str()), ("CLIENT", client.as_str())];
    let export = |arguments: &[&str]| run(&python, folder.path(), &[&["export"], arguments].concat(), &environment);
    let said = export(&["files"]).unwrap();
    assert!(said.contains("Observation 8867-4: 15\n") && said.contains("Patient: 2\n"), "{said}");
    let as_of = said.trim().rsplit_once("as of ").unwrap().1.to_owned();
    assert_eq!(std::fs::read_dir(folder.path().join("files")).unwrap().count(), 4);
    let trail = ada.get("/api/v1/audit").await.expect(200).json();
    let records = trail["records"].as_array().unwrap();
    let is_clients = |record: &Value| record["means"] == json!("client") && record["means_id"] == json!(client);
    assert!(records.len() == 2 && records.iter().all(is_clients), "{trail}");
    let again = export(&["again", &as_of]).unwrap();
    assert!(again.contains("as of "), "{again}");
    let token = server.client().with_token(&token(&server, folder.path(), &client).await);
    let path = format!("/fhir/R4/Patient?identifier={}", text(&ada.get("/api/v1/users/me").await.json(), "id"));
    token.get(&path).await.expect(200);
    token.get("/api/v1/users/me").await.expect(403);
    server.command_ok(&["smart", "client", "remove", &client]);
    let deadline = Instant::now() + ENDS_WITHIN;
    while token.get(&path).await.status != 401 {
        assert!(Instant::now() < deadline, "a token of a client that was removed is good for more than a second");
        tokio::time::sleep(POLL).await;
    }
    assert!(export(&[]).unwrap_err().contains("401"));
}

/// A token of a client whose keys the example has made.
async fn token(server: &Server, folder: &Path, client: &str) -> String {
    let keys: Value = serde_json::from_slice(&std::fs::read(folder.join("keys.json")).unwrap()).unwrap();
    let private = std::fs::read(folder.join("private.pem")).unwrap();
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES384);
    header.kid = keys["keys"][0]["kid"].as_str().map(str::to_owned);
    let now_s = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let token_url = format!("{}/fhir/R4/auth/token", server.url());
    let claims = json!({"iss": client, "sub": client, "aud": token_url, "exp": now_s + 60, "jti": "once"});
    let key = jsonwebtoken::EncodingKey::from_ec_pem(&private).unwrap();
    let assertion = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", "system/Patient.rs"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion.as_str()),
    ];
    let asking = server.client();
    let answer = asking.send(asking.request("POST", "/fhir/R4/auth/token").form(&form)).await.expect(200).json();
    text(&answer, "access_token").to_owned()
}
