//! What a search finds, and in which order.

use super::*;

async fn filled() -> (Stage, Person) {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let points = [
        ("heart_rate", 62.0, 1.0, "watch"),
        ("heart_rate", 64.0, 2.0, "watch"),
        ("heart_rate", 66.0, 3.0, "strap"),
        ("spo2", 97.0, 2.0, "watch"),
        ("hrv", 41.0, 2.5, "ring"),
        ("steps", 9_241.0, 4.0, "phone"),
    ];
    ingest(&stage, &ada, &points).await;
    stage.check_in(&ada, json!({"mood": 4, "sleep_hours": 7.5, "checked_in_at": stage.ago(1.5)})).await;
    stage.check_in(&ada, json!({"mood": 2, "steps": 100, "checked_in_at": stage.ago(2.0)})).await;
    (stage, ada)
}

async fn found(stage: &Stage, who: &Person, query: &str) -> Vec<String> {
    let reply = read(stage, &who.token, &format!("/Observation?{query}")).await;
    let total = reply.body.get("total").map(|total| total.as_u64().unwrap());
    let labels: Vec<String> = reply
        .matches()
        .iter()
        .map(|observation| {
            let code = observation["code"]["coding"][0]["code"].as_str().unwrap();
            let value = observation.get("valueInteger").unwrap_or(&observation["valueQuantity"]["value"]);
            format!("{code} {value}")
        })
        .collect();
    if reply.link("next").is_none() {
        assert_eq!(total, Some(u64::try_from(labels.len()).unwrap()), "{query}: the total agrees with the page");
        let counted = read(stage, &who.token, &format!("/Observation?{query}&_summary=count")).await;
        assert_eq!(counted.body["total"].as_u64(), total, "{query}");
        assert_eq!(counted.body.get("entry"), None);
    }
    labels
}

#[tokio::test]
async fn codes_and_categories_say_what_is_found() {
    let (stage, ada) = filled().await;
    let hearts = ["8867-4 62.0", "8867-4 64.0", "8867-4 66.0"];
    let me = format!("patient={}", fhir_id(&ada));
    for query in [
        "code=8867-4".to_owned(),
        "code=http://loinc.org|8867-4".to_owned(),
        "code=http%3A%2F%2Floinc.org%7C8867-4&category=vital-signs".to_owned(),
        "code=8867-4,0000-0&code=8867-4,59408-5".to_owned(),
        format!("{me}&code=8867-4"),
        format!("subject=Patient/{}&code=8867-4", ada.id),
        format!("subject:Patient={}&code=8867-4", ada.id),
        format!("{me}&subject={}&code=8867-4", ada.id),
        format!("patient=http://fhir.test/fhir/R4/Patient/{}&code=8867-4", fhir_id(&ada)),
    ] {
        assert_eq!(found(&stage, &ada, &query).await, hearts, "{query}");
    }
    assert_eq!(found(&stage, &ada, "code=2708-6").await, ["59408-5 97.0"], "both codes of SpO2 find it");
    assert_eq!(found(&stage, &ada, "code=44250-9").await, ["mood 4", "mood 2"]);
    assert_eq!(found(&stage, &ada, "code=urn:avycenna:codes|").await.len(), 1 + 6, "hrv, and three of each check-in");
    assert_eq!(found(&stage, &ada, "code=41950-7").await, ["41950-7 100", "41950-7 9241"], "check-ins and points");
    assert_eq!(found(&stage, &ada, "category=vital-signs").await.len(), 4);
    assert_eq!(found(&stage, &ada, "category=activity,vital-signs").await.len(), 6 + 8);
    for (query, expected) in [
        ("code:not=8867-4", 11),
        ("code:not=8867-4,mood&code:not=hrv", 8),
        ("code:not=http://loinc.org|&category=activity", 5),
        ("code:not=2708-6&category=vital-signs", 3),
        ("code:not=nothing", 14),
        ("category:not=vital-signs", 10),
        ("category:not=vital-signs,activity", 0),
        ("status:not=entered-in-error,cancelled", 14),
        ("status:not=final", 0),
        ("status:not=http://hl7.org/fhir/observation-status|final", 0),
        ("status:not=amended&status=final", 14),
    ] {
        assert_eq!(found(&stage, &ada, query).await.len(), expected, "{query}");
    }
    for query in ["code=|8867-4", "code=urn:other|8867-4", "code=9", "category=laboratory", "code=8867-4&code=2708-6"] {
        assert!(found(&stage, &ada, query).await.is_empty(), "{query}");
    }
}

