//! The end of an account from outside: what goes, what stays, and what finishes it after a failure.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, Statement};

use super::*;
use crate::access::audit;
use crate::control::entities::{bulk_file, bulk_job, day_piece, day_total, night, smart_client};
use crate::control::pages::TRAILS;
use crate::control::repository::{bulk, days, erasures, nights, smart};

const PATH: &str = "/users/me";

/// Tables that lose no row by an erasure: the trails, which stay; the counter of changes; the note of what is left to do,
/// which is gone when it is done; ids and places of events, without whom they spoke of; the key of FHIR's ids; hashes of
/// assertions that were spent.
const KEPT: [&str; 7] =
    ["audit_records", "audit_heads", "auth_changes", "erasures", "forgotten_events", "fhir_keys", "smart_assertions"];

/// Ada, her doctor, somebody else, and something of hers in every table.
struct Life {
    stage: Stage,
    ada: Person,
    doctor: Person,
    bo: Person,
}

impl Life {
    async fn on(database: Database) -> Self {
        let stage = Stage::on(database).await;
        let (ada, doctor, bo) = (stage.patient("Ada").await, stage.doctor("Doc").await, stage.patient("Bo").await);
        let webhook = json!({"url": "https://8.8.8.8/hook", "events": ["check_in.created", "grant.accepted"]});
        assert_eq!(stage.post(&doctor.token, "/webhooks", webhook).await.0, 201);
        stage.grant(&doctor, &ada, &["check_ins", "symptoms"]).await;
        stage.grant(&doctor, &bo, &["check_ins"]).await;
        let other = stage.doctor("Other").await;
        let message = "ada@example.org wrote to me";
        let invitation = json!({"patient_email": ada.email, "permissions": ["wearables"], "message": message});
        assert_eq!(stage.post(&other.token, "/grants/invite", invitation).await.0, 201);
        for person in [&ada, &bo] {
            stage.check_in(person, json!({"note": "slept well"})).await;
            stage.heart_rate(person, 61.0, 1.0).await;
            stage.read(&doctor.token, &format!("/grants/patient/{}/check-ins", person.id)).await;
            stage.state.auth.send_code(&person.email, &stage.state.mail).await.unwrap();
            stage.state.auth.send_reset_code(&person.email, &stage.state.mail).await.unwrap();
        }
        let symptom = json!({"name": "headache", "severity": "severe", "onset_at": stage.ago(1.0)});
        assert_eq!(stage.post(&ada.token, "/symptoms", symptom).await.0, 201);
        for person in [&ada, &bo] {
            // One of their own, and what their doctor was told of them.
            keep_days(&stage, person).await;
            let webhook = json!({"url": "https://8.8.8.8/hook", "events": ["grant.revoked"]});
            let (_, webhook) = stage.post(&person.token, "/webhooks", webhook).await;
            let test = format!("/webhooks/{}/test", webhook["id"].as_str().unwrap());
            assert_eq!(stage.post(&person.token, &test, json!({})).await.0, 202);
            let client = smart_client::Model {
                id: format!("smc_{}", person.id),
                user_id: person.id.clone(),
                name: format!("of {}", person.email),
                jwks: String::new(),
                scopes: String::new(),
                created_at: 0,
            };
            smart::insert(stage.state.control.read(), client).await.unwrap();
            let export = bulk_job::Model {
                id: format!("exp_{}", person.id),
                user_id: person.id.clone(),
                client_id: None,
                place: "elsewhere".to_owned(),
                request: format!("https://{}", person.email),
                scope: "own".to_owned(),
                types: "Patient".to_owned(),
                since: None,
                status: "done".to_owned(),
                error: None,
                after_patient: person.id.clone(),
                patients_total: 1,
                patients_done: 0,
                stepped_at: 0,
                created_at: 0,
                ended_at: None,
            };
            bulk::insert(stage.state.control.read(), export.clone()).await.unwrap();
            let (job_id, patient_id, part) = (export.id.clone(), person.id.clone(), "patient".to_owned());
            let file = bulk_file::Model { job_id, seq: 1, patient_id, part, resources: 1, bytes: 1 };
            bulk::step(stage.state.control.read(), &export, &person.id, vec![file], 0).await.unwrap();
            // What their doctor asked names them.
            let sql = format!(
                "SELECT count(*) FROM points WHERE user_id = '{}' -- {}",
                person.id,
                person.email.to_uppercase()
            );
            assert_eq!(stage.post(&doctor.token, "/query", json!({ "sql": sql })).await.0, 200);
        }
        crate::webhooks::spread::settle(&stage.state).await.unwrap();
        // One more of which her doctor is not told yet.
        stage.check_in(&ada, json!({})).await;
        Self { stage, ada, doctor, bo }
    }

