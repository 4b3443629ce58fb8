//! The seeds that run with every test run.

use super::*;

/// Runs seeds `from..to`, every disk call of each.
fn seeds(from: u64, to: u64) {
    for seed in from..to {
        if let Err(error) = run(seed, 1) {
            panic!("{error}\nrepeat with: cargo sim -- --seed {seed}");
        }
    }
}

// Two tests, so that two cores share them.
#[test]
fn a_crash_at_any_call_loses_nothing_acknowledged_seeds_0_to_150() {
    seeds(0, 150);
}

#[test]
fn a_crash_at_any_call_loses_nothing_acknowledged_seeds_150_to_300() {
    seeds(150, 300);
}
