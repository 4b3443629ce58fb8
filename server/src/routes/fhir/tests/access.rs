//! Who may do what, for every operation of the table.

use super::*;
use crate::routes::fhir::{BASE, OPERATIONS};

/// What each of [`ACTORS`] is answered.
type Statuses = [u16; 9];

const ACTORS: [&str; 9] = [
    "nobody",
    "a key that may only write, of a doctor who is let in to everything",
    "another patient",
    "a doctor without a grant",
    "a doctor with a revoked grant",
    "check_ins",
    "symptoms",
    "wearables",
    "wearables_write",
];

const ALL: [&str; 4] = ["check_ins", "symptoms", "wearables", "wearables_write"];
const OPEN: Statuses = [200; 9];
const POINTS: Statuses = [401, 403, 403, 403, 403, 200, 403, 200, 403];
const CHECK_INS: Statuses = [401, 403, 403, 403, 403, 200, 403, 403, 403];
/// A search for patients finds those who may be seen; whoever may ask is answered.
const LISTED: Statuses = [401, 403, 200, 200, 200, 200, 200, 200, 200];

/// Method and path of the table of operations, what is behind the `?`, and what is answered.
const TABLE: [(&str, &str, &str, Statuses); 34] = [
    ("GET", "/metadata", "", OPEN),
    ("GET", "/Observation", "patient=PATIENT", POINTS),
    ("GET", "/Observation", "patient=PATIENT&code=8867-4", POINTS),
    ("GET", "/Observation", "patient=PATIENT&code=mood", CHECK_INS),
    ("GET", "/Observation", "_id=POINT", POINTS),
    ("POST", "/Observation/_search", "patient=PATIENT", POINTS),
    ("GET", "/Patient/{id}/Observation", "", POINTS),
    ("GET", "/Patient/{id}/Observation", "code=mood", CHECK_INS),
    ("GET", "/Patient/{id}/Device", "", POINTS),
    ("GET", "/Observation/$lastn", "patient=PATIENT", POINTS),
    ("GET", "/Observation/$lastn", "patient=PATIENT&code=mood", CHECK_INS),
    ("POST", "/Observation/$lastn", "patient=PATIENT", POINTS),
    ("GET", "/Observation/%24lastn", "patient=PATIENT&code=mood", CHECK_INS),
    ("GET", "/Observation/$stats", "patient=PATIENT&code=8867-4", POINTS),
    ("POST", "/Observation/$stats", "patient=PATIENT&code=8867-4", POINTS),
    ("GET", "/CodeSystem", "", OPEN),
    ("GET", "/CodeSystem/{id}", "", OPEN),
    ("GET", "/Device", "patient=PATIENT", POINTS),
    ("POST", "/Device/_search", "patient=PATIENT", POINTS),
    ("GET", "/Device", "patient=PATIENT&_include=Device:patient", POINTS),
    ("GET", "/Device/{id}", "", POINTS),
    ("GET", "/Provenance", "target=POINT", LISTED),
    ("GET", "/Provenance", "target=POINT&_include=Provenance:target", LISTED),
    ("POST", "/Provenance/_search", "target=POINT", LISTED),
    ("GET", "/Provenance/{id}", "", POINTS),
    ("GET", "/Observation/{id}", "", POINTS),
    ("GET", "/Observation/{id}", "MOOD", CHECK_INS),
    ("GET", "/Observation/{id}/_history/{version}", "", POINTS),
    ("GET", "/Patient", "_id=PATIENT", LISTED),
    ("GET", "/Patient", "name=ad", LISTED),
    ("GET", "/Patient", "_id=PATIENT&_count=1&_revinclude=Provenance:target", LISTED),
    ("POST", "/Patient/_search", "_id=PATIENT", LISTED),
    ("GET", "/Patient/{id}", "", POINTS),
    ("GET", "/Patient/{id}/_history/{version}", "", POINTS),
];

