//! `avycenna import`: sends files to a server, watches their imports, and says what became of them.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Body, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_util::io::ReaderStream;
use zip::write::SimpleFileOptions;

use super::{Failure, Terminal, block_on};
use crate::config::CLIENT_KEY_VARIABLE;
use crate::imports::{Report, Skipped};

const EXAMPLES: &str = "\
Examples:
  avycenna import apple-health export.zip --url https://health.example.org --key avk_…
  avycenna import garmin ~/Downloads/garmin-export.zip --url http://127.0.0.1:8080
  avycenna import garmin /media/GARMIN/Monitor /media/GARMIN/Activity

The key may also be in AVYCENNA_KEY. Ctrl-C ends the import; what was taken stays, and the same file again brings the rest.
The same file again changes nothing.";

/// Between two looks at an import.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Looks at an import that may fail, one after the other, before it is given up.
const FAILED_LOOKS_MAX: u32 = 100;

/// Steps of the bar of an import.
const BAR_STEPS: u64 = 1_000;

/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 256 << 10;

/// Why a file was not imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file of this machine.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Files could not be put together.
    #[error("zip {}", path.display())]
    Zip {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: zip::result::ZipError,
    },
    /// A folder holds nothing that could be sent.
    #[error("{} holds no file that ends in {endings}", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
        /// What of a folder is sent, for people.
        endings: &'static str,
    },
    /// The server cannot be asked.
    #[error("ask the server")]
    Http(#[from] reqwest::Error),
    /// The server said no.
    #[error("the server answered {status}: {detail}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Why.
        detail: String,
    },
    /// Somebody pressed Ctrl-C while the file was on its way.
    #[error("stopped before {} was there; send it again: what may be there counts once", .0.display())]
    NotSent(PathBuf),
    /// Somebody pressed Ctrl-C while the import ran, and the server has ended it.
    #[error("the import was ended; what was taken stays, and the same file again brings the rest")]
    Ended,
    /// Somebody pressed Ctrl-C while the import ran, and the server does not say that it has ended it.
    #[error("the server was not told to end the import, which goes on; `DELETE {url}` with the key ends it")]
    GoesOn {
        /// The import.
        url: Url,
        /// Why not.
        source: Option<Box<ImportError>>,
    },
}

/// Sends files of a watch or phone to a server.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Import {
    #[command(subcommand)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Format {
    /// The export of the iPhone's app Health: export.zip, or the export.xml in it.
    #[command(after_help = EXAMPLES)]
    AppleHealth(Sending),
    /// FIT files, zips of them, folders, or the export of a Garmin account.
    #[command(after_help = EXAMPLES)]
    Garmin(Sending),
}

#[derive(Debug, Args)]
struct Sending {
    /// The files; a folder is sent with everything in it, as one
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the server is
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// An API key that may read and write
    #[arg(long, env = CLIENT_KEY_VARIABLE, hide_env_values = true)]
    key: String,
    /// Sources, the best first, by commas: which counts where several counted the same steps
    #[arg(long, value_name = "SOURCES")]
    priority: Option<String>,
}

impl Format {
    /// The API's word, and what of a folder is sent: the endings of files' names, for us and for people.
    fn sent(&self) -> (&'static str, Endings) {
        match self {
            Self::AppleHealth(_) => ("apple_health", Endings { all: &["zip", "xml"], said: ".zip or .xml" }),
            Self::Garmin(_) => ("garmin", Endings { all: &["fit", "zip", "json"], said: ".fit, .zip or .json" }),
        }
    }
}

/// Endings of the names of files that are of use.
#[derive(Debug, Clone, Copy)]
struct Endings {
    all: &'static [&'static str],
    said: &'static str,
}

impl Import {
    pub(super) fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let (format, endings) = self.format.sent();
        let (Format::AppleHealth(sending) | Format::Garmin(sending)) = self.format;
        block_on(sending.run(format, endings, terminal))
    }
}

impl Sending {
    async fn run(self, format: &'static str, endings: Endings, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        let server = Server::new(&self.url, self.key)?;
        let mut incomplete = 0;
        for path in &self.files {
            let file = opened(path, endings)?;
            let ended = server.import(format, self.priority.as_deref(), path, file).await?;
            tell(path, ended.seen(), terminal)?;
            match ended {
                Ended::ByItself(seen) => incomplete += usize::from(seen.status != "done"),
                Ended::Canceled(_) => return Err(ImportError::Ended.into()),
            }
        }
        if incomplete == 0 { Ok(()) } else { Err(Failure::Incomplete { files: incomplete }) }
    }
}

