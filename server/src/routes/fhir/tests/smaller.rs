//! The smaller resources and operations: devices, the newest of each code, figures of days, our codes.

use super::*;

/// Sends heart rates of these sources and devices, a minute apart, the first one newest.
pub(super) async fn measured_by(stage: &Stage, patient: &Person, origins: &[(&str, Option<&str>)]) {
    let mut ago = 1.0;
    let mut points = Vec::new();
    for (source, device) in origins {
        ago += 1.0 / 1_440.0;
        points.push(json!({"metric": "heart_rate", "value": 60, "unit": "bpm", "recorded_at": stage.ago(ago),
            "source": source, "source_device_id": device}));
    }
    let (status, body) = stage.post(&patient.key, "/wearables/bulk-ingest", json!({"data_points": points})).await;
    assert_eq!(status, 201, "{body}");
}

#[tokio::test]
async fn each_source_and_device_is_one_device_that_its_observations_refer_to() {
    let stage = Stage::new().await;
    let (ada, bob) = (stage.patient("Ada").await, stage.patient("Bob").await);
    let origins =
        [("watch", Some("left")), ("watch", None), ("strap", None), ("watch", Some("left")), ("watch", Some(""))];
    measured_by(&stage, &ada, &origins[..4]).await;
    measured_by(&stage, &bob, &origins[..2]).await;
    let devices = read(&stage, &ada.token, &format!("/Device?patient={}", fhir_id(&ada))).await;
    assert_eq!(devices.body["total"], 3);
    let names: Vec<_> = devices.matches().iter().map(|device| device["identifier"].to_string()).collect();
    assert!(names[0].contains("strap") && names[1].contains("watch") && names[2].contains("left"), "{names:?}");
    let observations = read(&stage, &ada.token, "/Observation").await;
    for observation in observations.matches() {
        let reference = observation["device"]["reference"].as_str().unwrap();
        let device = read(&stage, &ada.token, &format!("/{reference}")).await;
        assert!(devices.matches().contains(&&device.body), "{}", device.body);
        assert_eq!(device.body["patient"]["reference"], observation["subject"]["reference"]);
    }
    let others = read(&stage, &bob.token, "/Device").await;
    assert_eq!(others.ids().len(), 2, "a patient who asks need not say who they are");
    assert!(others.ids().iter().all(|id| !devices.ids().contains(id)), "the same watch of somebody else is another");
    let refused = get(&stage, &bob.token, &format!("/Device/{}", devices.ids()[0])).await;
    assert_eq!((refused.status, refused.issue().0), (403, "forbidden"));
    let observation = &observations.ids()[0];
    for unknown in ["x", "%00", observation, &format!("{}A", devices.ids()[0])] {
        assert_eq!(get(&stage, &ada.token, &format!("/Device/{unknown}")).await.status, 404, "{unknown}");
    }
}

#[tokio::test]
async fn devices_come_in_pages_and_each_once() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let names: Vec<String> = (0..101).map(|nth| format!("d{nth}")).collect();
    // Each comes back after more than are remembered in between.
    let twice: Vec<_> = names.iter().chain(&names).map(|name| ("watch", Some(name.as_str()))).collect();
    measured_by(&stage, &ada, &twice).await;
    let mut ids = Vec::new();
    let mut next = Some("/fhir/R4/Device?_count=25".to_owned());
    while let Some(path) = next {
        let page = read(&stage, &ada.token, &path).await;
        assert!(page.matches().len() <= 25 && page.body.get("total").is_none(), "{}", page.body["total"]);
        ids.extend(page.ids());
        next = page.link("next");
    }
    assert_eq!(ids.len(), 101);
    let once: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(once.len(), 101);
    let link = read(&stage, &ada.token, "/Device?_count=1").await.link("next").unwrap();
    for query in ["_count=0", "_summary=count", "_summary=count&_count=5&_include=Device:patient"] {
        let none = read(&stage, &ada.token, &format!("/Device?{query}")).await;
        assert_eq!(
            (&none.body["total"], none.body.get("entry"), none.link("next")),
            (&json!(101), None, None),
            "{query}"
        );
    }
    let eve = stage.patient("Eve").await;
    for (who, path) in [
        (&eve, link.clone()),
        (&ada, link.replace("/Device", "/Observation")),
        (&ada, format!("{link}&patient={}", fhir_id(&ada))),
        (&ada, link[..link.len() - 2].to_owned()),
    ] {
        assert_eq!(get(&stage, &who.token, &path).await.status, 400, "{path}");
    }
    let observations = read(&stage, &ada.token, "/Observation?_count=1").await.link("next").unwrap();
    assert_eq!(get(&stage, &ada.token, &observations.replace("/Observation", "/Device")).await.status, 400);
}

