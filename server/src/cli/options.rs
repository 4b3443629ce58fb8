//! The flags that every command has: which configuration.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{Config, Sources};

/// Which configuration.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigOptions {
    /// The directory that holds everything [default: data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The configuration file [default: avycenna.toml in the data directory, then in the working directory]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any setting, as in `--set limits.enabled=false`; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
}

impl ConfigOptions {
    /// The effective configuration; `more` are flags of the command itself: the flag, its key, its value.
    ///
    /// # Errors
    /// [`Failure::Config`].
    pub fn load(&self, more: &[(&str, &str, String)]) -> Result<Config, Failure> {
        let mut sources = Sources::of_process();
        sources.file.clone_from(&self.config);
        sources.flags.extend(self.set.iter().map(|(key, value)| ("--set".to_owned(), key.clone(), value.clone())));
        if let Some(data_dir) = &self.data_dir {
            let data_dir = data_dir.to_string_lossy().into_owned();
            sources.flags.push(("--data-dir".to_owned(), "storage.data_dir".to_owned(), data_dir));
        }
        let more = more.iter().map(|(flag, key, value)| ((*flag).to_owned(), (*key).to_owned(), value.clone()));
        sources.flags.extend(more);
        Ok(Config::load(&sources)?)
    }
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("must be section.key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}
