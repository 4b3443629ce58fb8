//! What runs: the oldest import that waits, one of a person and [`RUNNING_MAX`] in all.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use storage::UserId;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

use super::halt::Halt;
use super::{Failure, Imports, RUNNING_MAX, job};
use crate::control::entities::import;
use crate::control::repository::imports;

/// Between two looks for imports that wait: cancellations by way of other servers, and what failed before.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Imports that end at once which were canceled before anything of them was noted.
const ENDING_MAX: usize = 2;

/// How long an import rests that broke off.
const REST: Duration = Duration::from_mins(1);

/// The runner of a server.
#[derive(Debug)]
pub struct Running {
    task: JoinHandle<()>,
    imports: Imports,
}

impl Running {
    /// Begins nothing more and waits for the threads: what is not done is taken up by the next start.
    pub async fn stop(self) {
        self.imports.inner.down.stop();
        if self.task.await.is_err() {
            tracing::error!("the runner of imports ended early");
        }
    }
}

impl Imports {
    /// Starts the runner of this process, which first removes what a crash left behind.
    pub fn start(&self) -> Running {
        let runner = Runner {
            imports: self.clone(),
            running: HashMap::new(),
            ending: HashSet::new(),
            resting: HashMap::new(),
            threads: JoinSet::new(),
        };
        Running { task: tokio::spawn(runner.run()), imports: self.clone() }
    }
}

struct Runner {
    imports: Imports,
    /// Whose import each is, and how it is ended.
    running: HashMap<String, (String, Halt)>,
    /// Those of `running` that were canceled before anything of them was noted.
    ending: HashSet<String>,
    /// Until when those rest that broke off.
    resting: HashMap<String, Duration>,
    threads: JoinSet<Ended>,
}

/// An import whose thread is gone.
struct Ended {
    id: String,
    /// Whether there is nothing left to do.
    is_done: bool,
}

impl Runner {
    async fn run(mut self) {
        let imports = self.imports.clone();
        let down = imports.last_halt();
        match imports.uploads().sweep(imports.control()).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed files of imports that are no more"),
            Err(error) => tracing::error!(%error, "files of imports that are no more were not removed"),
        }
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = down.asked() => break,
                () = imports.inner.news.notified() => {}
                _ = ticks.tick() => {}
                Some(ended) = self.threads.join_next() => self.note_end(ended),
            }
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "imports wait");
            }
        }
        for (_, halt) in self.running.values() {
            halt.stop();
        }
        while self.threads.join_next().await.is_some() {}
    }

    fn note_end(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        let Ok(Ended { id, is_done }) = ended else { return };
        self.running.remove(&id);
        self.ending.remove(&id);
        if is_done {
            self.resting.remove(&id);
        } else {
            self.resting.insert(id, self.imports.clock().elapsed().saturating_add(REST));
        }
    }

    /// Starts what may start, and ends what was canceled elsewhere.
    async fn look(&mut self) -> Result<(), Failure> {
        let imports = self.imports.clone();
        let inner = std::sync::Arc::clone(&imports.inner);
        let server =
            tokio::task::spawn_blocking(move || inner.uploads.server()).await.map_err(std::io::Error::other)??;
        for row in imports::waiting(imports.control().read(), &server).await? {
            if let Some((_, halt)) = self.running.get(&row.id) {
                if row.status == imports::CANCELED {
                    halt.cancel();
                }
                continue;
            }
            if self.resting.get(&row.id).is_some_and(|until| imports.clock().elapsed() < *until) {
                continue;
            }
            if job::is_untouched(&row) {
                // It reads nothing and waits for nobody.
                if self.ending.len() < ENDING_MAX {
                    self.begin(row);
                }
                continue;
            }
            let is_theirs = |(user, _): &(String, Halt)| *user == row.user_id;
            let reading = self.running.len() - self.ending.len();
            if reading < RUNNING_MAX && !self.running.values().any(is_theirs) {
                self.begin(row);
            }
        }
        self.remake();
        Ok(())
    }

    /// Begins with the totals of people of whom no import runs: one makes them at its end.
    fn remake(&mut self) {
        let waiting: Vec<UserId> = self.imports.unsettled().iter().copied().collect();
        for user in waiting {
            let is_resting =
                self.resting.get(user.as_str()).is_some_and(|until| self.imports.clock().elapsed() < *until);
            let is_busy = self.running.values().any(|(other, _)| other == user.as_str());
            if is_resting || is_busy || self.running.len() - self.ending.len() >= RUNNING_MAX {
                continue;
            }
            self.imports.unsettled().remove(&user);
            let halt = self.imports.last_halt();
            self.spawn(user.as_str().to_owned(), user, halt.clone(), move |imports, runtime| {
                let done = job::remake_totals(imports, user, &halt, runtime);
                if let Err(failure) = &done {
                    imports.unsettled().insert(user);
                    tracing::warn!(user = user.as_str(), error = %failure, "totals of days are made anew later");
                }
                done.is_ok()
            });
        }
    }

    fn begin(&mut self, row: import::Model) {
        let Some(user) = UserId::parse(&row.user_id) else { return };
        if job::is_untouched(&row) {
            self.ending.insert(row.id.clone());
        }
        let halt = Halt::default();
        self.spawn(row.id.clone(), user, halt.clone(), move |imports, runtime| {
            let _busy = imports.uploads().hold(&row.id, user, &halt);
            imports.inner.metrics.imports.increment(1.0);
            let done = job::run(imports, &row, &halt, runtime);
            imports.inner.metrics.imports.decrement(1.0);
            if let Err(failure) = &done {
                tell(&row, failure);
            }
            done.is_ok()
        });
    }

    /// Runs a person's work, which says whether it is done, on a thread of low priority.
    fn spawn(
        &mut self,
        id: String,
        user: UserId,
        halt: Halt,
        work: impl FnOnce(&Imports, &Handle) -> bool + Send + 'static,
    ) {
        self.running.insert(id.clone(), (user.as_str().to_owned(), halt));
        let imports = self.imports.clone();
        let (ended, end) = tokio::sync::oneshot::channel();
        let runtime = Handle::current();
        let thread = std::thread::Builder::new().name("avycenna-import".to_owned()).spawn(move || {
            storage::priority::step_back();
            // Nobody listens when the server is gone already.
            let _ = ended.send(work(&imports, &runtime));
        });
        if let Err(error) = thread {
            tracing::error!(%error, "there is no thread for an import; it is tried again");
        }
        self.threads.spawn(async move {
            // Dropped without a word where the thread panicked.
            let is_done = end.await.unwrap_or(false);
            Ended { id, is_done }
        });
    }
}

/// Says once why an import waits for the next try.
fn tell(row: &import::Model, failure: &Failure) {
    match failure {
        Failure::Halted => tracing::info!(import = row.id, "an import goes on after the next start"),
        failure => {
            let cause = std::error::Error::source(failure).map(ToString::to_string);
            tracing::error!(import = row.id, error = %failure, cause, "an import broke off; it is tried again");
        }
    }
}
