//! What is wrong with a request is said by name, as an OperationOutcome, with the right status.

use super::*;

#[tokio::test]
async fn each_parameter_with_a_wrong_value_is_named() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    for (query, parameter) in [
        ("date=2026-02-30", "date"),
        ("date=ge", "date"),
        ("date=", "date"),
        ("date=today", "date"),
        ("date=ap2026", "date"),
        ("date:missing=true", "date:missing"),
        ("_lastUpdated=10000", "_lastUpdated"),
        ("code=", "code"),
        ("code:text=8867-4", "code:text"),
        ("status:not=done", "status:not"),
        ("code:not=", "code:not"),
        ("category=,", "category"),
        ("status=done", "status"),
        ("patient=Group/1", "patient"),
        ("subject=http://elsewhere/Patient/1", "subject"),
        ("patient=usr-00000000,usr-00000001", "patient"),
        ("_sort=value", "_sort"),
        ("_sort=date,code", "_sort"),
        ("_count=-1", "_count"),
        ("_count=1e9", "_count"),
        ("_count=", "_count"),
        ("_count=1&_count=2", "_count"),
        ("_summary=some", "_summary"),
        ("_pretty=maybe", "_pretty"),
        ("_format=json&_pretty=", "_pretty"),
        ("_total=some", "_total"),
        ("_elements=a.b", "_elements"),
        ("_include=Observation:performer", "_include"),
        ("_include=Observation:device:Patient", "_include"),
        ("_revinclude=Observation:patient", "_revinclude"),
        ("_include:iterate=Observation:patient", "_include:iterate"),
        ("_cursor=x", "_cursor"),
        ("component-code=1", "component-code"),
        ("_has:x=1", "_has:x"),
        ("patient.name=Ada", "patient.name"),
    ] {
        let reply = get(&stage, &ada.token, &format!("/Observation?{query}")).await;
        assert_eq!((reply.status, reply.issue().1), (400, Some(parameter)), "{query}: {}", reply.body);
        assert!(reply.body["issue"][0]["diagnostics"].as_str().unwrap().len() > 5);
    }
    for query in [
        "name:above=Ada",
        "name=",
        "name:exact=",
        "gender:not=none",
        "_id=",
        "birthdate=2000",
        "gender=none",
        "_summary=some",
        "_total=some",
        "_elements=a.b",
        "_sort=family",
        "_sort=name,_id",
        "_sort=name&_sort=_id",
        "_sort=date",
        "_lastUpdated=yesterday",
        "_lastUpdated:missing=true",
        "_pretty=1",
        "_include=Patient:link",
        "_revinclude=Observation:subject",
    ] {
        assert_eq!(get(&stage, &ada.token, &format!("/Patient?{query}")).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn a_lenient_client_has_unknown_parameters_left_out_and_sees_it_in_the_self_link() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let lenient = [("prefer", "handling=lenient")];
    let path = "/Observation?_sorting=x&code=8867-4&_pretty=true";
    let reply = send(&stage, Some(&ada.token), ("GET", path), &lenient, "").await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.link("self").unwrap(), "/fhir/R4/Observation?code=8867-4&_pretty=true");
    let path = "/Observation?_include=Observation:performer&_revinclude=x&_include=Observation:device:Device";
    let reply = send(&stage, Some(&ada.token), ("GET", path), &lenient, "").await;
    assert_eq!(reply.link("self").unwrap(), "/fhir/R4/Observation?_include=Observation%3Adevice");
    let path = "/Observation?_sort=value&_sort=date&_count=7";
    let reply = send(&stage, Some(&ada.token), ("GET", path), &lenient, "").await;
    assert_eq!(reply.link("self").unwrap(), "/fhir/R4/Observation?_sort=date&_count=7");
    let path = "/Patient?_sort=family,given&_sort=-name";
    let reply = send(&stage, Some(&ada.token), ("GET", path), &lenient, "").await;
    assert_eq!(reply.link("self").unwrap(), "/fhir/R4/Patient?_sort=-name");
    let strict = get(&stage, &ada.token, "/Patient?_sort=family").await;
    assert_eq!((strict.status, strict.issue()), (400, ("value", Some("_sort"))));
    assert!(strict.body["issue"][0]["diagnostics"].as_str().unwrap().contains("_lastUpdated"), "{}", strict.body);
    let path = "/Observation?code=&patient=&_count=&_include=&code=8867-4&_sort=";
    let reply = send(&stage, Some(&ada.token), ("GET", path), &lenient, "").await;
    assert_eq!(reply.status, 200, "what is empty is ignored as R4 wishes: {}", reply.body);
    assert_eq!(reply.link("self").unwrap(), "/fhir/R4/Observation?code=8867-4");
    for wrong in ["code=8867-4,", "_cursor="] {
        let path = format!("/Observation?{wrong}");
        assert_eq!(send(&stage, Some(&ada.token), ("GET", &path), &lenient, "").await.status, 400, "{wrong}");
    }
    let wrong = send(&stage, Some(&ada.token), ("GET", "/Observation?date=x"), &lenient, "").await;
    assert_eq!(wrong.status, 400, "a wrong value of a known parameter is wrong for everybody");
}

