//! Who is told of what, as the statement that writes it down finds them: the same as the rules in Rust say.

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait, FromQueryResult, Statement};

use super::*;
use crate::access::{Permission, Permissions, Status, is_active, receive};
use crate::control::repository::notices::{self, Notice};
use crate::control::repository::outbox::NewEvent;
use crate::webhooks::Kind;

const NOW_US: i64 = 1_000;

/// Every grant there can be: status, end, permissions; and endpoints that want one thing or the other.
fn grants() -> Vec<(Status, Option<i64>, Permissions, &'static str)> {
    let mut grants = Vec::new();
    for status in Status::ALL {
        for expires_at in [None, Some(NOW_US), Some(NOW_US + 1)] {
            for bits in 0..16_u8 {
                let named = Permission::ALL.into_iter().enumerate().filter(|(nth, _)| bits >> nth & 1 == 1);
                let permissions = named.fold(Permissions::NONE, |all, (_, one)| all.with(one));
                for events in ["check_in.created", "grant.accepted symptom.created grant.revoked"] {
                    grants.push((status, expires_at, permissions, events));
                }
            }
        }
    }
    grants
}

#[tokio::test]
async fn the_statement_that_finds_receivers_says_what_the_rules_say() {
    agrees(Database::new().await).await;
}

#[tokio::test]
async fn so_it_does_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_receivers").await {
        agrees(database).await;
    }
}

async fn agrees(database: Database) {
    let write = database.control.write().await.unwrap();
    let on = write.on();
    let mut sql = "INSERT INTO users (id, email, name, role, timezone, created_at, updated_at) \
                   VALUES ('p', 'p@x', 'P', 'patient', 'UTC', 1, 1);"
        .to_owned();
    let bytes = if on.get_database_backend() == sea_orm::DbBackend::Postgres { "E'\\\\x00'" } else { "x'00'" };
    for (nth, (status, expires_at, permissions, events)) in grants().into_iter().enumerate() {
        let expires_at = expires_at.map_or("NULL".to_owned(), |at| at.to_string());
        write!(
            sql,
            "INSERT INTO users (id, email, name, role, timezone, created_at, updated_at) \
             VALUES ('d{nth}', 'd{nth}@x', 'D', 'doctor', 'UTC', 1, 1); \
             INSERT INTO webhooks (id, user_id, url, events, secret, created_at, updated_at) \
             VALUES ('w{nth}', 'd{nth}', '', '{events}', {bytes}, 1, 1); \
             INSERT INTO grants (id, doctor_id, patient_email, patient_id, permissions, status, created_at, expires_at) \
             VALUES ('g{nth}', 'd{nth}', 'p@x', 'p', '{permissions}', '{}', 1, {expires_at});",
            status.as_str()
        )
        .unwrap();
    }
    on.execute_unprepared(&sql).await.unwrap();
    for (kind, permission) in
        [(Kind::CheckInCreated, Permission::CheckIns), (Kind::SymptomCreated, Permission::Symptoms)]
    {
        let expected: Vec<_> = grants()
            .into_iter()
            .enumerate()
            .filter(|(_, (status, expires_at, permissions, events))| {
                is_active(status.as_str(), NOW_US, *expires_at)
                    && permissions.allow(permission)
                    && events.split(' ').any(|word| word == kind.as_str())
            })
            .map(|(nth, _)| format!("w{nth}"))
            .collect();
        assert_eq!(expected.len(), 16, "of each kind: two ends and eight sets of permissions");
        assert_eq!(told(on, kind, receive::of_patient(kind, "p").unwrap()).await, expected);
        assert_eq!(told(on, kind, receive::of_patient(kind, "d0").unwrap()).await, Vec::<String>::new());
    }
    assert_eq!(told(on, Kind::GrantRevoked, receive::of_doctor("d1")).await, ["w1"]);
    assert_eq!(told(on, Kind::GrantRevoked, receive::of_doctor("d0")).await, Vec::<String>::new());
    assert!(receive::of_patient(Kind::GrantAccepted, "p").is_none());
}

/// Whom a notice is for.
async fn told(on: &impl ConnectionTrait, kind: Kind, audience: notices::Audience) -> Vec<String> {
    let new = NewEvent {
        id: "evt_1".to_owned(),
        kind: kind.as_str(),
        patient_id: Some("p".to_owned()),
        subject_id: "s".to_owned(),
        body: "{}".to_owned(),
        created_at: NOW_US,
    };
    let is_owed = notices::post(on, new, audience).await.unwrap();
    let backend = on.get_database_backend();
    let notice = Notice::find_by_statement(Statement::from_string(backend, "SELECT seq, id, receivers FROM notices"));
    let notice = notice.one(on).await.unwrap();
    assert_eq!(is_owed, notice.is_some());
    on.execute_unprepared("DELETE FROM notices").await.unwrap();
    let mut told: Vec<_> = notice.iter().flat_map(|one| one.receivers.split(' ')).map(str::to_owned).collect();
    told.sort_by_key(|id| id[1..].parse::<u32>().unwrap());
    told
}
