//! A doctor's patients, page by page.

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait as _;

use super::*;
use crate::access::audit;
use crate::control::tests::Fixture as Database;

/// Patients who have let a doctor in, put there as rows: every fourth has `check_ins`, every fourth only `symptoms`.
async fn crowd(stage: &Stage, doctor: &Person, numbers: std::ops::Range<u32>) {
    let now_us = stage.state.clock.now_us();
    let (mut users, mut grants) = (Vec::new(), Vec::new());
    for nth in numbers {
        let permissions = match nth % 4 {
            0 => "check_ins",
            1 => "symptoms",
            _ => "wearables",
        };
        let name = if nth % 3 == 0 { "Ada" } else { "Bo" };
        users.push(format!(
            "('usr_p{nth:07}', 'p{nth}@example.org', '{name} Nr{nth}', 'patient', 'UTC', {now_us}, {now_us})"
        ));
        grants.push(format!(
            "('grt_{nth:016}', '{}', 'p{nth}@example.org', 'usr_p{nth:07}', '{permissions}', 'active', {now_us}, {now_us})",
            doctor.id
        ));
    }
    let on = stage.state.control.read();
    let columns = "id, email, name, role, timezone, created_at, updated_at";
    let insert = format!("INSERT INTO users ({columns}) VALUES {}", users.join(", "));
    on.execute_unprepared(&insert).await.unwrap();
    let columns = "id, doctor_id, patient_email, patient_id, permissions, status, created_at, accepted_at";
    let insert = format!("INSERT INTO grants ({columns}) VALUES {}", grants.join(", "));
    on.execute_unprepared(&insert).await.unwrap();
}

/// Ends the grants of some of them.
async fn end(stage: &Stage, numbers: impl IntoIterator<Item = u32>) {
    let ids: Vec<String> = numbers.into_iter().map(|nth| format!("'grt_{nth:016}'")).collect();
    let update = format!("UPDATE grants SET status = 'revoked' WHERE id IN ({})", ids.join(", "));
    stage.state.control.read().execute_unprepared(&update).await.unwrap();
}

#[tokio::test]
async fn a_name_is_found_in_any_case_with_its_accents_or_without() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    // Composed, and with its accents as characters of their own.
    for (called, name) in [("Ada", "André Müller"), ("Bo", "Andre\u{301} Mu\u{308}ller")] {
        let person = stage.patient(called).await;
        stage.grant(&doctor, &person, &["wearables"]).await;
        let update = format!("UPDATE users SET name = '{name}' WHERE id = '{}'", person.id);
        stage.state.control.read().execute_unprepared(&update).await.unwrap();
    }
    for (name, expected) in [
        ("andre", 2),
        ("ANDR%C3%89", 2),
        ("Andre%CC%81%20mu", 2),
        ("muller", 2),
        ("m%C3%BCl", 2),
        ("mue", 0),
        ("ndre", 0),
    ] {
        assert_eq!(
            read(&stage, &doctor.token, &format!("/Patient?name={name}")).await.matches().len(),
            expected,
            "{name}"
        );
    }
    for (query, expected) in [
        ("name:contains=NDR%C3%89", 2),
        ("name:contains=e+m", 2),
        ("name:contains=x,ull", 2),
        ("name:contains=ull&name=x", 0),
        ("name:contains=ull&name:contains=x", 0),
        ("name:exact=Andr%C3%A9+M%C3%BCller", 1),
        ("name:exact=Andr%C3%A9", 0),
        ("name:exact=andr%C3%A9+m%C3%BCller", 0),
        ("name:exact=x&name=andre", 0),
    ] {
        let found = read(&stage, &doctor.token, &format!("/Patient?{query}")).await;
        assert_eq!((found.matches().len(), &found.body["total"]), (expected, &json!(expected)), "{query}");
    }
}

/// All pages: the ids on each, and their totals.
async fn pages(
    stage: &Stage,
    who: &Header,
    path: &str,
    mut between: impl AsyncFnMut(usize),
) -> Vec<(Vec<String>, u64)> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = read(stage, who, &path).await;
        if path.starts_with("/fhir") {
            assert_eq!(page.link("self").unwrap(), path);
        }
        pages.push((page.ids(), page.body["total"].as_u64().unwrap()));
        next = page.link("next");
        between(pages.len()).await;
        assert!(pages.len() < 1_000, "it goes round in circles");
    }
    pages
}

async fn records(stage: &Stage) -> u64 {
    let checked = audit::verify(&stage.state.control).await.unwrap();
    assert_eq!(checked.breaks, []);
    checked.records
}

/// Whether somebody of a number may be found by a doctor.
fn is_seen(nth: u32) -> bool {
    nth % 4 != 1
}

