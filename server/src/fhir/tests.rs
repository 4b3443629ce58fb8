//! The FHIR face as a whole.

use crate::access::tests::Stage;
use crate::control::repository::fhir_keys;
use crate::control::tests::Fixture as Database;

async fn one_key(stage: Stage) {
    let other = Stage::with_state_of(&stage).await;
    let point = crate::fhir::id::Point {
        user: storage::UserId::parse("usr_7jRtHvBk").unwrap(),
        metric: crate::fhir::id::metric_mark("hrv"),
        recorded_at: 5,
        origin: crate::fhir::id::origin_mark("w", None),
    };
    assert_eq!(fhir_keys::find(stage.state.control.read()).await.unwrap(), None, "made when it is needed");
    let (here, there) =
        tokio::join!(stage.state.fhir.ids(&stage.state.control), other.state.fhir.ids(&other.state.control));
    let id = here.unwrap().of_point(&point);
    assert_eq!(there.unwrap().of_point(&point), id);
    // Another process, later.
    let third = Stage::with_state_of(&stage).await;
    assert_eq!(third.state.fhir.ids(&third.state.control).await.unwrap().of_point(&point), id);
    let key = fhir_keys::find(stage.state.control.read()).await.unwrap().unwrap();
    assert_eq!(key.len(), 32);
    assert_eq!(fhir_keys::insert(stage.state.control.read(), vec![0; 32]).await.unwrap(), key, "the first one stays");
}

#[tokio::test]
async fn all_processes_on_a_database_name_an_observation_alike() {
    Box::pin(one_key(Stage::new().await)).await;
}

#[tokio::test]
async fn and_on_postgresql() {
    if let Some(database) = Database::postgres("avycenna_fhir_key").await {
        Box::pin(one_key(Stage::on(database).await)).await;
    }
}
