//! Writes down what came of tries: all that wait in one transaction, so that a thousand of them a second do not cost a
//! thousand syncs.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::super::outbox;
use super::super::schedule::Health;
use crate::control::repository::deliveries::{self, Dropped, Job, Try};
use crate::control::repository::users;
use crate::control::repository::webhooks::{self, DisabledBy};
use crate::control::{self, Control};
use crate::mail::{Mail, Mailer};
use crate::metrics::Figures;

/// Most records of one transaction.
const BATCH_MAX: usize = 256;

/// Between two tries to write a batch down.
const AGAIN: Duration = Duration::from_millis(200);

/// Tries to write a batch down; then its deliveries stay as they were, and are sent again.
const TRIES_MAX: u32 = 10;

/// What there is to write down.
#[derive(Debug)]
pub(super) enum What {
    /// A try was made.
    Tried { job: Box<Job>, made: Try, health: Health, ended_us: i64 },
    /// The receiver may not have it any more.
    Withdrawn { delivery_id: String },
}

/// One of them, and who waits for it.
#[derive(Debug)]
pub(super) struct Record {
    what: What,
    done: oneshot::Sender<bool>,
}

impl Record {
    /// Writes something down; when this returns it is durable.
    ///
    /// # Errors
    /// [`control::Error::Busy`] if it could not be written.
    pub(super) async fn make(records: &mpsc::Sender<Self>, what: What) -> control::Result<()> {
        let lost = || control::Error::Busy { waited_ms: u64::from(TRIES_MAX) * 200 };
        let (done, is_done) = oneshot::channel();
        records.send(Self { what, done }).await.map_err(|_| lost())?;
        if is_done.await.unwrap_or(false) { Ok(()) } else { Err(lost()) }
    }
}

/// Writes, and tells of what was disabled.
pub(super) struct Recorder {
    pub(super) control: Control,
    pub(super) mail: Mailer,
    pub(super) figures: Figures,
}

impl Recorder {
    /// Runs until the last sender is gone.
    pub(super) async fn run(self, mut records: mpsc::Receiver<Record>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while records.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let written = self.write_down(&batch).await;
            let is_written = written.is_some();
            for record in batch.drain(..) {
                // Nobody waits if its worker is gone.
                let _ = record.done.send(is_written);
            }
            for end in written.into_iter().flatten() {
                end.tell(&self.figures, &self.mail);
            }
        }
    }

    /// `None` if the database takes nothing.
    async fn write_down(&self, batch: &[Record]) -> Option<Vec<End>> {
        for nth in 1..=TRIES_MAX {
            match write(&self.control, batch).await {
                Ok(ends) => return Some(ends),
                Err(error) if nth == TRIES_MAX => {
                    let records = batch.len();
                    tracing::error!(%error, records, "tries of webhooks were not recorded; they are made again");
                }
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
        None
    }
}

/// An endpoint that was disabled.
struct End {
    webhook_id: String,
    by: DisabledBy,
    dropped: Vec<Dropped>,
    letter: Option<Mail>,
}

async fn write(control: &Control, batch: &[Record]) -> control::Result<Vec<End>> {
    let write = control.write().await?;
    let on = write.on();
    let mut ends = Vec::new();
    for record in batch {
        let (job, made, health, ended_us) = match &record.what {
            What::Withdrawn { delivery_id } => {
                deliveries::withdraw(on, delivery_id).await?;
                continue;
            }
            What::Tried { job, made, health, ended_us } => (job, made, *health, *ended_us),
        };
        deliveries::record(on, &job.delivery_id, made).await?;
        let by = match health {
            Health::Works => {
                if job.failing_since.is_some() {
                    webhooks::note_success(on, &job.webhook_id).await?;
                }
                continue;
            }
            Health::Fails => {
                if job.failing_since.is_none() {
                    webhooks::note_failing(on, &job.webhook_id, ended_us).await?;
                }
                continue;
            }
            Health::Gone => DisabledBy::Gone,
            Health::Failed => DisabledBy::Failing,
        };
        if webhooks::disable(on, &job.webhook_id, by, ended_us).await? {
            let dropped = deliveries::drop_pending(on, &job.webhook_id, outbox::DISABLED).await?;
            let owner = users::by_id(on, &job.user_id).await?;
            let letter = owner.map(|owner| letter(owner.email, job, by));
            ends.push(End { webhook_id: job.webhook_id.clone(), by, dropped, letter });
        }
    }
    write.commit().await?;
    Ok(ends)
}

impl End {
    fn tell(self, figures: &Figures, mail: &Mailer) {
        let Self { webhook_id, by, dropped, letter } = self;
        outbox::tell_dropped(figures, &webhook_id, dropped);
        tracing::warn!(webhook_id, by = by.as_str(), "a webhook was disabled");
        if let Some(letter) = letter {
            mail.send(letter);
        }
    }
}

/// What its owner reads. The URL is the owner's own words, and stands in the body alone.
fn letter(to: String, job: &Job, by: DisabledBy) -> Mail {
    let why = match by {
        DisabledBy::Gone => "its receiver answered 410 (gone)",
        DisabledBy::Owner | DisabledBy::Failing => "no request to it has succeeded for five days",
    };
    Mail {
        to,
        subject: "A webhook was disabled".to_owned(),
        body: format!(
            "The webhook {} to {} was disabled: {why}.\n\n\
             Nothing is lost: when the receiver works again, enable it with PATCH /api/v1/webhooks/{} and \
             {{\"enabled\": true}}, then read what it missed from its events, or have it sent with recover.\n",
            job.webhook_id, job.url, job.webhook_id
        ),
    }
}