#[tokio::test]
async fn the_newest_of_each_code_are_told_whatever_they_are_made_of() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    let points = [
        ("heart_rate", 61.0, 1.0, "watch"),
        ("heart_rate", 62.0, 2.0, "strap"),
        ("heart_rate", 63.0, 3.0, "watch"),
        ("sleep_duration", 7.0, 3.0, "watch"),
        ("sleep_duration", 6.0, 1.0, "watch"),
    ];
    ingest(&stage, &ada, &points).await;
    stage.check_in(&ada, json!({"mood": 4, "sleep_hours": 7.5, "checked_in_at": stage.ago(2.0)})).await;
    stage.check_in(&ada, json!({"mood": 3, "sleep_hours": 5.5, "checked_in_at": stage.ago(9.0)})).await;
    let of = async |query: &str| {
        let reply = read(&stage, &ada.token, &format!("/Observation/$lastn?{query}")).await;
        assert_eq!(reply.body["total"], json!(reply.matches().len()), "{query}");
        assert_eq!(reply.link("next"), None);
        let label = |observation: &&Value| {
            let code = observation["code"]["coding"][0]["code"].as_str().unwrap();
            format!("{code} {}", observation.get("valueInteger").unwrap_or(&observation["valueQuantity"]["value"]))
        };
        reply.matches().iter().map(label).collect::<Vec<_>>()
    };
    assert_eq!(of("code=8867-4").await, ["8867-4 61.0"]);
    assert_eq!(of("code=8867-4&max=2").await, ["8867-4 61.0", "8867-4 62.0"]);
    assert_eq!(of("code=8867-4&max=100").await.len(), 3);
    assert_eq!(of("code=93832-4&max=3").await, ["93832-4 6.0", "93832-4 7.5", "93832-4 7.0"], "points and check-ins");
    assert_eq!(of("category=activity").await, ["93832-4 6.0", "energy 3", "focus 3", "mood 4"]);
    assert_eq!(of("").await, ["8867-4 61.0", "93832-4 6.0", "energy 3", "focus 3", "mood 4"]);
    assert!(of("code=2708-6").await.is_empty());
    for (query, parameter) in [
        ("max=0", "max"),
        ("max=101", "max"),
        ("max=99999999999999999999999", "max"),
        ("max=-1", "max"),
        ("max=x", "max"),
        ("max=", "max"),
        ("_count=3", "_count"),
    ] {
        let reply = get(&stage, &ada.token, &format!("/Observation/$lastn?{query}")).await;
        assert_eq!((reply.status, reply.issue().1), (400, Some(parameter)), "{query}");
    }
}

