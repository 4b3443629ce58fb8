//! Somebody who takes webhooks, and answers as its path says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::Value;

use super::{DEADLINE, POLL};

/// A request that came in.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }
}

/// A server on the loopback. `/status/N/…` answers N, `/hang/…` waits for [`Receiver::release`], `/endless` does not end, `/broken` breaks off, `/stuck` goes silent,
/// `/later/S` is 503 with `Retry-After: S`, `/redirect` leads to `/status/200`; what [`Receiver::set`] has set wins.
#[derive(Clone)]
pub(super) struct Receiver {
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    got: Mutex<Vec<Got>>,
    status: Mutex<Option<u16>>,
    hanging: AtomicUsize,
    hanging_max: AtomicUsize,
    released: tokio::sync::watch::Sender<bool>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            got: Mutex::default(),
            status: Mutex::default(),
            hanging: AtomicUsize::new(0),
            hanging_max: AtomicUsize::new(0),
            released: tokio::sync::watch::Sender::new(false),
        });
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        drop(tokio::spawn(async move { axum::serve(listener, router).await }));
        Self { address, shared }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on every path answers this.
    pub(super) fn set(&self, status: u16) {
        *self.shared.status.lock().unwrap() = Some(status);
    }

    /// Lets what hangs be answered.
    pub(super) fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// From now on requests hang again, and are counted anew.
    pub(super) fn hang(&self) {
        self.shared.released.send_replace(false);
        self.shared.hanging_max.store(self.shared.hanging.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Most requests that hung at once.
    pub(super) fn hanging_max(&self) -> usize {
        self.shared.hanging_max.load(Ordering::SeqCst)
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }

    /// Waits until so many have come in, and answers all.
    pub(super) async fn wait_for(&self, count: usize) -> Vec<Got> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let got = self.got();
            if got.len() >= count {
                return got;
            }
            assert!(tokio::time::Instant::now() < deadline, "{} of {count} came in", got.len());
            tokio::time::sleep(POLL).await;
        }
    }
}

async fn take(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    shared.got.lock().unwrap().push(Got { path: path.clone(), headers, body });
    if let Some(status) = *shared.status.lock().unwrap() {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let mut steps = path.split('/').skip(1);
    match (steps.next(), steps.next()) {
        (Some("status"), Some(status)) => {
            (StatusCode::from_u16(status.parse().unwrap()).unwrap(), "as asked").into_response()
        }
        (Some("later"), Some(seconds)) => {
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, seconds.to_owned())]).into_response()
        }
        (Some("redirect"), _) => (StatusCode::FOUND, [(header::LOCATION, "/status/200")]).into_response(),
        (Some("hang"), _) => {
            let hanging = shared.hanging.fetch_add(1, Ordering::SeqCst) + 1;
            shared.hanging_max.fetch_max(hanging, Ordering::SeqCst);
            drop(shared.released.subscribe().wait_for(|released| *released).await);
            shared.hanging.fetch_sub(1, Ordering::SeqCst);
            StatusCode::OK.into_response()
        }
        (Some("broken"), _) => {
            let begun = futures::stream::iter([Ok(Bytes::from_static(b"begun"))]);
            // The head and the beginning leave before it breaks.
            let breaks = futures::stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("broken"))
            });
            Body::from_stream(begun.chain(breaks)).into_response()
        }
        (Some("stuck"), _) => {
            let begun = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"begun"))]);
            Body::from_stream(begun.chain(futures::stream::pending())).into_response()
        }
        (Some("endless"), _) => {
            let piece = || Some((Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 16 << 10])), ()));
            Body::from_stream(futures::stream::unfold((), move |()| async move { piece() })).into_response()
        }
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}
