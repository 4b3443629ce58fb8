//! A bare socket, for requests that no HTTP library would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back before the connection closed or the deadline passed.
#[derive(Debug)]
pub struct RawAnswer {
    /// Status code; `None` if the server closed without one.
    pub status: Option<u16>,
    /// Head and body as text.
    pub text: String,
    /// Whether the server closed the connection before the deadline.
    pub is_closed: bool,
}

/// Sends `bytes` as they are, closes the sending half if `is_cut`, and reads until the first whole answer, the end of
/// the connection, or the deadline.
pub async fn send(address: &str, bytes: &[u8], is_cut: bool, deadline: Duration) -> RawAnswer {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    // The server may answer and close before all is sent: that is an answer too.
    let sent = tokio::time::timeout(deadline, stream.write_all(bytes)).await;
    if is_cut && matches!(sent, Ok(Ok(()))) {
        let _ = stream.shutdown().await;
    }
    read(&mut stream, deadline).await
}

/// Reads one answer.
pub async fn read(stream: &mut TcpStream, deadline: Duration) -> RawAnswer {
    let mut received = Vec::new();
    let mut is_closed = false;
    let whole = async {
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => {
                    is_closed = true;
                    break;
                }
                Ok(len) => received.extend(buffer.iter().take(len)),
            }
            if is_whole(&received) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(deadline, whole).await;
    let text = String::from_utf8_lossy(&received).into_owned();
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    RawAnswer { status, text, is_closed }
}

/// Whether head and, by its `Content-Length`, body are there.
fn is_whole(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_some_and(|length| body.len() >= length)
}
