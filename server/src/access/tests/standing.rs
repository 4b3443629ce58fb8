//! An answer that is under way when its grant ends.

use axum::body::Bytes;
use axum::response::Response;
use futures::StreamExt;

use super::*;
use crate::access::{Permission, Standing, Visitor};

type Pieces = tokio::sync::mpsc::UnboundedSender<Bytes>;

/// A streamed answer that a doctor was let in to, and where its pieces are put in.
async fn answer(stage: &Stage, doctor: &Person, patient: &Person) -> (Pieces, axum::body::BodyDataStream) {
    let mut headers = axum::http::HeaderMap::new();
    headers.insert(doctor.key.0, doctor.key.1.parse().unwrap());
    let principal = stage.state.auth.authenticate(&headers).await.unwrap();
    let visitor = Visitor { principal, address: PEER };
    let (put, pieces) = tokio::sync::mpsc::unbounded_channel();
    let pieces = futures::stream::unfold(pieces, |mut pieces| async { Some((pieces.recv().await?, pieces)) });
    let response = Response::new(Body::from_stream(pieces.map(Ok::<_, std::convert::Infallible>)));
    let standing = Standing::new(&stage.state.control, &visitor, &patient.id, &[Permission::Wearables]);
    (put, standing.guard(response).into_body().into_data_stream())
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
        stage.clock.advance(std::time::Duration::from_secs(1));
        assert!(next().await.is_ok(), "while the grant holds");
    }
    stage.revoke(&patient, &grant).await;
    stage.clock.advance(std::time::Duration::from_millis(999));
    assert!(next().await.is_ok(), "not looked at yet");
    stage.clock.advance(std::time::Duration::from_millis(1));
    assert!(next().await.is_err(), "the grant has ended");
}

#[tokio::test]
async fn a_whole_answer_keeps_its_length() {
    let stage = Stage::new().await;
    let (patient, doctor) = (stage.patient("Ada").await, stage.doctor("Doc").await);
    stage.grant(&doctor, &patient, &["wearables"]).await;
    let visitor = {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert(doctor.key.0, doctor.key.1.parse().unwrap());
        Visitor { principal: stage.state.auth.authenticate(&headers).await.unwrap(), address: PEER }
    };
    let standing = Standing::new(&stage.state.control, &visitor, &patient.id, &[Permission::Wearables]);
    let guarded = standing.guard(Response::new(Body::from("whole")));
    assert_eq!(axum::body::HttpBody::size_hint(guarded.body()).exact(), Some(5));
}
