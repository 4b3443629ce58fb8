//! Ids, keys and codes, from the operating system's randomness.

use rand::TryRng;
use rand::rngs::{SysError, SysRng};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `prefix` and `len` base62 characters, each with the same chance: 5.95 bits a character.
///
/// # Errors
/// The operating system has no randomness to give.
pub(crate) fn base62(prefix: &str, len: usize) -> Result<String, SysError> {
    let mut text = String::with_capacity(prefix.len() + len);
    text.push_str(prefix);
    let mut bytes = [0_u8; 64];
    while text.len() < prefix.len() + len {
        SysRng.try_fill_bytes(&mut bytes)?;
        // 248 is the highest multiple of 62 in a byte; what lies above it would make some characters likelier.
        let fair = bytes.iter().filter(|byte| **byte < 248).filter_map(|byte| BASE62.get(usize::from(byte % 62)));
        text.extend(fair.take(prefix.len() + len - text.len()).map(|byte| char::from(*byte)));
    }
    Ok(text)
}

/// Six decimal digits, each code with the same chance.
///
/// # Errors
/// The operating system has no randomness to give.
pub(crate) fn six_digits() -> Result<String, SysError> {
    /// The highest multiple of a million in 32 bits.
    const FAIR: u32 = u32::MAX - u32::MAX % 1_000_000;
    loop {
        let number = SysRng.try_next_u32()?;
        if number < FAIR {
            return Ok(format!("{:06}", number % 1_000_000));
        }
    }
}

/// `N` random bytes.
///
/// # Errors
/// The operating system has no randomness to give.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], SysError> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_length_and_alphabet() {
        for len in [0, 1, 8, 16, 40, 300] {
            let id = base62("usr_", len).unwrap();
            let rest = id.strip_prefix("usr_").unwrap();
            assert_eq!(rest.len(), len);
            assert!(rest.bytes().all(|byte| BASE62.contains(&byte)));
        }
        assert_ne!(base62("", 16).unwrap(), base62("", 16).unwrap());
    }

    #[test]
    fn every_character_comes_up_about_as_often() {
        let text = base62("", 62 * 400).unwrap();
        for character in BASE62 {
            let count = text.bytes().filter(|byte| byte == character).count();
            // 400 expected, standard deviation 20: ten of them.
            assert!((200..600).contains(&count), "{} came {count} times", char::from(*character));
        }
    }

    #[test]
    fn a_code_is_six_digits() {
        for _ in 0..100 {
            let code = six_digits().unwrap();
            assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
        }
    }
}
