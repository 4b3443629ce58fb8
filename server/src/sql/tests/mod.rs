//! SQL from outside: whose rows come, what is written down, what is refused, what ends.

mod bounds;
mod language;

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::response::Response;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::*;
use crate::access::audit;
use crate::access::tests::{Header, Person, Stage, places};
use crate::control::tests::Fixture as Database;

/// An answer of many megabytes from few points.
const LONG: &str = "SELECT a.recorded_at, b.recorded_at, c.value FROM points a, points b, points c";

/// Ada and Bo have let a doctor in, Eve has not; each has points, Eve some that nobody else has.
struct Clinic {
    stage: Stage,
    doctor: Person,
    ada: Person,
    bo: Person,
    eve: Person,
    ada_grant: String,
}

impl Clinic {
    async fn on(stage: Stage) -> Self {
        let doctor = stage.doctor("Doc").await;
        let [ada, bo, eve] = [stage.patient("Ada").await, stage.patient("Bo").await, stage.patient("Eve").await];
        for (person, first) in [(&ada, 60), (&bo, 70), (&eve, 161)] {
            for nth in 0..2 {
                stage.heart_rate(person, f64::from(first + nth), f64::from(nth) + 1.0).await;
            }
        }
        let ada_grant = stage.grant(&doctor, &ada, &["wearables"]).await;
        stage.grant(&doctor, &bo, &["check_ins"]).await;
        // Neither of these lets points be read.
        stage.grant(&doctor, &eve, &["symptoms", "wearables_write"]).await;
        Self { stage, doctor, ada, bo, eve, ada_grant }
    }

    async fn new() -> Self {
        Self::on(Stage::new().await).await
    }

    async fn query(&self, who: &Header, sql: &str) -> (u16, Value) {
        self.stage.post(who, "/query", json!({ "sql": sql })).await
    }

    async fn rows(&self, who: &Header, sql: &str) -> Value {
        let (status, mut body) = self.query(who, sql).await;
        assert_eq!(status, 200, "{sql}: {body}");
        body["rows"].take()
    }

    async fn trail(&self, who: &Person) -> Vec<Value> {
        self.stage.read(&who.token, "/audit").await["records"].as_array().unwrap().clone()
    }

    async fn question(&self, who: &Person, sql: &str) -> Question {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert(who.key.0, who.key.1.parse().unwrap());
        let address = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        let visitor = Visitor::of(&self.stage.state, &headers, address, "/api/v1/query").await.unwrap();
        Question { visitor, sql: sql.to_owned(), params: Vec::new() }
    }

    async fn running(&self, expected: u32) {
        self.stage.queries_running(expected).await;
    }
}

fn asking(who: &Header, body: &Value, accept: Option<&str>) -> Request<Body> {
    let mut request = Request::post("/api/v1/query").header(who.0, &who.1);
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    request.body(Body::from(body.to_string())).unwrap()
}

async fn whole(response: Response) -> Vec<u8> {
    to_bytes(response.into_body(), 64 << 20).await.unwrap().to_vec()
}

#[tokio::test]
async fn everybody_sees_their_own_rows_and_those_that_were_granted() {
    let clinic = Clinic::new().await;
    let sql = "SELECT value FROM points ORDER BY value";
    assert_eq!(clinic.rows(&clinic.doctor.token, sql).await, json!([[60.0], [61.0], [70.0], [71.0]]));
    assert_eq!(clinic.rows(&clinic.doctor.read_key, sql).await, json!([[60.0], [61.0], [70.0], [71.0]]));
    assert_eq!(clinic.rows(&clinic.ada.token, sql).await, json!([[60.0], [61.0]]));
    assert_eq!(clinic.rows(&clinic.eve.token, sql).await, json!([[161.0], [162.0]]));
    clinic.stage.heart_rate(&clinic.doctor, 50.0, 1.0).await;
    assert_eq!(clinic.rows(&clinic.doctor.token, "SELECT count(*) FROM points").await, json!([[5]]));
    let write_only = clinic.query(&clinic.doctor.write_key, sql).await;
    assert_eq!(write_only.0, 403, "{}", write_only.1);
    assert_eq!(clinic.stage.send(None, "POST", "/query", Some(&json!({ "sql": sql }))).await.0, 401);
    // A grant that ends holds from the next question on; so does one that begins.
    clinic.stage.revoke(&clinic.ada, &clinic.ada_grant).await;
    assert_eq!(
        clinic.rows(&clinic.doctor.token, "SELECT min(value) FROM points WHERE value > 55").await,
        json!([[70.0]])
    );
    // A patient's grant to somebody lets nobody but doctors in.
    let other = clinic.stage.doctor("Other").await;
    assert_eq!(clinic.rows(&other.token, "SELECT count(*) FROM points").await, json!([[0]]));
}