#[tokio::test]
async fn counts_that_are_too_large_or_nothing_are_answered() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let points: Vec<_> = (0..1_200_u32).map(|nth| ("heart_rate", 60.0, f64::from(nth) / 1_440.0, "w")).collect();
    ingest(&stage, &ada, &points).await;
    let most = read(&stage, &ada.token, "/Observation?_count=1000000000").await;
    assert_eq!(most.matches().len(), 1_000);
    assert_eq!(read(&stage, &ada.token, "/Observation?_count=99999999999999999999999").await.matches().len(), 1_000);
    assert_eq!(read(&stage, &ada.token, &most.link("next").unwrap()).await.matches().len(), 200);
    assert_eq!(read(&stage, &ada.token, "/Observation").await.matches().len(), 50);
    let none = read(&stage, &ada.token, "/Observation?_count=0").await;
    assert_eq!((&none.body["total"], none.body.get("entry"), none.link("next")), (&json!(1_200), None, None));
    let with_total = read(&stage, &ada.token, "/Observation?_count=5&_total=accurate").await;
    assert_eq!((&with_total.body["total"], with_total.matches().len()), (&json!(1_200), 5));
}

#[tokio::test]
async fn ten_thousand_codes_are_a_list_like_any_other_and_more_are_refused() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    ingest(&stage, &ada, &[("heart_rate", 60.0, 1.0, "w")]).await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let list = |count: usize| {
        let others: Vec<String> = (1..count).map(|nth| format!("http://loinc.org|{nth}-0")).collect();
        format!("code=8867-4,{}&_count=1", others.join(","))
    };
    let reply = send(&stage, Some(&ada.token), ("POST", "/Observation/_search"), &form, &list(10_000)).await;
    assert_eq!((reply.status, reply.matches().len()), (200, 1));
    let reply = send(&stage, Some(&ada.token), ("POST", "/Observation/_search"), &form, &list(10_001)).await;
    assert_eq!((reply.status, reply.issue().1), (400, Some("code")));
    for (name, value, count) in [("date", "ne2026-01-01", 101), ("_lastUpdated", "ge2020", 101), ("_id", "x", 101)] {
        let values = |count: usize| {
            (0..count)
                .map(|nth| format!("{value}{}", if name == "_id" { nth.to_string() } else { String::new() }))
                .collect::<Vec<_>>()
                .join(",")
        };
        let reply = get(&stage, &ada.token, &format!("/Observation?{name}={}", values(count))).await;
        assert_eq!((reply.status, reply.issue().1), (400, Some(name)));
        read(&stage, &ada.token, &format!("/Observation?{name}={}", values(count - 1))).await;
    }
    let reply = get(&stage, &ada.token, &format!("/Observation?{}", list(2_000))).await;
    assert_eq!((reply.status, reply.issue().0), (431, "too-long"), "a request line has its bound");
    let long = format!("code={}", "x".repeat(5 << 20));
    let reply = send(&stage, Some(&ada.token), ("POST", "/Observation/_search"), &form, &long).await;
    assert_eq!((reply.status, reply.issue().0), (413, "too-long"));
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_done_is_an_outcome_too() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    for (method, path, status, code) in [
        ("GET", "/Encounter", 404, "not-found"),
        ("GET", "/Observation/x", 404, "not-found"),
        ("GET", "/Observation/%00", 404, "not-found"),
        ("GET", "/Observation/x/_history", 404, "not-found"),
        ("GET", "/", 404, "not-found"),
        ("POST", "/Observation", 405, "not-supported"),
        ("PUT", "/Observation/x", 405, "not-supported"),
        ("DELETE", "/Patient/x", 405, "not-supported"),
        ("PATCH", "/Observation/x", 405, "not-supported"),
        ("GET", "/Observation?_format=xml", 406, "not-supported"),
        ("GET", "/Observation/x?_format=application/fhir%2Bxml", 406, "not-supported"),
    ] {
        let reply = send(&stage, Some(&ada.token), (method, path), &[], "").await;
        assert_eq!((reply.status, reply.issue().0), (status, code), "{method} {path}: {}", reply.body);
        assert_eq!(reply.headers.contains_key("allow"), status == 405, "{method} {path}");
    }
    let unknown = get(&stage, &ada.token, "/Encounter").await;
    assert!(unknown.body["issue"][0]["diagnostics"].as_str().unwrap().contains("/fhir/R4/metadata"));
    assert_eq!(get(&stage, &ada.token, "/Observation?_format=xml").await.issue().1, Some("_format"));
    let version = [("accept", "application/fhir+json;fhirVersion=5.0")];
    let reply = send(&stage, Some(&ada.token), ("GET", "/Observation"), &version, "").await;
    assert_eq!((reply.status, reply.issue().1), (406, Some("Accept")));
    let reply = send(&stage, None, ("GET", "/Observation"), &[], "").await;
    assert_eq!((reply.status, reply.issue().0), (401, "login"));
    assert!(reply.headers.contains_key("www-authenticate"));
    let accept = [("accept", "application/fhir+xml")];
    assert_eq!(send(&stage, Some(&ada.token), ("GET", "/Observation"), &accept, "").await.status, 406);
}

