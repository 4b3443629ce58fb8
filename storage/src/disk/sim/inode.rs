//! The bytes of one simulated file: what running code sees, what is durable, and what lies between.

use std::io;

/// What a disk writes whole: a torn write is made of such pieces.
pub const SECTOR_BYTES: usize = 512;

/// SplitMix64: small, fast, and the same on every machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or(0)
    }

    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

/// The bytes of a file; behind `bytes` come zeros up to `len`, which are not stored.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    pub(super) len: u64,
}

impl Image {
    pub(super) fn write(&mut self, from: &[u8], offset: u64) {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(from.len());
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(space) = self.bytes.get_mut(start..end) {
            space.copy_from_slice(from);
        }
        self.len = self.len.max(end as u64);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        self.len = len;
    }

    pub(super) fn read(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.saturating_add(into.len() as u64) > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let stored = usize::try_from(offset).ok().and_then(|start| self.bytes.get(start..)).unwrap_or_default();
        let (head, zeros) = into.split_at_mut(stored.len().min(into.len()));
        head.copy_from_slice(stored.get(..head.len()).unwrap_or_default());
        zeros.fill(0);
        Ok(())
    }

    pub(super) fn flip(&mut self, byte: u64, mask: u8) -> bool {
        if byte >= self.len {
            return false;
        }
        let Ok(at) = usize::try_from(byte) else { return false };
        if self.bytes.len() <= at {
            self.bytes.resize(at + 1, 0);
        }
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte ^= mask;
        }
        true
    }
}

/// A change of a file's bytes that is not durable yet.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl Change {
    pub(super) fn apply(&self, image: &mut Image) {
        match self {
            Self::Write { offset, bytes } => image.write(bytes, *offset),
            Self::SetLen(len) => image.set_len(*len),
        }
    }

    /// Keeps, loses or tears it.
    pub(super) fn settle(&self, image: &mut Image, random: &mut Random) {
        match self {
            Self::SetLen(len) if random.coin() => image.set_len(*len),
            Self::SetLen(_) => {}
            Self::Write { offset, bytes } => match random.below(4) {
                0 => {}
                1 => image.write(bytes, *offset),
                2 => {
                    let torn_at = random.below(bytes.len() + 1);
                    image.write(bytes.get(..torn_at).unwrap_or_default(), *offset);
                }
                _ => {
                    for (nth, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                        if random.coin() {
                            image.write(sector, offset + (nth * SECTOR_BYTES) as u64);
                        }
                    }
                }
            },
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) volatile: Image,
    pub(super) durable: Image,
    pub(super) pending: Vec<Change>,
    pub(super) modified: u64,
}

impl Inode {
    pub(super) fn change(&mut self, change: Change, now: u64) {
        change.apply(&mut self.volatile);
        self.pending.push(change);
        self.modified = now;
    }
}
