//! From a name to addresses that may be dialled. Whoever connects gets its addresses from here, so that what was judged
//! is what is dialled: a name that changes its address between two looks is judged at each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::Rules;
use super::target::{Target, TargetHost};

/// Longest wait for a name when an endpoint is configured; one that cannot be looked up now is judged at each try.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// Why there is nothing to dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    /// One of the addresses at least is refused.
    #[error("leads to an address that this server does not call")]
    Refused,
    /// The name has no address, or nobody answers.
    #[error("the host's name has no address")]
    Unknown,
}

/// A test's own name server.
#[cfg(test)]
type Table = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

/// Who knows the addresses of names.
#[derive(Clone)]
enum Source {
    /// The system's name servers.
    System(Box<TokioResolver>),
    /// Nobody: the system has no configuration of name servers.
    Nobody,
    /// A test.
    #[cfg(test)]
    Table(Table),
}

/// Looks names up and judges what it finds. `Clone` is a reference count.
#[derive(Clone)]
pub(crate) struct Resolver {
    source: Source,
    rules: Arc<Rules>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Resolver {
    /// With the system's name servers.
    pub(crate) fn system(rules: Arc<Rules>) -> Self {
        let source = match TokioResolver::builder_tokio() {
            Ok(mut builder) => {
                // All addresses are judged, not those of one family alone.
                builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
                Source::System(Box::new(builder.build()))
            }
            Err(error) => {
                tracing::warn!(%error, "no configuration of name servers: webhooks reach addresses alone, no names");
                Source::Nobody
            }
        };
        Self { source, rules }
    }

    /// With a test's own table.
    #[cfg(test)]
    pub(crate) fn table(rules: Arc<Rules>, table: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self { source: Source::Table(Arc::new(table)), rules }
    }

    /// The addresses of a name, each of which may be dialled: one that may not refuses them all.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let found = self.look(name).await;
        if found.is_empty() {
            return Err(ResolveError::Unknown);
        }
        if found.iter().all(|address| self.rules.permit(*address)) { Ok(found) } else { Err(ResolveError::Refused) }
    }

    async fn look(&self, name: &str) -> Vec<IpAddr> {
        // RFC 6761, section 6.3: these are the loopback, whatever a name server says.
        if name == "localhost" || name.ends_with(".localhost") {
            return vec![Ipv4Addr::LOCALHOST.into()];
        }
        match &self.source {
            // The dot at the end keeps the system's search list out.
            Source::System(resolver) => match resolver.lookup_ip(format!("{name}.")).await {
                Ok(found) => found.iter().collect(),
                Err(_) => Vec::new(),
            },
            Source::Nobody => Vec::new(),
            #[cfg(test)]
            Source::Table(table) => table(name),
        }
    }

    /// Whether an endpoint may be configured: refused if its name leads where nothing is dialled; a name that nobody knows
    /// at the moment may still be made.
    ///
    /// # Errors
    /// [`ResolveError::Refused`].
    pub(crate) async fn judge(&self, target: &Target) -> Result<(), ResolveError> {
        let TargetHost::Name(name) = &target.host else { return Ok(()) };
        match tokio::time::timeout(LOOK_MAX, self.addresses(name)).await {
            Ok(Err(ResolveError::Refused)) => Err(ResolveError::Refused),
            _ => Ok(()),
        }
    }
}

impl Resolve for Resolver {
    /// What the HTTP client dials; it keeps the name for TLS and `Host`.
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let name = name.as_str().strip_suffix('.').unwrap_or(name.as_str()).to_owned();
            let found = resolver.addresses(&name).await?;
            // The port is the URL's.
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
