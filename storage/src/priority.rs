//! How much of a busy machine a thread gets.

/// Who goes before a thread that steps back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// Requests and the log: on a busy machine it gets a tenth of what they get. For what they cannot do without for long,
    /// as flushes.
    Requests,
    /// All of these: a thirtieth. For answers that may take their time. A core that a request keeps busy for a while owes
    /// this thread its share, and pays in one piece: the smaller the share, the fewer requests wait for it.
    All,
}

impl Behind {
    /// As `nice` has it: 0 is normal, 19 the least; each step is a quarter less.
    #[cfg(target_os = "linux")]
    fn niceness(self) -> i32 {
        match self {
            Self::Requests => 10,
            Self::All => 15,
        }
    }
}

/// Lets others go first on a busy machine; one of them that wakes up does not wait for the end of the calling thread's
/// turn. Cannot be taken back; does nothing but on Linux.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the C library is the only way to a thread's priority")]
pub fn step_back(behind: Behind) {
    /// Length of a turn, of which Linux 6.12 and later take note: who has shorter ones, as all others, may cut in.
    const TURN_NS: u64 = 100_000_000;
    const SCHED_OTHER: u32 = 0;
    let niceness = behind.niceness();
    let attributes = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0),
        sched_policy: SCHED_OTHER,
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: TURN_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: a system call that reads the structure; thread 0 is the calling one.
    let refused = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    // SAFETY: two system calls on numbers. On Linux they mean the calling thread, not the process.
    let refused =
        refused != 0 && unsafe { libc::setpriority(libc::PRIO_PROCESS, libc::gettid().unsigned_abs(), niceness) } != 0;
    if refused {
        let thread = std::thread::current();
        tracing::warn!(thread = thread.name(), "runs with the priority of requests: the system refused less");
    }
}

/// Lets others go first, where the system can.
#[cfg(not(target_os = "linux"))]
pub fn step_back(_: Behind) {}
