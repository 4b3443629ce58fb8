//! Reads little-endian fields from bytes that may be hostile: every read is bounded, none panics, none allocates.

/// A place in a slice of bytes. Every read moves it on, or is `None` and leaves it where it was.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Begins at the first of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        self.at += len;
        Some(taken)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        self.at += N;
        Some(*taken)
    }

    /// The next byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next two bytes.
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next four bytes, signed.
    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    /// The next eight bytes.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next eight bytes, signed.
    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// The next `len` bytes, which must be UTF-8.
    pub(crate) fn text(&mut self, len: usize) -> Option<&'a str> {
        let mut ahead = self.clone();
        let text = std::str::from_utf8(ahead.take(len)?).ok()?;
        *self = ahead;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_behind_the_end_is_none_and_moves_nothing() {
        let mut cursor = Cursor::new(&[1, 0, 0xff]);
        assert_eq!(cursor.u32(), None);
        assert_eq!(cursor.u16(), Some(1));
        assert_eq!(cursor.text(1), None);
        assert_eq!((cursor.at(), cursor.rest()), (2, &[0xff][..]));
        assert_eq!(cursor.take(usize::MAX), None);
        assert_eq!(cursor.u8(), Some(0xff));
    }
}
