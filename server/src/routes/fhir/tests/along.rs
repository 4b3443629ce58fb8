//! What comes along with what is found, and searches by form.

use super::smaller::measured_by;
use super::*;

#[tokio::test]
async fn where_observations_are_from_comes_along_or_is_read() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    measured_by(&stage, &ada, &[("watch", None), ("strap", None)]).await;
    stage.check_in(&ada, json!({"mood": 4})).await;
    for query in ["", "&_elements=code", "&_sort=code"] {
        let path = format!("/Observation?_revinclude=Provenance:target&_include=Observation:patient{query}");
        let reply = read(&stage, &ada.token, &path).await;
        let entries = reply.body["entry"].as_array().unwrap();
        let included: Vec<_> = entries.iter().filter(|entry| entry["search"]["mode"] == "include").collect();
        assert_eq!((reply.matches().len(), included.len()), (5, 5 + 1), "{query}");
        assert_eq!(reply.body["total"], 5, "what comes along is not counted");
        for (id, entry) in reply.ids().iter().zip(&included[1..]) {
            let provenance = &entry["resource"];
            assert_eq!(provenance["target"], json!([{"reference": format!("Observation/{id}")}]));
            let path = format!("/Provenance/{}", provenance["id"].as_str().unwrap());
            assert_eq!(&read(&stage, &ada.token, &path).await.body, provenance);
            assert!(entry["fullUrl"].as_str().unwrap().ends_with(&path));
        }
    }
    let ids = read(&stage, &ada.token, "/Observation").await.ids();
    let targets = format!("Observation/{},http://fhir.test/fhir/R4/Observation/{},unknown", ids[0], ids[1]);
    let found = read(&stage, &ada.token, &format!("/Provenance?target={targets}")).await;
    assert_eq!((found.matches().len(), &found.body["total"]), (2, &json!(2)));
    for path in ["/Provenance/p", "/Provenance/x", &format!("/Provenance/{}", ids[0])] {
        assert_eq!(get(&stage, &ada.token, path).await.status, 404, "{path}");
    }
    let wrong = get(&stage, &ada.token, "/Observation?_revinclude=Provenance:agent").await;
    assert_eq!((wrong.status, wrong.issue()), (400, ("value", Some("_revinclude"))));
    assert_eq!(get(&stage, &ada.token, "/Provenance").await.issue(), ("required", Some("target")));
    let many = format!("/Provenance?target={}", (0..101).map(|nth| nth.to_string()).collect::<Vec<_>>().join(","));
    assert_eq!(get(&stage, &ada.token, &many).await.issue(), ("value", Some("target")));
}

#[tokio::test]
async fn what_measured_the_observations_of_a_page_comes_along_once() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let origins =
        [("watch", Some("left (old)")), ("watch", None), ("strap", None), ("watch", None), ("w (x)", Some("b"))];
    measured_by(&stage, &ada, &origins).await;
    stage.check_in(&ada, json!({"mood": 4})).await;
    let known = read(&stage, &ada.token, "/Device").await;
    let included = |page: &Reply| {
        let entries = page.body["entry"].as_array().unwrap();
        let along = entries.iter().filter(|entry| entry["search"]["mode"] == "include");
        along.map(|entry| entry["resource"].clone()).collect::<Vec<_>>()
    };
    for query in ["", "&_elements=code", "&_sort=code", "&_include=Observation:device:Device"] {
        let page = read(&stage, &ada.token, &format!("/Observation?_include=Observation:device{query}")).await;
        assert_eq!((page.matches().len(), &page.body["total"]), (8, &json!(8)), "{query}");
        assert_eq!(included(&page), known.matches().into_iter().cloned().collect::<Vec<_>>(), "{query}");
    }
    for all in ["*", "Observation:*"] {
        let page = read(&stage, &ada.token, &format!("/Observation?_include={all}")).await;
        assert_eq!((page.matches().len(), included(&page).len()), (8, 1 + known.matches().len()), "{all}");
        let own = page.link("self").unwrap();
        assert_eq!(own.matches("_include=Observation%3A").count(), 3, "the link says what it means: {own}");
    }
    let newest = read(&stage, &ada.token, "/Observation/$lastn?code=8867-4&_include=Observation:device").await;
    let [device] = &included(&newest)[..] else { panic!("{}", newest.body) };
    assert_eq!(json!(format!("Device/{}", device["id"].as_str().unwrap())), newest.matches()[0]["device"]["reference"]);
    let said = read(&stage, &ada.token, "/Observation?code=mood&_include=Observation:device").await;
    assert!(included(&said).is_empty(), "nothing has measured a mood");
    // Page by page: each with its own.
    let mut next = Some("/fhir/R4/Observation?code=8867-4&_count=1&_include=Observation:device".to_owned());
    let mut pages = 0;
    while let Some(path) = next {
        let page = read(&stage, &ada.token, &path).await;
        let device = included(&page)[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(page.matches()[0]["device"]["reference"], format!("Device/{device}"));
        pages += 1;
        next = page.link("next");
    }
    assert_eq!(pages, 5);
}