#[tokio::test]
async fn a_grant_that_runs_out_shows_nothing_more() {
    let clinic = Clinic::new().await;
    let other = clinic.stage.doctor("Other").await;
    let until = clinic.stage.ago(-0.005);
    let body = json!({"patient_email": clinic.ada.email, "permissions": ["wearables"], "expires_at": until});
    let (status, grant) = clinic.stage.post(&other.token, "/grants/invite", body).await;
    assert_eq!(status, 201, "{grant}");
    clinic.stage.accept(&clinic.ada, grant["id"].as_str().unwrap()).await;
    let sql = "SELECT count(*) FROM points";
    assert_eq!(clinic.rows(&other.key, sql).await, json!([[2]]));
    clinic.stage.clock.advance(Duration::from_mins(10));
    assert_eq!(clinic.rows(&other.key, sql).await, json!([[0]]));
    assert_eq!(clinic.trail(&clinic.ada).await.len(), 1);
}

#[tokio::test]
async fn no_statement_shows_anything_of_a_patient_who_did_not_let_one_in() {
    let clinic = Clinic::new().await;
    let storage = Arc::clone(clinic.stage.state.engine.storage());
    tokio::task::spawn_blocking(move || storage.compact().unwrap()).await.unwrap();
    let eve = &clinic.eve.id;
    let attacks = [
        "SELECT * FROM points".to_owned(),
        "SELECT * FROM latest".to_owned(),
        format!("SELECT * FROM points WHERE user_id = '{eve}'"),
        format!("SELECT * FROM points WHERE user_id = '{eve}' OR 1 = 1"),
        format!("SELECT * FROM latest WHERE user_id IN ('{eve}')"),
        "SELECT b.* FROM metrics a, points b".to_owned(),
        "SELECT max(value), min(value), array_agg(user_id) FROM points".to_owned(),
        "SELECT max(value) OVER (), user_id FROM latest".to_owned(),
        "SELECT * FROM avycenna.public.points UNION ALL SELECT * FROM public.points".to_owned(),
        "EXPLAIN ANALYZE VERBOSE SELECT * FROM points".to_owned(),
        "EXPLAIN VERBOSE SELECT * FROM points".to_owned(),
        "DESCRIBE points".to_owned(),
        "SELECT arrow_typeof(user_id), arrow_typeof(source) FROM points".to_owned(),
        // It fails at a row that holds 161, if one is there.
        "SELECT 1 / (CAST(value AS BIGINT) - 161) FROM points".to_owned(),
        format!("SELECT value FROM points WHERE user_id = '{eve}' AND 1 / (CAST(value AS BIGINT) - 161) > 0"),
        "SELECT value FROM points WHERE 1 / (CAST(value AS BIGINT) - 162) >= 0".to_owned(),
    ];
    for format in ["json", "csv", "arrow", "parquet"] {
        for sql in &attacks {
            let body = json!({"sql": sql, "format": format});
            let response = clinic.stage.answer(asking(&clinic.doctor.key, &body, None)).await;
            let status = response.status();
            let bytes = whole(response).await;
            let text = String::from_utf8_lossy(&bytes);
            assert!(status == 200 || (format == "csv" && text.contains("format")), "{sql}: {status} {text}");
            let literal_is_shown = sql.contains(eve.as_str());
            assert!(!text.contains(".parquet") && !text.contains("points/"), "{sql}: {text}");
            assert!(literal_is_shown || !text.contains(eve.as_str()), "{sql}: {text}");
            if format == "json" && !sql.contains("161") {
                assert!(!text.contains("161.0") && !text.contains("162.0"), "{sql}: {text}");
            }
        }
    }
    let (status, own) = clinic.query(&clinic.doctor.key, "SELECT 1 / (CAST(value AS BIGINT) - 60) FROM points").await;
    assert_eq!(status, 422, "one's own rows do fail: {own}");
    for sql in [
        "SELECT CAST(source AS INT) FROM points",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM pg_catalog.pg_tables",
        "SHOW TABLES",
        "SELECT * FROM read_parquet('/')",
        "SELECT * FROM '/etc/passwd'",
    ] {
        let (status, answer) = clinic.query(&clinic.doctor.key, sql).await;
        assert_eq!(status, 422, "{sql}: {answer}");
        assert!(!answer.to_string().contains(eve.as_str()), "{sql}: {answer}");
    }
    assert!(clinic.trail(&clinic.eve).await.is_empty(), "and nobody has read of her");
}

