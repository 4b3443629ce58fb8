//! Processes under test: started, watched through `/proc`, stopped.
//!
//! Linux counts a process's CPU time in ticks of 10 ms, so a figure wants seconds of work.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::client::{Connection, Head};

/// Ticks a second of the CPU times in `/proc` (`USER_HZ`, 100 on every Linux platform that Rust runs on).
const TICKS_PER_SECOND: u64 = 100;
/// Longest start: the replay of a large log included.
const START_TIMEOUT: Duration = Duration::from_mins(5);
/// Longest stop or compaction.
const STOP_TIMEOUT: Duration = Duration::from_mins(15);

/// What a process used up so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Most memory it ever had in RAM, bytes.
    pub(crate) rss_peak_bytes: u64,
    /// Memory in RAM now, bytes.
    pub(crate) rss_bytes: u64,
    /// Bytes that went towards the disk.
    pub(crate) disk_write_bytes: u64,
}

impl Usage {
    /// Reads the figures of a living process, or of one that has ended but was not waited for.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let (cpu, _) = stat(pid)?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0)
        };
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()).unwrap_or(0);
        Ok(Self {
            cpu,
            rss_peak_bytes: kib("VmHWM:") * 1024,
            rss_bytes: kib("VmRSS:") * 1024,
            disk_write_bytes: written,
        })
    }
}

/// CPU time so far, and whether the process has ended.
fn stat(pid: u32) -> Result<(Duration, bool)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold spaces; the fields after it are counted from 3.
    let fields: Vec<&str> =
        stat.rsplit_once(") ").ok_or("no name in /proc/PID/stat")?.1.split_ascii_whitespace().collect();
    let ticks = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let cpu = Duration::from_millis((ticks(14) + ticks(15)) * 1000 / TICKS_PER_SECOND);
    Ok((cpu, fields.first() == Some(&"Z")))
}

/// A server: one that was started here, or one that was running already.
#[derive(Debug)]
pub(crate) struct Server {
    child: Option<Child>,
    /// The process to watch, where it is known.
    pub(crate) pid: Option<u32>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From the start of the process to its being ready.
    pub(crate) start_time: Duration,
}

impl Server {
    /// Starts `command`, which must listen at `address`, and waits until `ready_path` answers 200.
    pub(crate) fn start(command: &mut Command, address: SocketAddr, ready_path: &str) -> Result<Self> {
        let start = Instant::now();
        let child = command.stdin(Stdio::null()).spawn()?;
        let pid = child.id();
        let mut server = Self { child: Some(child), pid: Some(pid), address, start_time: Duration::ZERO };
        let head = Head::get(&address.to_string(), ready_path, None);
        while !matches!(Connection::open(address).and_then(|mut to| to.get(&head)), Ok(200)) {
            if let Some(status) = server.child.as_mut().and_then(|child| child.try_wait().transpose()) {
                return Err(format!("the server ended at its start: {}", status?).into());
            }
            if start.elapsed() > START_TIMEOUT {
                return Err("the server did not become ready".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        server.start_time = start.elapsed();
        Ok(server)
    }

    /// A server that runs already.
    pub(crate) fn running(address: SocketAddr, pid: Option<u32>) -> Self {
        Self { child: None, pid, address, start_time: Duration::ZERO }
    }

    /// What it used up so far; nothing if its process is not known.
    pub(crate) fn usage(&self) -> Result<Usage> {
        self.pid.map_or(Ok(Usage::default()), Usage::of)
    }

    /// Asks it to stop, waits, calling `look` again and again, gives what it used up in all.
    pub(crate) fn stop(mut self, look: &dyn Fn()) -> Result<Usage> {
        let Some(child) = self.child.take() else { return self.usage() };
        let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        if !status.success() {
            return Err("the server could not be told to stop".into());
        }
        watch(child, look)
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Best effort on the way out of a failure that is reported anyway.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a command to its end, calling `look` again and again meanwhile, and gives what it used up.
pub(crate) fn run(command: &mut Command, look: &dyn Fn()) -> Result<Usage> {
    watch(command.stdin(Stdio::null()).spawn()?, look)
}

/// Watches a process to its end. The memory peak is sampled, since the kernel forgets it at the exit.
fn watch(mut child: Child, look: &dyn Fn()) -> Result<Usage> {
    let pid = child.id();
    let start = Instant::now();
    let mut last = Usage::default();
    loop {
        let (cpu, has_ended) = stat(pid)?;
        if let Ok(usage) = Usage::of(pid) {
            last = Usage {
                cpu,
                rss_peak_bytes: usage.rss_peak_bytes.max(last.rss_peak_bytes),
                disk_write_bytes: usage.disk_write_bytes.max(last.disk_write_bytes),
                ..usage
            };
        }
        look();
        if has_ended {
            break;
        }
        if start.elapsed() > STOP_TIMEOUT {
            child.kill()?;
            return Err("a process did not end".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("a process failed: {status}").into());
    }
    Ok(last)
}

/// An address of this machine that nobody listens at just now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Sum of the sizes of the files below a folder for which `wanted` says yes. Files may vanish meanwhile.
pub(crate) fn disk_bytes(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> io::Result<u64> {
    let mut bytes = 0;
    let mut folders: Vec<PathBuf> = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            match fs::metadata(&path) {
                Ok(found) if found.is_dir() => folders.push(path),
                Ok(found) if wanted(&path) => bytes += found.len(),
                _ => {}
            }
        }
    }
    Ok(bytes)
}
