//! The statements of every listing and of every look at a grant, as SQLite plans them: by an index, sorted by it.

use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, QueryTrait, Select, Statement};

use super::repository::{Place, audit, check_ins, grants, sessions, symptoms};
use super::tests::Fixture;

/// The plan, a line a step.
async fn plan<E: EntityTrait>(fixture: &Fixture, select: Select<E>) -> String {
    let Statement { sql, values, .. } = select.build(DbBackend::Sqlite);
    let explained = Statement { sql: format!("EXPLAIN QUERY PLAN {sql}"), values, db_backend: DbBackend::Sqlite };
    let rows = fixture.control.read().query_all_raw(explained).await.unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
    steps.join("\n")
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
        plan(&fixture, check_ins::select_after("u", &Place::START, 9)).await,
        plan(&fixture, symptoms::select_after("u", &Place::START, 9)).await,
        plan(&fixture, sessions::select_after("u", &Place::START, 9)).await,
        plan(&fixture, grants::select_outgoing_after("d", &Place::START, 9)).await,
        plan(&fixture, audit::select_after("p", 9, 9)).await,
    ];
    insta::assert_snapshot!(plans.join("\n"), @r"
    SEARCH check_ins USING INDEX check_ins_by_user (user_id=? AND checked_in_at>?)
    SEARCH symptoms USING INDEX symptoms_by_user (user_id=? AND onset_at>?)
    SEARCH grants USING INDEX grants_by_pair (doctor_id=? AND patient_id=? AND status=?)
    SEARCH grants USING INDEX grants_by_doctor (doctor_id=?)
    SEARCH grants USING INDEX grants_by_patient (patient_id=?)
    SEARCH grants USING INDEX grants_by_email (patient_email=?)
    SEARCH audit_records USING INDEX sqlite_autoindex_audit_records_1 (patient_id=? AND seq<?)
    SEARCH check_ins USING INDEX check_ins_by_making (user_id=? AND created_at>?)
    SEARCH symptoms USING INDEX symptoms_by_making (user_id=? AND created_at>?)
    SEARCH sessions USING INDEX sessions_by_user (user_id=? AND created_at>?)
    SEARCH grants USING INDEX grants_by_doctor (doctor_id=? AND created_at>?)
    SEARCH audit_records USING INDEX sqlite_autoindex_audit_records_1 (patient_id=? AND seq>?)
    ");
}
