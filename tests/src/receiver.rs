//! Somebody who takes requests of the server under test, keeps their bytes and answers what a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::server::DEADLINE;

/// Between two looks for what has come in.
const POLL: std::time::Duration = std::time::Duration::from_millis(10);

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Got {
    /// When it was there.
    pub at: Instant,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Got {
    /// A header field, empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

#[derive(Debug, Default)]
struct Shared {
    got: Vec<Got>,
    status: u16,
}

/// A receiver on the loopback. It lives as long as the test's runtime.
#[derive(Debug, Clone)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl Receiver {
    /// Listens, and answers 204.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Mutex::new(Shared { got: Vec::new(), status: 204 }));
        let taken = Arc::clone(&shared);
        drop(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(tokio::spawn(serve(stream, Arc::clone(&taken))));
            }
        }));
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT/hook`.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// From now on it answers this.
    pub fn set(&self, status: u16) {
        self.shared.lock().expect("no panic").status = status;
    }

    /// What has come in so far.
    pub fn got(&self) -> Vec<Got> {
        self.shared.lock().expect("no panic").got.clone()
    }

    /// Waits until so many have come in, and answers all.
    pub async fn wait_for(&self, count: usize) -> Vec<Got> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let got = self.got();
            if got.len() >= count {
                return got;
            }
            assert!(Instant::now() < deadline, "{} of {count} requests came in", got.len());
            tokio::time::sleep(POLL).await;
        }
    }
}

/// One request a connection.
async fn serve(mut stream: TcpStream, shared: Arc<Mutex<Shared>>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let mut body = bytes.split_off(head + 4);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let headers: Vec<_> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let got = Got { at: Instant::now(), headers, body: Vec::new() };
    let len: usize = got.header("content-length").parse().unwrap_or(0);
    while body.len() < len {
        if stream.read_buf(&mut body).await? == 0 {
            return Ok(());
        }
    }
    let status = {
        let mut shared = shared.lock().expect("no panic");
        shared.got.push(Got { body, ..got });
        shared.status
    };
    let answer = format!("HTTP/1.1 {status} As Asked\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