fn id_of(nth: u32) -> String {
    format!("usr-p{nth:07}")
}

async fn in_pages(stage: Stage) {
    let (doctor, other) = (stage.doctor("Doc").await, stage.doctor("Other").await);
    crowd(&stage, &doctor, 0..600).await;
    crowd(&stage, &other, 600..610).await;
    // Beyond a statement's worth of grants, and of those whom a name fits.
    let expected: BTreeSet<String> = (0..600).filter(|nth| is_seen(*nth)).map(id_of).collect();
    let adas: BTreeSet<String> = (0..600).filter(|nth| is_seen(*nth) && nth % 3 == 0).map(id_of).collect();
    for (query, expected) in [("", &expected), ("&name=ad", &adas), ("&name=nr,x&name=ADA", &adas)] {
        let before = records(&stage).await;
        let counted = read(&stage, &doctor.token, &format!("/Patient?_summary=count{query}")).await;
        assert_eq!(counted.body["total"], json!(expected.len()));
        assert_eq!(records(&stage).await, before, "nobody was told of");
        for count in [7, 100, 1_000] {
            let before = records(&stage).await;
            let found = pages(&stage, &doctor.token, &format!("/Patient?_count={count}{query}"), async |_| ()).await;
            let ids: Vec<String> = found.iter().flat_map(|(ids, _)| ids.clone()).collect();
            assert_eq!(ids.len(), expected.len(), "{query}: nobody twice");
            assert_eq!(&ids.into_iter().collect::<BTreeSet<_>>(), expected, "{query}");
            assert!(found.iter().all(|(ids, total)| ids.len() <= count && *total == expected.len() as u64), "{query}");
            assert_eq!(found.len(), expected.len().div_ceil(count), "no empty page behind the last one");
            assert_eq!(records(&stage).await - before, expected.len() as u64, "a record for each, and for no other");
        }
    }
    let some: Vec<String> = (0..9).map(id_of).collect();
    let path = format!("/Patient?_count=2&_id={}", some.join(","));
    let found = pages(&stage, &doctor.token, &path, async |_| ()).await;
    let ids: Vec<String> = found.iter().flat_map(|(ids, _)| ids.clone()).collect();
    assert_eq!(ids, (0..9).filter(|nth| is_seen(*nth)).map(id_of).collect::<Vec<_>>());
    assert!(found.iter().all(|(_, total)| *total == 7));
}

#[tokio::test]
async fn however_many_patients_there_are_they_come_in_pages_and_each_is_written_down() {
    Box::pin(in_pages(Stage::new().await)).await;
}

#[tokio::test]
async fn and_so_they_do_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_fhir_people").await {
        Box::pin(in_pages(Stage::on(database).await)).await;
    }
}

#[tokio::test]
async fn who_lets_the_doctor_in_all_the_while_comes_once_whoever_comes_and_goes() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    crowd(&stage, &doctor, 100..200).await;
    let found = pages(&stage, &doctor.token, "/Patient?_count=10", async |nth| {
        let nth = u32::try_from(nth).unwrap();
        // One who was given, one who is to come, and new ones on both sides.
        end(&stage, [100 + nth, 200 - nth * 4]).await;
        crowd(&stage, &doctor, 40 + nth..41 + nth).await;
        crowd(&stage, &doctor, 240 + nth..241 + nth).await;
    })
    .await;
    let ids: Vec<String> = found.iter().flat_map(|(ids, _)| ids.clone()).collect();
    let once: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(once.len(), ids.len(), "nobody twice");
    for nth in (115..200).filter(|nth| is_seen(*nth) && (200 - nth) % 4 != 0) {
        assert!(ids.contains(&id_of(nth)), "{nth} was there all the while");
    }
    let last = ids.last().unwrap();
    assert!(*last > id_of(200), "who comes behind the page is on a later one: {last}");
    // At the end the total is what a new search finds.
    let (_, total) = found.last().unwrap();
    let anew = read(&stage, &doctor.token, "/Patient?_count=1000").await;
    assert!(total.abs_diff(anew.matches().len() as u64) <= 2, "{total}");
    assert_eq!(anew.body["total"], json!(anew.matches().len()));
}

/// Sets what somebody of the crowd is sorted by.
async fn set(stage: &Stage, nth: u32, name: &str, updated_at: i64) {
    let update = format!("UPDATE users SET name = '{name}', updated_at = {updated_at} WHERE id = 'usr_p{nth:07}'");
    stage.state.control.read().execute_unprepared(&update).await.unwrap();
}