#[tokio::test]
async fn figures_are_made_of_local_days() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    for (at, value) in [
        ("2026-03-28T22:30:00Z", 50),
        ("2026-03-28T23:30:00Z", 60),
        ("2026-03-29T21:30:00Z", 80),
        ("2026-03-29T22:30:00Z", 99),
    ] {
        let point = json!({"metric": "heart_rate", "value": value, "unit": "bpm", "recorded_at": at, "source": "w"});
        assert_eq!(stage.post(&ada.key, "/wearables/ingest", point).await.0, 201);
    }
    let path = "/Observation/$stats?code=8867-4&date=ge2026-03-28&date=lt2026-03-31&tz=Europe/Berlin\
        &statistic=average,count,std-dev";
    let reply = read(&stage, &ada.token, path).await;
    assert_eq!(reply.body["resourceType"], "Parameters");
    let days: Vec<&Value> =
        reply.body["parameter"].as_array().unwrap().iter().map(|parameter| &parameter["resource"]).collect();
    assert_eq!(days.len(), 3, "{}", reply.body);
    // The day on which the clocks go forward has 23 hours.
    let period = json!({"start": "2026-03-28T23:00:00Z", "end": "2026-03-29T22:00:00Z"});
    assert_eq!(days[1]["effectivePeriod"], period);
    assert_eq!(days[1]["status"], "final");
    assert_eq!(days[1]["component"][0]["valueQuantity"]["value"], 70.0);
    assert_eq!(days[1]["component"][0]["valueQuantity"]["code"], "/min");
    assert_eq!(days[1]["component"][1]["valueQuantity"]["value"], 2);
    assert_eq!(days[1]["component"][2]["code"]["coding"][0]["code"], "std-dev");
    assert_eq!(days[0]["component"].as_array().unwrap().len(), 2, "one point deviates from nothing");
    ingest(&stage, &ada, &[("heart_rate", 70.0, 0.0, "w")]).await;
    let today = read(&stage, &ada.token, "/Observation/$stats?code=8867-4").await;
    let resource = &today.body["parameter"][0]["resource"];
    assert_eq!((&resource["status"], resource["component"].as_array().unwrap().len()), (&json!("preliminary"), 4));
    let none = read(&stage, &ada.token, "/Observation/$stats?code=2708-6").await;
    assert_eq!(none.body, json!({"resourceType": "Parameters"}));
}

#[tokio::test]
async fn operations_are_asked_by_a_query_or_by_parameters_and_by_either_spelling() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    ingest(&stage, &ada, &[("heart_rate", 61.0, 1.0, "w"), ("heart_rate", 62.0, 2.0, "w"), ("spo2", 97.0, 1.0, "w")])
        .await;
    stage.check_in(&ada, json!({"mood": 4})).await;
    let json = [("content-type", "application/fhir+json")];
    let post = async |path: &str, parameters: Value| {
        let body = json!({"resourceType": "Parameters", "parameter": parameters}).to_string();
        send(&stage, Some(&ada.token), ("POST", path), &json, &body).await
    };
    let codes = json!([
        {"name": "code", "valueCoding": {"system": "http://loinc.org", "code": "8867-4"}},
        {"name": "code", "valueString": "mood"},
        {"name": "max", "valuePositiveInt": 2},
        {"name": "patient", "valueReference": {"reference": format!("Patient/{}", fhir_id(&ada))}},
    ]);
    let expected = read(&stage, &ada.token, "/Observation/$lastn?code=8867-4,mood&max=2").await.ids();
    assert_eq!(expected.len(), 3);
    for sign in ["$", "%24"] {
        let by_query = read(&stage, &ada.token, &format!("/Observation/{sign}lastn?code=8867-4,mood&max=2")).await;
        assert_eq!(by_query.ids(), expected);
        let by_body = post(&format!("/Observation/{sign}lastn"), codes.clone()).await;
        assert_eq!((by_body.status, by_body.ids()), (200, expected.clone()), "{}", by_body.body);
        let days = read(&stage, &ada.token, &format!("/Observation/{sign}stats?code=8867-4&statistic=count")).await;
        let path = format!("/Observation/{sign}stats?statistic=count");
        let by_both = post(&path, json!([{"name": "code", "valueString": "8867-4"}])).await;
        assert_eq!((by_both.status, &by_both.body), (200, &days.body));
        assert_eq!(days.body["parameter"].as_array().unwrap().len(), 2);
    }
    let bare = send(&stage, Some(&ada.token), ("POST", "/Observation/$lastn?code=2708-6"), &[], "").await;
    assert_eq!((bare.status, bare.matches().len()), (200, 1), "the query alone");
    for (path, parameters, parameter) in [
        ("/Observation/$lastn?max=2", json!([{"name": "max", "valueInteger": 2}]), "max"),
        ("/Observation/$lastn", json!([{"name": "max", "valueInteger": 101}]), "max"),
        ("/Observation/$lastn", json!([{"name": "code", "valuePeriod": {}}]), "code"),
        ("/Observation/$lastn", json!([{"name": "x", "valueString": "y"}]), "x"),
        ("/Observation/$lastn", json!({}), "Parameters"),
        ("/Observation/$stats", json!([]), "code"),
        ("/Observation/$stats", json!([{"name": "period", "valuePeriod": {"start": "2026"}}]), "period"),
    ] {
        let reply = post(path, parameters.clone()).await;
        assert_eq!((reply.status, reply.issue().1), (400, Some(parameter)), "{path} {parameters}");
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(send(&stage, Some(&ada.token), ("POST", "/Observation/$lastn"), &form, "max=2").await.status, 415);
    assert_eq!(post("/Observation/$lasts", json!([])).await.status, 405);
}

