//! How much of a busy machine a thread gets.

/// Lets requests and the log go first: on a busy machine the calling thread gets a tenth of what they get, and a request
/// that wakes up does not wait for the end of its turn. Cannot be taken back; does nothing but on Linux.
#[cfg(target_os = "linux")]
pub fn step_back() {
    const SCHED_OTHER: u32 = 0;
    set(SCHED_OTHER);
}

/// Leaves a core to whoever else wants it: what nobody wants is the calling thread's. A thread that wakes up is put on a core
/// where nothing else runs as on one that is idle. Cannot be taken back; does nothing but on Linux.
#[cfg(target_os = "linux")]
pub fn step_back_behind_all() {
    const SCHED_IDLE: u32 = 5;
    set(SCHED_IDLE);
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the C library is the only way to a thread's priority")]
fn set(policy: u32) {
    /// As `nice` has it: 0 is normal, 19 the least.
    const NICENESS: i32 = 10;
    /// Length of a turn, of which Linux 6.12 and later take note: who has shorter ones, as all others, may cut in.
    const TURN_NS: u64 = 100_000_000;
    let attributes = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0),
        sched_policy: policy,
        sched_flags: 0,
        sched_nice: NICENESS,
        sched_priority: 0,
        sched_runtime: TURN_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: a system call that reads the structure; thread 0 is the calling one.
    let refused = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    // SAFETY: two system calls on numbers. On Linux they mean the calling thread, not the process.
    let refused =
        refused != 0 && unsafe { libc::setpriority(libc::PRIO_PROCESS, libc::gettid().unsigned_abs(), NICENESS) } != 0;
    if refused {
        let thread = std::thread::current();
        tracing::warn!(thread = thread.name(), "runs with the priority of requests: the system refused less");
    }
}

/// Lets requests and the log go first, where the system can.
#[cfg(not(target_os = "linux"))]
pub fn step_back() {}

/// Leaves a core to whoever else wants it, where the system can.
#[cfg(not(target_os = "linux"))]
pub fn step_back_behind_all() {}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    /// Niceness and policy of the thread that `step` is called on.
    fn behind(step: fn()) -> (i32, u32) {
        let thread = std::thread::spawn(move || {
            step();
            std::fs::read_to_string("/proc/thread-self/stat").unwrap()
        });
        let stat = thread.join().unwrap();
        // proc(5): fields 19 and 41; the second one may hold blanks and ends with the last parenthesis.
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        (fields[19 - 3].parse().unwrap(), fields[41 - 3].parse().unwrap())
    }

    #[test]
    fn threads_that_step_back_are_nicer_and_those_behind_all_get_what_is_left() {
        assert_eq!(behind(super::step_back), (10, 0));
        assert_eq!(behind(super::step_back_behind_all).1, 5);
    }
}