#[tokio::test]
async fn who_asks_for_a_summary_or_for_elements_gets_what_r4_lets_a_server_answer() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    ingest(&stage, &ada, &[("heart_rate", 60.0, 1.0, "w")]).await;
    let whole = read(&stage, &ada.token, "/Observation").await;
    let one = format!("/Observation/{}", whole.ids()[0]);
    let target = format!("/Provenance?target={}&_include=Provenance:target&", whole.ids()[0]);
    let smaller = [target.as_str(), "/Device?", "/CodeSystem?", "/Observation/$lastn?"];
    let (plain, person) =
        (read(&stage, &ada.token, &one).await.body, read(&stage, &ada.token, "/Patient").await.matches()[0].clone());
    for summary in ["true", "text", "data", "false"] {
        let found = read(&stage, &ada.token, &format!("/Observation?_summary={summary}")).await;
        assert_eq!(found.matches(), whole.matches(), "{summary}");
        assert_eq!(read(&stage, &ada.token, &format!("{one}?_summary={summary}")).await.body, plain);
        let found = read(&stage, &ada.token, &format!("/Patient?_summary={summary}&_total=accurate")).await;
        assert_eq!((found.matches(), &found.body["total"]), (vec![&person], &json!(1)));
        read(&stage, &ada.token, &format!("/metadata?_summary={summary}&mode=full")).await;
        for path in &smaller {
            let plain = read(&stage, &ada.token, path).await;
            let summed = read(&stage, &ada.token, &format!("{path}_summary={summary}")).await;
            assert_eq!(
                (summed.body["entry"].clone(), &summed.body["total"]),
                (plain.body["entry"].clone(), &json!(1)),
                "{path}"
            );
        }
    }
    for path in &smaller {
        let told = read(&stage, &ada.token, &format!("{path}_summary=count")).await;
        assert_eq!((&told.body["total"], told.body.get("entry")), (&json!(1), None), "{path}");
        let refused = get(&stage, &ada.token, &format!("{path}_summary=some")).await;
        assert_eq!((refused.status, refused.issue()), (400, ("value", Some("_summary"))), "{path}");
    }
    // What is counted is the newest of each code, not all that there are, and nothing comes along.
    ingest(&stage, &ada, &[("heart_rate", 61.0, 2.0, "w"), ("heart_rate", 62.0, 3.0, "w"), ("spo2", 97.0, 3.0, "w")])
        .await;
    for (query, total) in
        [("", 2), ("&max=2", 3), ("&max=2&code=8867-4&_include=Observation:device", 2), ("&code=mood", 0)]
    {
        let told = read(&stage, &ada.token, &format!("/Observation/$lastn?_summary=count{query}")).await;
        assert_eq!((&told.body["total"], told.body.get("entry")), (&json!(total), None), "{query}");
        assert!(told.link("self").unwrap().contains("_summary=count"));
    }
    for query in ["_elements=id,status", "_elements=Observation.code&_summary=true"] {
        assert_eq!(read(&stage, &ada.token, &format!("{one}?{query}")).await.body, plain, "{query}");
    }
    let found = read(&stage, &ada.token, "/Patient?_elements=Patient.name,identifier").await;
    assert_eq!(found.matches(), [&person]);
    let person = format!("/Patient/{}", fhir_id(&ada));
    for (path, query, parameter) in [
        (one.as_str(), "_summary=count", "_summary"),
        (&one, "_summary=x", "_summary"),
        (&one, "_elements=", "_elements"),
        (&one, "mode=full", "mode"),
        (&person, "_summary=count", "_summary"),
        ("/metadata", "mode=normative", "mode"),
        ("/metadata", "mode=terminology", "mode"),
        ("/metadata", "_summary=count", "_summary"),
    ] {
        let reply = get(&stage, &ada.token, &format!("{path}?{query}")).await;
        assert_eq!((reply.status, reply.issue().1), (400, Some(parameter)), "{path} {query}");
    }
}

