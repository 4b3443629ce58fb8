//! How much of a busy machine a thread gets.

/// Lets requests and the log go first: on a busy machine the calling thread gets a tenth of what they get, and a request
/// that wakes up does not wait for the end of its turn. Cannot be taken back; does nothing but on Linux.
#[cfg(target_os = "linux")]
pub fn step_back() {
    set(10);
}

/// The same, behind those that have stepped back, too: on a busy machine a seventieth of what requests get.
///
/// What a thread is owed it gets in one piece, as long as a tick of the clock, four milliseconds where there are 250 a
/// second, and a request that was pushed aside for a moment waits for the end of that: the less it is owed, the fewer do.
#[cfg(target_os = "linux")]
pub fn step_back_behind_all() {
    set(19);
}

/// `niceness` as `nice` has it: 0 is normal, 19 the least.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the C library is the only way to a thread's priority")]
fn set(niceness: i32) {
    /// Length of a turn, of which Linux 6.12 and later take note: who has shorter ones, as all others, may cut in.
    const TURN_NS: u64 = 100_000_000;
    const SCHED_OTHER: u32 = 0;
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

/// Lets requests and the log go first, where the system can.
#[cfg(not(target_os = "linux"))]
pub fn step_back() {}

/// Lets all others go first, where the system can.
#[cfg(not(target_os = "linux"))]
pub fn step_back_behind_all() {}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    /// How nice a thread is that has called `step`.
    fn niceness_behind(step: fn()) -> i32 {
        let thread = std::thread::spawn(move || {
            step();
            std::fs::read_to_string("/proc/thread-self/stat").unwrap()
        });
        let stat = thread.join().unwrap();
        // proc(5): field 19; the second one may hold blanks, and ends with the last parenthesis.
        let mut fields = stat.rsplit_once(") ").unwrap().1.split(' ');
        fields.nth(19 - 3).unwrap().parse().unwrap()
    }

    #[test]
    fn threads_that_step_back_let_others_go_first() {
        assert_eq!(niceness_behind(super::step_back), 10);
        assert_eq!(niceness_behind(super::step_back_behind_all), 19);
    }
}
