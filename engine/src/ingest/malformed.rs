//! Where a refused body stops being JSON, and which of its numbers are too large to be told.
//!
//! simd-json is fast and says little: most of its errors have no place, and a number that no f64 holds (`1e999`) is
//! to it the same as no number at all. So a body that it refuses is read once more here, byte by byte, which costs
//! only those who send such bodies: one pass, no recursion, a few bytes of stack however deep the brackets go.

use std::ops::Range;

/// Deepest nesting of arrays and objects that is read. A body of points needs three.
pub(super) const NESTING_MAX: usize = 32;

/// What a body is that simd-json refuses.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Not JSON from this byte on.
    Malformed {
        /// The first byte that cannot be there, or the body's length if it ends too early.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// JSON; the numbers in these places fit no f64, or are whole and fit no 64 bits. May be none.
    Valid {
        /// Where they are.
        oversized: Vec<Range<usize>>,
    },
}

/// Finds out why a body is refused.
pub(super) fn examine(body: &[u8]) -> Finding {
    if let Err(error) = std::str::from_utf8(body) {
        return Finding::Malformed { offset: error.valid_up_to(), what: "not UTF-8" };
    }
    let mut reader = Reader { body, at: 0, oversized: Vec::new() };
    match reader.document() {
        Ok(()) => Finding::Valid { oversized: reader.oversized },
        Err(what) => Finding::Malformed { offset: reader.at, what },
    }
}

/// The body with its oversized numbers replaced by ones that fit and are still beyond every bound: `1e308`.
pub(super) fn tame(body: &[u8], oversized: &[Range<usize>]) -> Vec<u8> {
    let mut tamed = body.to_vec();
    for place in oversized {
        let Some(number) = tamed.get_mut(place.clone()) else { continue };
        // Nothing shorter than `1e309` is too large, so there is always room.
        let stand_in: &[u8] = if number.first() == Some(&b'-') { b"-1e308" } else { b"1e308" };
        number.fill(b' ');
        for (target, source) in number.iter_mut().zip(stand_in) {
            *target = *source;
        }
    }
    tamed
}

/// What may come next.
#[derive(Clone, Copy)]
enum Expect {
    Value,
    /// Right behind `[`.
    ValueOrEnd,
    Key,
    /// Right behind `{`.
    KeyOrEnd,
    /// Behind a value: `,` or the end of what is open.
    Next,
}

struct Reader<'a> {
    body: &'a [u8],
    /// The next byte; where the fault is when one is found.
    at: usize,
    oversized: Vec<Range<usize>>,
}

type Step<T = ()> = Result<T, &'static str>;

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn document(&mut self) -> Step {
        // One bit per open bracket: 1 is an object.
        let mut open: u64 = 0;
        let mut depth = 0;
        let mut expect = Expect::Value;
        loop {
            self.skip_space();
            if depth == 0 && matches!(expect, Expect::Next) {
                return if self.at == self.body.len() { Ok(()) } else { Err("nothing may follow the value") };
            }
            let is_object = open & 1 == 1;
            match (expect, self.peek()) {
                (_, None) => return Err("the body ends too early"),
                (Expect::KeyOrEnd | Expect::Next, Some(b'}')) if is_object => {
                    self.at += 1;
                    (open, depth, expect) = (open >> 1, depth - 1, Expect::Next);
                }
                (Expect::ValueOrEnd | Expect::Next, Some(b']')) if !is_object => {
                    self.at += 1;
                    (open, depth, expect) = (open >> 1, depth - 1, Expect::Next);
                }
                (Expect::Next, Some(b',')) => {
                    self.at += 1;
                    expect = if is_object { Expect::Key } else { Expect::Value };
                }
                (Expect::Next, _) if is_object => return Err("expected `,` or `}`"),
                (Expect::Next, _) => return Err("expected `,` or `]`"),
                (Expect::Key | Expect::KeyOrEnd, Some(b'"')) => {
                    self.key()?;
                    expect = Expect::Value;
                }
                (Expect::Key | Expect::KeyOrEnd, _) => return Err("expected a name in quotes"),
                (Expect::Value | Expect::ValueOrEnd, Some(bracket @ (b'{' | b'['))) => {
                    if depth == NESTING_MAX {
                        return Err("nested deeper than 32 levels");
                    }
                    self.at += 1;
                    let is_object = bracket == b'{';
                    (open, depth) = (open << 1 | u64::from(is_object), depth + 1);
                    expect = if is_object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
                }
                (Expect::Value | Expect::ValueOrEnd, Some(first)) => {
                    self.scalar(first)?;
                    expect = Expect::Next;
                }
            }
        }
    }

    fn key(&mut self) -> Step {
        self.string()?;
        self.skip_space();
        self.byte(b':', "expected `:`")
    }

    fn byte(&mut self, wanted: u8, what: &'static str) -> Step {
        match self.peek() {
            Some(found) if found == wanted => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(what),
            None => Err("the body ends too early"),
        }
    }

    fn scalar(&mut self, first: u8) -> Step {
        match first {
            b'"' => self.string(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err("expected a value"),
        }
    }

    fn word(&mut self, word: &[u8]) -> Step {
        word.iter().try_for_each(|letter| self.byte(*letter, "expected a value"))
    }

    fn number(&mut self) -> Step {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut is_whole = true;
        if self.peek() == Some(b'.') {
            is_whole = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.body.get(start..self.at).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        let fits = if is_whole {
            text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok()
        } else {
            text.parse::<f64>().is_ok_and(f64::is_finite)
        };
        if !fits {
            self.oversized.push(start..self.at);
        }
        Ok(())
    }

    fn digits(&mut self) -> Step {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.peek() {
            _ if self.at > start => Ok(()),
            None => Err("the body ends too early"),
            Some(_) => Err("expected a digit"),
        }
    }

    fn string(&mut self) -> Step {
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err("the body ends too early"),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0..=0x1F) => return Err("a control character must be escaped"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Step {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                self.at += 1;
                let high = self.hex()?;
                let is_pair = match high {
                    0xD800..=0xDBFF => self.low_surrogate()?,
                    0xDC00..=0xDFFF => false,
                    _ => true,
                };
                if is_pair {
                    return Ok(());
                }
                self.at = start;
                Err("half of a surrogate pair")
            }
            Some(_) => Err("no such escape"),
            None => Err("the body ends too early"),
        }
    }

    fn low_surrogate(&mut self) -> Step<bool> {
        if !self.body.get(self.at..).is_some_and(|rest| rest.starts_with(b"\\u")) {
            return Ok(false);
        }
        self.at += 2;
        Ok((0xDC00..=0xDFFF).contains(&self.hex()?))
    }

    fn hex(&mut self) -> Step<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|digit| char::from(digit).to_digit(16));
            match (digit, self.peek()) {
                (Some(digit), _) => code = code << 4 | digit,
                (None, Some(_)) => return Err("expected four hexadecimal digits"),
                (None, None) => return Err("the body ends too early"),
            }
            self.at += 1;
        }
        Ok(code)
    }
}
