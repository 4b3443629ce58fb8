//! Copies between SQLite files, and to PostgreSQL and back where there is one.

use sea_orm::EntityTrait;

use super::super::ErrorKind;
use super::super::entities::user;
use super::super::repository::outbox::{self, NewEvent};
use super::super::tests::Fixture;
use super::*;

/// Rows that hold what is hard to carry over: empty and null, the ends of the numbers, quotes, every plane of Unicode.
const ROWS: &str = "
INSERT INTO users VALUES
    ('usr_0000000Z', 'z@example.org', 'Zoë ''the'' \"quoted\" 🫀', 'patient', 'Europe/Berlin', NULL, 1, 9223372036854775807, NULL),
    ('usr_0000000a', 'a@example.org', '', 'doctor', 'UTC', '$argon2id$v=19$', -9223372036854775807, 0, 17);
INSERT INTO sessions VALUES ('ses_1', 'usr_0000000a', 1, 2, NULL, NULL);
INSERT INTO refresh_tokens VALUES ($x'00ff', 'ses_1', 1, 2, 3), ($x'', 'ses_1', 1, 2, NULL);
INSERT INTO api_keys VALUES ('key_1', 'usr_0000000a', 'name', 'avk_1', $x'01', 'read write', 1, NULL, NULL);
INSERT INTO otps VALUES ($x'02', $x'03', 1, 2147483647, 2, 0);
INSERT INTO check_ins VALUES ('ci_1', 'usr_0000000Z', 1, 5, 3, 0.1, 2147483647, 'a\tb', 1, 'api', 1, 1),
    ('ci_2', 'usr_0000000Z', 1, 5, 3, NULL, NULL, NULL, 1, 'web', 1, 1);
INSERT INTO symptoms VALUES ('sym_1', 'usr_0000000Z', 'name', 'mild', 1, NULL, NULL, 1, 1);
INSERT INTO grants VALUES
    ('grt_1', 'usr_0000000a', 'z@example.org', 'usr_0000000Z', 'check_ins', NULL, 'active', 1, 2, NULL, NULL);
INSERT INTO audit_records VALUES
    ('usr_0000000Z', 2, 1, 'usr_0000000a', 'key', 'key_1', 'grt_1', 'window', 'hrv', 1, 2, '::1', $x'04', $x'05', NULL),
    ('usr_0000000Z', 10, 1, 'usr_0000000a', 'key', 'key_1', 'grt_1', 'latest', NULL, NULL, NULL, '::1', $x'05', $x'06', $x'0a');
INSERT INTO audit_queries VALUES ($x'0a', 'SELECT 1 -- ë');
INSERT INTO audit_heads VALUES ('usr_0000000Z', 10, $x'06');
INSERT INTO webhooks VALUES ('whk_1', 'usr_0000000a', 'https://8.8.8.8/', 'check_in.created', NULL, $x'07', $x'08', 9,
    NULL, NULL, 3, NULL, 0, 1, 1);
INSERT INTO events VALUES (41, 'evt_1', 'check_in.created', 'usr_0000000Z', 'ci_1', '{\"event\": \"ë\"}', 1);
INSERT INTO forgotten_events VALUES ('evt_0', 45, 1);
INSERT INTO deliveries VALUES ('dlv_1', 'whk_1', 41, 'event', 'dropped', 4, 1, 2, 500, 12, 'no', 'status', 1);
INSERT INTO fhir_keys VALUES (1, $x'09');
INSERT INTO smart_clients VALUES ('smc_1', 'usr_0000000a', 'ward', '{\"keys\": []}', 'system/Patient.rs', 1);
INSERT INTO smart_assertions VALUES ($x'0a', 9);
INSERT INTO bulk_jobs VALUES ('exp_1', 'usr_0000000a', 'smc_1', 'here', 'https://h', 'granted', 'Patient', NULL, 'failed',
    'why', '', 1, 0, 2, 3, 4);
INSERT INTO bulk_files VALUES ('exp_1', 1, 'usr_0000000Z', 'points', 2, 3);
INSERT INTO notices VALUES (7, 'evt_3', 'check_in.created', 'usr_0000000Z', 'ci_2', '{}', 1, 'whk_1');
UPDATE auth_changes SET counter = 7;
";

