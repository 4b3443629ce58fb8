//! The end of a person's data here: what `DELETE /users/me` begins, and what finishes it after any crash.
//!
//! ```text
//! one transaction: account, check-ins, symptoms, grants, keys, sessions, codes go; a row in `erasures` comes
//!   ─▶ points (storage: ledger, tombstone)  ─▶ uploads ─▶ mail file, files of exports ─▶ the row goes
//!   ─▶ write-ahead file emptied
//! ```
//!
//! The row is the note of what is left to do: [`Eraser::catch_up`] finishes it at the next start, [`Eraser::tend`] while
//! the server runs, `avycenna compact` on a stopped server. Each step can be done twice. Somebody who stands in the
//! storage's ledger and has an account came back with an older backup of the control database, and is erased again.
//!
//! What stays: the trails of who read what. They hold ids alone, never a name, an address or a value.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use storage::{Deletion, Storage, UserId};

use crate::auth::{self, Auth, AuthError};
use crate::control::entities::{erasure, user};
use crate::control::repository::{erasures, users};
use crate::control::{self, Control};
use crate::fhir::bulk::Folder;
use crate::imports::upload::{SweepError, Uploads};
use crate::mail::{MailError, Mailer};

/// Between two looks for erasures that are not finished.
const TEND_EVERY: Duration = Duration::from_mins(1);