#[tokio::test]
async fn the_statement_of_capabilities_says_what_the_table_does() {
    let stage = Stage::new().await;
    let reply = send(&stage, None, ("GET", "/metadata"), &[], "").await;
    assert_eq!((reply.status, &reply.body["fhirVersion"]), (200, &json!("4.0.1")));
    let resources = reply.body["rest"][0]["resource"].as_array().unwrap();
    for operation in crate::routes::fhir::OPERATIONS.iter().filter(|operation| !operation.resource.is_empty()) {
        let resource = resources.iter().find(|resource| resource["type"] == operation.resource).unwrap();
        let (list, name) = match operation.interaction.definition() {
            Some(_) => ("operation", "name"),
            None => ("interaction", "code"),
        };
        if operation.interaction.code() == "stats" {
            // HL7's operation of that name is another one.
            let definition = &resource["operation"][1]["definition"];
            assert_eq!(definition, "urn:avycenna:operations:Observation-stats");
            assert_eq!(resource["operation"].as_array().unwrap().len(), 2, "each is named once");
        }
        let codes: Vec<_> = resource[list].as_array().unwrap().iter().map(|one| &one[name]).collect();
        assert!(codes.contains(&&json!(operation.interaction.code())), "{codes:?}");
    }
    let ada = stage.patient("Ada").await;
    for resource in resources.iter().filter(|resource| resource.get("searchParam").is_some()) {
        let kind = resource["type"].as_str().unwrap();
        let whole = if kind == "Provenance" { "target=x&" } else { "" };
        for parameter in resource["searchParam"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let value = match parameter["type"].as_str().unwrap() {
                "date" => "2026".to_owned(),
                "reference" => fhir_id(&ada),
                _ if name == "status" => "final".to_owned(),
                _ if name == "gender" => "unknown".to_owned(),
                _ => "x".to_owned(),
            };
            read(&stage, &ada.token, &format!("/{kind}?{name}={value}")).await;
        }
        // What it says may come along may, on this type and no other.
        for (list, parameter) in [("searchInclude", "_include"), ("searchRevInclude", "_revinclude")] {
            let said = resource[list].as_array().map(Vec::as_slice).unwrap_or_default();
            for along in resources.iter().filter_map(|other| other[list].as_array()).flatten() {
                let path = format!("/{kind}?{whole}{parameter}={}", along.as_str().unwrap());
                let status = get(&stage, &ada.token, &path).await.status;
                assert_eq!(status, if said.contains(along) { 200 } else { 400 }, "{path}");
            }
        }
    }
}
