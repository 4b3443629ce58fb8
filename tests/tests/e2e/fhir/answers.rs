//! Everything that the server answers in FHIR, through the validators.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tests::Client;
use tests::server::DEADLINE;
use tokio::time::Instant;

use super::validators::{printed, script};
use super::{Clinic, METRICS};
use crate::bulk_export::{kick_off, look};
use crate::sharing::text;

const POLL: Duration = Duration::from_millis(10);

/// Resources as they were answered, one a line.
#[derive(Default)]
struct Answers {
    lines: String,
    /// What the observations among them are, by their first code.
    codes: BTreeSet<String>,
    states: BTreeSet<String>,
}

impl Answers {
    async fn take(&mut self, client: &Client, status: u16, path: &str) -> Value {
        let path = if path.starts_with("/fhir") { path.to_owned() } else { format!("/fhir/R4{path}") };
        let answer = client.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(answer.header("content-type").starts_with("application/fhir+json"), "{path}");
        let resource = answer.json();
        self.lines.push_str(&resource.to_string());
        self.lines.push('\n');
        resource
    }

    /// The files of an export of everything; how many observations were in them.
    async fn take_export(&mut self, client: &Client) -> u64 {
        let status = kick_off(client, "/fhir/R4/Patient/$export").await;
        let deadline = Instant::now() + DEADLINE;
        let manifest = loop {
            match look(client, &status).await {
                Ok(_) => tokio::time::sleep(POLL).await,
                Err(manifest) => break manifest,
            }
            assert!(Instant::now() < deadline, "the export is not over after {DEADLINE:?}");
        };
        let mut observations = 0;
        for file in manifest["output"].as_array().unwrap() {
            let (_, path) = text(file, "url").split_once("/fhir/").unwrap();
            self.lines.push_str(&client.get(&format!("/fhir/{path}")).await.expect(200).text);
            if file["type"] == "Observation" {
                observations += file["count"].as_u64().unwrap();
            }
        }
        observations
    }

    /// Every page of a search.
    async fn take_all(&mut self, client: &Client, path: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let bundle = self.take(client, 200, &path).await;
            for entry in bundle["entry"].as_array().into_iter().flatten() {
                let resource = &entry["resource"];
                if resource["resourceType"] == "Observation" {
                    self.codes.insert(text(&resource["code"]["coding"][0], "code").to_owned());
                    self.states.insert(text(resource, "status").to_owned());
                }
                found.push(resource.clone());
            }
            let links = bundle["link"].as_array().unwrap().iter();
            let link = links.filter(|link| link["relation"] == "next").map(|link| text(link, "url")).next();
            next = link.map(|url| format!("/fhir/{}", url.split_once("/fhir/").unwrap().1));
        }
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_resource_that_is_answered_passes_the_validators() {
    let clinic = Clinic::new().await;
    clinic.fill().await;
    let (doctor, patient) = (&clinic.doctor, &clinic.id);
    let mut answers = Answers::default();
    let all = answers.take_all(doctor, &format!("/Observation?patient={patient}")).await;
    let sorted = answers.take_all(doctor, &format!("/Observation?patient={patient}&_sort=code&_count=7")).await;
    assert_eq!(all.len(), sorted.len());
    // Two sources of every metric, three totals of days, eight values of two check-ins.
    assert_eq!(all.len(), 2 * METRICS.len() + 3 + 8);
    let along = "_include=Observation:patient&_include=Observation:device&_revinclude=Provenance:target&_count=11";
    answers.take_all(&clinic.patient, &format!("/Observation?{along}")).await;
    for observation in &all {
        answers.take(doctor, 200, &format!("/Observation/{}", text(observation, "id"))).await;
    }
    for observation in [&all[0], &all[all.len() - 1]] {
        answers.take(doctor, 200, &format!("/Provenance/p{}", text(observation, "id"))).await;
        let target = format!("target=Observation/{}&_include=Provenance:target", text(observation, "id"));
        answers.take(doctor, 200, &format!("/Provenance?{target}")).await;
    }
    let devices = answers.take_all(doctor, &format!("/Device?patient={patient}&_count=2")).await;
    assert_eq!(devices.len(), 3);
    answers.take_all(doctor, &format!("/Device?patient={patient}&_count=2&_include=Device:patient")).await;
    answers.take_all(doctor, "/Patient?_count=1&gender=unknown").await;
    answers.take(doctor, 200, &format!("/Device/{}", text(&devices[0], "id"))).await;
    for path in ["/metadata", "/Patient", "/CodeSystem", "/CodeSystem/avycenna", "/Observation/$lastn?max=2"] {
        answers.take(&clinic.patient, 200, path).await;
    }
    answers.take(doctor, 200, &format!("/Patient/{patient}")).await;
    let figures = "code=8867-4,41950-7,59408-5&statistic=average,maximum,minimum,count,median,std-dev,sum";
    let figures = answers.take(doctor, 200, &format!("/Observation/$stats?patient={patient}&{figures}")).await;
    assert!(figures["parameter"].as_array().unwrap().len() >= 3, "{figures}");
    answers.take(doctor, 200, &format!("/Observation?patient={patient}&_summary=count")).await;
    for (status, path) in [
        (400, "/Observation?code=8867-4&date=2026-02-30"),
        (400, "/Observation?nonsense=1"),
        (403, "/Patient/usr-00000000"),
        (404, "/Observation/unknown"),
        (404, "/Medication"),
        (410, &format!("/Observation/{}/_history/1", text(&all[0], "id"))),
    ] {
        answers.take(&clinic.patient, status, path).await;
    }
    answers.take(&clinic.server.client(), 401, "/Observation").await;

    let observations = u64::try_from(all.len()).unwrap();
    assert_eq!(answers.take_export(doctor).await, observations, "an export has what the search finds");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.ndjson");
    std::fs::write(&file, &answers.lines).unwrap();
    let Some(output) = script("validate.mjs", &[&file]) else { return };
    assert!(output.status.success(), "{}", printed(&output));
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    for kind in ["Bundle", "CapabilityStatement", "CodeSystem", "Device", "OperationOutcome", "Parameters", "Patient"] {
        assert!(counts[kind].as_u64() >= Some(1), "{kind}: {counts}");
    }
    assert_eq!(counts["Observation"], 2 * observations, "each was read, and exported: {counts}");
    let states: Vec<_> = answers.states.iter().map(String::as_str).collect();
    assert_eq!(states, ["amended", "corrected", "final", "preliminary"]);
    // Of the sixteen kinds two have the codes of others: hours of sleep and steps of check-ins.
    assert_eq!(answers.codes.len(), METRICS.len() + 3, "{:?}", answers.codes);
}