/// Why a step of an erasure was not done. It is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErasureError {
    /// The control database.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The points.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The mail file.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// Files of exports.
    #[error("remove files of exports")]
    Files(#[source] std::io::Error),
    /// Files that were sent.
    #[error("files of imports")]
    Uploads(#[source] std::io::Error),
    /// Files of imports that have no owner any more.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// The thread of a step ended early.
    #[error("a step of an erasure ended early")]
    Stopped,
}

/// Erases people. `Clone` is a reference count.
#[derive(Debug, Clone)]
pub struct Eraser {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    control: Control,
    storage: Arc<Storage>,
    mail: Mailer,
    files: Folder,
    uploads: Arc<Uploads>,
    /// Whether the write-ahead file may still hold what was deleted.
    scrub_due: AtomicBool,
}

impl Eraser {
    /// Over the open parts of a server.
    pub fn new(control: Control, storage: Arc<Storage>, mail: Mailer, files: Folder, uploads: Arc<Uploads>) -> Self {
        // Unknown after a start: a crash may have come before the last one was emptied.
        Self { inner: Arc::new(Inner { control, storage, mail, files, uploads, scrub_due: AtomicBool::new(true) }) }
    }

    /// Erases a person: the account and all that hangs on it at once, and with them every credential; then points and
    /// mail. When this returns `Ok` the rest is done, or noted and tried again until it is.
    ///
    /// Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] if there is no such account (any more), [`AuthError::Control`]; then nothing has changed.
    pub async fn erase(&self, auth: &Auth, user: UserId) -> Result<(), AuthError> {
        let (eraser, auth) = (self.clone(), auth.clone());
        let work = tokio::spawn(async move {
            let note = eraser.begin(user.as_str()).await?.ok_or(AuthError::Invalid)?;
            auth.forget();
            if let Err(error) = eraser.finish(&note).await {
                tracing::error!(%error, cause = cause(&error), user = %user, "an erasure is not finished; it is tried again");
            }
            Ok(())
        });
        work.await.map_err(|_| AuthError::Stopping)?
    }

    /// The transaction that ends an account; nothing where there is none.
    async fn begin(&self, user_id: &str) -> control::Result<Option<erasure::Model>> {
        let control = &self.inner.control;
        let write = control.write().await?;
        let Some(person) = users::by_id(write.on(), user_id).await? else { return Ok(None) };
        let now_us = control.now_us();
        erasures::begin(write.on(), &person, &auth::code_hashes(&person.email), now_us).await?;
        write.commit().await?;
        let user::Model { id, email, .. } = person;
        Ok(Some(erasure::Model { user_id: id, email, asked_at: now_us }))
    }

    /// What is left to do behind the transaction.
    async fn finish(&self, note: &erasure::Model) -> Result<(), ErasureError> {
        let inner = &self.inner;
        if let Some(user) = UserId::parse(&note.user_id) {
            let storage = Arc::clone(&inner.storage);
            let erased = tokio::task::spawn_blocking(move || storage.delete(Deletion::User(user))).await;
            erased.map_err(|_| ErasureError::Stopped)??;
            inner.uploads.forget(user).map_err(ErasureError::Uploads)?;
        }
        inner.uploads.sweep(&inner.control).await?;
        inner.mail.forget(vec![note.email.clone(), note.user_id.clone()]).await?;
        let (files, user_id) = (inner.files.clone(), note.user_id.clone());
        let forgotten = tokio::task::spawn_blocking(move || files.forget(&user_id)).await;
        forgotten.map_err(|_| ErasureError::Stopped)?.map_err(ErasureError::Files)?;
        let write = inner.control.write().await?;
        erasures::finish(write.on(), &note.user_id).await?;
        write.commit().await?;
        tracing::info!(user = note.user_id, "erased; what is left of their points goes with the next compaction");
        inner.scrub_due.store(true, Ordering::Release);
        self.scrub().await
    }

    /// Empties the write-ahead file, if it may hold what was deleted. One that a reader is in the way of is left for the
    /// next time.
    async fn scrub(&self) -> Result<(), ErasureError> {
        if self.inner.scrub_due.load(Ordering::Acquire) && self.inner.control.scrub().await? {
            self.inner.scrub_due.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Erases again who came back with a backup, and finishes what is noted. Answers how many erasures it finished.
    ///
    /// # Errors
    /// The first step that failed; what others it can do is done.
    pub async fn catch_up(&self) -> Result<usize, ErasureError> {
        let returned = self.returned().await?;
        for user_id in &returned {
            tracing::warn!(user = user_id, "an erased person came back with a backup and is erased again");
            self.begin(user_id).await?;
        }
        self.finish_all().await
    }

    /// Accounts of people who are in the ledger. Cost: nothing where the ledger is empty; otherwise all ids, once.
    async fn returned(&self) -> control::Result<Vec<String>> {
        let Inner { control, storage, .. } = &*self.inner;
        let mut returned = Vec::new();
        let mut after = String::new();
        while storage.has_erased() {
            let page = erasures::ids(control.read(), &after).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(last);
            let is_erased = |id: &String| UserId::parse(id).is_some_and(|user| storage.is_erased(user));
            returned.extend(page.into_iter().filter(is_erased));
        }
        Ok(returned)
    }

    async fn finish_all(&self) -> Result<usize, ErasureError> {
        let mut finished = 0;
        let mut failed = Ok(());
        for note in erasures::pending(self.inner.control.read()).await? {
            match self.finish(&note).await {
                Ok(()) => finished += 1,
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed?;
        self.scrub().await?;
        Ok(finished)
    }

    /// Finishes what is noted, again and again, as long as it is polled.
    pub async fn tend(self) {
        let mut ticks = tokio::time::interval(TEND_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.finish_all().await {
                tracing::error!(%error, cause = cause(&error), "an erasure is not finished; it is tried again");
            }
        }
    }
}

/// What is behind an error, in words.
pub(crate) fn cause(error: &ErasureError) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use storage::disk::sim::SimDisk;
    use storage::{Place, StorageConfig};

    use super::*;
    use crate::auth::{NewUser, Role};
    use crate::config::SecretUrl;
    use crate::control::tests::Fixture;
    use crate::mail::{FILE_NAME, Mail};

    /// Far longer than an erasure takes; a mail to a server that says nothing is given up long after.
    const TIME_MAX: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_mail_server_that_never_answers_keeps_no_erasure_waiting() {
        let Fixture { config, control, .. } = &Fixture::new().await;
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = config.clone();
        config.mail.smtp_url = Some(SecretUrl::new(format!("smtp://{}", silent.local_addr().unwrap())));
        config.mail.send_s = 3_600;
        let mail = Mailer::open(&config).unwrap();
        for _ in 0..3 {
            let (to, subject) = ("bo@example.org".to_owned(), "Hello".to_owned());
            mail.send(Mail { to, subject, body: String::new() });
        }
        let _sending = silent.accept().await.unwrap();
        let file = config.storage.data_dir.join(FILE_NAME);
        let messages = ["ada", "bo"].map(|name| format!("From avycenna\nTo: {name}@example.org\n\nfrom before\n\n"));
        std::fs::write(&file, messages.concat()).unwrap();

        let clock = Arc::clone(control.clock());
        let place = Place { disk: Arc::new(SimDisk::new(1)), objects: None, ledger: None, clock };
        let settings = StorageConfig { background: false, ..StorageConfig::default() };
        let open = move || Storage::open(place, settings, Box::new(|_| ())).unwrap();
        let storage = Arc::new(tokio::task::spawn_blocking(open).await.unwrap());
        let auth = Auth::open_unwatched(&config, control.clone()).unwrap();
        let (name, email) = ("Ada".to_owned(), "ada@example.org".to_owned());
        let ada = auth.register(NewUser { name, email, password: None, role: Role::Patient }).await.unwrap();
        let (folder, uploads) = (Folder::new(&config.storage.data_dir), Arc::new(Uploads::new(&config)));
        let eraser = Eraser::new(control.clone(), Arc::clone(&storage), mail, folder, uploads);
        let user = UserId::parse(&ada.id).unwrap();
        tokio::time::timeout(TIME_MAX, eraser.erase(&auth, user)).await.expect("it waits for the mail server").unwrap();

        assert!(storage.is_erased(user));
        assert_eq!(erasures::pending(control.read()).await.unwrap(), []);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), messages[1]);
    }
}
