//! Every operation of the API, asked by everybody who must not, and by everybody who may.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

/// What each of [`ACTORS`] is answered.
type Statuses = [u16; 11];

/// Who asks. The last four hold an active grant with this one permission.
const ACTORS: [&str; 11] = [
    "nobody",
    "a key with the wrong scope, of a doctor who is let in to everything",
    "another patient",
    "a doctor without a grant",
    "a doctor with a pending grant",
    "a doctor with an expired grant",
    "a doctor with a revoked grant",
    "check_ins",
    "symptoms",
    "wearables",
    "wearables_write",
];

const OPEN: Statuses = [200; 11];
/// Of oneself, whoever one is.
const OWN: Statuses = [401, 403, 200, 200, 200, 200, 200, 200, 200, 200, 200];
const OWN_MADE: Statuses = [401, 403, 201, 201, 201, 201, 201, 201, 201, 201, 201];
const OWN_GONE: Statuses = [401, 403, 204, 204, 204, 204, 204, 204, 204, 204, 204];
/// Something of the patient's where only one's own is looked for.
const FOREIGN: Statuses = [401, 403, 404, 404, 404, 404, 404, 404, 404, 404, 404];
/// A login: open to everybody without a key; the body says nothing.
const LOGIN: Statuses = [422, 403, 422, 422, 422, 422, 422, 422, 422, 422, 422];
const DOCTORS: Statuses = [401, 403, 403, 201, 201, 201, 201, 201, 201, 201, 201];
const CHECK_INS: Statuses = [401, 403, 403, 403, 403, 403, 403, 200, 403, 403, 403];
const SYMPTOMS: Statuses = [401, 403, 403, 403, 403, 403, 403, 403, 200, 403, 403];
const POINTS: Statuses = [401, 403, 403, 403, 403, 403, 403, 200, 403, 200, 403];

