//! Random numbers that stay the same on every machine and with every version of every crate: SplitMix64.
//!
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The stream that belongs to a seed and two numbers, independent of all others.
    pub(super) fn new(seed: u64, stream: u32, part: u32) -> Self {
        let mut dice = Self(seed);
        dice.0 = dice.next() ^ (u64::from(stream) << 32 | u64::from(part)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        dice.next();
        dice
    }

    /// Any 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn half(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap_or(0)
    }

    /// Even over `[low, high)`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * f64::from(self.half()) / 4_294_967_296.0
    }

    /// Even over `0..bound`; 0 if there is no such number.
    pub(super) fn below(&mut self, bound: i64) -> i64 {
        i64::from(self.half()) % bound.max(1)
    }

    /// Close to the normal distribution: mean 0, deviation 1, never beyond ±3.5.
    pub(super) fn bell(&mut self) -> f64 {
        let sum: f64 = (0..4).map(|_| self.between(-0.5, 0.5)).sum();
        sum * 3.0_f64.sqrt()
    }

    /// True once in `one_in`, on average.
    pub(super) fn hits(&mut self, one_in: i64) -> bool {
        self.below(one_in) == 0
    }
}
