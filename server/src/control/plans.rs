//! The statements of every listing and of every look at a grant, as SQLite plans them: by an index, sorted by it.

use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, QueryTrait, Select, Statement, Value};

use super::repository::{
    Place, audit, bulk, check_ins, deliveries, grants, imports, leases, notices, sessions, symptoms, webhooks,
};
use super::tests::Fixture;
use crate::access::receive;
use crate::webhooks::Kind;

/// The plan, a line a step.
async fn plan<E: EntityTrait>(fixture: &Fixture, select: Select<E>) -> String {
    let Statement { sql, values, .. } = select.build(DbBackend::Sqlite);
    let explained = Statement { sql: format!("EXPLAIN QUERY PLAN {sql}"), values, db_backend: DbBackend::Sqlite };
    let rows = fixture.control.read().query_all_raw(explained).await.unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
    steps.join("\n")
}

/// Check-ins of two days.
fn wanted() -> check_ins::Wanted {
    check_ins::Wanted { spoken_of: vec![(1, 2), (3, 4)], any_of: vec![check_ins::Values::all()] }
}

#[tokio::test]
async fn every_listing_is_read_from_an_index_in_its_order() {
    let fixture = Fixture::new().await;
    let plans = [
        plan(&fixture, check_ins::select("u", 0)).await,
        plan(&fixture, symptoms::select("u", 0)).await,
        plan(&fixture, grants::select_between("d", "p")).await,
        plan(&fixture, grants::select_outgoing("d", &["active"])).await,
        plan(&fixture, grants::select_accepted("p", &["active", "pending"])).await,
        plan(&fixture, grants::select_addressed("p@example.org", &["pending"])).await,
        plan(&fixture, audit::select_page("p", 9, 9)).await,
        plan(&fixture, webhooks::select_of_user("u")).await,
        plan(&fixture, check_ins::select_after("u", &Place::START, 9)).await,
        plan(&fixture, symptoms::select_after("u", &Place::START, 9)).await,
        plan(&fixture, sessions::select_after("u", &Place::START, 9)).await,
        plan(&fixture, check_ins::select_spoken_of("u", &wanted(), Some((5, Some("ci_1"))), true, 9)).await,
        plan(&fixture, check_ins::select_spoken_of("u", &wanted(), None, false, 9)).await,
        plan(&fixture, grants::select_outgoing_after("d", &Place::START, 9)).await,
        plan(&fixture, audit::select_after("p", 9, 9)).await,
        plan(&fixture, grants::select_active_after("d", "p", 9)).await,
        plan(&fixture, grants::select_among("d", &["p", "q"])).await,
        plan(&fixture, bulk::select_next("here")).await,
        plan(&fixture, imports::select_of_user("u")).await,
        plan(&fixture, imports::select_waiting("s")).await,
    ];
    insta::assert_snapshot!(plans.join("\n"), @r"
    SEARCH check_ins USING INDEX check_ins_by_user (user_id=? AND checked_in_at>?)
    SEARCH symptoms USING INDEX symptoms_by_user (user_id=? AND onset_at>?)
    SEARCH grants USING INDEX grants_by_pair (doctor_id=? AND patient_id=? AND status=?)
    SEARCH grants USING INDEX grants_by_doctor (doctor_id=?)
    SEARCH grants USING INDEX grants_by_patient (patient_id=?)
    SEARCH grants USING INDEX grants_by_email (patient_email=?)
    SEARCH audit_records USING INDEX sqlite_autoindex_audit_records_1 (patient_id=? AND seq<?)
    SEARCH webhooks USING INDEX webhooks_by_user (user_id=?)
    SEARCH check_ins USING INDEX check_ins_by_making (user_id=? AND created_at>?)
    SEARCH symptoms USING INDEX symptoms_by_making (user_id=? AND created_at>?)
    SEARCH sessions USING INDEX sessions_by_user (user_id=? AND created_at>?)
    SEARCH check_ins USING INDEX check_ins_by_user (user_id=? AND checked_in_at>? AND checked_in_at<?)
    SEARCH check_ins USING INDEX check_ins_by_user (user_id=? AND checked_in_at>? AND checked_in_at<?)
    SEARCH grants USING INDEX grants_by_doctor (doctor_id=? AND created_at>?)
    SEARCH audit_records USING INDEX sqlite_autoindex_audit_records_1 (patient_id=? AND seq>?)
    SEARCH grants USING INDEX grants_one_active (doctor_id=? AND patient_id>?)
    SEARCH grants USING INDEX grants_by_pair (doctor_id=? AND patient_id=? AND status=?)
    SEARCH bulk_jobs USING INDEX bulk_jobs_by_turn (place=? AND status=?)
    SEARCH imports USING INDEX imports_by_user (user_id=?)
    SEARCH imports USING INDEX imports_waiting (server=?)
    ");
}

/// The plan of a statement with its values.
async fn plan_of(fixture: &Fixture, sql: &str, values: impl IntoIterator<Item = Value>) -> String {
    let sql = format!("EXPLAIN QUERY PLAN {sql}");
    let explained = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
    let rows = fixture.control.read().query_all_raw(explained).await.unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
    steps.join("\n")
}

#[tokio::test]
async fn the_dispatcher_finds_what_is_due_by_an_index_however_much_waits() {
    let fixture = Fixture::new().await;
    let text = |text: &str| Value::from(text);
    let post = |audience: Option<notices::Audience>| notices::post_sql(DbBackend::Sqlite, audience.unwrap().from);
    let plans = [
        plan_of(&fixture, leases::DUE, [9.into(), text("me"), 9.into()]).await,
        plan_of(&fixture, &deliveries::next_sql(1), [text("w"), 9.into(), text("d")]).await,
        plan_of(&fixture, &post(receive::of_patient(Kind::CheckInCreated, "p")), []).await,
        plan_of(&fixture, &post(Some(receive::of_doctor("d"))), []).await,
        plan_of(&fixture, &notices::in_dialect(DbBackend::Sqlite, notices::DELIVERIES), []).await,
        plan_of(
            &fixture,
            &deliveries::owed_sql(deliveries::Which::All),
            [text("w"), 0.into(), 9.into(), 0.into(), 9.into()],
        )
        .await,
    ];
    insta::assert_snapshot!(plans.join("\n"), @r"
    SCAN w
    SEARCH d EXISTS USING COVERING INDEX deliveries_due (webhook_id=? AND due_at<?)
    USE TEMP B-TREE FOR ORDER BY
    SEARCH w USING INDEX sqlite_autoindex_webhooks_1 (id=?)
    SEARCH d USING INDEX deliveries_due (webhook_id=? AND due_at<?)
    SEARCH e USING INTEGER PRIMARY KEY (rowid=?)
    SEARCH g USING INDEX grants_by_patient (patient_id=?)
    SEARCH w USING INDEX webhooks_by_user (user_id=?)
    SEARCH w USING INDEX webhooks_by_user (user_id=?)
    SCAN j VIRTUAL TABLE INDEX 1:
    SEARCH w USING INDEX sqlite_autoindex_webhooks_1 (id=?)
    SEARCH e USING INDEX sqlite_autoindex_events_1 (id=?)
    SEARCH d USING INDEX deliveries_by_webhook (webhook_id=? AND event_seq>? AND event_seq<?)
    SEARCH e USING INTEGER PRIMARY KEY (rowid=?)
    ");
}