async fn fill(control: &Control) {
    let is_postgres = control.read().get_database_backend() == DbBackend::Postgres;
    let bytes = if is_postgres { "E'\\\\x" } else { "x'" };
    control.read().execute_unprepared(&ROWS.replace("$x'", bytes)).await.unwrap();
}

async fn copied(source: &Control, target: &Control) -> Vec<Copied> {
    copy(source, target, |_| ()).await.unwrap()
}

fn rows_of(copied: &[Copied]) -> Vec<(&str, u64)> {
    copied.iter().map(|one| (one.table.as_str(), one.rows)).collect()
}

#[tokio::test]
async fn every_table_of_the_schema_is_copied_and_reads_back_the_same() {
    let (source, target) = (Fixture::new().await, Fixture::new().await);
    fill(&source.control).await;
    let first = copied(&source.control, &target.control).await;
    let known = Schema::of(target.control.read()).await.unwrap();
    let names: Vec<_> = known.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(
        first.iter().map(|one| one.table.as_str()).collect::<Vec<_>>(),
        names,
        "what the database has is copied"
    );
    for table in ["users", "audit_records", "check_ins", "grants", "auth_changes"] {
        assert!(names.contains(&table), "{table} in {names:?}");
    }
    // A second copy has the same hashes, and another value has another.
    let again = Fixture::new().await;
    assert_eq!(copied(&target.control, &again.control).await, first);
    again.control.read().execute_unprepared("UPDATE users SET name = 'Zoe' WHERE id = 'usr_0000000Z'").await.unwrap();
    let third = copied(&again.control, &Fixture::new().await.control).await;
    let differing: Vec<_> = first.iter().zip(&third).filter(|(a, b)| a != b).map(|(a, _)| a.table.as_str()).collect();
    assert_eq!(differing, ["users"]);
}

#[tokio::test]
async fn a_copy_goes_to_postgresql_and_back_unchanged() {
    let Some(middle) = Fixture::postgres("avycenna_copy").await else { return };
    let (source, target) = (Fixture::new().await, Fixture::new().await);
    fill(&source.control).await;
    let there = copied(&source.control, &middle.control).await;
    let back = copied(&middle.control, &target.control).await;
    assert_eq!(there, back);
    assert!(rows_of(&there).contains(&("audit_records", 2)), "{:?}", rows_of(&there));
    let everybody = async |control: &Control| user::Entity::find().all(control.read()).await.unwrap();
    let (mut before, mut after) = (everybody(&source.control).await, everybody(&middle.control).await);
    before.sort_by(|a, b| a.id.cmp(&b.id));
    after.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(before, after);
    assert_eq!(target.control.changes().await.unwrap(), 7);
    // Both go on behind the numbers that were copied.
    for control in [&middle.control, &target.control] {
        let new = NewEvent {
            id: "evt_2".to_owned(),
            kind: "webhook.test",
            patient_id: None,
            subject_id: "whk_1".to_owned(),
            body: "{}".to_owned(),
            created_at: 2,
        };
        let write = control.write().await.unwrap();
        assert_eq!(outbox::insert(write.on(), new).await.unwrap(), 46);
        write.commit().await.unwrap();
    }
}

#[tokio::test]
async fn both_databases_have_the_tables_and_columns_that_are_copied() {
    let Some(fixture) = Fixture::postgres("avycenna_copy_schema").await else { return };
    let schema = Schema::of_migrations().await.unwrap();
    let mut expected: Vec<String> = Vec::new();
    for table in &schema.tables {
        expected.extend(table.columns.iter().map(|column| {
            let is_numbered =
                NUMBERED.iter().any(|(numbered, by, _)| (*numbered, *by) == (&*table.name, &*column.name));
            let numbered = if is_numbered { " from a sequence" } else { "" };
            format!("{}.{} {:?}{numbered}", table.name, column.name, column.kind)
        }));
    }
    expected.sort();
    let columns = "SELECT table_name || '.' || column_name || ' ' || CASE data_type
            WHEN 'bigint' THEN 'Int' WHEN 'integer' THEN 'Int' WHEN 'double precision' THEN 'Real'
            WHEN 'text' THEN 'Text' WHEN 'bytea' THEN 'Bytes' ELSE data_type END
            || CASE WHEN column_default LIKE 'nextval%' OR is_identity = 'YES' THEN ' from a sequence' ELSE '' END
            AS line
        FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> 'seaql_migrations'";
    let rows =
        fixture.control.read().query_all_raw(Statement::from_string(DbBackend::Postgres, columns)).await.unwrap();
    let mut found: Vec<String> = rows.iter().map(|row| row.try_get("", "line").unwrap()).collect();
    found.sort();
    assert_eq!(found, expected, "a copy knows these alone: teach `copy` what is new");
}

