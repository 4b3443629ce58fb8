//! A revocation against reads that are under way.
//!
//! Two things must hold: a read that begins behind the answer to the revocation is refused, and one that began before it
//! is recorded before it or refused. The second is what a look at the grant outside of the record's transaction breaks.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// Grants that come and go.
const ROUNDS: usize = 25;

/// Reads that began behind the answer to a revocation, and how many of all were answered.
async fn read_until_refused(stage: &Stage, who: &Header, path: &str, is_revoked: &AtomicBool, answered: &AtomicUsize) {
    loop {
        let began_behind = is_revoked.load(Ordering::SeqCst);
        let (status, body) = stage.get(who, path).await;
        match status {
            200 => {
                assert!(!began_behind, "a read began behind the end of its grant and was answered: {path}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
            403 if began_behind => return,
            403 => {}
            _ => panic!("{status} {body}"),
        }
    }
}

/// How many reads a grant has let in.
async fn records_of(stage: &Stage, grant: &str) -> u64 {
    use crate::control::entities::audit_record::{Column, Entity};
    use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
    Entity::find().filter(Column::GrantId.eq(grant)).count(stage.state.control.read()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn behind_the_answer_to_a_revocation_no_read_is_answered() {
    race(Stage::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn neither_is_one_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_race").await {
        race(Stage::on(database).await).await;
    }
}

async fn race(stage: Stage) {
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.check_in(&patient, json!({})).await;
    let paths = ["check-ins", "wearables/latest", "wearables/metric/heart_rate", "overview"]
        .map(|path| format!("/grants/patient/{}/{path}", patient.id));
    let answered = AtomicUsize::new(0);
    for round in 0..ROUNDS {
        let id = stage.grant(&doctor, &patient, &["check_ins"]).await;
        let is_revoked = AtomicBool::new(false);
        let before = answered.load(Ordering::SeqCst);
        let revoking = async {
            while answered.load(Ordering::SeqCst) < before + 4 {
                tokio::task::yield_now().await;
            }
            stage.revoke(if round % 2 == 0 { &patient } else { &doctor }, &id).await;
            is_revoked.store(true, Ordering::SeqCst);
            records_of(&stage, &id).await
        };
        let credentials = [&doctor.token, &doctor.key];
        let reads = paths
            .iter()
            .enumerate()
            .map(|(nth, path)| read_until_refused(&stage, credentials[nth % 2], path, &is_revoked, &answered));
        let (recorded, _) = tokio::join!(revoking, futures::future::join_all(reads));
        assert_eq!(records_of(&stage, &id).await, recorded, "a read was let in by a grant that had ended");
    }
    let checked = crate::access::audit::verify(&stage.state.control).await.unwrap();
    assert_eq!(checked.breaks, []);
    // A read whose grant ended under way is recorded and not answered.
    assert!(usize::try_from(checked.records).unwrap() >= answered.load(Ordering::SeqCst), "one record each");
}
