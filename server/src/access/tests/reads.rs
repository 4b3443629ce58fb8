//! One's own check-ins and symptoms, and what a doctor sees of them.

use super::*;

#[tokio::test]
async fn a_check_in_is_made_listed_changed_and_deleted() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let made = stage.check_in(&ada, json!({"mood": 4, "sleep_hours": 7.5, "note": " fine\nday "})).await;
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("ci_") && id.len() == 19, "{id}");
    let now = stage.ago(0.0);
    let expected = json!({"id": id, "user_id": ada.id, "mood": 4, "energy": 3, "focus": 3, "sleep_hours": 7.5,
        "steps": null, "note": "fine\nday", "checked_in_at": now, "source": "web"});
    assert_eq!(made, expected);
    let (_, by_key) = stage.post(&ada.key, "/check-ins", json!({"mood": 1, "energy": 1, "focus": 1})).await;
    assert_eq!(by_key["source"], "api");
    let path = format!("/check-ins/{id}");
    assert_eq!(stage.read(&ada.key, &path).await, expected);
    let change = json!({"mood": 5, "sleep_hours": null, "steps": 9000, "checked_in_at": stage.ago(40.0)});
    let (status, changed) = stage.send(Some(&ada.token), "PATCH", &path, Some(&change)).await;
    assert_eq!(status, 200);
    assert_eq!((&changed["mood"], &changed["sleep_hours"], &changed["steps"]), (&json!(5), &Value::Null, &json!(9000)));
    assert_eq!(changed["note"], "fine\nday", "what is not there stays");
    assert_eq!(stage.read(&ada.token, &path).await, changed);
    assert_eq!(stage.read(&ada.token, "/check-ins").await["check_ins"], json!([by_key]), "30 days");
    assert_eq!(stage.read(&ada.token, "/check-ins?days=60").await["check_ins"], json!([by_key, changed]));
    assert_eq!(stage.send(Some(&ada.token), "DELETE", &path, None).await.0, 204);
    assert_eq!(stage.send(Some(&ada.token), "DELETE", &path, None).await.0, 404);
    assert_eq!(stage.get(&ada.token, &path).await.0, 404);
}

#[tokio::test]
async fn every_fault_of_a_check_in_is_located_in_one_pass() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let body = json!({"mood": 6, "energy": "3", "sleep_hours": 25, "steps": -1, "note": "x".repeat(2001),
        "checked_in_at": "yesterday", "user_id": "usr_00000000", "role": "doctor"});
    let (_, answer) = stage.post(&ada.token, "/check-ins", body).await;
    let mut found: Vec<_> = places(&answer).iter().map(|place| place[1].as_str().unwrap().to_owned()).collect();
    found.sort();
    let expected = ["checked_in_at", "energy", "focus", "mood", "note", "role", "sleep_hours", "steps", "user_id"];
    assert_eq!(found, expected);
    assert_eq!(stage.read(&ada.token, "/check-ins").await["check_ins"], json!([]));
    let ahead = json!({"mood": 1, "energy": 1, "focus": 1, "checked_in_at": stage.ago(-1.1)});
    assert_eq!(stage.post(&ada.token, "/check-ins", ahead).await.0, 422);
    let made = stage.check_in(&ada, json!({})).await;
    let path = format!("/check-ins/{}", made["id"].as_str().unwrap());
    for (body, place) in [
        (json!({"mood": null}), "mood"),
        (json!({"mood": 2.5}), "mood"),
        (json!({"user_id": "usr_00000000"}), "user_id"),
        (json!({"source": "mobile"}), "source"),
        (json!({"id": "ci_0000000000000000"}), "id"),
        (json!({"note": "a\u{0}b"}), "note"),
    ] {
        let (status, answer) = stage.send(Some(&ada.token), "PATCH", &path, Some(&body)).await;
        assert_eq!((status, places(&answer)), (422, vec![json!(["body", place])]), "{body}");
    }
    assert_eq!(stage.read(&ada.token, &path).await, made);
    for query in ["days=0", "days=3651", "days=x", "day=3", "days=3&days=3"] {
        assert_eq!(stage.get(&ada.token, &format!("/check-ins?{query}")).await.0, 422, "{query}");
    }
}

