//! The bytes of a document on their way to the XML reader: text in UTF-8 whatever they were, and no piece of unbounded
//! length.

use std::io::{self, BufRead, Read};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of one tag, or of one text between tags. Apple writes a few hundred; the XML reader holds one at a time.
pub(super) const PIECE_BYTES_MAX: usize = 1024 * 1024;

/// A reader for the XML reader.
///
/// Bytes that are no UTF-8 become `?`, each one, so that offsets stay those of the file. A piece that is longer than
/// [`PIECE_BYTES_MAX`] is an error.
#[derive(Debug)]
pub(super) struct Text<R> {
    inner: R,
    buffer: Box<[u8]>,
    /// Where the next byte to give stands.
    start: usize,
    /// End of the bytes that are UTF-8.
    ready: usize,
    /// End of the bytes that were read; between is the beginning of a character.
    filled: usize,
    /// Bytes that the current piece may still take.
    left: usize,
    /// Bytes of the document before `buffer`.
    offset: u64,
    /// Where the first byte stood that was no UTF-8, and how many there were.
    replaced: Option<(u64, u64)>,
    /// Why no more comes.
    failed: Option<Failure>,
}

/// Why a document cannot be read on.
#[derive(Debug)]
pub(super) enum Failure {
    /// A tag or a text is too long.
    TooLong,
    /// The file, or what inflates it, failed.
    Read(io::Error),
}

impl<R: Read> Text<R> {
    /// Reads from `inner`, whose first byte stands at `offset` of the document.
    pub(super) fn new(inner: R, offset: u64) -> Self {
        Self {
            inner,
            buffer: vec![0; CHUNK_BYTES].into_boxed_slice(),
            start: 0,
            ready: 0,
            filled: 0,
            left: PIECE_BYTES_MAX,
            offset,
            replaced: None,
            failed: None,
        }
    }

    /// Says that a new piece begins.
    #[inline]
    pub(super) fn next_piece(&mut self) {
        self.left = PIECE_BYTES_MAX;
    }

    /// Why the last read failed, once.
    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.failed.take()
    }

    /// Where the first byte stood that was no UTF-8, and how many there were.
    pub(super) fn replaced(&self) -> Option<(u64, u64)> {
        self.replaced
    }

    fn fill(&mut self) -> io::Result<()> {
        self.offset += u64::try_from(self.ready).unwrap_or_default();
        self.buffer.copy_within(self.ready..self.filled, 0);
        let kept = self.filled - self.ready;
        self.start = 0;
        self.ready = 0;
        self.filled = kept;
        let room = self.buffer.get_mut(kept..).unwrap_or_default();
        let read = loop {
            match self.inner.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                self.filled = 0;
                let kind = error.kind();
                self.failed = Some(Failure::Read(error));
                return Err(kind.into());
            }
        };
        self.filled += read;
        self.repair(read == 0);
        Ok(())
    }

    /// Finds how far the bytes are UTF-8, and replaced what is not on the way. A character that is cut off by the end of
    /// the buffer waits for its rest, unless there is none.
    fn repair(&mut self, is_last: bool) {
        loop {
            let rest = self.buffer.get(self.ready..self.filled).unwrap_or_default();
            let Err(error) = std::str::from_utf8(rest) else {
                self.ready = self.filled;
                return;
            };
            self.ready += error.valid_up_to();
            let bad = match error.error_len() {
                Some(bad) => bad,
                None if is_last => self.filled - self.ready,
                None => return,
            };
            let at = self.offset + u64::try_from(self.ready).unwrap_or_default();
            let (first, count) = self.replaced.unwrap_or((at, 0));
            self.replaced = Some((first, count + u64::try_from(bad).unwrap_or_default()));
            if let Some(bytes) = self.buffer.get_mut(self.ready..self.ready + bad) {
                bytes.fill(b'?');
            }
        }
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), available.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Text<R> {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            self.failed = Some(Failure::TooLong);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // Several times where a read gives a part of a character alone.
        while self.start == self.ready {
            let before = self.filled - self.ready;
            self.fill()?;
            if self.filled == before {
                break;
            }
        }
        Ok(self.buffer.get(self.start..self.ready).unwrap_or_default())
    }

    #[inline]
    fn consume(&mut self, bytes: usize) {
        self.start = self.ready.min(self.start + bytes);
        self.left = self.left.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives a few bytes at a time.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(out.len());
            let (now, rest) = self.0.split_at(count);
            out[..count].copy_from_slice(now);
            self.0 = rest;
            Ok(count)
        }
    }

    fn read(bytes: &[u8], step: usize) -> (Vec<u8>, Option<(u64, u64)>) {
        let mut text = Text::new(Dripping(bytes, step), 10);
        let mut out = Vec::new();
        loop {
            text.next_piece();
            let chunk = text.fill_buf().unwrap();
            if chunk.is_empty() {
                return (out, text.replaced());
            }
            assert!(std::str::from_utf8(chunk).is_ok());
            out.extend_from_slice(chunk);
            let count = chunk.len();
            text.consume(count);
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_become_question_marks_and_are_counted() {
        for step in [1, 2, 3, 7, 100] {
            assert_eq!(read("a€😀b".as_bytes(), step), ("a€😀b".as_bytes().to_vec(), None));
            assert_eq!(read(b"ab\xffcd\xe2\x82", step), (b"ab?cd??".to_vec(), Some((12, 3))));
        }
    }

    #[test]
    fn a_piece_without_an_end_is_an_error() {
        let mut text = Text::new(io::repeat(b'a'), 0);
        let mut taken = 0;
        let error = loop {
            match text.fill_buf() {
                Ok(chunk) => {
                    taken += chunk.len();
                    let count = chunk.len();
                    text.consume(count);
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(matches!(text.take_failure(), Some(Failure::TooLong)));
        assert!((PIECE_BYTES_MAX..=PIECE_BYTES_MAX + CHUNK_BYTES).contains(&taken), "{taken}");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_as_long_as_before_and_utf_8(bytes: Vec<u8>, step in 1_usize..9) {
            let (out, replaced) = read(&bytes, step);
            prop_assert_eq!(out.len(), bytes.len());
            prop_assert_eq!(replaced.is_none(), std::str::from_utf8(&bytes).is_ok());
            if replaced.is_none() {
                prop_assert_eq!(out, bytes);
            }
        }
    }
}