#[tokio::test]
async fn figures_that_cannot_be_made_are_refused_by_name() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    for (query, parameter) in [
        ("", "code"),
        ("code=mood", "code"),
        ("code=0", "code"),
        ("code=8867-4&statistic=mode", "statistic"),
        ("code=8867-4&tz=Nowhere/Land", "tz"),
        ("code=8867-4&date=ge2020-01-01&date=lt2026-01-01", "date"),
        ("code=8867-4&date=ge2020-01-01", "date"),
        ("code=8867-4&date=2026-01-01,2026-02-01", "date"),
        ("code=8867-4&_count=3", "_count"),
    ] {
        let reply = get(&stage, &ada.token, &format!("/Observation/$stats?{query}")).await;
        assert_eq!((reply.status, reply.issue().1), (400, Some(parameter)), "{query}");
    }
}

#[tokio::test]
async fn every_code_of_ours_that_an_observation_carries_is_in_the_code_system() {
    let stage = Stage::new().await;
    let ada = stage.patient("Ada").await;
    ingest(&stage, &ada, &[("hrv", 41.0, 1.0, "ring"), ("calories_sample", 5.0, 1.0, "watch")]).await;
    stage.check_in(&ada, json!({"mood": 4})).await;
    let reply = send(&stage, None, ("GET", "/CodeSystem/avycenna"), &[], "").await;
    assert_eq!((reply.status, &reply.body["url"]), (200, &json!("urn:avycenna:codes")));
    let known: Vec<_> = reply.body["concept"].as_array().unwrap().iter().map(|concept| &concept["code"]).collect();
    assert_eq!(reply.body["count"], json!(known.len()));
    let observations = read(&stage, &ada.token, "/Observation?code=urn:avycenna:codes|").await;
    assert_eq!(observations.matches().len(), 5);
    for observation in observations.matches() {
        let code = &observation["code"]["coding"][0]["code"];
        assert!(known.contains(&code), "{code}");
    }
    for (path, total) in
        [("/CodeSystem?url=urn:avycenna:codes", 1), ("/CodeSystem", 1), ("/CodeSystem?url=http://loinc.org", 0)]
    {
        let found = send(&stage, None, ("GET", path), &[], "").await;
        assert_eq!((found.status, &found.body["total"]), (200, &json!(total)), "{path}");
    }
    assert_eq!(send(&stage, None, ("GET", "/CodeSystem/loinc"), &[], "").await.status, 404);
}
