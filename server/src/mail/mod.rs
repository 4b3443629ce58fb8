//! Outgoing mail: a mail server where one is configured, else a file in the data directory.
//!
//! Mail is handed to a task and leaves behind the answer, so that no answer waits for a mail server or tells by its time
//! whether mail went out. Codes, which somebody waits for, go first: what others may cause to be sent ([`Mailer::send_later`])
//! has a queue of its own and leaves when no code waits. What does not go out is logged; the address is not. Who is erased
//! gets nothing of what waits: [`Mailer::forget`].

mod file;
#[cfg(test)]
mod tests;

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
    later: mpsc::Sender<Waiting>,
    forgotten: Arc<Mutex<Forgotten>>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
    path: PathBuf,
    /// Where there is a mail server, and so the task writes no file: held while messages are taken out of an old one.
    old_file: Option<Arc<Mutex<()>>>,
}

/// A mail in a queue: how many were handed over before it and with it.
struct Waiting {
    number: u64,
    mail: Mail,
}

/// Whom nothing is sent any more of what waits. Words, and the last mail that was handed over before they were forgotten.
#[derive(Debug, Default)]
struct Forgotten {
    handed_over: u64,
    words: Vec<(u64, Vec<String>)>,
}

impl Forgotten {
    fn includes(&self, waiting: &Waiting) -> bool {
        let Mail { to, subject, body } = &waiting.mail;
        let names = |words: &[String]| [to, subject, body].iter().any(|text| file::names(text.as_bytes(), words));
        self.words.iter().any(|(last, words)| waiting.number <= *last && names(words))
    }
}

fn lock(forgotten: &Mutex<Forgotten>) -> std::sync::MutexGuard<'_, Forgotten> {
    forgotten.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the task is asked to do.
enum Order {
    Send(Waiting),
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
        let forgotten = Arc::<Mutex<Forgotten>>::default();
        let queues = Queues { waiting, later: waiting_later, forgotten: Arc::clone(&forgotten) };
        let task = tokio::spawn(run(way, from, path.clone(), queues));
        Ok(Self { queue, later, forgotten, task: Arc::new(Mutex::new(Some(task))), path, old_file })
    }

    /// Hands a mail over. Never waits.
    pub fn send(&self, mail: Mail) {
        self.hand_over(mail, |waiting| self.queue.try_send(Order::Send(waiting)).map_err(|error| note_drop(&error)));
    }

    /// Hands a mail over that leaves when none of [`Self::send`] waits, and takes no room from those. Never waits.
    pub fn send_later(&self, mail: Mail) {
        self.hand_over(mail, |waiting| self.later.try_send(waiting).map_err(|error| note_drop(&error)));
    }

    /// Numbers it and hands it over in one step, so that [`Self::forget`] comes before both or behind both.
    fn hand_over(&self, mail: Mail, send: impl FnOnce(Waiting) -> Result<(), ()>) {
        let mut forgotten = lock(&self.forgotten);
        let number = forgotten.handed_over.saturating_add(1);
        if send(Waiting { number, mail }).is_ok() {
            forgotten.handed_over = number;
        }
    }

    /// Sends nothing of what waits and names one of `words`, and takes every such message out of the mail file; how many of
    /// those. A file of a time before there was a mail server is looked at, too, and without waiting for that server. What
    /// is handed over behind this is sent.
    ///
    /// # Errors
    /// [`MailError::File`].
    pub async fn forget(&self, words: Vec<String>) -> Result<usize, MailError> {
        {
            let mut forgotten = lock(&self.forgotten);
            let last = forgotten.handed_over;
            forgotten.words.push((last, words.clone()));
        }
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

/// What the task takes mails out of.
struct Queues {
    waiting: mpsc::Receiver<Order>,
    later: mpsc::Receiver<Waiting>,
    forgotten: Arc<Mutex<Forgotten>>,
}

impl Queues {
    /// The next order: of the mails that can wait only if there is no other. `None` once both queues are closed and empty.
    async fn next(&mut self) -> Option<Order> {
        self.forget_words();
        tokio::select! {
            biased;
            Some(order) = self.waiting.recv() => Some(order),
            Some(waiting) = self.later.recv() => Some(Order::Send(waiting)),
            else => None,
        }
    }

    /// Where nothing waits nothing is left that the words of erased people are good for, and they go too.
    fn forget_words(&self) {
        let mut forgotten = lock(&self.forgotten);
        if self.waiting.is_empty() && self.later.is_empty() {
            forgotten.words.clear();
        }
    }

    /// The mail, unless somebody whom it names was erased while it waited.
    fn still_wanted(&self, waiting: Waiting) -> Option<Mail> {
        if lock(&self.forgotten).includes(&waiting) {
            tracing::info!("a mail was dropped: whom it names was erased");
            return None;
        }
        Some(waiting.mail)
    }
}

async fn run(way: Way, from: Mailbox, path: PathBuf, mut queues: Queues) {
    while let Some(order) = queues.next().await {
        let waiting = match order {
            Order::Send(waiting) => waiting,
            Order::Forget(words, reply) => {
                // What was handed over before would be written behind this.
                while let (Way::File(_), Ok(waiting)) = (&way, queues.later.try_recv()) {
                    if let Some(mail) = queues.still_wanted(waiting) {
                        deliver(&way, &from, mail).await;
                    }
                }
                let path = path.clone();
                let forgotten = tokio::task::spawn_blocking(move || file::forget(&path, &words)).await;
                let _ = reply.send(forgotten.unwrap_or_else(|stopped| Err(std::io::Error::other(stopped))));
                continue;
            }
            Order::Stop => {
                queues.waiting.close();
                queues.later.close();
                continue;
            }
        };
        if let Some(mail) = queues.still_wanted(waiting) {
            deliver(&way, &from, mail).await;
        }
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