    async fn erase(&self, who: &Person) -> Value {
        let (status, body) = self.send(&who.token, json!({"confirm": who.email})).await;
        assert_eq!(status, 202, "{body}");
        body
    }

    async fn send(&self, who: &Header, body: Value) -> (u16, Value) {
        self.stage.send(Some(who), "DELETE", PATH, Some(&body)).await
    }

    /// Tables that hold a text, but for the trails where it is no address.
    async fn tables_with(&self, text: &str) -> Vec<String> {
        let found = self.stage.state.control.columns_with(text).await.unwrap();
        let is_trail = |table: &str| TRAILS.contains(&table) && !text.contains('@');
        found.into_iter().map(|column| column.table).filter(|table| !is_trail(table)).collect()
    }

    /// The rows of each table of the schema.
    async fn rows(&self) -> BTreeMap<String, i64> {
        let on = self.stage.state.control.read();
        let count = async |table: &str| {
            let sql = format!("SELECT COUNT(*) AS n FROM \"{table}\"");
            let statement = Statement::from_string(on.get_database_backend(), sql);
            on.query_one_raw(statement).await.unwrap().unwrap().try_get::<i64>("", "n").unwrap()
        };
        let mut rows = BTreeMap::new();
        for table in crate::control::copy::tables().await.unwrap() {
            rows.insert(table.clone(), count(&table).await);
        }
        rows
    }

    /// Rows of one-time codes of a person, whatever they are good for.
    async fn codes_of(&self, who: &Person) -> usize {
        use sea_orm::EntityTrait;
        let codes = crate::control::entities::otp::Entity::find().all(self.stage.state.control.read()).await.unwrap();
        let hashes = crate::auth::code_hashes(&who.email);
        codes.iter().filter(|code| hashes.contains(&code.email_hash)).count()
    }

    fn mail_file(&self) -> String {
        std::fs::read_to_string(self.stage.state.config.storage.data_dir.join(crate::mail::FILE_NAME))
            .unwrap_or_default()
    }
}

/// A file that waits to be imported, and what totals of days are made of.
async fn keep_days(stage: &Stage, person: &Person) {
    let (status, import) = stage.send_file(&person.token, "?format=garmin&priority=watch", None, "a file").await;
    assert_eq!(status, 202, "{import}");
    let (user_id, sender, daily) = (person.id.clone(), "garmin".to_owned(), "steps".to_owned());
    let piece = day_piece::Model {
        user_id: user_id.clone(),
        sender: sender.clone(),
        daily: daily.clone(),
        day: 20_000,
        source: "watch".to_owned(),
        device: String::new(),
        pieces: vec![1],
        is_settled: 1,
    };
    let origin = "pieces".to_owned();
    let night = night::Model {
        user_id: user_id.clone(),
        sender: sender.clone(),
        ended_at: 2,
        began_at: 1,
        source: "watch".to_owned(),
        device: String::new(),
        told_at: 2,
        rank: 0,
        asleep_h: 1.0,
        deep_h: None,
        rem_h: None,
        hrv_ms: None,
        is_stored: 1,
    };
    let total = day_total::Model { user_id, sender, daily, day: 20_000, start: 1, value: 2.0, origin };
    let write = stage.state.control.write().await.unwrap();
    days::put_pieces(write.on(), vec![piece]).await.unwrap();
    days::put_totals(write.on(), &[total]).await.unwrap();
    nights::put(write.on(), vec![night]).await.unwrap();
    write.commit().await.unwrap();
}