#[tokio::test]
async fn a_symptom_is_made_resolved_and_deleted() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let (onset_at, resolved_at) = (stage.ago(2.0), stage.ago(1.0));
    let body = json!({"name": "'; DROP TABLE symptoms; --", "severity": "severe", "onset_at": onset_at});
    let (status, made) = stage.post(&ada.token, "/symptoms", body.clone()).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!((&made["name"], &made["resolved_at"]), (&body["name"], &Value::Null));
    let path = format!("/symptoms/{}", made["id"].as_str().unwrap());
    let early = json!({"resolved_at": stage.ago(3.0)});
    let (status, answer) = stage.send(Some(&ada.token), "PATCH", &path, Some(&early)).await;
    assert_eq!((status, places(&answer)), (422, vec![json!(["body", "resolved_at"])]));
    let (status, resolved) =
        stage.send(Some(&ada.token), "PATCH", &path, Some(&json!({"resolved_at": resolved_at, "notes": "gone"}))).await;
    assert_eq!((status, &resolved["resolved_at"], &resolved["notes"]), (200, &json!(resolved_at), &json!("gone")));
    let late = json!({"onset_at": stage.ago(0.5)});
    let (_, answer) = stage.send(Some(&ada.token), "PATCH", &path, Some(&late)).await;
    assert_eq!(places(&answer), [json!(["body", "onset_at"])]);
    assert_eq!(stage.read(&ada.token, "/symptoms").await["symptoms"], json!([resolved]));
    let (_, answer) =
        stage.post(&ada.token, "/symptoms", json!({"name": "x".repeat(1 << 20), "severity": "bad", "id": "x"})).await;
    let expected = ["onset_at", "name", "severity", "id"].map(|place| json!(["body", place]));
    assert_eq!(places(&answer), expected);
    assert_eq!(stage.send(Some(&ada.token), "DELETE", &path, None).await.0, 204);
    assert_eq!(stage.read(&ada.token, "/symptoms").await["symptoms"], json!([]));
}

#[tokio::test]
async fn a_request_asks_for_its_key_once_and_for_its_grant_once_more_behind_points() {
    let (database, heard) = Database::new().await.overheard().await;
    let stage = Stage::on(database).await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &ada, &["check_ins", "symptoms"]).await;
    for path in ["check-ins", "symptoms", "wearables/latest", "wearables/metric/heart_rate", "overview"] {
        heard.lock().unwrap().clear();
        stage.read(&doctor.key, &format!("/grants/patient/{}/{path}", ada.id)).await;
        let heard = heard.lock().unwrap();
        // Nothing is remembered here, so the key is looked up by each request; a running server remembers it.
        for table in ["grants", "api_keys", "audit_heads"] {
            let asked = heard.iter().filter(|sql| sql.contains(&format!(" FROM \"{table}\"")));
            let expected = match table {
                "audit_heads" => 1..=2,
                // Points are read behind the record, and the grant once more behind them.
                "grants" if path.contains("wearables") || path == "overview" => 2..=2,
                _ => 1..=1,
            };
            assert!(expected.contains(&asked.count()), "{path}, {table}: {heard:#?}");
        }
    }
}

