//! `avycenna serve`: runs the server until it is asked to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{ConfigOptions, Failure, Terminal};
use crate::config::{Config, Format};

/// Runs the server.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  avycenna serve
  avycenna serve --data-dir /var/lib/avycenna --listen 0.0.0.0:8080
  AVYCENNA_LIMITS_ENABLED=false avycenna serve --set log.format=json
  avycenna serve --print-config

Stops on SIGTERM and SIGINT: requests in flight end, everything acknowledged is in the log, exit code 0. Exit code 3 if
another server uses the data directory.")]
pub(super) struct Serve {
    /// Where the API answers; port 0 takes any free port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Prints the effective configuration, secrets masked, and ends
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    options: ConfigOptions,
}

impl Serve {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let listen = self.listen.map(|address| ("--listen", "listen.address", address.to_string()));
        let config = self.options.load(listen.as_slice())?;
        if self.print_config {
            return write!(terminal.out, "{}", config.to_toml()).map_err(Failure::Output);
        }
        start_log(&config)?;
        install_tls();
        crate::serve::run(Arc::new(config)).map_err(|error| Failure::Serve(Box::new(error)))
    }
}

/// Sends the log of this process to standard error.
///
/// # Errors
/// [`Failure::Log`] for filters that are none, or if there is a log already.
pub(crate) fn start_log(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.log.level).map_err(|error| Failure::Log(error.to_string()))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let started = match config.log.format {
        Format::Text => log.try_init(),
        Format::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::Log(error.to_string()))
}

/// Names the one implementation of TLS for all clients of this process. A second call changes nothing.
pub(crate) fn install_tls() {
    // An error says that one is installed already, which is what was wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}