#[tokio::test]
async fn a_search_in_a_patients_compartment_is_one_that_names_the_patient() {
    let (stage, ada) = filled().await;
    let id = fhir_id(&ada);
    let bob = stage.patient("Bob").await;
    for kind in ["Observation", "Device"] {
        let named = read(&stage, &ada.token, &format!("/{kind}?patient={id}&_count=2")).await;
        for patient in [&id, &ada.id] {
            let within = read(&stage, &ada.token, &format!("/Patient/{patient}/{kind}?_count=2")).await;
            assert_eq!(within.body["entry"], named.body["entry"]);
            assert_eq!(within.link("self").unwrap(), format!("/fhir/R4/{kind}?patient={patient}&_count=2"));
            let (mut seen, mut next) = (within.matches().len(), within.link("next"));
            while let Some(path) = next {
                let page = read(&stage, &ada.token, &path).await;
                seen += page.matches().len();
                next = page.link("next");
            }
            assert_eq!(seen, if kind == "Observation" { 14 } else { 4 }, "{kind}");
        }
        let both = get(&stage, &ada.token, &format!("/Patient/{id}/{kind}?patient={}", fhir_id(&bob))).await;
        assert_eq!((both.status, both.issue().1), (400, Some("patient")), "two people");
        for other in [fhir_id(&bob), "usr-00000000".to_owned(), "x&patient=y".to_owned()] {
            assert_eq!(get(&stage, &ada.token, &format!("/Patient/{other}/{kind}")).await.status, 403, "{other}");
        }
    }
    assert_eq!(read(&stage, &ada.token, &format!("/Patient/{id}/Observation?code=8867-4")).await.matches().len(), 3);
    for path in [format!("/Patient/{id}/Patient"), format!("/Patient/{id}/*"), format!("/Device/{id}/Observation")] {
        assert_eq!(get(&stage, &ada.token, &path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_order_is_by_date_or_by_code_and_holds_over_points_and_check_ins() {
    let (stage, ada) = filled().await;
    let newest = found(&stage, &ada, "").await;
    let expected = [
        "8867-4 62.0",
        "mood 4",
        "energy 3",
        "focus 3",
        "93832-4 7.5",
        "59408-5 97.0",
        "8867-4 64.0",
        "mood 2",
        "energy 3",
        "focus 3",
        "41950-7 100",
        "hrv 41.0",
        "8867-4 66.0",
        "41950-7 9241",
    ];
    assert_eq!(newest, expected);
    assert_eq!(found(&stage, &ada, "_sort=-date").await, expected);
    let oldest = found(&stage, &ada, "_sort=date").await;
    assert_eq!(oldest.first().unwrap(), "41950-7 9241");
    assert_eq!(oldest.last().unwrap(), "8867-4 62.0");
    let mut by_code: Vec<String> = found(&stage, &ada, "_sort=code").await;
    let codes: Vec<String> = by_code.iter().map(|label| label.split(' ').next().unwrap().to_owned()).collect();
    assert!(codes.is_sorted(), "{codes:?}");
    by_code.sort();
    let mut all = newest;
    all.sort();
    assert_eq!(by_code, all);
}

#[tokio::test]
async fn dates_bound_what_is_found_to_the_microsecond() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    for (at, value) in [
        ("2026-03-28T23:59:59.999999Z", 1),
        ("2026-03-29T00:00:00Z", 2),
        ("2026-03-29T12:00:00Z", 3),
        ("2026-03-29T23:59:59.999999Z", 4),
        ("2026-03-30T00:00:00Z", 5),
    ] {
        let point =
            json!({"metric": "steps_sample", "value": value, "unit": "count", "recorded_at": at, "source": "w"});
        assert_eq!(stage.post(&ada.key, "/wearables/ingest", point).await.0, 201);
        let checked_in = json!({"mood": value, "checked_in_at": at});
        stage.check_in(&ada, checked_in).await;
    }
    let table: [(&str, &[u8]); 14] = [
        ("date=2026-03-29", &[4, 3, 2]),
        ("date=eq2026-03-29", &[4, 3, 2]),
        ("date=ne2026-03-29", &[5, 1]),
        ("date=ge2026-03-29", &[5, 4, 3, 2]),
        ("date=gt2026-03-29", &[5]),
        ("date=sa2026-03-29", &[5]),
        ("date=lt2026-03-29", &[1]),
        ("date=eb2026-03-29", &[1]),
        ("date=le2026-03-29", &[4, 3, 2, 1]),
        ("date=ge2026-03-29T02:00:00%2B02:00&date=lt2026-03-30T02:00:00%2B02:00", &[4, 3, 2]),
        ("date=2026-03-28,2026-03-30", &[5, 1]),
        ("date=2026-03", &[5, 4, 3, 2, 1]),
        ("date=2026-03-29T12:00", &[3]),
        ("date=gt2026-03-30&date=lt2026-03-29", &[]),
    ];
    for (query, expected) in table {
        let labels = |code: &str| expected.iter().map(|value| format!("{code} {value}")).collect::<Vec<_>>();
        assert_eq!(found(&stage, &ada, &format!("code=55423-8&{query}")).await, labels("55423-8"), "{query}");
        assert_eq!(found(&stage, &ada, &format!("code=mood&{query}")).await, labels("mood"), "{query}");
    }
}

#[tokio::test]
async fn what_was_sent_since_a_moment_is_found_by_when_it_was_accepted() {
    let (stage, ada) = filled().await;
    stage.clock.advance(std::time::Duration::from_secs(100));
    let since = stage.ago(0.0);
    ingest(&stage, &ada, &[("hrv", 50.0, 9.0, "ring")]).await;
    stage.check_in(&ada, json!({"mood": 5, "checked_in_at": stage.ago(30.0)})).await;
    let new = found(&stage, &ada, &format!("_lastUpdated=ge{since}")).await;
    assert_eq!(new, ["hrv 50.0", "mood 5", "energy 3", "focus 3"]);
    assert_eq!(found(&stage, &ada, &format!("_lastUpdated=lt{since}")).await.len(), 14);
    let reply =
        read(&stage, &ada.token, &format!("/Observation?_lastUpdated=ge{since}&_include=Observation:patient")).await;
    let included: Vec<_> =
        reply.body["entry"].as_array().unwrap().iter().filter(|entry| entry["search"]["mode"] == "include").collect();
    assert_eq!(included.len(), 1, "it does not filter what comes along");
    assert_eq!(included[0]["resource"]["id"], json!(fhir_id(&ada)));
    assert_eq!(included[0]["fullUrl"], format!("http://fhir.test/fhir/R4/Patient/{}", fhir_id(&ada)));
}

#[tokio::test]
async fn a_search_by_post_finds_what_one_by_get_does() {
    let (stage, ada) = filled().await;
    for query in ["", "code=8867-4&date=ge2020", "_sort=code&_count=3", "category=vital-signs&_elements=valueQuantity"]
    {
        let got = read(&stage, &ada.token, &format!("/Observation?{query}")).await;
        let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let posted = send(&stage, Some(&ada.token), ("POST", "/Observation/_search"), &[form], query).await;
        assert_eq!(posted.body, got.body, "{query}");
        let mixed = send(&stage, Some(&ada.token), ("POST", &format!("/Observation/_search?{query}")), &[], "").await;
        assert_eq!(mixed.body, got.body, "{query}");
    }
    let json = ("content-type", "application/json");
    let refused = send(&stage, Some(&ada.token), ("POST", "/Observation/_search"), &[json], "{}").await;
    assert_eq!((refused.status, refused.issue().0), (415, "not-supported"));
}

#[tokio::test]
async fn elements_that_were_not_asked_for_are_left_out_and_that_is_said() {
    let (stage, ada) = filled().await;
    for elements in ["value,effective", "value[x],Observation.effective[x]", "valueQuantity,effectiveDateTime"] {
        let reply = read(&stage, &ada.token, &format!("/Observation?code=8867-4&_elements={elements}")).await;
        let observation = reply.matches()[0];
        let mut names: Vec<_> = observation.as_object().unwrap().keys().cloned().collect();
        names.sort();
        let expected = ["code", "effectiveDateTime", "id", "meta", "resourceType", "status", "valueQuantity"];
        assert_eq!(names, expected, "{elements}");
        assert_eq!(observation["meta"]["tag"][0]["code"], "SUBSETTED");
    }
}

#[tokio::test]
async fn observations_are_found_by_their_ids_among_other_conditions() {
    let (stage, ada) = filled().await;
    let all = read(&stage, &ada.token, "/Observation").await.ids();
    let some = [&all[0], &all[1], &all[5], &all[13]];
    let list = some.map(String::as_str).join(",");
    let reply = read(&stage, &ada.token, &format!("/Observation?_id={list},unknown")).await;
    let mut found_ids = reply.ids();
    assert_eq!(found_ids[0], all[0]);
    found_ids.sort();
    let mut expected: Vec<String> = some.map(Clone::clone).to_vec();
    expected.sort();
    assert_eq!(found_ids, expected);
    assert_eq!(found(&stage, &ada, &format!("_id={list}&code=8867-4")).await, ["8867-4 62.0"]);
    assert_eq!(found(&stage, &ada, &format!("_id={list}&date=lt2026-01-01")).await.len(), 0);
    assert_eq!(found(&stage, &ada, &format!("_id={list}&_id={}", all[1])).await, ["mood 4"]);
    assert_eq!(found(&stage, &ada, &format!("_id={list}&status=amended")).await.len(), 0);
    assert_eq!(found(&stage, &ada, "_id=unknown").await.len(), 0);
    let mut pages = Vec::new();
    let mut next = Some(format!("/fhir/R4/Observation?_id={list}&_count=1"));
    while let Some(path) = next {
        let page = read(&stage, &ada.token, &path).await;
        assert_eq!(page.matches().len(), 1);
        pages.extend(page.ids());
        next = page.link("next");
    }
    assert_eq!(pages, reply.ids());
}
