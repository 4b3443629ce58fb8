//! The trail of reads: whole, in order, not to be changed unseen; and no read without it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sea_orm::ConnectionTrait;

use super::*;
use crate::access::audit::{Break, verify};

async fn sql(stage: &Stage, statement: &str) {
    stage.state.control.read().execute_unprepared(statement).await.unwrap();
}

#[tokio::test]
async fn a_patient_sees_who_read_what_when_from_where_and_by_what() {
    let stage = Stage::new().await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let grant = stage.grant(&doctor, &ada, &["check_ins", "symptoms"]).await;
    let base = format!("/grants/patient/{}", ada.id);
    stage.read(&doctor.token, &format!("{base}/check-ins?days=1")).await;
    stage
        .read(&doctor.key, &format!("{base}/wearables/metric/hrv?start=2026-05-01T00:00:00Z&end=2026-05-02T00:00:00Z"))
        .await;
    stage.read(&doctor.key, &format!("{base}/wearables/latest")).await;
    assert_eq!(stage.get(&doctor.key, &format!("{base}/symptoms?days=0")).await.0, 422, "no read, no record");
    let trail = stage.read(&ada.token, "/audit").await;
    assert_eq!(trail["next_cursor"], Value::Null);
    let records = trail["records"].as_array().unwrap();
    let whats: Vec<_> = records.iter().map(|record| (&record["seq"], &record["what"], &record["means"])).collect();
    let expected = [(3, "wearables_latest", "key"), (2, "wearables", "key"), (1, "check_ins", "token")];
    let expected = expected.map(|(seq, what, means)| (json!(seq), json!(what), json!(means)));
    assert_eq!(whats, expected.iter().map(|(a, b, c)| (a, b, c)).collect::<Vec<_>>());
    for record in records {
        assert_eq!(
            (&record["actor_id"], &record["actor_name"], &record["address"], &record["grant_id"]),
            (&json!(doctor.id), &json!("Doc"), &json!("192.0.2.7"), &json!(grant))
        );
    }
    assert!(records[0]["means_id"].as_str().unwrap().starts_with("key_"));
    assert_eq!(
        (&records[1]["metric"], &records[1]["start"], &records[1]["end"]),
        (&json!("hrv"), &json!("2026-05-01T00:00:00Z"), &json!("2026-05-02T00:00:00Z"))
    );
    // What people say of their day may be a day ahead, and was shown.
    let end = stage.ago(-1.0).replace('Z', ".000001Z");
    assert_eq!((&records[2]["start"], &records[2]["end"]), (&json!(stage.ago(1.0)), &json!(end)));
    // It is hers alone.
    assert_eq!(stage.read(&doctor.token, "/audit").await["records"], json!([]));
    // Page by page.
    let first = stage.read(&ada.token, "/audit?limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = stage.read(&ada.token, &format!("/audit?limit=2&cursor={cursor}")).await;
    assert_eq!((&second["records"][0]["seq"], &second["next_cursor"]), (&json!(1), &Value::Null));
    for query in ["limit=0", "limit=1001", "cursor=x", "cursor=-1", "user_id=x"] {
        assert_eq!(stage.get(&ada.token, &format!("/audit?{query}")).await.0, 422, "{query}");
    }
}

#[tokio::test]
async fn a_trail_that_was_changed_is_found_out() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    let mut patients = Vec::new();
    for nth in 0..7 {
        let patient = stage.patient(&format!("Patient {nth}")).await;
        stage.grant(&doctor, &patient, &["check_ins"]).await;
        for _ in 0..4 {
            stage.read(&doctor.key, &format!("/grants/patient/{}/check-ins", patient.id)).await;
        }
        patients.push(patient.id);
    }
    let sound = verify(&stage.state.control).await.unwrap();
    assert_eq!((sound.records, sound.breaks), (28, vec![]));
    let of = |nth: usize| format!("patient_id = '{}'", patients[nth]);
    for statement in [
        format!("UPDATE audit_records SET actor_id = 'usr_00000000' WHERE {} AND seq = 2", of(0)),
        format!("DELETE FROM audit_records WHERE {} AND seq = 2", of(1)),
        format!("DELETE FROM audit_records WHERE {} AND seq = 4", of(2)),
        format!("DELETE FROM audit_records WHERE {}", of(3)),
        format!("DELETE FROM audit_heads WHERE {}", of(4)),
        format!("UPDATE audit_records SET range_end = NULL WHERE {} AND seq = 4", of(5)),
    ] {
        sql(&stage, &statement).await;
    }
    let mut found = verify(&stage.state.control).await.unwrap().breaks;
    found.sort_by_key(|found| patients.iter().position(|id| *id == found.patient_id));
    let break_of = |nth: usize, seq, what| Break { patient_id: patients[nth].clone(), seq, what };
    let expected = [
        break_of(0, 2, "was changed"),
        break_of(1, 3, "a record before it is not there"),
        break_of(2, 3, "the trail does not end here"),
        break_of(3, 4, "every record is gone"),
        break_of(4, 4, "the trail does not end here"),
        break_of(5, 4, "was changed"),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_read() {
    let stage = Stage::new().await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &ada, &["check_ins", "symptoms"]).await;
    stage.check_in(&ada, json!({"note": "secret"})).await;
    stage.heart_rate(&ada, 62.0, 1.0).await;
    sql(&stage, "ALTER TABLE audit_records RENAME TO audit_away").await;
    for path in ["check-ins", "symptoms", "wearables/latest", "wearables/metric/heart_rate", "overview"] {
        let (status, body) = stage.get(&doctor.token, &format!("/grants/patient/{}/{path}", ada.id)).await;
        assert_eq!(status, 500, "{path}");
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    }
    sql(&stage, "ALTER TABLE audit_away RENAME TO audit_records").await;
    assert_eq!(stage.read(&ada.token, "/audit").await["records"], json!([]));
    assert_eq!(verify(&stage.state.control).await.unwrap().breaks, [], "nothing half-done is left");
}

#[tokio::test]
async fn while_the_database_is_locked_reads_wait_and_then_are_refused() {
    let mut database = Database::new().await;
    // Long enough for a busy machine's own reads, which wait for a connection as long.
    database.config.control.wait_ms_max = 500;
    database.control = database.other().await;
    let stage = Stage::on(database).await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    let other = stage.database.other().await;
    let held = other.write().await.unwrap();
    let path = format!("/grants/patient/{}/check-ins", ada.id);
    assert_eq!(stage.get(&doctor.token, &path).await.0, 503);
    held.commit().await.unwrap();
    stage.read(&doctor.token, &path).await;
    assert_eq!(stage.read(&ada.token, "/audit").await["records"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_and_a_read_only_database_refuse_reads_and_leave_nothing_half_done() {
    let mut database = Database::new().await;
    // One connection, so that its settings are those of every statement.
    database.config.control.connections_max = 1;
    database.control = database.other().await;
    let stage = Stage::on(database).await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    let path = format!("/grants/patient/{}/check-ins", ada.id);
    sql(&stage, "PRAGMA max_page_count = 1").await;
    let (mut answered, mut status) = (0, 200);
    while status == 200 {
        status = stage.get(&doctor.token, &path).await.0;
        answered += 1;
    }
    assert_eq!(status, 507);
    sql(&stage, "PRAGMA query_only = ON").await;
    assert_eq!(stage.get(&doctor.token, &path).await.0, 503);
    let body = json!({"mood": 1, "energy": 1, "focus": 1});
    assert_eq!(stage.post(&ada.token, "/check-ins", body.clone()).await.0, 503);
    sql(&stage, "PRAGMA query_only = OFF").await;
    sql(&stage, "PRAGMA max_page_count = 1000000").await;
    assert_eq!(stage.get(&doctor.token, &path).await.0, 200);
    assert_eq!(stage.post(&ada.token, "/check-ins", body).await.0, 201);
    let checked = verify(&stage.state.control).await.unwrap();
    assert_eq!((checked.records, checked.breaks), (answered, vec![]));
}

/// Rounds of a check beside reads.
const CHECKS: usize = 40;

/// Checks the trails from another process while reads make them longer.
async fn check_beside_reads(stage: Stage) {
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    let path = format!("/grants/patient/{}/check-ins", ada.id);
    let other = stage.database.other().await;
    let is_done = AtomicBool::new(false);
    let reads = AtomicUsize::new(0);
    let reading = async {
        while !is_done.load(Ordering::Relaxed) {
            stage.read(&doctor.token, &path).await;
            reads.fetch_add(1, Ordering::Relaxed);
        }
    };
    let checking = async {
        let mut checks = 0;
        // However slow the reads are, the trail grows meanwhile.
        while checks < CHECKS || reads.load(Ordering::Relaxed) < 3 {
            assert_eq!(verify(&other).await.unwrap().breaks, []);
            checks += 1;
        }
        is_done.store(true, Ordering::Relaxed);
    };
    tokio::join!(reading, checking);
    assert!(verify(&other).await.unwrap().records > 2);
}

#[tokio::test]
async fn a_trail_that_grows_while_it_is_checked_is_no_break() {
    check_beside_reads(Stage::new().await).await;
}

#[tokio::test]
async fn nor_is_it_one_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_check").await {
        check_beside_reads(Stage::on(database).await).await;
    }
}