/// Method and path as the description has them; the query or body that makes the request a good one; the answers.
const TABLE: [(&str, &str, &str, Statuses); 70] = [
    ("GET", "/healthz", "", OPEN),
    ("GET", "/readyz", "", OPEN),
    ("POST", "/api/v1/auth/register", "{}", LOGIN),
    ("POST", "/api/v1/auth/login", "{}", LOGIN),
    ("POST", "/api/v1/auth/otp/send", "{}", LOGIN),
    ("POST", "/api/v1/auth/otp/verify", "{}", LOGIN),
    ("POST", "/api/v1/auth/refresh", "{}", LOGIN),
    ("POST", "/api/v1/auth/logout", "{}", LOGIN),
    ("POST", "/api/v1/auth/forgot", "{}", LOGIN),
    ("POST", "/api/v1/auth/reset", "{}", LOGIN),
    ("POST", "/api/v1/auth/password", "{}", [401, 403, 422, 422, 422, 422, 422, 422, 422, 422, 422]),
    ("GET", "/api/v1/auth/sessions", "", OWN),
    ("DELETE", "/api/v1/auth/sessions/{id}", "", FOREIGN),
    ("GET", "/api/v1/users/me", "", OWN),
    ("PATCH", "/api/v1/users/me", "{}", OWN),
    // Nobody here knows the address that would do it.
    (
        "DELETE",
        "/api/v1/users/me",
        r#"{"confirm": "nobody@example.org"}"#,
        [401, 403, 422, 422, 422, 422, 422, 422, 422, 422, 422],
    ),
    ("GET", "/api/v1/api-keys", "", OWN),
    ("POST", "/api/v1/api-keys", r#"{"name": "k"}"#, OWN_MADE),
    ("DELETE", "/api/v1/api-keys/{id}", "", FOREIGN),
    ("POST", "/api/v1/wearables/ingest", "POINT", OWN_MADE),
    ("POST", "/api/v1/wearables/bulk-ingest", "POINTS", OWN_MADE),
    ("POST", "/api/v1/wearables/stream", "POINT", OWN),
    ("GET", "/api/v1/wearables/metric/{metric}", "", OWN),
    ("DELETE", "/api/v1/wearables/metric/{metric}", "?start=2026-01-01T00:00:00Z&end=2027-01-01T00:00:00Z", OWN_GONE),
    ("GET", "/api/v1/wearables/latest", "", OWN),
    ("GET", "/api/v1/wearables/metrics", "", OWN),
    ("POST", "/api/v1/check-ins", r#"{"mood": 1, "energy": 1, "focus": 1}"#, OWN_MADE),
    ("GET", "/api/v1/check-ins", "", OWN),
    ("GET", "/api/v1/check-ins/{id}", "", FOREIGN),
    ("PATCH", "/api/v1/check-ins/{id}", r#"{"mood": 1}"#, FOREIGN),
    ("DELETE", "/api/v1/check-ins/{id}", "", FOREIGN),
    (
        "POST",
        "/api/v1/symptoms",
        r#"{"name": "headache", "severity": "mild", "onset_at": "2026-05-01T00:00:00Z"}"#,
        OWN_MADE,
    ),
    ("GET", "/api/v1/symptoms", "", OWN),
    ("GET", "/api/v1/symptoms/{id}", "", FOREIGN),
    ("PATCH", "/api/v1/symptoms/{id}", r#"{"severity": "mild"}"#, FOREIGN),
    ("DELETE", "/api/v1/symptoms/{id}", "", FOREIGN),
    ("POST", "/api/v1/grants/invite", r#"{"patient_email": "ADDRESS", "permissions": ["symptoms"]}"#, DOCTORS),
    ("GET", "/api/v1/grants/incoming", "", OWN),
    ("GET", "/api/v1/grants/outgoing", "", OWN),
    ("POST", "/api/v1/grants/{id}/accept", "{}", FOREIGN),
    ("POST", "/api/v1/grants/{id}/decline", "{}", FOREIGN),
    ("PATCH", "/api/v1/grants/{id}", r#"{"permissions": ["symptoms"]}"#, FOREIGN),
    ("POST", "/api/v1/grants/{id}/revoke", "{}", FOREIGN),
    ("GET", "/api/v1/grants/patient/{patient_id}/check-ins", "", CHECK_INS),
    ("GET", "/api/v1/grants/patient/{patient_id}/symptoms", "", SYMPTOMS),
    ("GET", "/api/v1/grants/patient/{patient_id}/wearables/metric/{metric}", "", POINTS),
    ("GET", "/api/v1/grants/patient/{patient_id}/wearables/metric/{metric}", "?bucket=1d", POINTS),
    ("GET", "/api/v1/grants/patient/{patient_id}/wearables/latest", "", POINTS),
    ("GET", "/api/v1/grants/patient/{patient_id}/overview", "", POINTS),
    ("POST", "/api/v1/webhooks", r#"{"url": "https://8.8.8.8/hook", "events": ["grant.revoked"]}"#, OWN_MADE),
    ("GET", "/api/v1/webhooks", "", OWN),
    ("GET", "/api/v1/webhooks/{id}", "", FOREIGN),
    ("PATCH", "/api/v1/webhooks/{id}", r#"{"enabled": false}"#, FOREIGN),
    ("DELETE", "/api/v1/webhooks/{id}", "", FOREIGN),
    ("POST", "/api/v1/webhooks/{id}/rotate-secret", "{}", FOREIGN),
    ("POST", "/api/v1/webhooks/{id}/test", "{}", FOREIGN),
    ("GET", "/api/v1/webhooks/{id}/deliveries", "", FOREIGN),
    ("POST", "/api/v1/webhooks/{id}/deliveries/{delivery_id}/replay", "{}", FOREIGN),
    ("GET", "/api/v1/webhooks/{id}/events", "", FOREIGN),
    ("POST", "/api/v1/webhooks/{id}/recover", r#"{"since": "2026-01-01T00:00:00Z"}"#, FOREIGN),
    // Everybody asks over what they may see; `crate::sql::tests` looks at whose rows come.
    ("POST", "/api/v1/query", r#"{"sql": "SELECT count(*) FROM metrics"}"#, OWN),
    ("GET", "/api/v1/audit", "", OWN),
    ("GET", "/api/v1/audit", "?limit=1", OWN),
    ("GET", "/api/v1/export", "", OWN),
    // There is no file.
    ("POST", "/api/v1/imports", "?format=garmin", [401, 403, 422, 422, 422, 422, 422, 422, 422, 422, 422]),
    ("GET", "/api/v1/imports", "", OWN),
    ("GET", "/api/v1/imports/{id}", "", FOREIGN),
    ("DELETE", "/api/v1/imports/{id}", "", FOREIGN),
    ("POST", "/api/v1/integrations/garmin/push", "{}", OWN),
    ("POST", "/api/v1/integrations/health-auto-export", r#"{"data": {"metrics": []}}"#, OWN),
];

/// What wants a key with both scopes.
const BOTH: [(&str, &str); 6] = [
    ("POST", "/api/v1/webhooks"),
    ("PATCH", "/api/v1/webhooks/{id}"),
    ("POST", "/api/v1/webhooks/{id}/rotate-secret"),
    ("POST", "/api/v1/webhooks/{id}/test"),
    ("POST", "/api/v1/webhooks/{id}/deliveries/{delivery_id}/replay"),
    ("POST", "/api/v1/webhooks/{id}/recover"),
];

/// A patient with one of everything, and everybody who asks.
struct Cast {
    stage: Stage,
    patient: Person,
    /// In the order of [`ACTORS`], without nobody.
    people: Vec<Person>,
    check_in: String,
    symptom: String,
    key: String,
    session: String,
    webhook: String,
    delivery: String,
    import: String,
    /// Between the patient and a doctor who does not ask.
    grant: String,
}

impl Cast {
    async fn new() -> Self {
        Self::on(Database::new().await).await
    }

    async fn on(database: Database) -> Self {
        let stage = Stage::on(database).await;
        let patient = stage.patient("Ada").await;
        let mut people = Vec::new();
        for (nth, actor) in ACTORS.iter().enumerate().skip(1) {
            let name = format!("Person {nth}");
            let person = if nth == 2 { stage.patient(&name).await } else { stage.doctor(&name).await };
            match *actor {
                "a doctor with a pending grant" => drop(stage.invite(&person, &patient, &ALL).await),
                "a doctor with an expired grant" => {
                    let expires_at = engine::time::format(stage.state.clock.now_us() + 1_000_000);
                    let body = json!({"patient_email": patient.email, "permissions": ALL, "expires_at": expires_at});
                    let (_, grant) = stage.post(&person.token, "/grants/invite", body).await;
                    stage.accept(&patient, grant["id"].as_str().unwrap()).await;
                }
                "a doctor with a revoked grant" => {
                    let id = stage.grant(&person, &patient, &ALL).await;
                    stage.revoke(&patient, &id).await;
                }
                "another patient" | "a doctor without a grant" => {}
                actor if actor.starts_with("a key") => drop(stage.grant(&person, &patient, &ALL).await),
                permission => drop(stage.grant(&person, &patient, &[permission]).await),
            }
            people.push(person);
        }
        stage.clock.advance(Duration::from_secs(2));
        let third = stage.doctor("Third").await;
        let grant = stage.grant(&third, &patient, &ALL).await;
        let check_in = stage.check_in(&patient, json!({"note": "mine"})).await["id"].as_str().unwrap().to_owned();
        let symptom = json!({"name": "headache", "severity": "severe", "onset_at": stage.ago(1.0)});
        let (_, symptom) = stage.post(&patient.token, "/symptoms", symptom).await;
        let symptom = symptom["id"].as_str().unwrap().to_owned();
        stage.heart_rate(&patient, 62.0, 1.0).await;
        let keys = stage.read(&patient.token, "/api-keys").await;
        let key = keys["api_keys"][0]["id"].as_str().unwrap().to_owned();
        let sessions = stage.read(&patient.token, "/auth/sessions").await;
        let session = sessions["sessions"][0]["id"].as_str().unwrap().to_owned();
        let webhook = json!({"url": "https://8.8.8.8/hook", "events": ["check_in.created"]});
        let (_, webhook) = stage.post(&patient.token, "/webhooks", webhook).await;
        let webhook = webhook["id"].as_str().unwrap().to_owned();
        let (_, delivery) = stage.post(&patient.token, &format!("/webhooks/{webhook}/test"), json!({})).await;
        let delivery = delivery["id"].as_str().unwrap().to_owned();
        let (_, import) = stage.send_file(&patient.token, "?format=garmin", None, "a file").await;
        let import = import["id"].as_str().unwrap().to_owned();
        Self { stage, patient, people, check_in, symptom, key, session, webhook, delivery, import, grant }
    }

    /// The credentials with which an actor asks; the wrong scope is the one that the method does not need, and either
    /// one alone where both are needed.
    fn credentials(&self, actor: usize, method: &str, path: &str) -> Vec<Option<&Header>> {
        let Some(nth) = actor.checked_sub(1) else { return vec![None] };
        let person = &self.people[nth];
        match actor {
            1 if BOTH.contains(&(method, path)) => vec![Some(&person.read_key), Some(&person.write_key)],
            1 if method == "GET" || path.ends_with("/query") => vec![Some(&person.write_key)],
            1 => vec![Some(&person.read_key)],
            _ => vec![Some(&person.token)],
        }
    }

    fn target(&self, path: &str) -> String {
        let id = match path {
            _ if path.contains("/check-ins/") => &self.check_in,
            _ if path.contains("/symptoms/") => &self.symptom,
            _ if path.contains("/api-keys/") => &self.key,
            _ if path.contains("/sessions/") => &self.session,
            _ if path.contains("/webhooks/") => &self.webhook,
            _ if path.contains("/imports/") => &self.import,
            _ => &self.grant,
        };
        path.replace("{patient_id}", &self.patient.id)
            .replace("{metric}", "heart_rate")
            .replace("{id}", id)
            .replace("{delivery_id}", &self.delivery)
    }

    async fn ask(&self, actor: usize, method: &str, path: &str, extra: &str) -> (u16, Value) {
        let credential = self.credentials(actor, method, path)[0];
        self.ask_with(credential, actor, method, path, extra).await
    }

    async fn ask_with(
        &self,
        credential: Option<&Header>,
        actor: usize,
        method: &str,
        path: &str,
        extra: &str,
    ) -> (u16, Value) {
        let recorded_at = self.stage.ago(0.0);
        let point = json!({"metric": "hrv", "value": 40, "unit": "ms", "recorded_at": recorded_at, "source": "w"});
        let extra = extra
            .replace("ADDRESS", &format!("invited-by-{actor}@example.org"))
            .replace("POINTS", &json!({"data_points": [point]}).to_string())
            .replace("POINT", &point.to_string());
        let (query, body) = if extra.starts_with('?') { (extra.as_str(), "") } else { ("", extra.as_str()) };
        let body = serde_json::from_str::<Value>(body).ok();
        let target = format!("{}{query}", self.target(path));
        self.stage.send(credential, method, &target, body.as_ref()).await
    }
}

const ALL: [&str; 4] = ["check_ins", "symptoms", "wearables", "wearables_write"];

#[tokio::test]
async fn everybody_is_answered_as_the_table_says_by_every_operation() {
    let cast = Cast::new().await;
    let before = cast.stage.read(&cast.patient.token, "/check-ins").await;
    let mut wrong = Vec::new();
    for (method, path, extra, expected) in TABLE {
        for (actor, name) in ACTORS.iter().enumerate() {
            for credential in cast.credentials(actor, method, path) {
                let (status, body) = cast.ask_with(credential, actor, method, path, extra).await;
                if status != expected[actor] {
                    wrong.push(format!("{method} {path}{extra} as {name}: {status}, not {}: {body}", expected[actor]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nobody has changed anything of the patient's, and every read that was answered is in the trail.
    assert_eq!(cast.stage.read(&cast.patient.token, "/check-ins").await, before);
    let grants = cast.stage.read(&cast.patient.token, "/grants/incoming?status=active").await;
    assert!(grants["grants"].as_array().unwrap().iter().any(|grant| grant["id"] == json!(cast.grant)), "{grants}");
    let answered: usize = TABLE
        .iter()
        .filter(|(_, path, ..)| path.contains("{patient_id}"))
        .map(|(.., statuses)| statuses.iter().filter(|status| **status == 200).count())
        .sum();
    let trail = cast.stage.read(&cast.patient.token, "/audit?limit=1000").await;
    assert_eq!(trail["records"].as_array().unwrap().len(), answered);
}

#[test]
fn no_operation_is_missing_in_the_table() {
    let described: BTreeSet<_> = crate::openapi::operations(&crate::router::description())
        .into_iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    let tested: BTreeSet<_> = TABLE.iter().map(|(method, path, ..)| format!("{method} {path}")).collect();
    let missing: Vec<_> = described.symmetric_difference(&tested).collect();
    assert!(missing.is_empty(), "say in TABLE who may do this: {missing:?}");
}

#[tokio::test]
async fn a_patient_who_is_not_there_is_refused_like_one_who_is() {
    let cast = Cast::new().await;
    for (method, path, extra, _) in TABLE.iter().filter(|(_, path, ..)| path.contains("{patient_id}")) {
        let mut answers = Vec::new();
        for patient in [cast.patient.id.as_str(), "usr_00000000", "usr_", "nobody", "%00", "usr_'--++++"] {
            let path = path.replace("{patient_id}", patient);
            answers.push(cast.ask(3, method, &path, extra).await);
        }
        assert_eq!(answers[0].0, 403);
        assert!(answers.iter().all(|answer| answer == &answers[0]), "{path}: {answers:?}");
    }
}

#[tokio::test]
async fn no_byte_in_an_id_or_a_cursor_is_a_fault_of_the_server() {
    survives(Cast::new().await).await;
}

#[tokio::test]
async fn nor_is_it_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_bytes").await {
        survives(Cast::on(database).await).await;
    }
}

/// PostgreSQL stores no NUL, and says so where a statement holds one.
async fn survives(cast: Cast) {
    let token = &cast.patient.token;
    let mut wrong = Vec::new();
    let mut ask = async |method: &str, path: &str, extra: &str| {
        let (status, body) = cast.ask_with(Some(token), 2, method, path, extra).await;
        if !(400..500).contains(&status) {
            wrong.push(format!("{method} {path}{extra}: {status}: {body}"));
        }
    };
    for (method, path, extra, _) in TABLE.iter().filter(|(_, path, ..)| path.contains('{')) {
        for bytes in ["%00", "key_%00%00%00%00%00%00%00%00%00%00%00%00%00%00%00%00", "%C3%28", "'"] {
            for name in ["{id}", "{delivery_id}", "{patient_id}", "{metric}"].iter().filter(|name| path.contains(*name))
            {
                ask(method, &path.replace(name, bytes), extra).await;
            }
        }
    }
    for name in ["cursor", "since"] {
        for path in [
            "/api/v1/audit",
            "/api/v1/webhooks/{id}/deliveries",
            "/api/v1/webhooks/{id}/events",
            "/api/v1/wearables/metric/{metric}",
        ] {
            for text in ["%00", "evt_%00", "1.2.dlv_%00", "1.2.", "dlv_0000000000000000"] {
                ask("GET", path, &format!("?limit=9&{name}={text}")).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
