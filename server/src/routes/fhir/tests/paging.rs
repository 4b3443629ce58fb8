//! Pages: everything once, whatever is sent meanwhile, and a link is its reader's alone.

use super::*;

/// Points and check-ins of many kinds, some at one moment.
async fn fill(stage: &Stage, ada: &Person) {
    let mut points = Vec::new();
    for nth in 0..40_u32 {
        let ago = 0.5 + f64::from(nth / 2);
        points.push(("heart_rate", f64::from(60 + nth), ago, if nth % 2 == 0 { "watch" } else { "strap" }));
        points.push((if nth % 3 == 0 { "hrv" } else { "body_temperature" }, 37.0, ago, "ring"));
    }
    ingest(stage, ada, &points).await;
    for nth in 0..12_u32 {
        let mut body = json!({"mood": 1 + nth % 5, "checked_in_at": stage.ago(0.5 + f64::from(nth / 2))});
        if nth % 3 == 0 {
            body["sleep_hours"] = json!(7);
        }
        stage.check_in(ada, body).await;
    }
}

async fn pages(stage: &Stage, who: &Header, path: &str, mut between: impl AsyncFnMut(usize)) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = read(stage, who, &path).await;
        if path.starts_with("/fhir") {
            assert_eq!(page.link("self").unwrap(), path);
        }
        if !pages.is_empty() || page.link("next").is_some() {
            assert_eq!(page.body.get("total"), None, "no total that pages could disagree with");
        }
        pages.push(page.ids());
        next = page.link("next");
        between(pages.len()).await;
        assert!(pages.len() < 1_000, "it goes round in circles");
    }
    pages
}

async fn every_page(stage: Stage) {
    let ada = stage.patient("Ada").await;
    fill(&stage, &ada).await;
    for query in ["", "&_sort=date", "&_sort=code", "&code=8867-4", "&code=mood,93832-4", "&code=93832-4&_sort=date"] {
        let whole = read(&stage, &ada.token, &format!("/Observation?_count=1000{query}")).await;
        assert_eq!(whole.link("next"), None);
        let total = usize::try_from(whole.body["total"].as_u64().unwrap()).unwrap();
        assert_eq!(total, whole.ids().len(), "{query}");
        for count in [1, 3, 7, total] {
            let path = format!("/Observation?_count={count}{query}");
            let pages = pages(&stage, &ada.token, &path, async |_| ()).await;
            assert_eq!(pages.concat(), whole.ids(), "{count} a page{query}");
            assert!(pages.iter().all(|page| page.len() <= count && !page.is_empty()), "{query}");
            assert_eq!(pages.len(), total.div_ceil(count), "no empty page behind the last one{query}");
        }
    }
}

#[tokio::test]
async fn pages_hold_everything_once_and_in_order_wherever_they_end() {
    every_page(Stage::new().await).await;
}

#[tokio::test]
async fn and_so_they_do_on_postgresql() {
    if let Some(database) = crate::control::tests::Fixture::postgres("avycenna_fhir_pages").await {
        every_page(Stage::on(database).await).await;
    }
}

#[tokio::test]
async fn what_is_sent_between_two_pages_neither_doubles_nor_hides_anything() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    fill(&stage, &ada).await;
    for query in ["_sort=-date", "_sort=date", "_sort=code"] {
        let before = read(&stage, &ada.token, &format!("/Observation?_count=1000&{query}")).await.ids();
        let found = pages(&stage, &ada.token, &format!("/Observation?_count=7&{query}"), async |nth| {
            let nth = f64::from(u32::try_from(nth).unwrap());
            ingest(&stage, &ada, &[("spo2", 97.0, nth / 3.0, query), ("heart_rate", 99.0, 9.0 + nth / 7.0, query)])
                .await;
            stage.check_in(&ada, json!({"checked_in_at": stage.ago(nth)})).await;
        })
        .await
        .concat();
        let mut once = found.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), found.len(), "nothing twice: {query}");
        let old: Vec<_> = found.into_iter().filter(|id| before.contains(id)).collect();
        assert_eq!(old, before, "everything that was there, in its order: {query}");
    }
}

#[tokio::test]
async fn a_link_leads_nobody_else_anywhere_and_says_nothing() {
    let stage = Stage::new().await;
    let (ada, bob, doctor) = (stage.patient("Ada").await, stage.patient("Bob").await, stage.doctor("Doc").await);
    fill(&stage, &ada).await;
    stage.grant(&doctor, &ada, &["check_ins"]).await;
    let patient = fhir_id(&ada);
    let first = read(&stage, &doctor.token, &format!("/Observation?patient={patient}&code=8867-4&_count=5")).await;
    let next = first.link("next").unwrap();
    for word in [patient.as_str(), ada.id.as_str(), "8867", "heart", "watch", "strap"] {
        assert!(!next.contains(word), "{next}");
    }
    assert_eq!(read(&stage, &doctor.key, &next).await.matches().len(), 5, "by another credential of the same doctor");
    let stranger = stage.doctor("Stranger").await;
    stage.grant(&stranger, &ada, &["check_ins"]).await;
    let mut end = next.clone().into_bytes();
    *end.last_mut().unwrap() = if end.last() == Some(&b'A') { b'B' } else { b'A' };
    let changed = String::from_utf8(end).unwrap();
    for (who, path) in [
        (&stranger, next.as_str()),
        (&ada, &next),
        (&bob, &next),
        (&doctor, &changed),
        (&doctor, &next[..next.len() - 4]),
        (&doctor, "/fhir/R4/Observation?_cursor="),
        (&doctor, "/fhir/R4/Observation?_cursor=%00"),
        (&doctor, &format!("{next}&patient={patient}")),
        (&doctor, &format!("{next}&_count=9")),
        (&doctor, &format!("{next}&_cursor=x")),
    ] {
        let reply = get(&stage, &who.token, path).await;
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.issue().1.is_some(), "{}", reply.body);
    }
    let ids = first.ids();
    let id = &ids[0];
    assert_eq!(get(&stage, &doctor.token, &format!("/Observation?_cursor={id}")).await.status, 400, "an id is no link");
}

#[tokio::test]
async fn a_link_is_no_grant_and_ends_with_it() {
    let stage = Stage::new().await;
    let (ada, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    fill(&stage, &ada).await;
    let grant = stage.grant(&doctor, &ada, &["wearables"]).await;
    let path = format!("/Observation?patient={}&_count=5", fhir_id(&ada));
    let next = read(&stage, &doctor.token, &path).await.link("next").unwrap();
    let second = read(&stage, &doctor.token, &next).await;
    assert_eq!(second.matches().len(), 5);
    stage.revoke(&ada, &grant).await;
    let refused = get(&stage, &doctor.token, &second.link("next").unwrap()).await;
    assert_eq!((refused.status, refused.issue().0), (403, "forbidden"));
}
