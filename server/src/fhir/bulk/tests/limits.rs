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
