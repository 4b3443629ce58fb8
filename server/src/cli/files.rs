//! `avycenna files`: which Parquet files count.

use clap::Args;
use storage::manifest::Level;

use super::maintenance::place;
use super::{ConfigOptions, Failure, Terminal};

/// Lists the Parquet files that count.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  avycenna files --data-dir /var/lib/avycenna
  duckdb -c \"SELECT count(*) FROM read_parquet([$(avycenna files | sed \"s/.*/'&'/\" | paste -sd,)])\"

One path a line: the files of the newest manifest version. They hold every point once, and nothing that was deleted, only
behind `avycenna compact`, and then as long as no server runs on the directory: what is newer lies in the log, and of files
that overlap (level 0) the newer one counts. With --check it says so by exit code 1.")]
pub(super) struct Files {
    /// Fails, and lists nothing, if files overlap
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    options: ConfigOptions,
}

impl Files {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let config = self.options.load(&[])?;
        let files = storage::verify::live_files(&place(&config)?)?;
        if self.check && files.iter().any(|file| file.level == Level::Zero) {
            return Err(Failure::Overlapping);
        }
        let folder = std::path::absolute(&config.storage.data_dir).map_err(Failure::Input)?;
        files.iter().try_for_each(|file| terminal.say(&folder.join(&file.path).display().to_string()))
    }
}