async fn in_every_order(stage: Stage) {
    let (doctor, other) = (stage.doctor("Doc").await, stage.doctor("Other").await);
    crowd(&stage, &doctor, 0..60).await;
    crowd(&stage, &other, 60..70).await;
    let began = (stage.state.clock.now_us() / 1_000_000 - 30 * 86_400) * 1_000_000;
    let mut expected = Vec::new();
    for nth in 0..60 {
        // Several have the same name, in any case and with accents, and the same moment.
        let (name, folded) = [("Zoe", "zoe"), ("élan", "elan"), ("Abe", "abe"), ("abé", "abe"), ("elan b", "elan b")]
            [usize::try_from(nth * 7 % 5).unwrap()];
        let updated = began + i64::from(nth * 11 % 13) * 1_000_000;
        set(&stage, nth, name, updated).await;
        if is_seen(nth) {
            expected.push((id_of(nth), folded, updated));
        }
    }
    for sort in ["_id", "_lastUpdated", "name"] {
        let mut sorted = expected.clone();
        match sort {
            "_lastUpdated" => sorted.sort_by_key(|(id, _, updated)| (*updated, id.clone())),
            "name" => sorted.sort_by_key(|(id, name, _)| (*name, id.clone())),
            _ => sorted.sort(),
        }
        for sign in ["", "-"] {
            let ids: Vec<String> = sorted.iter().map(|(id, ..)| id.clone()).collect();
            for count in [4, 7, 45, 100] {
                let path = format!("/Patient?_sort={sign}{sort}&_count={count}");
                let found = pages(&stage, &doctor.token, &path, async |_| ()).await;
                let given: Vec<String> = found.iter().flat_map(|(ids, _)| ids.clone()).collect();
                assert_eq!(given, ids, "{path}");
                assert_eq!(found.len(), ids.len().div_ceil(count), "{path}");
                assert!(found.iter().all(|(_, total)| *total == 45), "{path}");
            }
            let named = format!("/Patient?_sort={sign}{sort}&_count=2&_id={}", ids[10..20].join(","));
            let found = pages(&stage, &doctor.token, &named, async |_| ()).await;
            let given: Vec<String> = found.iter().flat_map(|(ids, _)| ids.clone()).collect();
            assert_eq!(given, ids[10..20], "{named}");
            sorted.reverse();
        }
    }
    let at = |nth: i64| engine::time::format(began + nth * 1_000_000);
    for (query, first, last) in [
        (format!("_lastUpdated=ge{}", at(5)), 5, 12),
        (format!("_lastUpdated=gt{}&_lastUpdated=lt{}", at(5), at(9)), 6, 8),
        (format!("_lastUpdated={}&_lastUpdated=le{}", at(3), at(9)), 3, 3),
        (format!("_lastUpdated=lt{}", at(0)), 1, 0),
    ] {
        let is_in = |updated: i64| (first..=last).contains(&((updated - began) / 1_000_000));
        let ids: Vec<&String> = expected.iter().filter(|(_, _, at)| is_in(*at)).map(|(id, ..)| id).collect();
        let found = pages(&stage, &doctor.token, &format!("/Patient?_count=3&{query}"), async |_| ()).await;
        assert_eq!(found.iter().flat_map(|(ids, _)| ids).collect::<Vec<_>>(), ids, "{query}");
        let total = read(&stage, &doctor.token, &format!("/Patient?_summary=count&{query}")).await;
        assert_eq!(total.body["total"], json!(ids.len()), "{query}");
    }
}

#[tokio::test]
async fn patients_come_in_every_order_that_there_is_and_by_when_they_changed() {
    Box::pin(in_every_order(Stage::new().await)).await;
}

#[tokio::test]
async fn and_so_they_come_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_fhir_orders").await {
        Box::pin(in_every_order(Stage::on(database).await)).await;
    }
}

