//! The real binary as a process on a data directory of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Client;

/// Longest wait for a start or a stop. A debug build on a busy machine is slow; a healthy one needs a second.
pub const DEADLINE: Duration = Duration::from_mins(1);

const POLL: Duration = Duration::from_millis(10);

/// The line that a starting server prints, before the address.
const LISTENING: &str = "listening on http://";

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Options {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Options {
    /// The defaults of a test: no rate limits, quiet log. `binary` is `env!("CARGO_BIN_EXE_avycenna-under-test")`,
    /// which only the integration tests of this package can name.
    pub fn new(binary: &str) -> Self {
        Self::bare(binary).environment("AVYCENNA_LIMITS_ENABLED", "false")
    }

    /// No setting at all: the product's own defaults.
    pub fn bare(binary: &str) -> Self {
        Self { binary: PathBuf::from(binary), environment: Vec::new(), arguments: Vec::new() }
    }

    /// Sets an environment variable, the last one of a name wins.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument behind `serve`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Runs the command line to its end in `folder`, without a data directory of ours.
    pub fn run(&self, arguments: &[&str], folder: &Path) -> Output {
        let mut command = self.command(folder);
        command.args(arguments).stdin(Stdio::null());
        command.output().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()))
    }

    /// Begins the command line in `folder`; what it says is piped.
    pub fn begin(&self, arguments: &[&str], folder: &Path) -> Child {
        let mut command = self.command(folder);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()))
    }

    /// The binary with a clean environment: nothing of the person's own configuration reaches a test.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AVYCENNA_") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // A stray avycenna.toml of the working directory must not count.
        command.current_dir(folder);
        command
    }
}

/// A server that runs, or ran. Dropping it kills the process and removes the data directory.
#[derive(Debug)]
pub struct Server {
    options: Options,
    folder: tempfile::TempDir,
    child: Option<Child>,
    address: String,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts a server on a new data directory and waits until it is ready.
    pub async fn start(options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = Arc::new(Mutex::new(String::new()));
        let mut server = Self { options, folder, child: None, address: String::new(), log };
        server.run().await;
        server
    }

    /// Starts the server again on the same data, with the same options, and waits until it is ready.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "stop or kill the server before it starts again");
        self.run().await;
    }

    /// The same with other options.
    pub async fn restart_with(&mut self, options: Options) {
        self.options = options;
        self.restart().await;
    }

    async fn run(&mut self) {
        let found = self.launch();
        self.address = self.wait_for("its address", || found.lock().expect("no panic").clone()).await;
        self.ready().await;
    }

    /// Starts the process and waits for nothing; the address appears in what is returned.
    pub fn launch(&mut self) -> Arc<Mutex<Option<String>>> {
        let mut command = self.options.command(self.folder.path());
        command.arg("serve").arg("--data-dir").arg(self.data_dir()).args(["--listen", "127.0.0.1:0"]);
        command.args(&self.options.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.options.binary.display()));
        let found = Arc::new(Mutex::new(None));
        let stdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        collect(stdout, Arc::clone(&self.log), Arc::clone(&found));
        collect(stderr, Arc::clone(&self.log), Arc::clone(&found));
        self.child = Some(child);
        found
    }

    /// Polls until there is an answer; fails with the log when the process ends or the deadline passes.
    async fn wait_for<T>(&mut self, what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = poll() {
                return found;
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().expect("wait")) {
                panic!("the server ended with {status} before {what}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "the server did not reach {what} in {DEADLINE:?}:\n{}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until `/readyz` says yes.
    pub async fn ready(&self) {
        let client = self.client();
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Ok(answer) = client.try_send(client.request("GET", "/readyz")).await
                && answer.status == 200
            {
                return;
            }
            assert!(Instant::now() < deadline, "the server is not ready after {DEADLINE:?}:\n{}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Everything it printed so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    /// A client without a credential.
    pub fn client(&self) -> Client {
        Client::new(&self.url())
    }

    /// SIGKILL: nothing is written, nothing is said.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    /// SIGTERM, then waits for the end.
    pub async fn stop(&mut self) -> ExitStatus {
        signal(self.pid(), "TERM");
        let mut child = self.child.take().expect("the server runs");
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = child.try_wait().expect("wait") {
                return status;
            }
            if Instant::now() >= deadline {
                child.kill().expect("kill");
                child.wait().expect("wait");
                panic!("the server did not stop in {DEADLINE:?}:\n{}", self.log());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Runs the command line on the same data directory: `arguments`, then `--data-dir`.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let data_dir = self.data_dir();
        let data_dir = data_dir.to_str().expect("temporary folders are text");
        self.options.run(&[arguments, &["--data-dir", data_dir]].concat(), self.folder.path())
    }

    /// Runs a command line without the data directory, with `input` piped in: exit code, standard output, standard error.
    pub fn piped(&self, arguments: &[String], input: &str) -> (Option<i32>, String, String) {
        use std::io::Write as _;
        let mut command = self.options.command(self.folder.path());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// The same, for its standard output; fails unless it exits with 0.
    pub fn command_ok(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "avycenna {arguments:?}: {}\n{said}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    /// Makes a person from the command line and returns the id.
    pub fn user(&self, email: &str) -> String {
        let printed = self.command_ok(&["user", "create", "--email", email, "--name", "Test Person"]);
        word_with(&printed, "usr_")
    }

    /// Makes a person and a key of theirs from the command line, and a client with it.
    pub fn person(&self, email: &str) -> Client {
        self.user(email);
        self.client().with_key(&self.key(email))
    }

    /// Makes an API key from the command line and returns it.
    pub fn key(&self, email: &str) -> String {
        let printed = self.command_ok(&["key", "create", "--user", email, "--name", "test"]);
        word_with(&printed, "avk_")
    }
}

/// Sends a signal to a process, by the signal's short name.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill");
    assert!(sent.success(), "kill -{name} {pid}: {sent}");
}

/// The first word of `text` that begins with `prefix`.
fn word_with(text: &str, prefix: &str) -> String {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split(|letter| !is_word(letter))
        .find(|word| word.starts_with(prefix))
        .unwrap_or_else(|| panic!("no {prefix}… in {text:?}"))
        .to_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failed test shows the server's log")]
            {
                eprintln!("--- log of the server ---\n{}--- end ---", self.log());
            }
        }
    }
}

/// Copies a pipe into the log, line by line, and notes the address when it comes by.
fn collect(pipe: impl Read + Send + 'static, log: Arc<Mutex<String>>, found: Arc<Mutex<Option<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { return };
            if let Some((_, rest)) = line.split_once(LISTENING) {
                let address: String =
                    rest.chars().take_while(|letter| letter.is_ascii_digit() || ".:".contains(*letter)).collect();
                found.lock().expect("no panic").get_or_insert(address);
            }
            let mut log = log.lock().expect("no panic");
            log.push_str(&line);
            log.push('\n');
        }
    });
}
