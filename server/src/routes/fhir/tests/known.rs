//! What other servers are known to get wrong, one test for each.

use super::*;

/// Seven heart rates and a check-in, over two days.
async fn filled() -> (Stage, Person) {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let points: Vec<_> =
        (1..8_u8).map(|nth| ("heart_rate", f64::from(60 + nth), f64::from(nth) / 4.0, "watch")).collect();
    ingest(&stage, &ada, &points).await;
    stage.check_in(&ada, json!({"mood": 4, "checked_in_at": stage.ago(1.1)})).await;
    (stage, ada)
}

#[tokio::test]
async fn a_day_is_not_moved_by_an_offset_nor_by_the_last_fraction_of_a_second() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let last = json!({"metric": "heart_rate", "value": 61, "unit": "bpm",
        "recorded_at": "2026-05-01T23:59:59.999999Z", "source": "w"});
    let first = json!({"metric": "heart_rate", "value": 62, "unit": "bpm",
        "recorded_at": "2026-05-02T02:00:00+02:00", "source": "w"});
    for point in [last, first] {
        assert_eq!(stage.post(&ada.key, "/wearables/ingest", point).await.0, 201);
    }
    for (date, expected) in [
        ("date=2026-05-01", vec![61.0]),
        ("date=2026-05-02", vec![62.0]),
        ("date=lt2026-05-02", vec![61.0]),
        ("date=le2026-05-01", vec![61.0]),
        ("date=gt2026-05-01", vec![62.0]),
        ("date=ge2026-05-02", vec![62.0]),
        ("date=ge2026-05-01T22:00:00-02:00", vec![62.0]),
        ("date=ge2026-05-02T02:00:00%2B02:00", vec![62.0]),
        ("date=ge2026-05-01&date=le2026-05-02", vec![62.0, 61.0]),
    ] {
        let found = read(&stage, &ada.token, &format!("/Observation?code=8867-4&{date}")).await;
        let values: Vec<_> =
            found.matches().iter().map(|one| one["valueQuantity"]["value"].as_f64().unwrap()).collect();
        assert_eq!(values, expected, "{date}");
    }
}

#[tokio::test]
async fn a_count_of_none_is_answered_by_the_total_alone() {
    let (stage, ada) = filled().await;
    for (query, total) in
        [("", 10), ("&code=8867-4", 7), ("&_sort=code", 10), ("&_sort=date&category=activity", 3), ("&code=0", 0)]
    {
        let found = read(&stage, &ada.token, &format!("/Observation?_count=0{query}")).await;
        assert_eq!((&found.body["total"], found.body.get("entry")), (&json!(total), None), "{query}");
        assert_eq!(found.link("next"), None, "a page of none would lead to itself");
    }
}

#[tokio::test]
async fn a_total_is_what_the_pages_hold_and_a_sorted_search_keeps_its_next_link() {
    let (stage, ada) = filled().await;
    for query in [
        "_total=accurate",
        "_total=accurate&_sort=date",
        "_total=accurate&_sort=-date&code=8867-4",
        "_total=accurate&_sort=code",
    ] {
        let mut next = Some(format!("/fhir/R4/Observation?_count=3&{query}"));
        let (mut ids, mut totals, mut pages) = (Vec::new(), Vec::new(), 0);
        while let Some(path) = next {
            let page = read(&stage, &ada.token, &path).await;
            totals.push(page.body["total"].as_u64().unwrap());
            ids.extend(page.ids());
            pages += 1;
            next = page.link("next");
        }
        assert_eq!(pages, ids.len().div_ceil(3), "{query}");
        assert!(totals.iter().all(|total| usize::try_from(*total).unwrap() == ids.len()), "{query}: {totals:?}");
        let once: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(once.len(), ids.len(), "{query}");
    }
}

#[tokio::test]
async fn what_comes_along_comes_on_every_page_whatever_the_conditions_are() {
    let (stage, ada) = filled().await;
    stage.clock.advance(std::time::Duration::from_secs(100));
    ingest(&stage, &ada, &[("hrv", 40.0, 0.1, "ring"), ("hrv", 41.0, 0.2, "ring")]).await;
    let since = stage.ago(50.0 / 86_400.0);
    let along = "_include=Observation:patient&_revinclude=Provenance:target&_count=1&_sort=date";
    let mut next = Some(format!("/fhir/R4/Observation?_lastUpdated=ge{since}&{along}"));
    let mut pages = 0;
    while let Some(path) = next {
        let page = read(&stage, &ada.token, &path).await;
        let kinds: Vec<_> = page.body["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                (entry["search"]["mode"].as_str().unwrap(), entry["resource"]["resourceType"].as_str().unwrap())
            })
            .collect();
        assert_eq!(kinds, [("match", "Observation"), ("include", "Patient"), ("include", "Provenance")]);
        pages += 1;
        next = page.link("next");
    }
    assert_eq!(pages, 2, "the account is older than what it is asked for, and comes along");
}

#[tokio::test]
async fn a_condition_that_is_not_understood_never_widens_a_search_in_silence() {
    let (stage, ada) = filled().await;
    for query in [
        "value-quantity=gt60",
        "code:text=8867-4",
        "code:in=x",
        "date:missing=true",
        "_has:x=1",
        "_filter=x",
        "Patient=x",
    ] {
        for (method, path) in [("GET", "/Observation"), ("POST", "/Observation/_search")] {
            let reply = send(&stage, Some(&ada.token), (method, &format!("{path}?{query}")), &[], "").await;
            let name = query.split('=').next().unwrap();
            assert_eq!((reply.status, reply.issue()), (400, ("not-supported", Some(name))), "{method} {query}");
        }
    }
    let lenient = ("prefer", "handling=lenient");
    let reply = send(&stage, Some(&ada.token), ("GET", "/Observation?value-quantity=gt60"), &[lenient], "").await;
    assert_eq!(reply.link("self").unwrap(), "/fhir/R4/Observation?", "the link says what was understood");
}
