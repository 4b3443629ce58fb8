//! Client libraries that others wrote, by the programs of the documentation.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tests::python;

use super::Clinic;
use crate::sharing::text;

/// Heart rates of the patient: more than a page of any of the programs.
const COUNT: i64 = 130;

/// Those of the documentation's programs that are run here, and the one that `bulk` runs.
const PROGRAMS: [&str; 4] = ["bulk_export.py", "search.py", "with_fhirclient.py", "with_fhirpy.py"];

#[test]
fn the_fhir_examples_are_all_tested() {
    for entry in std::fs::read_dir(tests::root().join("docs/examples/fhir")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(PROGRAMS.contains(&name.as_str()), "{name}: test it, and name it here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_others_wrote_search_page_and_read() {
    let Some(with_packages) = python::interpreter(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let clinic = Clinic::new().await;
    clinic.fill_heart_rates(COUNT).await;
    let key = json!({"name": "ehr", "scopes": ["read"]});
    let key = clinic.doctor.post("/api/v1/api-keys", &key).await.expect(201).json();
    let newest = clinic.patient.get("/api/v1/wearables/metric/heart_rate?limit=1").await.expect(200).json();
    let at = text(&newest["data_points"][0], "recorded_at");
    let run = |program: &Path, file: &str| {
        let mut command = Command::new(program);
        command.arg(tests::root().join("docs/examples/fhir").join(file)).arg(&clinic.id);
        command.env("URL", clinic.server.url()).env("KEY", text(&key, "key"));
        let output = command.output().unwrap_or_else(|error| panic!("{file}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{file}: {said}\n{}", clinic.server.log());
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = run(Path::new("python3"), "search.py");
    assert!(printed.starts_with(&format!("{COUNT} heart rates on 2 pages\n{at} 60.0 /min final\n")), "{printed}");
    for file in ["with_fhirpy.py", "with_fhirclient.py"] {
        let printed = run(&with_packages, file);
        let expected = format!("Ada Lovelace\n{COUNT} heart rates\n{at} 60.0 True\n");
        assert_eq!(printed, expected, "{file}");
    }
}
