//! What US Core asks of a server for Observation and Patient, line by line: every search that it says a server SHALL or
//! SHOULD know is answered, and what it asks of errors and methods is so.

use super::*;

/// A doctor with one patient who has vital signs on two days, steps, and a check-in.
async fn clinic() -> (Stage, Person, Person) {
    let stage = Stage::new().await;
    let (doctor, ada) = (stage.doctor("Doc").await, stage.patient("Ada Lovelace").await);
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    let points = [
        ("heart_rate", 62.0, 1.0, "watch"),
        ("heart_rate", 64.0, 40.0, "watch"),
        ("spo2", 97.0, 1.0, "watch"),
        ("respiratory_rate", 14.0, 40.0, "watch"),
        ("body_temperature", 36.6, 1.0, "ring"),
        ("steps_sample", 40.0, 1.0, "phone"),
    ];
    ingest(&stage, &ada, &points).await;
    stage.check_in(&ada, json!({"mood": 4})).await;
    (stage, doctor, ada)
}

/// Both ways to search, which must find the same.
async fn found(stage: &Stage, who: &Person, kind: &str, query: &str) -> usize {
    let got = read(stage, &who.token, &format!("/{kind}?{query}")).await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let posted = send(stage, Some(&who.token), ("POST", &format!("/{kind}/_search")), &[form], query).await;
    assert_eq!((posted.status, &posted.body["entry"]), (200, &got.body["entry"]), "{kind} {query}");
    got.matches().len()
}

#[tokio::test]
async fn every_search_of_observations_that_us_core_asks_for_is_answered() {
    let (stage, doctor, ada) = clinic().await;
    let (id, day) = (fhir_id(&ada), stage.ago(20.0));
    for patient in [id.clone(), format!("Patient/{id}"), format!("http://fhir.test/fhir/R4/Patient/{id}")] {
        let of = async |query: &str| found(&stage, &doctor, "Observation", &format!("patient={patient}{query}")).await;
        // SHALL: patient+category, patient+category+date, patient+code.
        assert_eq!(of("&category=vital-signs").await, 5);
        assert_eq!(of("&category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs").await, 5);
        assert_eq!(of(&format!("&category=vital-signs&date=ge{day}")).await, 3);
        assert_eq!(of("&code=http://loinc.org|8867-4").await, 2);
        // SHOULD: lists of codes, patient+code+date, patient+category+status, several dates.
        assert_eq!(of("&code=http://loinc.org|8867-4,http://loinc.org|59408-5,9279-1").await, 4);
        assert_eq!(of(&format!("&code=8867-4&date=lt{day}")).await, 1);
        assert_eq!(of("&category=vital-signs&status=final,amended,corrected").await, 5);
        assert_eq!(of(&format!("&category=vital-signs&date=gt{day}&date=le{}", stage.ago(0.0))).await, 3);
        assert_eq!(of("&category=vital-signs&_revinclude=Provenance:target").await, 5);
        assert_eq!(of(&format!("&_lastUpdated=ge{day}")).await, 9);
    }
    for prefix in ["gt", "ge", "lt", "le"] {
        // The date is a day of another year: what is compared is tested elsewhere.
        let all = if prefix.starts_with('g') { 9 } else { 0 };
        assert_eq!(found(&stage, &doctor, "Observation", &format!("patient={id}&date={prefix}2000-01-01")).await, all);
    }
}