/// The answer to a file.
#[derive(Deserialize)]
struct Queued {
    id: String,
}

/// An import, as the server says it.
#[derive(Deserialize)]
struct Seen {
    status: String,
    progress: f64,
    #[serde(flatten)]
    report: Report,
    error: Option<String>,
}

/// An import that has ended, and how.
enum Ended {
    ByItself(Seen),
    /// Somebody pressed Ctrl-C.
    Canceled(Seen),
}

impl Ended {
    fn seen(&self) -> &Seen {
        let (Self::ByItself(seen) | Self::Canceled(seen)) = self;
        seen
    }
}

/// A server, and how to be let in.
struct Server {
    http: reqwest::Client,
    imports: Url,
    key: String,
}

impl Server {
    fn new(url: &Url, key: String) -> Result<Self, ImportError> {
        // The client has no TLS provider of its own; where one is installed already, that one does.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().user_agent(concat!("avycenna/", env!("CARGO_PKG_VERSION"))).build()?;
        let mut imports = url.clone();
        imports.set_path(&format!("{}/api/v1/imports", url.path().trim_end_matches('/')));
        Ok(Self { http, imports, key })
    }

    /// Sends a file and waits for the end of its import.
    async fn import(
        &self,
        format: &str,
        priority: Option<&str>,
        path: &Path,
        file: File,
    ) -> Result<Ended, ImportError> {
        let id = tokio::select! {
            sent = self.send(format, priority, path, file) => sent?,
            _ = tokio::signal::ctrl_c() => return Err(ImportError::NotSent(path.to_path_buf())),
        };
        tokio::select! {
            ended = self.watch(&id, path) => Ok(Ended::ByItself(ended?)),
            _ = tokio::signal::ctrl_c() => self.end(&id, path).await,
        }
    }

    /// Ends an import and looks what it has taken. Who presses Ctrl-C once more does not wait for the answers.
    async fn end(&self, id: &str, path: &Path) -> Result<Ended, ImportError> {
        let url = self.of(id);
        let asked = async {
            accepted(self.http.delete(url.clone()).header("x-api-key", &self.key).send().await?).await.map(drop)
        };
        let answered = tokio::select! {
            answered = asked => answered.map_err(|error| Some(Box::new(error))),
            _ = tokio::signal::ctrl_c() => Err(None),
        };
        match answered {
            Ok(()) => {}
            Err(source) => return Err(ImportError::GoesOn { url, source }),
        }
        tokio::select! {
            // It is not there any more if it had ended before it was to.
            seen = self.watch(id, path) => Ok(Ended::Canceled(seen.map_err(|_| ImportError::Ended)?)),
            _ = tokio::signal::ctrl_c() => Err(ImportError::Ended),
        }
    }

    async fn send(&self, format: &str, priority: Option<&str>, path: &Path, file: File) -> Result<String, ImportError> {
        let at = |source| ImportError::File { path: path.to_path_buf(), source };
        let bytes = file.metadata().map_err(at)?.len();
        let bar = bar(path, "sending", bytes, "{bytes}/{total_bytes} {bytes_per_sec}");
        let shown = bar.clone();
        let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE_BYTES);
        let pieces = futures::StreamExt::inspect(pieces, move |piece| {
            shown.inc(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        });
        let mut url = self.imports.clone();
        url.query_pairs_mut().append_pair("format", format);
        if let Some(priority) = priority {
            url.query_pairs_mut().append_pair("priority", priority);
        }
        let request = self.http.post(url).header("x-api-key", &self.key).header("content-length", bytes);
        let request = request.header("content-type", "application/octet-stream").body(Body::wrap_stream(pieces));
        let queued: Queued = answer(request.send().await?).await?;
        bar.finish_and_clear();
        Ok(queued.id)
    }