#[tokio::test]
async fn whose_devices_they_are_and_what_a_provenance_speaks_of_comes_along() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    measured_by(&stage, &ada, &[("watch", None), ("strap", None)]).await;
    let person = read(&stage, &ada.token, &format!("/Patient/{}", fhir_id(&ada))).await.body;
    let mut next = Some("/fhir/R4/Device?_include=Device:patient&_count=1".to_owned());
    let mut pages = 0;
    while let Some(path) = next {
        let page = read(&stage, &ada.token, &path).await;
        assert_eq!((page.matches().len(), &page.body["entry"][1]["resource"]), (1, &person));
        pages += 1;
        next = page.link("next");
    }
    assert_eq!(pages, 2);
    let observations = read(&stage, &ada.token, "/Observation").await;
    let path = format!("/Provenance?target={}&_include=Provenance:target:Observation", observations.ids().join(","));
    let found = read(&stage, &ada.token, &path).await;
    assert_eq!((found.matches().len(), &found.body["total"]), (2, &json!(2)));
    for observation in observations.matches() {
        let entries = found.body["entry"].as_array().unwrap();
        let along = entries.iter().find(|entry| entry["resource"]["id"] == observation["id"]).unwrap();
        assert_eq!((&along["resource"], &along["search"]["mode"]), (observation, &json!("include")));
        assert!(
            along["fullUrl"]
                .as_str()
                .unwrap()
                .ends_with(&format!("/Observation/{}", observation["id"].as_str().unwrap()))
        );
    }
    // Nothing is said of where a person or a device is from.
    for kind in ["Patient", "Device"] {
        let whole = read(&stage, &ada.token, &format!("/{kind}")).await;
        let with = read(&stage, &ada.token, &format!("/{kind}?_revinclude=Provenance:target")).await;
        assert_eq!((&with.body["entry"], &with.body["total"]), (&whole.body["entry"], &whole.body["total"]));
    }
}

#[tokio::test]
async fn where_observations_are_from_comes_in_pages_too() {
    let stage = Stage::new().await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let origins: Vec<String> = (0..7).map(|nth| format!("w{nth}")).collect();
    let origins: Vec<_> = origins.iter().map(|name| (name.as_str(), None)).collect();
    measured_by(&stage, &ada, &origins).await;
    let id = stage.grant(&doctor, &ada, &["wearables"]).await;
    let ids = read(&stage, &ada.token, "/Observation").await.ids();
    let path = format!("/Provenance?target={},unknown", ids.join(","));
    let whole = read(&stage, &doctor.token, &path).await;
    assert_eq!((whole.matches().len(), &whole.body["total"], whole.link("next")), (7, &json!(7), None));
    for count in [1, 3, 7, 8, 1_000] {
        let mut next = Some(format!("/fhir/R4{path}&_count={count}&_include=Provenance:target"));
        let mut given = Vec::new();
        while let Some(path) = next {
            let page = read(&stage, &doctor.token, &path).await;
            assert_eq!(page.link("self").unwrap().contains("_cursor"), !given.is_empty());
            let entries = page.body["entry"].as_array().map_or(0, Vec::len);
            assert!(page.matches().len() <= count && entries == 2 * page.matches().len(), "{count}: {}", page.body);
            given.extend(page.ids());
            next = page.link("next");
            let is_whole = next.is_none() && !page.link("self").unwrap().contains("_cursor");
            assert_eq!(page.body.get("total").is_some(), is_whole, "{count}");
        }
        assert_eq!(given, whole.ids(), "{count}");
    }
    for query in ["_count=0", "_summary=count", "_summary=count&_count=3&_include=Provenance:target"] {
        let told = read(&stage, &doctor.token, &format!("{path}&{query}")).await;
        assert_eq!(
            (&told.body["total"], told.body.get("entry"), told.link("next")),
            (&json!(7), None, None),
            "{query}"
        );
    }
    let next = read(&stage, &doctor.token, &format!("{path}&_count=1")).await.link("next").unwrap();
    for (who, path) in [
        (&ada, next.clone()),
        (&doctor, format!("{next}&_count=2")),
        (&doctor, next.replace("/Provenance", "/Device")),
        (&doctor, next[..next.len() - 2].to_owned()),
    ] {
        assert_eq!(get(&stage, &who.token, &path).await.status, 400, "{path}");
    }
    stage.revoke(&ada, &id).await;
    assert!(read(&stage, &doctor.token, &next).await.matches().is_empty(), "a link is no grant");
    for (query, entries) in [("_count=0", 0), ("_count=1", 1), ("_count=9", 1)] {
        let codes = read(&stage, &ada.token, &format!("/CodeSystem?{query}")).await;
        assert_eq!((codes.matches().len(), &codes.body["total"]), (entries, &json!(1)), "{query}");
    }
}

#[tokio::test]
async fn every_search_by_post_finds_what_one_by_get_does() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    measured_by(&stage, &ada, &[("watch", None), ("strap", None)]).await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let target = format!("target=Observation/{}", read(&stage, &ada.token, "/Observation").await.ids()[0]);
    for (kind, query) in [
        ("Observation", "code=8867-4&_count=1".to_owned()),
        ("Device", "_count=5&_include=Device:patient".to_owned()),
        ("Provenance", target),
        ("Patient", format!("_id={}", fhir_id(&ada))),
    ] {
        let got = read(&stage, &ada.token, &format!("/{kind}?{query}")).await;
        assert!(!got.matches().is_empty(), "{kind}");
        let path = format!("/{kind}/_search");
        let posted = send(&stage, Some(&ada.token), ("POST", &path), &[form], &query).await;
        assert_eq!((posted.status, &posted.body), (200, &got.body), "{kind}");
        let json = ("content-type", "application/json");
        let refused = send(&stage, Some(&ada.token), ("POST", &path), &[json], "{}").await;
        assert_eq!((refused.status, refused.issue().0), (415, "not-supported"), "{kind}");
        let wrong = send(&stage, Some(&ada.token), ("POST", &path), &[form], "nonsense=1").await;
        assert_eq!((wrong.status, wrong.issue().1), (400, Some("nonsense")), "{kind}");
    }
}