#[tokio::test]
async fn who_changes_while_pages_are_read_comes_again_behind_those_that_did_not() {
    let stage = Stage::new().await;
    let doctor = stage.doctor("Doc").await;
    crowd(&stage, &doctor, 100..140).await;
    let now_us = stage.state.clock.now_us();
    let found = pages(&stage, &doctor.token, "/Patient?_sort=_lastUpdated&_count=9", async |nth| {
        if nth == 1 {
            set(&stage, 102, "Changed", now_us + 1).await;
            set(&stage, 139, "Changed", now_us + 2).await;
        }
    })
    .await;
    let ids: Vec<String> = found.iter().flat_map(|(ids, _)| ids.clone()).collect();
    let mut expected: Vec<String> = (100..139).filter(|nth| is_seen(*nth)).map(id_of).collect();
    expected.extend([id_of(102), id_of(139)]);
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn a_link_to_patients_is_its_callers_alone_and_no_grant() {
    let stage = Stage::new().await;
    let (doctor, other, ada) = (stage.doctor("Doc").await, stage.doctor("Other").await, stage.patient("Ada").await);
    crowd(&stage, &doctor, 0..20).await;
    crowd(&stage, &other, 20..40).await;
    stage.grant(&doctor, &ada, &["wearables"]).await;
    let points: Vec<_> = (0..3_u8).map(|nth| ("heart_rate", 60.0, f64::from(nth), "watch")).collect();
    ingest(&stage, &ada, &points).await;
    let next = read(&stage, &doctor.token, "/Patient?name=b&_count=2").await.link("next").unwrap();
    // Long enough that none is there by chance: a link is some hundred letters of which none says anything.
    for word in ["p000", "name", "begins", "after_person"] {
        assert!(!next.contains(word), "{next}");
    }
    assert_eq!(read(&stage, &doctor.key, &next).await.matches().len(), 2, "by another credential of the same doctor");
    let observations =
        read(&stage, &doctor.token, &format!("/Observation?patient={}&_count=1", fhir_id(&ada))).await.link("next");
    let mut end_of = next.clone().into_bytes();
    *end_of.last_mut().unwrap() = if end_of.last() == Some(&b'A') { b'B' } else { b'A' };
    for (who, path) in [
        (&other, next.clone()),
        (&ada, next.clone()),
        (&doctor, String::from_utf8(end_of).unwrap()),
        (&doctor, next[..next.len() - 4].to_owned()),
        (&doctor, format!("{next}&name=a")),
        (&doctor, format!("{next}&_count=9")),
        (&doctor, next.replace("/Patient", "/Observation")),
        (&doctor, next.replace("/Patient", "/Device")),
        (&doctor, observations.unwrap().replace("/Observation", "/Patient")),
        (&doctor, "/Patient?_cursor=".to_owned()),
    ] {
        let reply = get(&stage, &who.token, &path).await;
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.issue().1.is_some(), "{}", reply.body);
    }
    // Grants that have run out, and nobody has noted it: as those that were ended.
    let update = "UPDATE grants SET expires_at = 1 WHERE id > 'grt_0000000000000009'";
    stage.state.control.read().execute_unprepared(update).await.unwrap();
    let left = read(&stage, &doctor.token, &next).await;
    assert_eq!(left.body["total"], json!((0..10).filter(|nth| is_seen(*nth) && nth % 3 != 0).count()), "Bos");
    assert!(left.ids().iter().all(|id| *id <= id_of(9)), "{:?}", left.ids());
    let gone = read(&stage, &doctor.token, &format!("/Patient?_id={},{}", id_of(2), id_of(14))).await;
    assert_eq!((gone.ids(), &gone.body["total"]), (vec![id_of(2)], &json!(1)));
    end(&stage, 0..20).await;
    let after = read(&stage, &doctor.token, &next).await;
    assert_eq!((after.matches().len(), &after.body["total"], after.link("next")), (0, &json!(0), None));
}

#[tokio::test]
async fn a_page_of_a_thousand_patients_is_a_few_statements() {
    let (database, heard) = Database::new().await.overheard().await;
    let stage = Stage::on(database).await;
    let doctor = stage.doctor("Doc").await;
    for thousand in 0..3 {
        crowd(&stage, &doctor, thousand * 1_000..(thousand + 1) * 1_000).await;
    }
    let first = read(&stage, &doctor.token, "/Patient?_count=1000").await;
    heard.lock().unwrap().clear();
    let second = read(&stage, &doctor.token, &first.link("next").unwrap()).await;
    let statements = heard.lock().unwrap().len();
    assert_eq!((second.matches().len(), &second.body["total"]), (1_000, &json!(2_250)));
    // Three of them for each hundred.
    assert!(statements < 75, "{statements} statements");
    let long = "x".repeat(crate::fhir::search::NAMES_BYTES_MAX + 1);
    let reply = get(&stage, &doctor.token, &format!("/Patient?name={long}")).await;
    assert_eq!((reply.status, reply.issue().1), (400, Some("name")));
    // The longest names that are taken fit into a link.
    let longest = format!("b,{}", "%01".repeat(crate::fhir::search::NAMES_BYTES_MAX - 1));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let dates: Vec<String> = (1..100).map(|nth| format!("{:04}-01-01", nth * 2)).collect();
    let body = format!("_count=1&name={longest}&_sort=-name&_lastUpdated=ge2000,{}", dates.join(","));
    let ids: Vec<String> = (0..100).map(id_of).collect();
    let body = format!("{body}&_id={}", ids.join(","));
    let reply = send(&stage, Some(&doctor.token), ("POST", "/Patient/_search"), &[form], &body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    read(&stage, &doctor.token, &reply.link("next").unwrap()).await;
}