#[tokio::test]
async fn a_summary_is_over_what_is_present_and_null_where_nothing_is() {
    let stage = Stage::new().await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    let path = format!("/grants/patient/{}/check-ins", ada.id);
    let empty = stage.read(&doctor.key, &path).await;
    let nothing = json!({"avg_mood": null, "avg_energy": null, "avg_focus": null, "avg_sleep_hours": null,
        "avg_steps": null, "total_check_ins": 0, "days_requested": 30});
    assert_eq!(empty, json!({"patient_id": ada.id, "patient_name": "Ada", "check_ins": [], "summary": nothing}));
    let older = stage.check_in(&ada, json!({"mood": 2, "sleep_hours": 6.5, "checked_in_at": stage.ago(20.0)})).await;
    let newer = stage.check_in(&ada, json!({"mood": 5, "energy": 4, "checked_in_at": stage.ago(2.0)})).await;
    let answer = stage.read(&doctor.key, &path).await;
    assert_eq!(answer["check_ins"], json!([newer, older]));
    let expected = json!({"avg_mood": 3.5, "avg_energy": 3.5, "avg_focus": 3.0, "avg_sleep_hours": 6.5,
        "avg_steps": null, "total_check_ins": 2, "days_requested": 30});
    assert_eq!(answer["summary"], expected);
    let week = stage.read(&doctor.key, &format!("{path}?days=7")).await;
    assert_eq!((&week["summary"]["total_check_ins"], &week["summary"]["days_requested"]), (&json!(1), &json!(7)));
    for query in ["days=0", "days=366", "status=all"] {
        assert_eq!(stage.get(&doctor.key, &format!("{path}?{query}")).await.0, 422, "{query}");
    }
}

#[tokio::test]
async fn a_doctor_reads_points_as_their_owner_does() {
    let stage = Stage::new().await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &ada, &["wearables"]).await;
    stage.heart_rate(&ada, 60.0, 1.0).await;
    stage.heart_rate(&ada, 64.0, 2.0).await;
    for path in [
        "/wearables/latest",
        "/wearables/metric/heart_rate",
        "/wearables/metric/heart_rate?days=1&limit=5",
        "/wearables/metric/heart_rate?bucket=1d&agg=avg,max&tz=Europe/Berlin",
    ] {
        let own = stage.read(&ada.token, path).await;
        assert_eq!(stage.read(&doctor.key, &format!("/grants/patient/{}{path}", ada.id)).await, own, "{path}");
    }
    let path = format!("/grants/patient/{}/wearables/metric", ada.id);
    assert_eq!(stage.get(&doctor.key, &format!("{path}/unknown")).await.0, 404);
    assert_eq!(stage.get(&doctor.key, &format!("{path}/heart_rate?bucket=2h")).await.0, 422);
}

#[tokio::test]
async fn an_overview_puts_a_period_beside_the_one_before() {
    let stage = Stage::new().await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let (with, without) = (stage.doctor("With").await, &doctor);
    stage.grant(without, &ada, &["wearables"]).await;
    stage.grant(&with, &ada, &["check_ins"]).await;
    for (value, days_ago) in [(60.0, 1.0), (64.0, 2.0), (70.0, 12.0)] {
        stage.heart_rate(&ada, value, days_ago).await;
    }
    stage.check_in(&ada, json!({"mood": 5, "checked_in_at": stage.ago(1.0)})).await;
    stage.check_in(&ada, json!({"mood": 2, "checked_in_at": stage.ago(11.0)})).await;
    let path = format!("/grants/patient/{}/overview?days=10", ada.id);
    let answer = stage.read(&with.token, &path).await;
    assert_eq!(answer["summary"]["avg_mood"], 5.0);
    assert_eq!(answer["summary_before"]["avg_mood"], 2.0);
    assert_eq!(answer["latest"]["heart_rate"]["value"], 60.0);
    let heart_rate = &answer["metrics"]["heart_rate"];
    let figures = ["avg", "avg_before", "change"].map(|figure| heart_rate[figure].as_f64().unwrap());
    assert_eq!((figures, &heart_rate["unit"]), ([62.0, 70.0, -8.0], &json!("bpm")));
    assert_eq!(heart_rate["days"].as_array().unwrap().len(), 2);
    assert_eq!(heart_rate["days"][0]["avg"], 60.0);
    assert_eq!(answer["metrics"].as_object().unwrap().len(), 1, "{answer}");
    let answer = stage.read(&without.token, &path).await;
    assert_eq!((&answer["summary"], &answer["summary_before"]), (&Value::Null, &Value::Null));
    assert_eq!(&answer["metrics"]["heart_rate"], heart_rate);
}
