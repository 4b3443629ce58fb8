//! What one local type's messages look like, and how their fields are read.

use super::profile;

/// A field that is read: where it lies in the message.
#[derive(Debug, Clone, Copy)]
struct Field {
    number: u8,
    offset: usize,
    size: usize,
    base: Base,
}

/// How a field's elements are stored. Floating-point numbers and text are in no field that is read.
#[derive(Debug, Clone, Copy)]
struct Base {
    width: usize,
    is_signed: bool,
    /// What stands where there is no value: all bits (0, for types with a `z`).
    invalid: i64,
    is_big_endian: bool,
}

impl Base {
    /// Of the type's byte; its top bit only says whether byte order matters, and writers forget it.
    fn new(base_type: u8, is_big_endian: bool) -> Option<Self> {
        let (width, is_signed, invalid) = match base_type & 0x1F {
            0x00 | 0x02 | 0x0D => (1, false, 0xFF),
            0x01 => (1, true, 0x7F),
            0x03 => (2, true, 0x7FFF),
            0x04 => (2, false, 0xFFFF),
            0x05 => (4, true, 0x7FFF_FFFF),
            0x06 => (4, false, 0xFFFF_FFFF),
            0x0A => (1, false, 0),
            0x0B => (2, false, 0),
            0x0C => (4, false, 0),
            _ => return None,
        };
        Some(Self { width, is_signed, invalid, is_big_endian })
    }

    fn element(self, bytes: &[u8]) -> Option<i64> {
        Some(match self.width {
            1 => {
                let byte = *bytes.first()?;
                if self.is_signed { i64::from(i8::from_le_bytes([byte])) } else { i64::from(byte) }
            }
            2 => {
                let bytes = *bytes.first_chunk()?;
                let number = if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
                if self.is_signed { i64::from(number.cast_signed()) } else { i64::from(number) }
            }
            _ => {
                let bytes = *bytes.first_chunk()?;
                let number = if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
                if self.is_signed { i64::from(number.cast_signed()) } else { i64::from(number) }
            }
        })
    }

    fn value(self, bytes: &[u8]) -> Value {
        match self.element(bytes) {
            Some(number) if number == self.invalid => Value::Invalid,
            Some(number) => Value::Number(number),
            None => Value::Absent,
        }
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// The message has no such field, or it is stored as no number.
    Absent,
    /// There is no value: the device had none.
    Invalid,
    /// A number, without scale and offset.
    Number(i64),
}

impl Value {
    pub(crate) fn number(self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Absent | Self::Invalid => None,
        }
    }
}

/// The definition of a local type.
#[derive(Debug, Default)]
pub(super) struct Definition {
    /// The global number of its messages.
    pub(super) number: u16,
    /// Bytes of a message behind its first.
    pub(super) body_bytes: usize,
    fields: Vec<Field>,
    times: Option<Field>,
}

impl Definition {
    /// Reads what stands behind the first five bytes: three for each field, and three for each developer's field.
    pub(super) fn new(number: u16, is_big_endian: bool, fields: &[u8], developer: &[u8]) -> Self {
        let mut found = Self { number, ..Self::default() };
        let wanted = profile::fields(number);
        for field in fields.chunks_exact(3) {
            let &[number, size, base_type] = field else { continue };
            let size = usize::from(size);
            let offset = found.body_bytes;
            found.body_bytes += size;
            // A size that is no whole number of elements: nothing can be said about the value.
            let base = Base::new(base_type, is_big_endian).filter(|base| size >= base.width && size % base.width == 0);
            let Some(base) = base else { continue };
            let field = Field { number, offset, size, base };
            if number == profile::TIMESTAMP {
                found.times = Some(field);
            } else if wanted.contains(&number) {
                found.fields.push(field);
            }
        }
        found.body_bytes +=
            developer.chunks_exact(3).filter_map(|field| field.get(1)).map(|&size| usize::from(size)).sum::<usize>();
        found
    }

    /// The message's own time.
    pub(super) fn timestamp(&self, body: &[u8]) -> Option<u32> {
        let field = self.times?;
        u32::try_from(field.base.value(body.get(field.offset..)?).number()?).ok()
    }

    /// A field's first element.
    pub(super) fn value(&self, body: &[u8], number: u8) -> Value {
        let field = self.fields.iter().find(|field| field.number == number);
        field.and_then(|field| Some(field.base.value(body.get(field.offset..)?))).unwrap_or(Value::Absent)
    }

    /// A field as it is stored.
    pub(super) fn bytes<'a>(&self, body: &'a [u8], number: u8) -> &'a [u8] {
        let field = self.fields.iter().find(|field| field.number == number);
        field.and_then(|field| body.get(field.offset..field.offset + field.size)).unwrap_or_default()
    }

    /// A field's elements that hold a value.
    pub(super) fn numbers<'a>(&'a self, body: &'a [u8], number: u8) -> impl Iterator<Item = i64> + 'a {
        let field = self.fields.iter().find(|field| field.number == number);
        field.into_iter().flat_map(move |field| {
            let bytes = body.get(field.offset..field.offset + field.size).unwrap_or_default();
            bytes.chunks_exact(field.base.width).filter_map(|element| field.base.value(element).number())
        })
    }
}
