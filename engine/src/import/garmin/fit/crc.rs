//! The format's checksum: CRC-16 with the polynomial 0x8005 reflected, starting at 0 (CRC-16/ARC).

const TABLE: [u16; 256] = table();

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "256 entries by an index below 256")]
const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

/// Carries a checksum over more bytes.
pub(super) fn extend(crc: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(crc, |crc, byte| {
        let [low, _] = (crc ^ u16::from(*byte)).to_le_bytes();
        (crc >> 8) ^ TABLE.get(usize::from(low)).copied().unwrap_or(0)
    })
}

/// The checksum of these bytes.
pub(crate) fn of(bytes: &[u8]) -> u16 {
    extend(0, bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_published_check_value_is_made() {
        // "123456789" is the check input of the catalogue of parametrised CRC algorithms.
        assert_eq!(super::of(b"123456789"), 0xBB3D);
        assert_eq!(super::of(b""), 0);
    }
}