#[test]
fn no_operation_of_fhir_is_missing_in_the_table() {
    for operation in &OPERATIONS {
        let is_tested = TABLE.iter().any(|(method, path, ..)| (*method, *path) == (operation.method, operation.path));
        assert!(is_tested, "say in TABLE who may do this: {} {BASE}{}", operation.method, operation.path);
    }
}

struct Cast {
    stage: Stage,
    patient: Person,
    people: Vec<Person>,
    point: Value,
    mood: Value,
    person: Value,
}

impl Cast {
    async fn new() -> Self {
        Self::on(Stage::new().await).await
    }

    async fn on(stage: Stage) -> Self {
        let patient = stage.patient("Ada").await;
        let mut people = Vec::new();
        for (nth, actor) in ACTORS.iter().enumerate().skip(1) {
            let name = format!("Person {nth}");
            let person = if nth == 2 { stage.patient(&name).await } else { stage.doctor(&name).await };
            match *actor {
                "another patient" | "a doctor without a grant" => {}
                "a doctor with a revoked grant" => {
                    let id = stage.grant(&person, &patient, &ALL).await;
                    stage.revoke(&patient, &id).await;
                }
                actor if actor.starts_with("a key") => drop(stage.grant(&person, &patient, &ALL).await),
                permission => drop(stage.grant(&person, &patient, &[permission]).await),
            }
            people.push(person);
        }
        ingest(&stage, &patient, &[("heart_rate", 62.0, 1.0, "watch")]).await;
        stage.check_in(&patient, json!({"mood": 4})).await;
        let one = async |query: &str| read(&stage, &patient.token, query).await.matches()[0].clone();
        let (point, mood) = (one("/Observation?code=8867-4").await, one("/Observation?code=mood").await);
        let person = one("/Patient").await;
        Self { stage, patient, people, point, mood, person }
    }

    async fn ask(&self, actor: usize, method: &str, path: &str, extra: &str) -> Reply {
        let credential = actor.checked_sub(1).map(|nth| {
            let person = &self.people[nth];
            if actor == 1 { &person.write_key } else { &person.token }
        });
        let resource = match (path.split('/').nth(1), extra) {
            (Some("Patient"), _) => &self.person,
            (_, "MOOD") => &self.mood,
            _ => &self.point,
        };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let id = match path.split('/').nth(1) {
            Some("CodeSystem") => "avycenna".to_owned(),
            Some("Device") => text(&self.point["device"]["reference"]).replace("Device/", ""),
            Some("Provenance") => format!("p{}", text(&resource["id"])),
            _ => text(&resource["id"]),
        };
        let path = path.replace("{id}", &id).replace("{version}", &text(&resource["meta"]["versionId"]));
        let extra = extra.replace("MOOD", "").replace("PATIENT", &fhir_id(&self.patient));
        let extra = extra.replace("POINT", &text(&self.point["id"]));
        send(&self.stage, credential, (method, &format!("{path}?{extra}")), &[], "").await
    }
}

#[tokio::test]
async fn everybody_is_answered_by_fhir_as_the_table_says_and_every_read_is_in_the_trail() {
    table_holds(Cast::new().await).await;
}

#[tokio::test]
async fn and_so_they_are_on_postgresql() {
    if let Some(database) = crate::control::tests::Fixture::postgres("avycenna_fhir_access").await {
        table_holds(Cast::on(Stage::on(database).await).await).await;
    }
}