/// Records, as who asked what.
fn asked(trail: &[Value]) -> Vec<(&str, &str)> {
    trail.iter().map(|record| (record["what"].as_str().unwrap(), record["sql"].as_str().unwrap_or(""))).collect()
}

#[tokio::test]
async fn every_patient_whom_a_query_can_reach_has_a_record_of_it() {
    records(Clinic::new().await).await;
}

#[tokio::test]
async fn so_they_have_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_sql").await {
        records(Clinic::on(Stage::on(database).await).await).await;
    }
}

async fn records(clinic: Clinic) {
    let (doctor, ada, bo) = (&clinic.doctor, &clinic.ada, &clinic.bo);
    let all = "SELECT count(*) FROM points WHERE value > 1000";
    let of_ada = format!("SELECT count(*) FROM points WHERE user_id = '{}' AND value < 3", ada.id);
    for _ in 0..2 {
        clinic.rows(&doctor.key, all).await;
    }
    clinic.rows(&doctor.token, &of_ada).await;
    // Of one's own there is nothing to write down, nor of what has no rows of anybody, nor of what was refused.
    clinic.rows(&ada.token, all).await;
    clinic.rows(&doctor.token, "SELECT count(*) FROM metrics").await;
    clinic.query(&doctor.token, "SELECT nothing FROM points").await;
    let trail = clinic.trail(ada).await;
    assert_eq!(asked(&trail), [("sql", of_ada.as_str()), ("sql", all), ("sql", all)]);
    assert_eq!((&trail[0]["means"], &trail[1]["means"]), (&json!("token"), &json!("key")));
    for record in &trail {
        let expected = (&json!(doctor.id), &json!("Doc"), &json!(clinic.ada_grant), &json!("192.0.2.7"));
        let found = (&record["actor_id"], &record["actor_name"], &record["grant_id"], &record["address"]);
        assert_eq!(found, expected);
    }
    let of_both = json!({
        "sql": "SELECT count(*) FROM latest WHERE user_id IN ($1, $2) AND value > $3",
        "params": [ada.id, bo.id, 62.5],
    });
    assert_eq!(clinic.stage.post(&doctor.key, "/query", of_both).await.0, 200);
    let shown = format!(
        "SELECT count(*) FROM latest WHERE user_id IN ($1, $2) AND value > $3\n-- $1 = 'usr_…', $2 = '{}', $3 = 62.5",
        bo.id
    );
    assert_eq!(asked(&clinic.trail(bo).await), [("sql", shown.as_str()), ("sql", all), ("sql", all)]);
    assert!(clinic.trail(&clinic.eve).await.is_empty());
    let checked = audit::verify(&clinic.stage.state.control).await.unwrap();
    assert_eq!((checked.records, checked.breaks), (7, vec![]));
    // The export of a patient holds the same.
    let export = clinic.stage.read(&ada.token, "/export").await;
    assert_eq!(export["audit"].as_array().unwrap().iter().rev().cloned().collect::<Vec<_>>(), clinic.trail(ada).await);
    // Nobody changes the text behind a record unseen: its hash stands in the chain.
    use sea_orm::ConnectionTrait as _;
    let change = "UPDATE audit_records SET query_hash = NULL WHERE seq = 1";
    clinic.stage.state.control.read().execute_unprepared(change).await.unwrap();
    assert_eq!(audit::verify(&clinic.stage.state.control).await.unwrap().breaks.len(), 2);
}

