//! An answer that is under way when its grant ends.

use axum::body::Bytes;
use axum::response::Response;
use futures::StreamExt;

use super::*;
use crate::access::{Permission, Standing, Visitor};
use crate::error::ApiError;

type Pieces = tokio::sync::mpsc::UnboundedSender<Bytes>;

/// A doctor who was let in to a patient's points.
async fn standing(stage: &Stage, doctor: &Person, patient: &Person) -> Standing {
    let mut headers = axum::http::HeaderMap::new();
    headers.insert(doctor.key.0, doctor.key.1.parse().unwrap());
    let principal = stage.state.auth.authenticate(&headers).await.unwrap();
    let visitor = Visitor { principal, address: PEER };
    Standing::new(&stage.state.control, &visitor, &patient.id, &[Permission::Wearables])
}

/// A streamed answer that a doctor was let in to, and where its pieces are put in.
async fn answer(stage: &Stage, doctor: &Person, patient: &Person) -> (Pieces, axum::body::BodyDataStream) {
    let (put, pieces) = tokio::sync::mpsc::unbounded_channel();
    let pieces = futures::stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) });
    let response = Response::new(Body::from_stream(pieces.map(Ok::<_, std::convert::Infallible>)));
    (put, standing(stage, doctor, patient).await.guard(response).into_body().into_data_stream())
}

#[tokio::test]
async fn a_streamed_answer_breaks_off_within_a_second_of_the_end_of_its_grant() {
    let stage = Stage::new().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let grant = stage.grant(&doctor, &patient, &["wearables"]).await;
    let (put, mut answered) = answer(&stage, &doctor, &patient).await;
    let mut next = async || {
        put.send(Bytes::from_static(b"piece")).unwrap();
        answered.next().await.unwrap()
    };
    for _ in 0..3 {
        stage.clock.advance(Duration::from_secs(1));
        assert!(next().await.is_ok(), "while the grant holds");
    }
    stage.revoke(&patient, &grant).await;
    stage.clock.advance(Duration::from_millis(999));
    assert!(next().await.is_ok(), "not looked at yet");
    stage.clock.advance(Duration::from_millis(1));
    assert!(next().await.is_err(), "the grant has ended");
}

#[tokio::test]
async fn a_whole_answer_keeps_its_length() {
    let stage = Stage::new().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &patient, &["wearables"]).await;
    let guarded = standing(&stage, &doctor, &patient).await.guard(Response::new(Body::from("whole")));
    assert_eq!(axum::body::HttpBody::size_hint(guarded.body()).exact(), Some(5));
}

#[tokio::test]
async fn what_was_found_while_the_grant_ended_is_not_answered() {
    let stage = Stage::new().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    let grant = stage.grant(&doctor, &patient, &["wearables"]).await;
    let standing = standing(&stage, &doctor, &patient).await;
    let found = standing.behind(async { Ok::<_, ApiError>("points") }).await;
    assert_eq!(found.unwrap(), "points", "while the grant holds");
    let read = async {
        stage.revoke(&patient, &grant).await;
        Ok::<_, ApiError>("points")
    };
    assert!(standing.behind(read).await.is_err(), "the grant ended while points were read");
}

#[tokio::test]
async fn every_read_of_points_looks_at_the_grant_again_behind_its_record() {
    let (database, heard) = Database::new().await.overheard().await;
    let stage = Stage::on(database).await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &patient, &["check_ins"]).await;
    stage.heart_rate(&patient, 60.0, 1.0).await;
    for path in ["wearables/latest", "wearables/metric/heart_rate", "wearables/metric/heart_rate?bucket=1d", "overview"]
    {
        heard.lock().unwrap().clear();
        stage.read(&doctor.token, &format!("/grants/patient/{}/{path}", patient.id)).await;
        let heard = heard.lock().unwrap();
        let recorded = heard.iter().position(|sql| sql.contains("INSERT INTO \"audit_records\"")).unwrap();
        let looks = heard.iter().skip(recorded).filter(|sql| sql.contains("FROM \"grants\"")).count();
        assert_eq!(looks, 1, "{path}: {heard:?}");
    }
}