#[tokio::test]
async fn a_target_that_holds_anything_is_refused_and_left_as_it_is() {
    let (source, target) = (Fixture::new().await, Fixture::new().await);
    fill(&source.control).await;
    fill(&target.control).await;
    let error = copy(&source.control, &target.control, |_| ()).await.unwrap_err();
    assert!(matches!(&error, Error::NotEmpty { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(target.control.changes().await.unwrap(), 7);
}

#[tokio::test]
async fn what_reads_back_otherwise_is_not_kept() {
    let (source, target) = (Fixture::new().await, Fixture::new().await);
    fill(&source.control).await;
    let spoil = "CREATE TRIGGER spoil AFTER INSERT ON symptoms BEGIN UPDATE symptoms SET name = 'other'; END";
    target.control.read().execute_unprepared(spoil).await.unwrap();
    let error = copy(&source.control, &target.control, |_| ()).await.unwrap_err();
    let Error::Differs { table, source_rows: 1, target_rows: 1 } = &error else { panic!("{error}") };
    assert_eq!(table, "symptoms");
    target.control.read().execute_unprepared("DROP TRIGGER spoil").await.unwrap();
    copied(&source.control, &target.control).await;
}

#[tokio::test]
async fn a_source_that_somebody_writes_is_not_copied() {
    let mut source = Fixture::new().await;
    source.config.control.wait_ms_max = 20;
    let (impatient, target) = (source.other().await, Fixture::new().await);
    let writer = source.control.write().await.unwrap();
    let error = copy(&impatient, &target.control, |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    drop(writer);
}

#[tokio::test]
async fn tables_of_a_form_that_is_not_known_are_named() {
    let refused = async |sql: &str| {
        let memory = sea_orm::Database::connect("sqlite::memory:").await.unwrap();
        memory.execute_unprepared(sql).await.unwrap();
        let Err(Error::Uncopied { table, what }) = Schema::of(&memory).await else { panic!("{sql}") };
        format!("{table}: {what}")
    };
    assert_eq!(refused("CREATE TABLE t (a INTEGER)").await, "t: it has no primary key");
    assert_eq!(refused("CREATE TABLE t (a ANY PRIMARY KEY) STRICT").await, "t: a column is of type `ANY`");
    let circle = "CREATE TABLE a (id INT PRIMARY KEY, b INT REFERENCES b (id));
                  CREATE TABLE b (id INT PRIMARY KEY, a INT REFERENCES a (id))";
    assert_eq!(refused(circle).await, "a: its references lead in a circle: b");
}

#[tokio::test]
async fn many_rows_are_copied_in_batches_and_the_progress_says_how_far() {
    let (source, target) = (Fixture::new().await, Fixture::new().await);
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1201)
                INSERT INTO otps SELECT CAST(i AS BLOB), x'00', 1, 1, i, 1 FROM n";
    source.control.read().execute_unprepared(many).await.unwrap();
    let mut seen = Vec::new();
    let all = copy(&source.control, &target.control, |progress| {
        if progress.table == "otps" {
            seen.push((progress.steps, progress.steps_total));
        }
    });
    assert!(rows_of(&all.await.unwrap()).contains(&("otps", 1201)));
    let expected = [0, 500, 1000, 1201, 2201, 2402].map(|steps| (steps, 2402));
    assert_eq!(seen, expected);
}