#[tokio::test]
async fn an_account_is_erased_by_its_owner_alone_who_says_so_twice() {
    let life = Life::on(Database::new().await).await;
    let confirm = json!({"confirm": life.ada.email});
    assert_eq!(life.stage.send(None, "DELETE", PATH, Some(&confirm)).await.0, 401);
    assert_eq!(life.send(&life.ada.key, confirm).await.0, 403);
    for body in [json!({}), json!({"confirm": life.bo.email}), json!({"confirm": 1}), json!({"confirm": null})] {
        let (status, answer) = life.send(&life.ada.token, body.clone()).await;
        assert_eq!((status, places(&answer)), (422, vec![json!(["body", "confirm"])]), "{body}: {answer}");
    }
    let (status, answer) = life.send(&life.ada.token, json!({"confirm": life.ada.email, "user_id": life.bo.id})).await;
    assert_eq!((status, places(&answer)), (422, vec![json!(["body", "user_id"])]));
    assert_eq!(life.stage.send(Some(&life.ada.token), "DELETE", PATH, None).await.0, 422);
    life.stage.read(&life.ada.token, PATH).await;
    assert_eq!(
        life.send(&life.ada.token, json!({"confirm": " ADA@Example.org "})).await.0,
        202,
        "an address is one in every case"
    );
}

#[tokio::test]
async fn everything_of_an_erased_person_goes_at_once_and_nothing_of_others() {
    gone(Database::new().await).await;
}

#[tokio::test]
async fn so_it_does_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_erasure").await {
        gone(database).await;
    }
}

async fn gone(database: Database) {
    let life = Life::on(database).await;
    let Life { stage, ada, doctor, bo } = &life;
    assert!(life.tables_with(&ada.email).await.len() >= 3, "the search finds who is there");
    assert_eq!((life.codes_of(ada).await, life.codes_of(bo).await), (2, 2));
    let other = stage.database.other().await;
    let before = other.changes().await.unwrap();
    let rows_before = life.rows().await;

    let answer = life.erase(ada).await;
    assert_eq!(answer["user_id"], json!(ada.id));
    assert_eq!(answer["gone_by"], json!(stage.ago(-1.0)));

    assert!(other.changes().await.unwrap() > before, "other processes see that credentials ended");
    for credential in [&ada.token, &ada.key, &ada.read_key] {
        assert_eq!(stage.get(credential, PATH).await.0, 401);
    }
    let point = json!({"metric": "hrv", "value": 40, "unit": "ms", "recorded_at": stage.ago(0.0), "source": "w"});
    assert_eq!(stage.post(&ada.write_key, "/wearables/ingest", point).await.0, 401);
    assert!(stage.state.auth.login(&ada.email, PASSWORD.to_owned()).await.is_err());
    assert_eq!(stage.get(&doctor.token, &format!("/grants/patient/{}/check-ins", ada.id)).await.0, 403);
    let outgoing = stage.read(&doctor.token, "/grants/outgoing?status=all").await;
    assert_eq!(outgoing["grants"].as_array().unwrap().len(), 1, "{outgoing}");

    assert_eq!(life.tables_with(&ada.email).await, Vec::<String>::new());
    assert_eq!(life.tables_with(&ada.id).await, Vec::<String>::new());
    assert_eq!((life.codes_of(ada).await, life.codes_of(bo).await), (0, 2));
    // She had a row in every table. A new table wants a row of hers in `Life`.
    let rows_after = life.rows().await;
    for (table, rows) in &rows_before {
        let after = rows_after[table];
        if !KEPT.contains(&table.as_str()) {
            assert!(after < *rows, "{table}: {rows} rows before, {after} after");
        }
    }
    let feed = format!(
        "/webhooks/{}/events",
        stage.read(&doctor.token, "/webhooks").await["webhooks"][0]["id"].as_str().unwrap()
    );
    let feed = stage.read(&doctor.token, &feed).await;
    let told: Vec<_> = feed["events"].as_array().unwrap().iter().map(|event| &event["data"]["patient_id"]).collect();
    assert_eq!(told, [&json!(bo.id), &json!(bo.id)], "{feed}");
    assert!(erasures::pending(stage.state.control.read()).await.unwrap().is_empty());
    let uploads = std::fs::read_dir(stage.state.config.storage.data_dir.join("imports")).unwrap();
    let uploads = uploads.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with("imp_"));
    assert_eq!(uploads.count(), 1, "her file is gone, his waits");
    assert!(stage.state.engine.storage().is_erased(storage::UserId::parse(&ada.id).unwrap()));
    let mail = life.mail_file();
    assert!(!mail.contains(&ada.email) && mail.contains(&bo.email), "{mail}");

    // Who read of her stays, unbroken; others are as they were.
    let checked = audit::verify(&stage.state.control).await.unwrap();
    assert_eq!((checked.records, checked.breaks), (5, Vec::new()), "two of hers, and three of his");
    assert_eq!(stage.read(&bo.token, "/check-ins").await["check_ins"].as_array().unwrap().len(), 1);
    assert_eq!(stage.read(&bo.token, "/wearables/latest").await["latest"]["heart_rate"]["value"], 61.0);
    stage.read(&doctor.token, &format!("/grants/patient/{}/check-ins", bo.id)).await;

    // The address may begin anew, with nothing of before.
    let again = stage.patient("Ada").await;
    assert_ne!(again.id, ada.id);
    assert_eq!(stage.read(&again.token, "/grants/incoming?status=all").await["grants"], json!([]));
    assert_eq!(stage.read(&again.token, "/audit").await["records"], json!([]));
}

