//! Writes FIT files, for tests: from the public description, sharing nothing with what reads them.

/// A date of the format: 2024-05-01T00:00:00Z.
pub(crate) const MAY: u32 = 1_083_456_000;

/// Base types.
pub(crate) const ENUM: u8 = 0x00;
pub(crate) const U8: u8 = 0x02;
pub(crate) const U16: u8 = 0x84;
pub(crate) const S16: u8 = 0x83;
pub(crate) const U32: u8 = 0x86;
pub(crate) const U32Z: u8 = 0x8C;
pub(crate) const BYTE: u8 = 0x0D;

/// A FIT file that is being written.
#[derive(Debug, Default, Clone)]
pub(crate) struct Fit {
    records: Vec<u8>,
}

impl Fit {
    /// Begins with a `file_id` of maker 1, product 2, serial number 3.
    pub(crate) fn new() -> Self {
        let mut file = Self::default();
        file.define(0, 0, &[(0, 1, ENUM), (1, 2, U16), (2, 2, U16), (3, 4, U32Z)]);
        file.message(0, &[&[4], &1_u16.to_le_bytes(), &2_u16.to_le_bytes(), &3_u32.to_le_bytes()]);
        file
    }

    /// Fields are number, bytes, base type.
    pub(crate) fn define(&mut self, local: u8, number: u16, fields: &[(u8, u8, u8)]) {
        self.records.extend([0x40 | local, 0, 0]);
        self.records.extend(number.to_le_bytes());
        self.fields(fields);
    }

    pub(crate) fn define_big_endian(&mut self, local: u8, number: u16, fields: &[(u8, u8, u8)]) {
        self.records.extend([0x40 | local, 0, 1]);
        self.records.extend(number.to_be_bytes());
        self.fields(fields);
    }

    /// As `define`, with developers' fields: number, bytes, index.
    pub(crate) fn define_with(&mut self, local: u8, number: u16, fields: &[(u8, u8, u8)], others: &[(u8, u8, u8)]) {
        self.define(local, number, fields);
        let start = self.records.len() - 3 * fields.len() - 6;
        self.records[start] |= 0x20;
        self.records.push(u8::try_from(others.len()).unwrap());
        self.records.extend(others.iter().flat_map(|field| [field.0, field.1, field.2]));
    }

    fn fields(&mut self, fields: &[(u8, u8, u8)]) {
        self.records.push(u8::try_from(fields.len()).unwrap());
        self.records.extend(fields.iter().flat_map(|field| [field.0, field.1, field.2]));
    }

    pub(crate) fn message(&mut self, local: u8, fields: &[&[u8]]) {
        self.records.push(local);
        self.records.extend(fields.concat());
    }

    /// A message whose header holds the lower five bits of its time.
    pub(crate) fn compressed(&mut self, local: u8, offset: u8, fields: &[&[u8]]) {
        self.records.push(0x80 | local << 5 | offset);
        self.records.extend(fields.concat());
    }

    /// The bytes of the file.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut file = vec![14, 0x20, 0, 0];
        file.extend(u32::try_from(self.records.len()).unwrap().to_le_bytes());
        file.extend(b".FIT");
        file.extend(bitwise_crc(&file).to_le_bytes());
        file.extend(&self.records);
        file.extend(bitwise_crc(&file).to_le_bytes());
        file
    }
}

/// CRC-16/ARC a bit at a time.
fn bitwise_crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 })
    })
}

/// An activity's heart rates, one a second from [`MAY`] on.
pub(crate) fn heart_rates(rates: &[u8]) -> Vec<u8> {
    let mut file = Fit::new();
    file.define(1, 20, &[(253, 4, U32), (3, 1, U8)]);
    for (second, rate) in (0..).zip(rates) {
        file.message(1, &[&(MAY + second).to_le_bytes(), &[*rate]]);
    }
    file.file()
}
