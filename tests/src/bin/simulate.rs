//! Simulated crashes on demand: `cargo sim -- --seeds 100000`, or one again: `cargo sim -- --seed 42`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::process::ExitCode;

use clap::Parser;

/// Runs seeded operations on a simulated disk and loses power at every call.
#[derive(Debug, Parser)]
struct Options {
    /// Only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of seeds, from `--from` on.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Crash at every n-th disk call alone.
    #[arg(long, default_value_t = 1)]
    step: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let (from, to) = match options.seed {
        Some(seed) => (seed, seed + 1),
        None => (options.from, options.from + options.seeds),
    };
    let mut crashes = 0;
    for seed in from..to {
        match storage::simulation::run(seed, options.step) {
            Ok(outcome) => crashes += outcome.crashes,
            Err(error) => {
                eprintln!("{error}\nrepeat with: cargo sim -- --seed {seed}");
                return ExitCode::FAILURE;
            }
        }
        if (seed + 1 - from).is_multiple_of(100) {
            println!("{} seeds, {crashes} crashes, nothing lost", seed + 1 - from);
        }
    }
    println!("{} seeds, {crashes} crashes, nothing lost", to - from);
    ExitCode::SUCCESS
}
