//! From the invitation to the end of a grant, and everything that must not happen on the way.

use std::time::Duration;

use super::*;

async fn status_of(stage: &Stage, patient: &Person, id: &str) -> String {
    let list = stage.read(&patient.token, "/grants/incoming?status=all").await;
    let grants = list["grants"].as_array().unwrap();
    let grant = grants.iter().find(|grant| grant["id"] == json!(id)).unwrap_or_else(|| panic!("{list}"));
    grant["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_grant_is_asked_for_accepted_narrowed_and_ended() {
    from_begin_to_end(Stage::new().await).await;
}

#[tokio::test]
async fn a_grant_lives_on_postgresql_too() {
    if let Some(database) = Database::postgres("avycenna_life").await {
        from_begin_to_end(Stage::on(database).await).await;
    }
}

async fn from_begin_to_end(stage: Stage) {
    let (patient, doctor) = (stage.patient("Ada Lovelace").await, stage.doctor("Doc").await);
    let body = json!({"patient_email": patient.email, "permissions": ["symptoms", "check_ins"], "message": "Hello"});
    let (status, asked) = stage.post(&doctor.token, "/grants/invite", body).await;
    assert_eq!(status, 201);
    let id = asked["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("grt_") && id.len() == 20, "{id}");
    assert_eq!((&asked["patient_id"], &asked["patient_name"]), (&Value::Null, &Value::Null));
    assert_eq!(stage.read(&doctor.key, "/grants/outgoing").await, json!({"grants": []}), "the active ones alone");
    let pending = stage.read(&doctor.key, "/grants/outgoing?status=pending").await;
    assert_eq!(pending["grants"], json!([asked]));
    assert_eq!(asked.as_object().unwrap().len(), 9, "{asked}");

    let incoming = stage.read(&patient.key, "/grants/incoming").await;
    let incoming = &incoming["grants"][0];
    assert_eq!(
        (&incoming["doctor_name"], &incoming["message"], &incoming["permissions"]),
        (&json!("Doc"), &json!("Hello"), &json!(["check_ins", "symptoms"]))
    );
    let accepted = stage.accept(&patient, &id).await;
    assert_eq!((&accepted["status"], &accepted["patient_id"]), (&json!("active"), &json!(patient.id)));
    let outgoing = stage.read(&doctor.key, "/grants/outgoing").await;
    let outgoing = &outgoing["grants"][0];
    assert_eq!(
        (&outgoing["patient_id"], &outgoing["patient_name"], &outgoing["patient_email"]),
        (&json!(patient.id), &json!("Ada Lovelace"), &json!(patient.email))
    );
    let read = |what: &str| format!("/grants/patient/{}/{what}", patient.id);
    stage.check_in(&patient, json!({"sleep_hours": 7.5, "steps": 9000, "note": "fine"})).await;
    let answer = stage.read(&doctor.key, &read("check-ins")).await;
    assert_eq!((&answer["summary"]["avg_sleep_hours"], &answer["summary"]["avg_steps"]), (&json!(7.5), &json!(9000.0)));
    stage.read(&doctor.key, &read("overview")).await;
    let path = format!("/grants/{id}");
    let (status, narrowed) =
        stage.send(Some(&patient.token), "PATCH", &path, Some(&json!({"permissions": ["symptoms"]}))).await;
    assert_eq!((status, &narrowed["permissions"]), (200, &json!(["symptoms"])));
    assert_eq!(stage.get(&doctor.key, &read("check-ins")).await.0, 403);
    stage.read(&doctor.key, &read("symptoms")).await;
    stage.revoke(&doctor, &id).await;
    assert_eq!(stage.get(&doctor.key, &read("symptoms")).await.0, 403);
    let ended = stage.read(&doctor.token, "/grants/outgoing?status=revoked").await;
    assert_eq!(ended["grants"][0]["id"], json!(id));
    let trail = stage.read(&patient.token, "/audit").await;
    let whats: Vec<_> = trail["records"].as_array().unwrap().iter().map(|record| &record["what"]).collect();
    assert_eq!(whats, ["symptoms", "overview", "check_ins"]);
    assert_eq!(crate::access::audit::verify(&stage.state.control).await.unwrap().breaks, []);
    // One who is asked twice at once has one invitation, and one who is gone takes the grants along.
    let again = json!({"patient_email": patient.email, "permissions": ["symptoms"]});
    assert_eq!(stage.post(&doctor.token, "/grants/invite", again.clone()).await.0, 201);
    assert_eq!(stage.post(&doctor.token, "/grants/invite", again).await.0, 409);
}

#[tokio::test]
async fn every_move_that_is_not_in_the_table_is_a_conflict() {
    let stage = Stage::new().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let move_of = async |id: &str, word: &str| {
        let (method, path, body) = match word {
            "narrow" => ("PATCH", format!("/grants/{id}"), Some(json!({"permissions": ["symptoms"]}))),
            word => ("POST", format!("/grants/{id}/{word}"), None),
        };
        stage.send(Some(&patient.token), method, &path, body.as_ref()).await.0
    };
    let moves = ["accept", "decline", "narrow", "revoke"];
    for (reached_by, conflicts) in [
        (&[][..], &["narrow", "revoke"][..]),
        (&["accept"], &["accept", "decline"]),
        (&["decline"], &moves),
        (&["accept", "revoke"], &moves),
        (&["expire"], &moves),
        (&["accept", "expire"], &moves),
    ] {
        let expires_at = engine::time::format(stage.state.clock.now_us() + 60_000_000);
        let body = json!({"patient_email": patient.email, "permissions": ["symptoms"], "expires_at": expires_at});
        let (status, grant) = stage.post(&doctor.token, "/grants/invite", body).await;
        assert_eq!(status, 201, "{grant}");
        let id = grant["id"].as_str().unwrap();
        let began = stage.state.clock.now_us();
        for word in reached_by {
            match *word {
                "expire" => stage.clock.set_now_us(began + 60_000_000),
                word => assert_eq!(move_of(id, word).await, 200, "{word}"),
            }
        }
        let before = status_of_all(&stage, id).await;
        for word in conflicts {
            assert_eq!(move_of(id, word).await, 409, "{word} behind {reached_by:?}");
        }
        assert_eq!(status_of_all(&stage, id).await, before);
        stage.clock.set_now_us(began);
        match status_of_all(&stage, id).await.as_str() {
            "active" => stage.revoke(&patient, id).await,
            "pending" => assert_eq!(move_of(id, "decline").await, 200),
            _ => {}
        }
    }
}

async fn status_of_all(stage: &Stage, id: &str) -> String {
    use sea_orm::EntityTrait;
    let row = crate::control::entities::grant::Entity::find_by_id(id).one(stage.state.control.read()).await;
    crate::access::invitation::status_at(&row.unwrap().unwrap(), stage.state.clock.now_us())
        .unwrap()
        .as_str()
        .to_owned()
}

#[tokio::test]
async fn a_grant_ends_with_its_time() {
    let stage = Stage::new().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let expires_at = engine::time::format(stage.state.clock.now_us() + 60_000_000);
    let body = json!({"patient_email": patient.email, "permissions": ["check_ins"], "expires_at": expires_at});
    let (_, grant) = stage.post(&doctor.token, "/grants/invite", body.clone()).await;
    let id = grant["id"].as_str().unwrap();
    stage.accept(&patient, id).await;
    let path = format!("/grants/patient/{}/check-ins", patient.id);
    stage.clock.advance(Duration::from_micros(59_999_999));
    stage.read(&doctor.token, &path).await;
    stage.clock.advance(Duration::from_micros(1));
    assert_eq!(stage.get(&doctor.token, &path).await.0, 403);
    assert_eq!(status_of(&stage, &patient, id).await, "expired");
    let expired = stage.read(&doctor.token, "/grants/outgoing?status=expired").await;
    assert_eq!(expired["grants"][0]["status"], "expired");
    assert_eq!(stage.post(&doctor.token, "/grants/invite", body).await.0, 422, "not a time to come any more");
    stage.invite(&doctor, &patient, &["check_ins"]).await;
}

#[tokio::test]
async fn an_invitation_waits_for_an_account_and_tells_nobody_who_has_one() {
    let stage = Stage::new().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let mut answers = Vec::new();
    for email in [&patient.email, "later@example.org"] {
        let body = json!({"patient_email": email, "permissions": ["symptoms"]});
        let (status, mut answer) = stage.post(&doctor.token, "/grants/invite", body).await;
        assert_eq!(status, 201);
        assert_eq!(answer["patient_email"], json!(email));
        answer["id"] = Value::Null;
        answer["patient_email"] = Value::Null;
        answers.push(answer);
    }
    assert_eq!(answers[0], answers[1]);
    let later = stage.patient("Later").await;
    let incoming = stage.read(&later.token, "/grants/incoming").await;
    let id = incoming["grants"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(stage.send(Some(&patient.token), "POST", &format!("/grants/{id}/accept"), None).await.0, 404);
    stage.accept(&later, &id).await;
    stage.read(&doctor.token, &format!("/grants/patient/{}/symptoms", later.id)).await;
    // Both were told by mail, in the same words.
    stage.state.mail.clone().close().await;
    let mails = std::fs::read_to_string(stage.database.config.storage.data_dir.join(crate::mail::FILE_NAME)).unwrap();
    for email in [&patient.email, "later@example.org"] {
        assert_eq!(mails.matches(&format!("\nTo: {email}\n")).count(), 1, "{mails}");
    }
}

#[tokio::test]
async fn nobody_lets_themselves_in() {
    let stage = Stage::new().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let other = stage.patient("Eve").await;
    let id = stage.invite(&doctor, &patient, &["symptoms", "wearables"]).await;
    let (accept, grant) = (format!("/grants/{id}/accept"), format!("/grants/{id}"));
    let some = json!({"permissions": ["symptoms"]});
    for (who, expected) in [(&doctor.token, 403), (&other.token, 404), (&patient.key, 403), (&doctor.key, 403)] {
        assert_eq!(stage.post(who, &accept, json!({})).await.0, expected);
        assert_eq!(stage.post(who, &format!("/grants/{id}/decline"), json!({})).await.0, expected);
        assert_eq!(stage.send(Some(who), "PATCH", &grant, Some(&some)).await.0, expected);
    }
    for (body, place) in [
        (json!({"permissions": ["symptoms", "check_ins"]}), json!(["body", "permissions", 1])),
        (json!({"permissions": ["wearables_write"]}), json!(["body", "permissions", 0])),
        (json!({"permissions": ["admin"]}), json!(["body", "permissions", 0])),
        (json!({"permissions": ["symptoms", "symptoms"]}), json!(["body", "permissions", 1])),
        (json!({"permissions": []}), json!(["body", "permissions"])),
        (json!({"permissions": "symptoms"}), json!(["body", "permissions"])),
        (json!({"doctor_id": other.id}), json!(["body", "doctor_id"])),
        (json!({"expires_at": null}), json!(["body", "expires_at"])),
    ] {
        let (status, answer) = stage.post(&patient.token, &accept, body.clone()).await;
        assert_eq!((status, places(&answer)), (422, vec![place]), "{body}");
    }
    assert_eq!(status_of(&stage, &patient, &id).await, "pending");
    assert_eq!(stage.post(&patient.token, &accept, some).await.0, 200);
    for body in
        [json!({"permissions": ["symptoms", "wearables"]}), json!({"status": "active", "permissions": ["symptoms"]})]
    {
        assert_eq!(stage.send(Some(&patient.token), "PATCH", &grant, Some(&body)).await.0, 422, "{body}");
    }
    // A role is not for its bearer to choose.
    let (status, answer) = stage.send(Some(&other.token), "PATCH", "/users/me", Some(&json!({"role": "doctor"}))).await;
    assert_eq!((status, places(&answer)), (422, vec![json!(["body", "role"])]));
    let invitation = json!({"patient_email": "x@example.org", "permissions": ["symptoms"]});
    assert_eq!(stage.post(&other.token, "/grants/invite", invitation.clone()).await.0, 403);
    assert_eq!(stage.post(&doctor.key, "/grants/invite", invitation).await.0, 403);
}

#[tokio::test]
async fn an_invitation_has_every_fault_located() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let past = stage.ago(1.0);
    let body =
        json!({"patient_email": "nobody", "permissions": ["x"], "message": 3, "expires_at": past, "status": "active"});
    let (_, answer) = stage.post(&doctor.token, "/grants/invite", body).await;
    let expected = [
        json!(["body", "patient_email"]),
        json!(["body", "permissions", 0]),
        json!(["body", "message"]),
        json!(["body", "expires_at"]),
        json!(["body", "status"]),
    ];
    assert_eq!(places(&answer), expected);
    let (_, answer) = stage.post(&doctor.token, "/grants/invite", json!({})).await;
    assert_eq!(places(&answer), [json!(["body", "patient_email"]), json!(["body", "permissions"])]);
    let own = json!({"patient_email": doctor.email, "permissions": ["symptoms"]});
    let (_, answer) = stage.post(&doctor.token, "/grants/invite", own).await;
    assert_eq!(places(&answer), [json!(["body", "patient_email"])]);
    assert_eq!(stage.get(&doctor.token, "/grants/outgoing?status=open").await.0, 422);
}

#[tokio::test]
async fn an_address_is_one_in_every_case_and_carries_no_header() {
    let stage = Stage::new().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc\u{2028}Bcc: eve@example.org").await);
    let ask = async |email: &str| {
        stage
            .post(&doctor.token, "/grants/invite", json!({"patient_email": email, "permissions": ["symptoms"]}))
            .await
            .0
    };
    for email in [
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org\nSubject: x",
        "ada@example.org, eve@example.org",
        "\"Ada\" <ada@example.org>",
        "ada@example.org\0",
    ] {
        assert_eq!(ask(email).await, 422, "{email:?}");
    }
    assert_eq!(ask(" ADA@Example.ORG ").await, 201);
    assert_eq!(ask("ada@example.org").await, 409, "the same address");
    // Cyrillic а: another address, whoever can read it.
    assert_ne!(ask("\u{430}da@example.org").await, 409);
    assert_eq!(stage.read(&patient.token, "/grants/incoming").await["grants"].as_array().unwrap().len(), 1);
    stage.state.mail.clone().close().await;
    let mails = std::fs::read_to_string(stage.database.config.storage.data_dir.join(crate::mail::FILE_NAME)).unwrap();
    let heads = mails.split("From avycenna\n").map(|mail| mail.split("\n\n").next().unwrap_or_default());
    for head in heads {
        assert!(!head.lines().any(|line| line.starts_with("Bcc") || line.contains("eve@")), "{head}");
        assert!(head.matches("\nTo: ").count() <= 1, "{head}");
    }
}

#[tokio::test]
async fn a_new_grant_takes_the_place_of_the_same_doctor_s_earlier_one() {
    let stage = Stage::new().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let first = stage.grant(&doctor, &patient, &["check_ins"]).await;
    let second = stage.grant(&doctor, &patient, &["symptoms"]).await;
    assert_eq!(status_of(&stage, &patient, &first).await, "revoked");
    assert_eq!(stage.get(&doctor.token, &format!("/grants/patient/{}/check-ins", patient.id)).await.0, 403);
    stage.revoke(&patient, &second).await;
    assert_eq!(stage.get(&doctor.token, &format!("/grants/patient/{}/symptoms", patient.id)).await.0, 403);
}

#[tokio::test]
async fn another_process_s_revocation_holds_on_the_next_request() {
    let stage = Stage::new().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let id = stage.grant(&doctor, &patient, &["check_ins"]).await;
    let path = format!("/grants/patient/{}/check-ins", patient.id);
    stage.read(&doctor.token, &path).await;
    let other = stage.database.other().await;
    crate::access::invitation::revoke(&other, &stage.state.webhooks, &patient.id, &id).await.unwrap();
    assert_eq!(stage.get(&doctor.token, &path).await.0, 403);
}

#[tokio::test]
async fn invitations_of_a_day_are_counted_whatever_became_of_them() {
    let stage = Stage::new().await;
    let (doctor, other) = (stage.doctor("Doc").await, stage.doctor("Eve").await);
    let invite = async |doctor: &Person, email: String| {
        let expires_at = stage.ago(-1.0 / 86_400.0);
        let body = json!({"patient_email": email, "permissions": ["symptoms"], "expires_at": expires_at});
        let status = stage.post(&doctor.token, "/grants/invite", body).await.0;
        // It has run out, and waits for no answer.
        stage.clock.advance(Duration::from_secs(1));
        status
    };
    for _ in 0..12 {
        assert_eq!(invite(&doctor, "ada@example.org".to_owned()).await, 201);
    }
    assert_eq!(invite(&other, "ada@example.org".to_owned()).await, 201, "nobody is told that no mail goes out");
    for nth in 12..200 {
        assert_eq!(invite(&doctor, format!("{nth}@example.org")).await, 201, "{nth}");
    }
    assert_eq!(invite(&doctor, "201@example.org".to_owned()).await, 409);
    stage.clock.advance(Duration::from_hours(24));
    let token = stage.state.auth.login(&doctor.email, PASSWORD.to_owned()).await.unwrap().access_token;
    let doctor = Person { token: ("authorization", format!("Bearer {token}")), ..doctor };
    assert_eq!(invite(&doctor, "ada@example.org".to_owned()).await, 201, "the next day");
    stage.state.mail.clone().close().await;
    let mails = std::fs::read_to_string(stage.database.config.storage.data_dir.join(crate::mail::FILE_NAME)).unwrap();
    assert_eq!(mails.matches("\nTo: ada@example.org\n").count(), 10 + 1, "ten a day, from whomever");
}