#[tokio::test]
async fn thousands_of_patients_are_written_down_in_a_few_statements() {
    use sea_orm::ConnectionTrait as _;
    let (database, heard) = Database::new().await.overheard().await;
    let clinic = Clinic::on(Stage::on(database).await).await;
    let (doctor, now_us) = (&clinic.doctor.id, clinic.stage.state.clock.now_us());
    let users: Vec<String> = (0..2_500)
        .map(|nth| format!("('usr_{nth:08}', 'p{nth}@example.org', 'P', 'patient', 'UTC', {now_us}, {now_us})"))
        .collect();
    let columns = "id, email, name, role, timezone, created_at, updated_at";
    let insert = format!("INSERT INTO users ({columns}) VALUES {}", users.join(", "));
    clinic.stage.state.control.read().execute_unprepared(&insert).await.unwrap();
    let grants: Vec<String> = (0..2_500)
        .map(|nth| {
            format!("('grt_{nth:016}', '{doctor}', 'p{nth}@example.org', 'usr_{nth:08}', 'wearables', 'active', {now_us}, {now_us})")
        })
        .collect();
    let columns = "id, doctor_id, patient_email, patient_id, permissions, status, created_at, accepted_at";
    let insert = format!("INSERT INTO grants ({columns}) VALUES {}", grants.join(", "));
    clinic.stage.state.control.read().execute_unprepared(&insert).await.unwrap();
    // Five for each hundred trails that begin, three for each hundred that go on.
    for (expected, statements_max) in [(2_502, 150), (5_004, 90)] {
        heard.lock().unwrap().clear();
        assert_eq!(clinic.rows(&clinic.doctor.key, "SELECT count(*) FROM points").await, json!([[4]]));
        let asked = heard.lock().unwrap().clone();
        assert!(asked.len() < statements_max, "{} statements", asked.len());
        // Each row of an answer is handed from thread to thread: all grants are one.
        let of_grants: Vec<_> = asked.iter().filter(|sql| sql.contains(" FROM \"grants\"")).collect();
        assert!(!of_grants.is_empty() && of_grants.iter().all(|sql| sql.contains("string_agg(")), "{of_grants:#?}");
        let checked = audit::verify(&clinic.stage.state.control).await.unwrap();
        assert_eq!((checked.records, checked.breaks), (expected, vec![]));
    }
}

#[tokio::test]
async fn a_grant_that_ends_between_plan_and_record_is_planned_without() {
    let clinic = Clinic::new().await;
    let question = clinic.question(&clinic.doctor, "SELECT count(*) FROM points").await;
    let state = &clinic.stage.state;
    let query = question.plan(state).await.unwrap();
    assert_eq!(query.users().len(), 3, "the doctor, Ada and Bo");
    clinic.stage.revoke(&clinic.ada, &clinic.ada_grant).await;
    let admitted = question.admit(state, query).await.unwrap();
    assert_eq!(admitted.query.users().len(), 2);
    assert!(clinic.trail(&clinic.ada).await.is_empty());
    assert_eq!(clinic.trail(&clinic.bo).await.len(), 1);
    // And one that ends before the first row keeps it back.
    let grants = clinic.stage.read(&clinic.bo.token, "/grants/incoming?status=active").await;
    clinic.stage.revoke(&clinic.bo, grants["grants"][0]["id"].as_str().unwrap()).await;
    let mut pieces = Box::pin(admitted.company.watched(admitted.query.encoded(engine::Format::Json)));
    assert!(pieces.next().await.unwrap().is_err());
}

