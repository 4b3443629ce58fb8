//! Outgoing mail: a mail server where one is configured, else a file in the data directory.
//!
//! Mail is handed to a task and leaves behind the answer, so that no answer waits for a mail server or tells by its time
//! whether mail went out. Codes, which somebody waits for, go first: what others may cause to be sent ([`Mailer::send_later`])
//! has a queue of its own and leaves when no code waits. What does not go out is logged; the address is not.

mod file;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentTransferEncoding;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::Config;

/// Mails that may wait; more are dropped and logged.
const WAITING_MAX: usize = 1_024;

/// Mails that may wait until no other does; more are dropped and logged.
const LATER_MAX: usize = 256;

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
    queue: mpsc::Sender<Order>,
    later: mpsc::Sender<Mail>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
    path: PathBuf,
    /// Where there is a mail server, and so the task writes no file: held while messages are taken out of an old one.
    old_file: Option<Arc<Mutex<()>>>,
}

/// What the task is asked to do.
enum Order {
    Send(Mail),
    /// Take every message out of the mail file that names one of these words.
    Forget(Vec<String>, oneshot::Sender<std::io::Result<usize>>),
    Stop,
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
        let path = config.storage.data_dir.join(FILE_NAME);
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let (later, waiting_later) = mpsc::channel(LATER_MAX);
        let old_file = matches!(way, Way::Smtp { .. }).then(Arc::default);
        let task = tokio::spawn(run(way, from, path.clone(), waiting, waiting_later));
        Ok(Self { queue, later, task: Arc::new(Mutex::new(Some(task))), path, old_file })
    }

    /// Hands a mail over. Never waits.
    pub fn send(&self, mail: Mail) {
        if let Err(error) = self.queue.try_send(Order::Send(mail)) {
            note_drop(&error);
        }
    }

    /// Hands a mail over that leaves when none of [`Self::send`] waits, and takes no room from those. Never waits.
    pub fn send_later(&self, mail: Mail) {
        if let Err(error) = self.later.try_send(mail) {
            note_drop(&error);
        }
    }

    /// Takes every message out of the mail file that names one of `words`, those included that were handed over so far;
    /// how many. A file of a time before there was a mail server is looked at, too, and without waiting for that server.
    ///
    /// # Errors
    /// [`MailError::File`].
    pub async fn forget(&self, words: Vec<String>) -> Result<usize, MailError> {
        let done = match &self.old_file {
            Some(alone) => {
                let (alone, path) = (Arc::clone(alone), self.path.clone());
                let forget = move || {
                    let _alone = alone.lock().unwrap_or_else(PoisonError::into_inner);
                    file::forget(&path, &words)
                };
                tokio::task::spawn_blocking(forget).await.map_err(std::io::Error::other).flatten()
            }
            None => self.forget_in_turn(words).await,
        };
        done.map_err(|source| MailError::File { path: self.path.clone(), source })
    }

    /// Behind the mails that wait to be written to the file.
    async fn forget_in_turn(&self, words: Vec<String>) -> std::io::Result<usize> {
        let (reply, answer) = oneshot::channel();
        // Without a task nothing is written any more, and nothing can be taken out: the next start does it.
        let closed = |_| std::io::Error::other("the mailer is closed");
        match self.queue.send(Order::Forget(words, reply)).await {
            Ok(()) => answer.await.map_err(std::io::Error::other).flatten(),
            Err(error) => Err(closed(error)),
        }
    }

    /// Waits until what was handed over so far has been sent or given up, then sends nothing more.
    pub async fn close(self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The task ends when the last sender is gone; other clones would keep it waiting, so it is told.
        if let Some(task) = task
            && self.queue.send(Order::Stop).await.is_ok()
            && task.await.is_err()
        {
            tracing::error!("the mail task ended early");
        }
    }
}

fn note_drop<T>(error: &mpsc::error::TrySendError<T>) {
    let why = match error {
        mpsc::error::TrySendError::Full(_) => "too many are waiting",
        mpsc::error::TrySendError::Closed(_) => "the server is stopping",
    };
    tracing::error!(why, "a mail was dropped");
}

/// The next order: of the mails that can wait only if there is no other. `None` once both queues are closed and empty.
async fn next(waiting: &mut mpsc::Receiver<Order>, later: &mut mpsc::Receiver<Mail>) -> Option<Order> {
    tokio::select! {
        biased;
        Some(order) = waiting.recv() => Some(order),
        Some(mail) = later.recv() => Some(Order::Send(mail)),
        else => None,
    }
}

async fn run(
    way: Way,
    from: Mailbox,
    path: PathBuf,
    mut waiting: mpsc::Receiver<Order>,
    mut later: mpsc::Receiver<Mail>,
) {
    while let Some(order) = next(&mut waiting, &mut later).await {
        let mail = match order {
            Order::Send(mail) => mail,
            Order::Forget(words, reply) => {
                // What was handed over before would be written behind this.
                while let (Way::File(_), Ok(mail)) = (&way, later.try_recv()) {
                    deliver(&way, &from, mail).await;
                }
                let path = path.clone();
                let forgotten = tokio::task::spawn_blocking(move || file::forget(&path, &words)).await;
                let _ = reply.send(forgotten.unwrap_or_else(|stopped| Err(std::io::Error::other(stopped))));
                continue;
            }
            Order::Stop => {
                waiting.close();
                later.close();
                continue;
            }
        };
        deliver(&way, &from, mail).await;
    }
}

async fn deliver(way: &Way, from: &Mailbox, mail: Mail) {
    if let Err(error) = send(way, from, mail).await {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(%error, cause, "a mail was not sent");
    }
}

async fn send(way: &Way, from: &Mailbox, mail: Mail) -> Result<(), MailError> {
    let to: Mailbox = Mailbox::new(None, mail.to.parse()?);
    let message = Message::builder().from(from.clone()).to(to).subject(mail.subject);
    // The file is for people to read, and for whoever looks for a name in it.
    let message = match way {
        Way::Smtp { .. } => message,
        Way::File(_) => message.header(ContentTransferEncoding::Binary),
    };
    let message = message.body(mail.body)?;
    match way {
        Way::Smtp { transport, time_max } => {
            let sent = tokio::time::timeout(*time_max, transport.send(message)).await;
            sent.map_err(|_| MailError::Slow(*time_max))??;
        }
        Way::File(path) => {
            let text = message.formatted();
            let target = path.clone();
            let written = tokio::task::spawn_blocking(move || file::append(&target, &text)).await;
            let written = written.unwrap_or_else(|stopped| Err(std::io::Error::other(stopped)));
            written.map_err(|source| MailError::File { path: path.clone(), source })?;
            tracing::info!(file = %path.display(), "mail was written to the mail file: no mail server is configured");
        }
    }
    Ok(())
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

    #[tokio::test]
    async fn mail_that_can_wait_takes_no_room_and_no_turn_from_codes() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = dir.path().to_path_buf();
        let mailer = Mailer::open(&config).unwrap();
        // Nothing is taken out yet: this runtime has one thread, and it is here.
        for _ in 0..WAITING_MAX + LATER_MAX {
            mailer.send_later(mail("an invitation"));
        }
        mailer.send(mail("a code"));
        mailer.forget(vec!["nobody@example.org".to_owned()]).await.unwrap();
        let text = std::fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
        assert_eq!(text.matches("\nan invitation\n").count(), LATER_MAX, "what was handed over before is written");
        assert!(text.find("\na code\n").unwrap() < text.find("\nan invitation\n").unwrap(), "the code went first");
        mailer.close().await;
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