#[tokio::test]
async fn every_search_of_patients_that_us_core_asks_for_is_answered_but_that_by_a_birth_date() {
    let (stage, doctor, ada) = clinic().await;
    let id = fhir_id(&ada);
    for (query, expected) in [
        (format!("_id={id}"), 1),
        (format!("identifier=urn:avycenna:user|{}", ada.id), 1),
        (format!("identifier={}", ada.id), 1),
        ("identifier=urn:avycenna:user|".to_owned(), 1),
        (format!("identifier=urn:avycenna:user|,x&identifier={}", ada.id), 1),
        ("identifier=urn:other|".to_owned(), 0),
        ("name=Lovelace".to_owned(), 1),
        ("name=love&gender=unknown".to_owned(), 1),
        ("gender=http://hl7.org/fhir/administrative-gender|unknown".to_owned(), 1),
        ("gender=female,unknown".to_owned(), 1),
        ("name=love&gender=female".to_owned(), 0),
        ("gender=unknown&gender=other".to_owned(), 0),
        ("gender:not=male,female".to_owned(), 1),
        ("gender:not=male&gender:not=unknown".to_owned(), 0),
        (format!("_id={id}&gender=urn:x|unknown"), 0),
        (format!("_id={id}&_revinclude=Provenance:target"), 1),
    ] {
        assert_eq!(found(&stage, &doctor, "Patient", &query).await, expected, "{query}");
    }
    let reply = get(&stage, &doctor.token, "/Patient?birthdate=1815-12-10&name=Ada").await;
    assert_eq!((reply.status, reply.issue()), (400, ("not-supported", Some("birthdate"))));
}

#[tokio::test]
async fn what_us_core_asks_of_resources_errors_and_the_statement_is_so() {
    let (stage, doctor, ada) = clinic().await;
    let id = fhir_id(&ada);
    let page = read(&stage, &doctor.token, &format!("/Observation?patient={id}&category=vital-signs")).await;
    for observation in page.matches() {
        let code = observation["code"]["coding"][0]["code"].as_str().unwrap();
        assert_eq!(observation["category"][0]["coding"][0]["code"], "vital-signs", "{code}");
        assert_eq!(observation["subject"]["reference"], format!("Patient/{id}"), "{code}");
        assert_eq!(observation["valueQuantity"]["system"], "http://unitsofmeasure.org", "{code}");
        assert!(observation["status"].is_string() && observation["effectiveDateTime"].is_string(), "{code}");
    }
    let spo2 = page.matches().into_iter().find(|one| one["code"]["coding"][0]["code"] == "59408-5").unwrap();
    assert_eq!(spo2["code"]["coding"][1]["code"], "2708-6", "both codes of pulse oximetry");
    let patient = read(&stage, &doctor.token, &format!("/Patient/{id}")).await.body;
    assert_eq!(patient["meta"]["profile"], json!(["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"]));
    // A version by its number; a wrong credential, a patient who is not one's own, nothing, a wrong value.
    let version = patient["meta"]["versionId"].as_str().unwrap();
    assert_eq!(read(&stage, &doctor.token, &format!("/Patient/{id}/_history/{version}")).await.body, patient);
    let stranger = stage.doctor("Stranger").await;
    let none = ("authorization", "Bearer x".to_owned());
    for (who, path, status) in [
        (&none, format!("/Patient/{id}"), 401),
        (&stranger.token, format!("/Patient/{id}"), 403),
        (&stranger.token, format!("/Observation?patient={id}"), 403),
        (&doctor.token, "/Observation/unknown".to_owned(), 404),
        (&doctor.token, format!("/Observation?patient={id}&date=nonsense"), 400),
    ] {
        let reply = get(&stage, who, &path).await;
        assert_eq!((reply.status, &reply.body["resourceType"]), (status, &json!("OperationOutcome")), "{path}");
    }
    let statement = send(&stage, None, ("GET", "/metadata"), &[], "").await.body;
    let resources = statement["rest"][0]["resource"].as_array().unwrap();
    for kind in ["Observation", "Patient"] {
        let resource = resources.iter().find(|resource| resource["type"] == kind).unwrap();
        let codes: Vec<_> = resource["interaction"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
        assert_eq!(codes, ["read", "search-type", "vread"], "{kind}");
        assert_eq!(resource["searchRevInclude"], json!(["*", "Provenance:target"]), "{kind}");
        assert!(!resource["supportedProfile"].as_array().unwrap().is_empty(), "{kind}");
    }
    assert!(statement["format"].as_array().unwrap().contains(&json!("json")));
}
