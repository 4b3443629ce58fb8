//! How requests are written: with a slash at the end of their path, and longer than a request line can be.

use super::*;
use crate::routes::fhir::OPERATIONS;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn a_slash_at_the_end_of_a_path_makes_no_difference() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    ingest(&stage, &ada, &[("heart_rate", 60.0, 1.0, "w")]).await;
    let point = read(&stage, &ada.token, "/Observation").await.matches()[0].clone();
    let person = read(&stage, &ada.token, "/Patient").await.matches()[0].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for operation in &OPERATIONS {
        let (resource, id) = match operation.path.split('/').nth(1).unwrap() {
            "Patient" => (&person, text(&person["id"])),
            "CodeSystem" => (&point, "avycenna".to_owned()),
            "Device" => (&point, text(&point["device"]["reference"]).replace("Device/", "")),
            "Provenance" => (&point, format!("p{}", text(&point["id"]))),
            _ => (&point, text(&point["id"])),
        };
        let version = text(&resource["meta"]["versionId"]);
        for path in [operation.path.to_owned(), operation.path.replace('$', "%24")] {
            let path = path.replace("{id}", &id).replace("{version}", &version);
            let query = match (operation.resource, operation.interaction.code()) {
                ("Provenance", "search-type") => format!("?target={}", text(&point["id"])),
                (_, "stats") => "?code=8867-4".to_owned(),
                _ => String::new(),
            };
            let ask = async |path: &str| send(&stage, Some(&ada.token), (operation.method, path), &[], "").await;
            let (bare, slashed) = (ask(&format!("{path}{query}")).await, ask(&format!("{path}/{query}")).await);
            assert_eq!((bare.status, slashed.status), (200, 200), "{path}: {}", slashed.body);
            assert_eq!(slashed.body, bare.body, "{path}");
            let wrong = send(&stage, Some(&ada.token), ("PATCH", &format!("{path}/")), &[], "").await;
            assert_eq!((wrong.status, wrong.issue().0), (405, "not-supported"), "{path}");
        }
    }
    let next = format!("/Observation/?patient={}&_count=1", fhir_id(&ada));
    assert_eq!(
        read(&stage, &ada.token, &next).await.link("self").unwrap(),
        format!("/fhir/R4{}", next.replace("/?", "?"))
    );
    for path in ["/", "/Observation//", "//Observation", "/Encounter/"] {
        assert_eq!(get(&stage, &ada.token, path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_self_link_of_a_search_says_all_of_it_however_long_it_is() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    ingest(&stage, &ada, &[("heart_rate", 60.0, 1.0, "w"), ("spo2", 97.0, 1.0, "w")]).await;
    let codes: Vec<String> = (0..9_999).map(|nth| format!("http://loinc.org|{nth}-0")).collect();
    let query = format!("code=8867-4,{}&_count=1", codes.join(","));
    let post =
        async |query: &str| send(&stage, Some(&ada.token), ("POST", "/Observation/_search"), &[FORM], query).await;
    let first = post(&query).await;
    let link = first.link("self").unwrap();
    let (path, said) = link.split_once('?').unwrap();
    assert_eq!((path, first.matches().len()), ("/fhir/R4/Observation", 1));
    let pairs = |query: &str| url::form_urlencoded::parse(query.as_bytes()).into_owned().collect::<Vec<_>>();
    assert_eq!(pairs(said), pairs(&query), "every parameter that was used");
    // It is there to be read: as a request line it is too long, as a form it finds the same.
    let followed = get(&stage, &ada.token, &format!("{path}?{}", &said[..40_000])).await;
    assert_eq!((followed.status, followed.issue().0), (431, "too-long"));
    let again = post(said).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
}

#[tokio::test]
async fn the_longest_search_that_is_taken_has_a_link_to_its_next_page_that_can_be_followed() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let points: Vec<_> = (0..100_u8).map(|nth| ("heart_rate", 60.0, f64::from(nth), "w")).collect();
    ingest(&stage, &ada, &points).await;
    let ids = read(&stage, &ada.token, "/Observation?_count=100").await.ids();
    assert_eq!(ids.len(), crate::fhir::search::IDS_MAX);
    let dates = |first: &str| {
        let others = (1..100).map(|nth| format!("{:04}-01-01T00:00:00.000001Z", nth * 2));
        std::iter::once(first.to_owned()).chain(others).collect::<Vec<_>>().join(",")
    };
    let elements: Vec<String> =
        (0..crate::fhir::search::ELEMENTS_BYTES_MAX / 8).map(|nth| format!("{nth:x>8}")).collect();
    let path = format!("/Observation?_elements=x,{}", elements.join(","));
    let reply = get(&stage, &ada.token, &path).await;
    assert_eq!((reply.status, reply.issue().1), (400, Some("_elements")));
    let query = format!(
        "_id={}&date={}&_lastUpdated={}&_elements={}&_count=1&_include=Observation:patient",
        ids.join(","),
        dates("ge2000"),
        dates("ge2000"),
        elements.join(",")
    );
    let reply = send(&stage, Some(&ada.token), ("POST", "/Observation/_search"), &[FORM], &query).await;
    assert_eq!((reply.status, reply.matches().len()), (200, 1), "{}", reply.body);
    let next = reply.link("next").unwrap();
    let followed = get(&stage, &ada.token, &next).await;
    assert_eq!((followed.status, followed.matches().len()), (200, 1), "{} bytes: {}", next.len(), followed.body);
}