#[tokio::test]
async fn an_answer_breaks_off_when_a_grant_or_the_key_ends_while_it_leaves() {
    for ends_key in [false, true] {
        let clinic = Clinic::new().await;
        for nth in 0..150 {
            clinic.stage.heart_rate(&clinic.ada, 60.0, 2.0 + f64::from(nth) / 100.0).await;
        }
        let body = json!({"sql": LONG, "format": "csv"});
        let response = clinic.stage.answer(asking(&clinic.doctor.key, &body, None)).await;
        assert_eq!(response.status(), 200);
        let mut pieces = response.into_body().into_data_stream();
        pieces.next().await.unwrap().unwrap();
        clinic.running(1).await;
        if ends_key {
            let keys = clinic.stage.read(&clinic.doctor.token, "/api-keys").await;
            for key in keys["api_keys"].as_array().unwrap() {
                let path = format!("/api-keys/{}", key["id"].as_str().unwrap());
                assert_eq!(clinic.stage.send(Some(&clinic.doctor.token), "DELETE", &path, None).await.0, 204);
            }
        } else {
            clinic.stage.revoke(&clinic.ada, &clinic.ada_grant).await;
        }
        clinic.stage.clock.advance(Duration::from_secs(1));
        let mut left = 0;
        let broken = loop {
            match pieces.next().await {
                Some(Ok(piece)) => left += piece.len(),
                Some(Err(error)) => break error,
                None => panic!("it came to its end"),
            }
        };
        assert!(left < 4 << 20, "{left} bytes left before: {broken}");
        clinic.running(0).await;
    }
}

#[tokio::test]
async fn a_fault_of_the_statement_is_told_with_its_place() {
    let clinic = Clinic::new().await;
    let (status, answer) = clinic.query(&clinic.ada.key, "SELECT valu FROM points").await;
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", "sql", 7])), "{answer}");
    assert!(answer["detail"][0]["msg"].as_str().unwrap().contains("valu"), "{answer}");
    for (body, place) in [
        (json!({}), json!(["body", "sql"])),
        (json!({"sql": 1}), json!(["body", "sql"])),
        (json!({"sql": "SELECT 1", "format": "xml"}), json!(["body", "format"])),
        (json!({"sql": "SELECT 1", "params": {}}), json!(["body", "params"])),
        (json!({"sql": "SELECT $1", "params": [[]]}), json!(["body", "params", 0])),
        (json!({"sql": "SELECT * FROM points WHERE recorded_at > $1", "params": ["x"]}), json!(["body", "params", 0])),
        (json!({"sql": "SELECT 1", "params": [1]}), json!(["body", "sql"])),
        (json!({"sql": "SELECT 1", "user_id": "x"}), json!(["body", "user_id"])),
    ] {
        let (status, answer) = clinic.stage.post(&clinic.ada.key, "/query", body.clone()).await;
        assert_eq!((status, places(&answer)), (422, vec![place]), "{body}: {answer}");
    }
    let (status, _) = clinic.stage.post(&clinic.ada.key, "/query", json!({"sql": "SELECT '\u{0}' || 'ü'"})).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn the_format_is_the_bodys_or_what_accept_prefers() {
    let clinic = Clinic::new().await;
    let sql = "SELECT metric, recorded_at, value FROM points WHERE value = 60";
    let ask = async |format: Option<&str>, accept: Option<&str>| {
        let body = json!({"sql": sql, "format": format});
        let response = clinic.stage.answer(asking(&clinic.ada.key, &body, accept)).await;
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        (response.status().as_u16(), kind.unwrap(), whole(response).await)
    };
    let (_, kind, body) = ask(None, None).await;
    assert_eq!(kind, "application/json");
    let at = clinic.stage.ago(1.0);
    let expected = json!({
        "columns": [{"name": "metric", "type": "text"}, {"name": "recorded_at", "type": "timestamp"}, {"name": "value", "type": "number"}],
        "rows": [["heart_rate", at, 60.0]],
        "row_count": 1,
    });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    let (_, kind, body) = ask(Some("csv"), Some("application/json")).await;
    assert_eq!(
        (kind.as_str(), String::from_utf8(body).unwrap()),
        ("text/csv", format!("metric,recorded_at,value\nheart_rate,{at},60.0\n"))
    );
    let (_, kind, body) = ask(None, Some("application/vnd.apache.arrow.stream")).await;
    assert_eq!(kind, "application/vnd.apache.arrow.stream");
    let batches: Vec<_> =
        arrow::ipc::reader::StreamReader::try_new(body.as_slice(), None).unwrap().map(Result::unwrap).collect();
    assert_eq!((batches.len(), batches[0].num_rows()), (1, 1));
    let (_, kind, body) = ask(None, Some("application/vnd.apache.parquet")).await;
    assert_eq!((kind.as_str(), &body[..4]), ("application/vnd.apache.parquet", b"PAR1".as_slice()));
    assert_eq!(ask(None, Some("text/html")).await.0, 406);
}
