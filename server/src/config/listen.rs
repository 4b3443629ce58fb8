//! `[listen]`: where the server answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Flaw;

/// Addresses. Port 0 takes any free port; the log says which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Where the API answers.
    pub address: SocketAddr,
    /// Where `/metrics` answers; without it there is no such page.
    pub metrics: Option<SocketAddr>,
    /// Where Arrow Flight SQL answers; without it there is no such service.
    pub flight: Option<SocketAddr>,
    /// Proxies whose `X-Forwarded-For` names the client, as networks (`10.0.0.0/8`). Nobody by default.
    pub trusted_proxies: Vec<Network>,
    /// Most open connections; further ones wait in the system's queue.
    pub connections_max: usize,
    /// Most open connections of Flight SQL; further ones wait in the system's queue.
    pub flight_connections_max: usize,
    /// How long requests in flight may take to end after SIGTERM, seconds.
    pub stop_s: u64,
}

/// A range of addresses, as in `10.0.0.0/8` or `fd00::/8`; a single address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(pub IpNet);

impl TryFrom<String> for Network {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map(Self).map_err(|_| "must be a network such as 10.0.0.0/8")
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.0.to_string()
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            metrics: None,
            flight: None,
            trusted_proxies: Vec::new(),
            connections_max: 10_000,
            flight_connections_max: 128,
            stop_s: 30,
        }
    }
}

impl Listen {
    /// Checks what the types alone cannot.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        if self.connections_max == 0 {
            return Err(Flaw::new("connections_max", "must be at least 1"));
        }
        if self.flight_connections_max == 0 {
            return Err(Flaw::new("flight_connections_max", "must be at least 1"));
        }
        if self.metrics == Some(self.address) && self.address.port() != 0 {
            return Err(Flaw::new("metrics", "must differ from listen.address"));
        }
        if self
            .flight
            .is_some_and(|flight| flight.port() != 0 && [Some(self.address), self.metrics].contains(&Some(flight)))
        {
            return Err(Flaw::new("flight", "must differ from listen.address and listen.metrics"));
        }
        Ok(())
    }
}
