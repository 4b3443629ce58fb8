//! A patient lets a doctor in: the documentation's programs against the real binary, and the trail that they leave.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::{Client, Server};

use crate::setup::server;

const PASSWORD: &str = "correct horse battery staple";

/// Registers and logs in: a client with the access token.
pub(crate) async fn person(server: &Server, name: &str, email: &str, role: &str) -> Client {
    let client = server.client();
    let body = json!({"name": name, "email": email, "password": PASSWORD, "role": role});
    client.post("/api/v1/auth/register", &body).await.expect(201);
    let login = client.post("/api/v1/auth/login", &json!({"email": email, "password": PASSWORD})).await;
    client.with_token(text(&login.expect(200).json(), "access_token"))
}

/// A text of an answer.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// Runs an example with a key.
fn run(program: &str, file: &str, server: &Server, key: &str) -> Output {
    let file = tests::root().join("docs/examples").join(file);
    let mut command = Command::new(program);
    command.arg(file).env("URL", server.url()).env("KEY", key);
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_of_the_documentation_read_what_a_patient_allows() {
    let mut server = server().await;
    let patient = person(&server, "Ada Lovelace", "ada@example.org", "patient").await;
    let doctor = person(&server, "Dr. Blackwell", "doc@example.org", "doctor").await;
    let made = doctor.post("/api/v1/api-keys", &json!({"name": "report", "scopes": ["read"]})).await.expect(201).json();
    let key = text(&made, "key");
    let programs = [("python3", "python/check_ins.py"), ("node", "node/check_ins.mjs")];
    let printed = |program: &str, file: &str| {
        let output = run(program, file, &server, key);
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for (program, file) in programs {
        assert_eq!(printed(program, file), "nobody has let you in yet\n");
    }

    let invitation = json!({"patient_email": "ada@example.org", "permissions": ["check_ins"]});
    let grant = doctor.post("/api/v1/grants/invite", &invitation).await.expect(201).json();
    let grant = format!("/api/v1/grants/{}", text(&grant, "id"));
    let accepted = patient.send(patient.request("POST", &format!("{grant}/accept"))).await.expect(200).json();
    for (program, file) in programs {
        assert_eq!(printed(program, file), "Ada Lovelace: mood -, energy -, sleep - h, 0 check-ins\n");
    }
    for check_in in [
        json!({"mood": 4, "energy": 2, "focus": 3, "sleep_hours": 7.25}),
        json!({"mood": 3, "energy": 2, "focus": 3, "sleep_hours": 6.5}),
        json!({"mood": 3, "energy": 3, "focus": 3}),
    ] {
        patient.post("/api/v1/check-ins", &check_in).await.expect(201);
    }
    for (program, file) in programs {
        assert_eq!(printed(program, file), "Ada Lovelace: mood 3.3, energy 2.3, sleep 6.9 h, 3 check-ins\n");
        let refused = run(program, file, &server, "avk_0000000000000000000000000000000000000000");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("401: these credentials are not valid"), "{file}: {said}");
    }

    patient.send(patient.request("POST", &format!("{grant}/revoke"))).await.expect(200);
    let reader = server.client().with_key(key);
    let path = format!("/api/v1/grants/patient/{}/check-ins?days=30", text(&accepted, "patient_id"));
    let refused = reader.get(&path).await.expect(403);
    let unknown = reader.get("/api/v1/grants/patient/usr_00000000/check-ins?days=30").await.expect(403);
    assert_eq!(refused.text, unknown.text);

    let trail = patient.get("/api/v1/audit").await.expect(200).json();
    let records = trail["records"].as_array().unwrap();
    assert_eq!(records.len(), 4, "{trail}");
    assert!(records.iter().all(|record| record["means_id"] == made["id"] && record["address"] == "127.0.0.1"));
    assert!(server.stop().await.success());
    let verified = server.command_ok(&["verify"]);
    assert!(verified.contains("4 records of reads"), "{verified}");
}