    /// Looks until the import has ended. A server that starts again in between is waited for.
    async fn watch(&self, id: &str, path: &Path) -> Result<Seen, ImportError> {
        let bar = bar(path, "importing", BAR_STEPS, "{percent}%");
        let mut failed = 0;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let asked = self.http.get(self.of(id)).header("x-api-key", &self.key).send().await;
            let import = match asked {
                Ok(response) => answer::<Seen>(response).await,
                Err(error) => Err(error.into()),
            };
            match import {
                Ok(seen) => {
                    failed = 0;
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1,000")]
                    bar.set_position((seen.progress.clamp(0.0, 1.0) * 1_000.0) as u64);
                    if !["queued", "running"].contains(&seen.status.as_str()) {
                        bar.finish_and_clear();
                        return Ok(seen);
                    }
                }
                Err(ImportError::Refused { status, detail }) if !status.is_server_error() && status != 429 => {
                    return Err(ImportError::Refused { status, detail });
                }
                Err(error) => {
                    failed += 1;
                    if failed >= FAILED_LOOKS_MAX {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn of(&self, id: &str) -> Url {
        let mut url = self.imports.clone();
        url.set_path(&format!("{}/{id}", url.path()));
        url
    }
}

/// The body of an answer that is not a refusal.
async fn answer<T: DeserializeOwned>(response: Response) -> Result<T, ImportError> {
    Ok(accepted(response).await?.json().await?)
}

/// An answer that is not a refusal.
async fn accepted(response: Response) -> Result<Response, ImportError> {
    #[derive(Deserialize)]
    struct Refusal {
        detail: Detail,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Detail {
        Text(String),
        Faults(Vec<Fault>),
    }

    #[derive(Deserialize)]
    struct Fault {
        msg: String,
    }

    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let detail = match serde_json::from_str(&response.text().await?) {
        Ok(Refusal { detail: Detail::Text(text) }) => text,
        Ok(Refusal { detail: Detail::Faults(faults) }) => {
            faults.into_iter().map(|fault| fault.msg).collect::<Vec<_>>().join("; ")
        }
        Err(_) => "nothing that could be read".to_owned(),
    };
    Err(ImportError::Refused { status, detail })
}

/// A bar on the terminal; nothing where there is none.
fn bar(path: &Path, what: &'static str, length: u64, counts: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    if let Ok(style) = ProgressStyle::with_template(&format!("{{prefix}} {{msg}} {{wide_bar}} {counts} {{eta}}")) {
        bar.set_style(style);
    }
    bar.set_prefix(name);
    bar.set_message(what);
    bar
}

/// A file as it is, a folder as a zip of what could be of use.
fn opened(path: &Path, endings: Endings) -> Result<File, ImportError> {
    let at = |source| ImportError::File { path: path.to_path_buf(), source };
    if !path.is_dir() {
        return File::open(path).map_err(at);
    }
    let mut files = Vec::new();
    collect(path, endings, &mut files).map_err(at)?;
    if files.is_empty() {
        return Err(ImportError::Empty { path: path.to_path_buf(), endings: endings.said });
    }
    let zipped = |source| ImportError::Zip { path: path.to_path_buf(), source };
    let mut archive = zip::ZipWriter::new(tempfile::tempfile().map_err(at)?);
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored).large_file(true);
    for file in files {
        let name = file.strip_prefix(path).unwrap_or(&file).to_string_lossy().into_owned();
        archive.start_file(name, options).map_err(zipped)?;
        let mut source = File::open(&file).map_err(|source| ImportError::File { path: file.clone(), source })?;
        std::io::copy(&mut source, &mut archive).map_err(at)?;
    }
    let mut file = archive.finish().map_err(zipped)?;
    file.flush().map_err(at)?;
    file.rewind().map_err(at)?;
    Ok(file)
}

/// The files below a folder that could be of use, by their names.
fn collect(folder: &Path, endings: Endings, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        // A link may lead around in circles.
        if path.is_dir() && !path.is_symlink() {
            collect(&path, endings, files)?;
        } else if path.is_file() && endings.all.contains(&extension.as_str()) {
            files.push(path);
        }
    }
    Ok(())
}

/// Says what became of a file.
fn tell(path: &Path, seen: &Seen, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let error = seen.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    terminal.say(&format!("{}: {}{error}", path.display(), seen.status))?;
    let taken = seen.report.ingested.iter();
    let mut rows: Vec<[String; 3]> =
        taken.map(|(metric, count)| [metric.clone(), count.to_string(), String::new()]).collect();
    rows.extend(seen.report.skipped.iter().map(|Skipped { reason, count, example }| {
        [format!("skipped: {reason}"), count.to_string(), format!("such as {example}")]
    }));
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let (first, second) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
    for [what, count, example] in &rows {
        terminal.say(format!("  {what:first$}  {count:>second$}  {example}").trim_end())?;
    }
    Ok(())
}