#[tokio::test]
async fn an_erased_doctor_is_let_in_nowhere_and_stays_in_the_trail_without_a_name() {
    let life = Life::on(Database::new().await).await;
    life.erase(&life.doctor).await;
    assert_eq!(life.tables_with(&life.doctor.id).await, Vec::<String>::new());
    assert_eq!(life.stage.read(&life.ada.token, "/grants/incoming?status=active").await["grants"], json!([]));
    let trail = life.stage.read(&life.ada.token, "/audit").await;
    let record = &trail["records"][0];
    assert_eq!((&record["actor_id"], &record["actor_name"]), (&json!(life.doctor.id), &Value::Null), "{trail}");
    assert!(!life.mail_file().contains(&life.doctor.email), "not in the letters to patients either");
}

#[tokio::test]
async fn what_a_crash_left_undone_is_finished_by_the_next_start() {
    let life = Life::on(Database::new().await).await;
    let control = &life.stage.state.control;
    // As if the process had died behind the transaction.
    let write = control.write().await.unwrap();
    let person = crate::control::repository::users::by_id(write.on(), &life.ada.id).await.unwrap().unwrap();
    erasures::begin(write.on(), &person, &crate::auth::code_hashes(&person.email), control.now_us()).await.unwrap();
    write.commit().await.unwrap();
    let ada = storage::UserId::parse(&life.ada.id).unwrap();
    assert_eq!(life.tables_with(&life.ada.email).await, ["erasures"]);
    assert!(!life.stage.state.engine.storage().is_erased(ada));
    assert_eq!(life.stage.state.eraser.catch_up().await.unwrap(), 1);
    assert!(life.stage.state.engine.storage().is_erased(ada));
    assert_eq!(life.tables_with(&life.ada.email).await, Vec::<String>::new());
    assert!(!life.mail_file().contains(&life.ada.email));
    assert_eq!(life.stage.state.eraser.catch_up().await.unwrap(), 0, "and only once");
}

#[tokio::test]
async fn an_account_that_came_back_with_a_backup_is_erased_again() {
    let life = Life::on(Database::new().await).await;
    let control = &life.stage.state.control;
    let write = control.write().await.unwrap();
    let row = crate::control::repository::users::by_id(write.on(), &life.ada.id).await.unwrap().unwrap();
    drop(write);
    life.erase(&life.ada).await;
    let write = control.write().await.unwrap();
    crate::control::repository::users::insert(write.on(), row).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(life.stage.state.eraser.catch_up().await.unwrap(), 1);
    assert_eq!(life.tables_with(&life.ada.email).await, Vec::<String>::new());
    assert_eq!(life.tables_with(&life.bo.email).await.len(), 5, "users, a grant, a client, an export, a query");
}

#[tokio::test]
async fn no_page_of_the_database_file_holds_what_was_deleted() {
    let life = Life::on(Database::new().await).await;
    // Rows long and many enough to free whole pages.
    let note = format!("{} ", life.ada.email).repeat(100);
    for _ in 0..40 {
        life.stage.check_in(&life.ada, json!({ "note": note })).await;
    }
    let path = life.stage.state.config.storage.data_dir.join("control.db");
    let holds = |text: &str| {
        let files = [path.clone(), path.with_extension("db-wal")];
        let holds = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        files.iter().filter_map(|file| std::fs::read(file).ok()).any(holds)
    };
    assert!(holds(&life.ada.email));
    life.erase(&life.ada).await;
    assert!(!holds(&life.ada.email), "neither in the file nor in the write-ahead file");
    assert!(holds(&life.bo.email));
    let owners = life.stage.state.control.page_owners().await.unwrap();
    assert!(owners.values().any(|owner| owner == "audit_records"), "{owners:?}");
}
