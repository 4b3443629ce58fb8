//! A lean HTTP/1.1 client: one blocking socket, kept alive, heads rendered ahead.
//!
//! It shares the cores with the server under test, so it does nothing that it does not have to: two slices go out by
//! one vectored write, and the answer is read into a buffer that is used again.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Result;

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);
/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// The part of a request that comes before the length of its body.
#[derive(Debug, Clone)]
pub(crate) struct Head(Vec<u8>);

impl Head {
    /// A request to ingest, to be followed by its `Content-Length`.
    pub(crate) fn post(host: &str, path: &str, key: Option<&str>) -> Self {
        let key = key.map(|key| format!("X-API-Key: {key}\r\n")).unwrap_or_default();
        Self(
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{key}Content-Type: application/json\r\nContent-Length: ")
                .into_bytes(),
        )
    }

    /// A whole request to read.
    pub(crate) fn get(host: &str, path: &str, key: Option<&str>) -> Self {
        let key = key.map(|key| format!("X-API-Key: {key}\r\n")).unwrap_or_default();
        Self(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{key}\r\n").into_bytes())
    }

    /// The same, which does not want the answer at once.
    pub(crate) fn get_later(host: &str, path: &str, key: &str) -> Self {
        let key = format!("X-API-Key: {key}\r\nPrefer: respond-async\r\n");
        Self(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{key}\r\n").into_bytes())
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    head: Vec<u8>,
    inbox: Vec<u8>,
    /// As long as the longest answer was, so that nothing is made room for again.
    body: Vec<u8>,
    body_len: usize,
    /// `Content-Location` of the last answer.
    location: Option<String>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            address,
            stream: dial(address)?,
            head: Vec::new(),
            inbox: Vec::new(),
            body: Vec::new(),
            body_len: 0,
            location: None,
        })
    }

    /// Sends a body, waits for the answer, gives its status; its body is in [`Self::body`].
    pub(crate) fn post(&mut self, head: &Head, body: &[u8]) -> Result<u16> {
        self.head.clear();
        self.head.extend_from_slice(&head.0);
        write!(self.head, "{}\r\n\r\n", body.len())?;
        write_both(&mut self.stream, &self.head, body)?;
        self.receive()
    }

    /// Asks, waits for the answer, gives its status; its body is in [`Self::body`].
    pub(crate) fn get(&mut self, head: &Head) -> Result<u16> {
        self.stream.write_all(&head.0)?;
        self.receive()
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        self.body.get(..self.body_len).unwrap_or_default()
    }

    /// Where the last answer says that what was asked for will be.
    pub(crate) fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    fn receive(&mut self) -> Result<u16> {
        self.inbox.clear();
        self.body_len = 0;
        let head_len = loop {
            if let Some(end) = find(&self.inbox, b"\r\n\r\n") {
                break end + 4;
            }
            if self.inbox.len() > HEAD_BYTES_MAX {
                return Err("the answer's head is too long".into());
            }
            self.fill()?;
        };
        let head = std::str::from_utf8(self.inbox.get(..head_len).unwrap_or_default())?;
        let mut answer = AnswerHead::parse(head)?;
        self.location = answer.location.take();
        self.inbox.drain(..head_len);
        if answer.is_chunked {
            self.receive_chunks()?;
        } else {
            self.receive_body(0, answer.body_len)?;
        }
        if answer.is_last {
            self.stream = dial(self.address)?;
        }
        Ok(answer.status)
    }

    /// Reads a chunked body to its end; there must be no trailers.
    fn receive_chunks(&mut self) -> Result<()> {
        let mut read = 0;
        loop {
            let rest = self.inbox.get(read..).unwrap_or_default();
            let Some(line_len) = find(rest, b"\r\n") else {
                self.fill()?;
                continue;
            };
            let line = std::str::from_utf8(rest.get(..line_len).unwrap_or_default())?;
            let chunk_len = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)?;
            let start = read + line_len + 2;
            read = self.receive_body(start, chunk_len)?;
            while self.inbox.len() < read + 2 {
                self.fill()?;
            }
            read += 2;
            if chunk_len == 0 {
                return Ok(());
            }
        }
    }

    /// Takes so many bytes of a body, which begin at a place of the inbox, straight into theirs; where the inbox goes on
    /// behind them.
    fn receive_body(&mut self, start: usize, len: usize) -> Result<usize> {
        let end = self.body_len + len;
        if self.body.len() < end {
            self.body.resize(end, 0);
        }
        let room = self.body.get_mut(self.body_len..end).unwrap_or_default();
        let here = self.inbox.get(start..).unwrap_or_default();
        let here = here.get(..len).unwrap_or(here);
        let (first, rest) = room.split_at_mut(here.len());
        first.copy_from_slice(here);
        self.stream.read_exact(rest)?;
        self.body_len = end;
        Ok(start + here.len())
    }

    fn fill(&mut self) -> Result<()> {
        let start = self.inbox.len();
        self.inbox.resize(start + (64 << 10), 0);
        let read = self.stream.read(self.inbox.get_mut(start..).unwrap_or_default());
        self.inbox.truncate(start + *read.as_ref().unwrap_or(&0));
        if read? == 0 {
            return Err("the server closed the connection in the middle of an answer".into());
        }
        Ok(())
    }
}

fn dial(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(stream)
}

fn write_both(stream: &mut TcpStream, head: &[u8], body: &[u8]) -> io::Result<()> {
    let sent = stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])?;
    if let Some(rest) = head.get(sent..) {
        stream.write_all(rest)?;
    }
    stream.write_all(body.get(sent.saturating_sub(head.len())..).unwrap_or_default())
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

struct AnswerHead {
    status: u16,
    body_len: usize,
    is_chunked: bool,
    is_last: bool,
    location: Option<String>,
}

impl AnswerHead {
    fn parse(head: &str) -> Result<Self> {
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("the answer has no status")?.parse()?;
        let mut answer = Self { status, body_len: 0, is_chunked: false, is_last: false, location: None };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-location") {
                answer.location = Some(value.to_owned());
            } else if name.eq_ignore_ascii_case("content-length") {
                answer.body_len = value.parse()?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                answer.is_chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                answer.is_last = value.eq_ignore_ascii_case("close");
            }
        }
        Ok(answer)
    }
}
