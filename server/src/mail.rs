//! Outgoing mail: a mail server where one is configured, else a file in the data directory.
//!
//! Mail is handed to a task and leaves behind the answer, so that no answer waits for a mail server or tells by its time
//! whether mail went out. What does not go out is logged; the address is not.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::Config;

/// Mails that may wait; more are dropped and logged.
const WAITING_MAX: usize = 1_024;

/// The mail file begins anew above this size, bytes: it is for trying things out.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The mail file's name in the data directory.
pub const FILE_NAME: &str = "mail.txt";

/// One mail, plain text.
#[derive(Clone)]
pub struct Mail {
    /// The address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
}

impl std::fmt::Debug for Mail {
    /// Without address and body, which nobody may log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Mail cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// An address is none.
    #[error("mail address")]
    Address(#[from] lettre::address::AddressError),
    /// The message cannot be written.
    #[error("mail message")]
    Message(#[from] lettre::error::Error),
    /// The mail server refused, or cannot be reached.
    #[error("mail server")]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// The mail server took too long.
    #[error("mail server: no answer in {0:?}")]
    Slow(Duration),
    /// The mail file could not be written.
    #[error("mail file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Takes mail. `Clone` is a reference count.
#[derive(Debug, Clone)]
pub struct Mailer {
    queue: mpsc::Sender<Mail>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Where mail goes.
#[derive(Debug)]
enum Way {
    Smtp { transport: AsyncSmtpTransport<Tokio1Executor>, time_max: Duration },
    File(PathBuf),
}

impl Mailer {
    /// Starts the task that sends. Must be called on a runtime.
    ///
    /// # Errors
    /// [`MailError::Smtp`] for a URL that is none, [`MailError::Address`] for a sender that is none.
    pub fn open(config: &Config) -> Result<Self, MailError> {
        let from: Mailbox = config.mail.from.parse()?;
        let way = match &config.mail.smtp_url {
            Some(url) => {
                let time_max = Duration::from_secs(config.mail.send_s);
                let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.reveal())?.timeout(Some(time_max));
                Way::Smtp { transport: transport.build(), time_max }
            }
            None => Way::File(config.storage.data_dir.join(FILE_NAME)),
        };
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(run(way, from, waiting));
        Ok(Self { queue, task: Arc::new(Mutex::new(Some(task))) })
    }

    /// Hands a mail over. Never waits.
    pub fn send(&self, mail: Mail) {
        if let Err(error) = self.queue.try_send(mail) {
            let why = match error {
                mpsc::error::TrySendError::Full(_) => "too many are waiting",
                mpsc::error::TrySendError::Closed(_) => "the server is stopping",
            };
            tracing::error!(why, "a mail was dropped");
        }
    }

    /// Waits until what was handed over so far has been sent or given up, then sends nothing more.
    pub async fn close(self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The task ends when the last sender is gone; other clones would keep it waiting, so it is told by an empty mail.
        if let Some(task) = task {
            let last = Mail { to: String::new(), subject: String::new(), body: String::new() };
            if self.queue.send(last).await.is_ok() && task.await.is_err() {
                tracing::error!("the mail task ended early");
            }
        }
    }
}

async fn run(way: Way, from: Mailbox, mut waiting: mpsc::Receiver<Mail>) {
    while let Some(mail) = waiting.recv().await {
        if mail.to.is_empty() {
            waiting.close();
            continue;
        }
        if let Err(error) = send(&way, &from, mail).await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "a mail was not sent");
        }
    }
}

async fn send(way: &Way, from: &Mailbox, mail: Mail) -> Result<(), MailError> {
    let to: Mailbox = Mailbox::new(None, mail.to.parse()?);
    let message = Message::builder().from(from.clone()).to(to).subject(mail.subject).body(mail.body)?;
    match way {
        Way::Smtp { transport, time_max } => {
            let sent = tokio::time::timeout(*time_max, transport.send(message)).await;
            sent.map_err(|_| MailError::Slow(*time_max))??;
        }
        Way::File(path) => {
            let text = message.formatted();
            let target = path.clone();
            let written = tokio::task::spawn_blocking(move || append(&target, &text)).await;
            let written = written.unwrap_or_else(|stopped| Err(std::io::Error::other(stopped)));
            written.map_err(|source| MailError::File { path: path.clone(), source })?;
            tracing::info!(file = %path.display(), "mail was written to the mail file: no mail server is configured");
        }
    }
    Ok(())
}

/// Appends a message in the manner of mbox, for its owner alone to read.
fn append(path: &Path, message: &[u8]) -> std::io::Result<()> {
    let is_full = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > FILE_BYTES_MAX);
    let mut file =
        OpenOptions::new().create(true).append(!is_full).write(true).truncate(is_full).mode(0o600).open(path)?;
    let mut text = b"From avycenna\n".to_vec();
    for line in message.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A line that looks like the next message's first is quoted.
        if line.starts_with(b"From ") {
            text.push(b'>');
        }
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mail(body: &str) -> Mail {
        Mail { to: "ada@example.org".to_owned(), subject: "Hello".to_owned(), body: body.to_owned() }
    }

    #[tokio::test]
    async fn without_a_mail_server_mail_is_in_the_file_when_the_mailer_has_closed() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = dir.path().to_path_buf();
        let mailer = Mailer::open(&config).unwrap();
        mailer.send(mail("first\nFrom here on\n"));
        mailer.send(mail("second"));
        let other = mailer.clone();
        mailer.close().await;
        other.send(mail("too late"));
        let path = dir.path().join(FILE_NAME);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("\nTo: ada@example.org\n").count(), 2, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("From ")).count(), 2, "{text}");
        assert!(text.contains("\nfirst\n>From here on\n") && text.contains("\nsecond\n"), "{text}");
        assert!(!text.contains("too late"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_mail_file_that_has_grown_too_long_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1]).unwrap();
        append(&path, b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "From avycenna\nnew\n\n");
    }

    #[tokio::test]
    async fn what_cannot_be_an_address_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let way = Way::File(dir.path().join(FILE_NAME));
        let from: Mailbox = "a@b.example".parse().unwrap();
        let result = send(&way, &from, Mail { to: "x\ny".to_owned(), ..mail("") }).await;
        assert!(matches!(result, Err(MailError::Address(_))));
        let way = Way::File(dir.path().join("absent").join(FILE_NAME));
        assert!(matches!(send(&way, &from, mail("")).await, Err(MailError::File { .. })));
    }
}
