//! The null server: the least that any server of this stack must do with a body.
//!
//! axum on two workers reads the body, simd-json makes its tape with buffers that are used again, 201 goes out.
//! Nothing is validated, kept or made durable. Its CPU time a point, in the same run on the same machine, is what the
//! server's own figure is compared with.

use std::cell::RefCell;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};

use crate::Result;

thread_local! {
    static BUFFERS: RefCell<(Vec<u8>, simd_json::Buffers, simd_json::Tape<'static>)> =
        RefCell::new((Vec::new(), simd_json::Buffers::default(), simd_json::Tape(Vec::new())));
}

/// Serves until it is killed.
pub(crate) fn serve(address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let routes = Router::new()
        .route("/readyz", get(|| async { StatusCode::OK }))
        .route("/api/v1/wearables/bulk-ingest", post(ingest))
        .layer(DefaultBodyLimit::max(4 << 20));
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        axum::serve(listener, routes).await?;
        Ok(())
    })
}

async fn ingest(body: Bytes) -> (StatusCode, String) {
    let nodes = BUFFERS.with_borrow_mut(|(copy, buffers, spare)| {
        // simd-json works in place. The body is nearly always this request's alone, and then it is not copied.
        let mut own = body.try_into_mut();
        let bytes: &mut [u8] = match &mut own {
            Ok(own) => own,
            Err(shared) => {
                copy.clear();
                copy.extend_from_slice(shared);
                copy
            }
        };
        let mut tape = std::mem::replace(spare, simd_json::Tape(Vec::new())).reset();
        let nodes = simd_json::fill_tape(bytes, buffers, &mut tape).map(|()| tape.0.len());
        *spare = tape.reset();
        nodes
    });
    match nodes {
        Ok(nodes) => (StatusCode::CREATED, format!("{{\"ingested\":{nodes}}}")),
        Err(_) => (StatusCode::UNPROCESSABLE_ENTITY, String::new()),
    }
}
