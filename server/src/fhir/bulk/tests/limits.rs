//! How much one person, and all together, may have.

use std::sync::Arc;

use super::*;
use crate::fhir::bulk::{KEPT_PER_PERSON_MAX, RUNNING_PER_PERSON_MAX};

#[tokio::test]
async fn a_person_has_so_many_exports_running_and_so_many_kept() {
    let stage = Stage::new().await;
    let (ada, bo) = (patient(&stage, "Ada", 1).await, patient(&stage, "Bo", 1).await);
    for _ in 0..RUNNING_PER_PERSON_MAX {
        kick_off(&stage, &ada.token, "/Patient/$export").await;
    }
    let refused = ask(&stage, &ada.token, "/Patient/$export").await;
    assert_eq!(refused.status, 429);
    assert!(refused.headers.contains_key("retry-after") && refused.text.contains("running"), "{}", refused.text);
    kick_off(&stage, &bo.token, "/Patient/$export").await;
    work(&stage).await;
    let mut last = String::new();
    for _ in RUNNING_PER_PERSON_MAX..KEPT_PER_PERSON_MAX {
        last = kick_off(&stage, &ada.token, "/Patient/$export?_type=Patient").await;
        work(&stage).await;
    }
    let refused = ask(&stage, &ada.token, "/Patient/$export").await;
    assert!(refused.status == 429 && refused.text.contains("kept"), "{}", refused.text);
    assert_eq!(send(&stage, &ada.token, "DELETE", &last, &[], "").await.status, 202);
    kick_off(&stage, &ada.token, "/Patient/$export").await;
}

#[tokio::test]
async fn files_of_all_exports_together_have_so_much_room() {
    let mut stage = Stage::new().await;
    let mut config = (*stage.state.config).clone();
    config.fhir.export_bytes_max = 8_000;
    stage.state.config = Arc::new(config);
    let (ada, bo) = (patient(&stage, "Ada", 4).await, patient(&stage, "Bo", 40).await);
    let small = kick_off(&stage, &ada.token, "/Patient/$export?_type=Patient").await;
    let large = kick_off(&stage, &bo.token, "/Patient/$export").await;
    work(&stage).await;
    assert_eq!(get(&stage, &ada.token, &small).await.status, 200);
    let failed = get(&stage, &bo.token, &large).await;
    assert_eq!((failed.status, &failed.json()["resourceType"]), (500, &json!("OperationOutcome")));
    assert!(failed.text.contains("no room"), "{}", failed.text);
    assert!(files(&stage).iter().all(|name| name.starts_with(&ada.id)), "{:?}", files(&stage));
    // What there is room for goes on.
    let again = kick_off(&stage, &bo.token, "/Patient/$export?_type=Patient").await;
    work(&stage).await;
    assert_eq!(get(&stage, &bo.token, &again).await.status, 200);
}

/// The figures of exports: running, done, failed, cancelled, resources, bytes.
fn figures(stage: &Stage) -> [u64; 6] {
    let text = stage.state.metrics.render(&storage::Health::Writable, &storage::metrics::Metrics::default());
    [
        "exports_running",
        "exports_total{outcome=\"done\"}",
        "exports_total{outcome=\"failed\"}",
        "exports_total{outcome=\"cancelled\"}",
        "export_resources_total",
        "export_bytes_total",
    ]
    .map(|name| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(&format!("avycenna_fhir_{name} ")));
        lines.next().unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
    })
}

#[tokio::test]
async fn figures_say_what_became_of_exports_and_what_was_written() {
    let mut stage = Stage::new().await;
    let (ada, bo) = (patient(&stage, "Ada", 3).await, patient(&stage, "Bo", 40).await);
    assert_eq!(figures(&stage), [0; 6]);
    let done = kick_off(&stage, &ada.token, "/Patient/$export").await;
    let cancelled = kick_off(&stage, &ada.token, "/Patient/$export").await;
    assert!(turn(&stage).await);
    assert_eq!(figures(&stage)[..4], [2, 0, 0, 0]);
    assert_eq!(send(&stage, &ada.token, "DELETE", &cancelled, &[], "").await.status, 202);
    work(&stage).await;
    let manifest = manifest(&stage, &ada.token, &done).await;
    let resources: u64 = outputs(&manifest).iter().map(|(_, count)| count).sum();
    let mut bytes = 0;
    for url in urls(&manifest) {
        bytes += get(&stage, &ada.token, &url).await.text.len() as u64;
    }
    let [running, done_count, failed, cancelled_count, resources_counted, bytes_counted] = figures(&stage);
    assert_eq!([running, done_count, failed, cancelled_count], [0, 1, 0, 1]);
    // What was written of the one that was cancelled counts, if its turn came before its end.
    assert!([1, 2].contains(&(resources_counted / resources)) && resources_counted % resources == 0);
    assert!([1, 2].contains(&(bytes_counted / bytes)) && bytes_counted % bytes == 0);
    // Deleting what is done is no cancellation.
    assert_eq!(send(&stage, &ada.token, "DELETE", &done, &[], "").await.status, 202);
    assert_eq!(figures(&stage)[3], 1);
    let mut config = (*stage.state.config).clone();
    config.fhir.export_bytes_max = 8_000;
    stage.state.config = Arc::new(config);
    let before = figures(&stage);
    kick_off(&stage, &bo.token, "/Patient/$export").await;
    work(&stage).await;
    let after = figures(&stage);
    assert_eq!((after[0], after[2], after[4], after[5]), (0, 1, before[4], before[5]), "what failed is not to be read");
}

#[tokio::test]
async fn exports_take_turns_a_patient_each() {
    let stage = Stage::new().await;
    let (doctor, ada) = (stage.doctor("Doc").await, patient(&stage, "Ada", 1).await);
    for name in ["Bo", "Cy", "Dan"] {
        let person = patient(&stage, name, 1).await;
        stage.grant(&doctor, &person, &["wearables"]).await;
    }
    let long = kick_off(&stage, &doctor.token, "/Patient/$export").await;
    let short = kick_off(&stage, &ada.token, "/Patient/$export").await;
    let mut turns = 0;
    while get(&stage, &ada.token, &short).await.status == 202 {
        stage.clock.advance(std::time::Duration::from_millis(1));
        assert!(turn(&stage).await);
        turns += 1;
        assert!(turns <= 5, "the short one waits for the long one");
    }
    assert_eq!(get(&stage, &doctor.token, &long).await.status, 202);
}
