//! What connections may take of the server before, and while, somebody asks something.

use arrow_flight::FlightData;
use arrow_flight::flight_service_client::FlightServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Request;

use super::*;

/// Longest wait for what the server does of itself.
const DEADLINE: Duration = Duration::from_secs(30);

/// A preface of HTTP/2 and empty settings: all that a client has to say for the connection to be one.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

impl Scene {
    async fn within(change: impl FnOnce(&mut Bounds)) -> Self {
        let stage = Stage::new().await;
        let mut bounds = Bounds::of(&stage.state.config);
        change(&mut bounds);
        Self::of(stage, bounds).await
    }

    async fn socket(&self) -> TcpStream {
        TcpStream::connect(self.address.strip_prefix("http://").unwrap()).await.unwrap()
    }

    async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.address.clone()).unwrap().connect().await.unwrap()
    }

    async fn open(&self, expected: u32) {
        self.stage.shown(&format!("avycenna_flight_connections {expected}\n")).await;
    }
}

/// Whether the server ends a connection by itself.
async fn is_closed(mut socket: TcpStream) -> bool {
    let read = async { while socket.read(&mut [0; 1_024]).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(DEADLINE, read).await.is_ok()
}

#[tokio::test]
async fn so_many_connections_are_open_and_further_ones_wait() {
    let scene = Scene::within(|bounds| bounds.connections_max = 2).await;
    let mut first = scene.client(Some(&scene.ada.key)).await;
    let second = scene.socket().await;
    scene.open(2).await;
    let (address, key) = (scene.address.clone(), scene.eve.key.1.clone());
    let third = tokio::spawn(async move {
        let mut client = FlightSqlServiceClient::new(Endpoint::from_shared(address).unwrap().connect().await.unwrap());
        client.set_header("x-api-key", key);
        values(&mut client, VALUES).await
    });
    for _ in 0..20 {
        assert_eq!(values(&mut first, VALUES).await.unwrap(), [60.0, 62.0]);
    }
    assert!(!third.is_finished(), "it waits");
    drop(second);
    assert_eq!(tokio::time::timeout(DEADLINE, third).await.unwrap().unwrap().unwrap(), [161.0]);
}

#[tokio::test]
async fn a_connection_that_does_not_begin_to_speak_is_closed() {
    let scene = Scene::within(|bounds| bounds.opening = Duration::from_millis(300)).await;
    let silent = scene.socket().await;
    let mut stammering = scene.socket().await;
    stammering.write_all(&OPENING[..20]).await.unwrap();
    let mut speaking = scene.client(Some(&scene.ada.key)).await;
    scene.open(3).await;
    assert!(is_closed(silent).await && is_closed(stammering).await);
    scene.open(1).await;
    assert_eq!(values(&mut speaking, VALUES).await.unwrap(), [60.0, 62.0], "who speaks stays");
}

#[tokio::test]
async fn an_old_connection_takes_no_more_and_its_client_opens_another() {
    let scene = Scene::within(|bounds| {
        bounds.age_max = Duration::from_millis(1_500);
        // One that answers nothing at all is not asked twice.
        bounds.age_grace = Duration::from_millis(300);
    })
    .await;
    let mut idle = scene.socket().await;
    idle.write_all(OPENING).await.unwrap();
    let mut client = scene.client(Some(&scene.ada.key)).await;
    client.get_catalogs().await.unwrap();
    assert!(is_closed(idle).await);
    scene.open(0).await;
    // This client learns by a call that its connection is gone; others ask once more by themselves.
    drop(client.get_catalogs().await);
    client.get_catalogs().await.unwrap();
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_not_waited_for() {
    let scene = Scene::within(|bounds| {
        bounds.age_max = Duration::from_millis(300);
        bounds.age_grace = Duration::from_millis(300);
    })
    .await;
    let mut rows = scene.long(&scene.ada).await;
    scene.open(0).await;
    scene.stage.queries_running(0).await;
    let broken = loop {
        match rows.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it came to its end"),
            Err(error) => break error,
        }
    };
    assert!(!broken.to_string().contains("bound"), "{broken}");
}

#[tokio::test]
async fn a_message_has_a_longest_length() {
    let scene = Scene::new().await;
    let mut ada = scene.client(Some(&scene.ada.key)).await;
    let long = |bytes: usize| format!("SELECT 1.0 -- {}", "x".repeat(bytes));
    let refused = values(&mut ada, &long(MESSAGE_BYTES_MAX)).await.unwrap_err();
    assert!(refused.contains("message length too large"), "{refused}");
    let refused = values(&mut ada, &long(engine::query::sql::SQL_BYTES_MAX)).await.unwrap_err();
    assert!(refused.contains("65536 bytes of SQL"), "{refused}");
    assert_eq!(values(&mut ada, VALUES).await.unwrap(), [60.0, 62.0]);
}

#[tokio::test]
async fn a_request_that_is_never_all_there_ends_and_so_many_wait_on_one_connection() {
    let scene = Scene::within(|bounds| bounds.request = Duration::from_secs(4)).await;
    let (channel, mut other) = (scene.channel().await, scene.client(Some(&scene.ada.key)).await);
    let put = |channel: Channel| async move {
        let silence = futures::stream::pending::<FlightData>();
        FlightServiceClient::new(channel).do_put(Request::new(silence)).await.unwrap_err()
    };
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..STREAMS_MAX {
        waiting.spawn(put(channel.clone()));
    }
    let mut next = FlightSqlServiceClient::new(channel);
    next.set_header("x-api-key", scene.ada.key.1.as_str());
    // On a connection of its own nobody waits; by then those requests have begun.
    assert_eq!(values(&mut other, "SELECT 1.0").await.unwrap(), [1.0]);
    let began = tokio::time::Instant::now();
    let answered = tokio::time::timeout(DEADLINE, values(&mut next, "SELECT 1.0")).await.expect("they end");
    assert_eq!(answered.unwrap(), [1.0]);
    assert!(began.elapsed() > Duration::from_millis(500), "one more waits until one of them has ended");
    while let Some(ended) = waiting.join_next().await {
        let ended = ended.unwrap();
        assert!(ended.message().to_lowercase().contains("timeout"), "{ended}");
    }
}

#[tokio::test]
async fn metadata_have_a_longest_length() {
    let scene = Scene::within(|bounds| bounds.header_bytes_max = 4_096).await;
    let mut ada = scene.client(Some(&scene.ada.key)).await;
    assert_eq!(values(&mut ada, VALUES).await.unwrap(), [60.0, 62.0]);
    ada.set_header("x-long", "x".repeat(8_192));
    values(&mut ada, VALUES).await.unwrap_err();
}