async fn table_holds(cast: Cast) {
    let mut wrong = Vec::new();
    let mut answered = 0;
    for (method, path, extra, expected) in TABLE {
        for (actor, name) in ACTORS.iter().enumerate() {
            let reply = cast.ask(actor, method, path, extra).await;
            if reply.status != expected[actor] {
                wrong.push(format!("{method} {path} {extra} as {name}: {}: {}", reply.status, reply.body));
            }
            if reply.status >= 400 {
                assert_eq!(reply.body["resourceType"], "OperationOutcome", "{}", reply.body);
            }
            // Whoever is told something of the patient is written down.
            let is_open = path == "/metadata" || path.starts_with("/CodeSystem");
            let is_empty = reply.body["resourceType"] == "Bundle" && reply.matches().is_empty();
            let is_told = reply.status == 200 && !is_open && !is_empty;
            answered += usize::from(is_told);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let trail = cast.stage.read(&cast.patient.token, "/audit?limit=1000").await;
    let records = trail["records"].as_array().unwrap();
    assert_eq!(records.len(), answered);
    let whats: std::collections::BTreeSet<_> = records.iter().map(|record| record["what"].as_str().unwrap()).collect();
    assert_eq!(
        whats.into_iter().collect::<Vec<_>>(),
        ["fhir_devices", "fhir_observation", "fhir_observations", "fhir_patient", "fhir_statistics"]
    );
}

#[tokio::test]
async fn a_patient_who_is_not_there_is_refused_by_fhir_like_one_who_is() {
    let cast = Cast::new().await;
    let mut answers = Vec::new();
    for patient in [fhir_id(&cast.patient), cast.patient.id.clone(), "usr-00000000".into(), "x".into(), "%00".into()] {
        for path in [format!("/Observation?patient={patient}"), format!("/Patient/{patient}")] {
            let reply = get(&cast.stage, &cast.people[2].token, &path).await;
            answers.push((reply.status, reply.body));
        }
    }
    assert_eq!(answers[0].0, 403);
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
}

#[tokio::test]
async fn values_of_check_ins_are_seen_with_their_permission_alone() {
    let cast = Cast::new().await;
    let path = format!("/Observation?patient={}", fhir_id(&cast.patient));
    let of = async |actor: usize| {
        let reply = read(&cast.stage, &cast.people[actor - 1].token, &path).await;
        let counted = read(&cast.stage, &cast.people[actor - 1].token, &format!("{path}&_summary=count")).await;
        assert_eq!(counted.body["total"].as_u64(), Some(u64::try_from(reply.matches().len()).unwrap()));
        reply.matches().len()
    };
    assert_eq!(of(5).await, 4, "with check_ins");
    assert_eq!(of(7).await, 1, "with wearables");
    let mood = cast.mood["id"].as_str().unwrap();
    let by_id = format!("/Observation?_id={},{mood}", cast.point["id"].as_str().unwrap());
    assert_eq!(read(&cast.stage, &cast.people[6].token, &by_id).await.matches(), [&cast.point]);
    assert_eq!(read(&cast.stage, &cast.people[4].token, &by_id).await.matches().len(), 2);
}

#[tokio::test]
async fn a_doctor_finds_the_patients_who_let_them_in_by_name() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    for (name, permissions) in
        [("Ada Lovelace", &["wearables"][..]), ("Adam Smith", &["check_ins"]), ("Ada Other", &["symptoms"])]
    {
        let patient = stage.patient(name).await;
        stage.grant(&doctor, &patient, permissions).await;
    }
    stage.patient("Ada Nobody").await;
    for (query, expected) in [
        ("", &["Ada Lovelace", "Adam Smith"][..]),
        ("?name=ada", &["Ada Lovelace", "Adam Smith"]),
        ("?name=LOVE,smi", &["Ada Lovelace", "Adam Smith"]),
        ("?name=ada&name=smith", &["Adam Smith"]),
        ("?name=dam", &[]),
    ] {
        let reply = read(&stage, &doctor.token, &format!("/Patient{query}")).await;
        let mut names: Vec<_> =
            reply.matches().iter().map(|patient| patient["name"][0]["text"].as_str().unwrap().to_owned()).collect();
        names.sort();
        assert_eq!(names, expected, "{query}");
        assert_eq!(reply.body["total"], json!(expected.len()));
    }
}

#[tokio::test]
async fn a_doctor_must_say_whose_observations() {
    let cast = Cast::new().await;
    for path in ["/Observation", "/Observation?code=8867-4", "/Observation?_id=unknown"] {
        let reply = get(&cast.stage, &cast.people[4].token, path).await;
        assert_eq!((reply.status, reply.issue()), (400, ("required", Some("patient"))), "{path}");
    }
}
