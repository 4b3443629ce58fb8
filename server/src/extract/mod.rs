//! From a request to what a handler needs, or to the error that says what is wrong with it.

pub mod inflate;
pub mod payload;
pub mod principal;
pub mod query;

pub use self::payload::Payload;
pub use self::principal::{Reader, ReaderWriter, Writer};
pub use self::query::{Days, Query};

/// Whom a request comes from: the peer, or whom a trusted proxy names. An extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub std::net::IpAddr);
