//! Numbers read back, are short, and are JSON.

use proptest::prelude::*;

use super::*;

fn text(value: f64, is_count: bool) -> String {
    let mut out = Vec::new();
    write(value, is_count, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn values_are_written_as_the_api_says() {
    for (value, measured, counted) in [
        (62.0, "62.0", "62"),
        (9241.0, "9241.0", "9241"),
        (0.0, "0.0", "0"),
        (-0.0, "-0.0", "-0"),
        (-3.0, "-3.0", "-3"),
        (36.6, "36.6", "36.6"),
        (36.65, "36.65", "36.65"),
        (-36.05, "-36.05", "-36.05"),
        (0.01, "0.01", "0.01"),
        (0.1, "0.1", "0.1"),
        (7.123, "7.123", "7.123"),
        (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
        (1e15, "1000000000000000.0", "1000000000000000"),
        (1e16, "10000000000000000.0", "10000000000000000"),
        (9_007_199_254_740_993.0, "9007199254740992.0", "9007199254740992"),
        (1e20, "100000000000000000000.0", "100000000000000000000"),
        (1e21, "1e21", "1e21"),
        (1.5e300, "1.5e300", "1.5e300"),
        (1e-7, "0.0000001", "0.0000001"),
        (1.5e-8, "1.5e-8", "1.5e-8"),
        (f64::MIN_POSITIVE, "2.2250738585072014e-308", "2.2250738585072014e-308"),
        (f64::NAN, "null", "null"),
        (f64::NEG_INFINITY, "null", "null"),
    ] {
        assert_eq!((text(value, false).as_str(), text(value, true).as_str()), (measured, counted), "{value}");
    }
}

#[test]
fn whole_numbers_have_all_their_digits() {
    for number in [0, 9, 10, 99, 100, 1_234_567_890, u64::MAX] {
        let mut out = Vec::new();
        write_u64(number, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
    }
}

fn reads_back(value: f64) -> Result<(), TestCaseError> {
    for is_count in [false, true] {
        let text = text(value, is_count);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{}", text);
        // Digits that count: as few as the standard library's, which are the fewest there are.
        let significant = |text: &str| {
            let digits = text.split('e').next().unwrap_or_default().replace(['.', '-'], "");
            digits.trim_matches('0').len()
        };
        prop_assert_eq!(significant(&text), significant(&format!("{value:e}")), "{}", text);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_value_reads_back_in_the_fewest_digits(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        reads_back(value)?;
    }

    #[test]
    fn decimals_read_back_in_the_fewest_digits(digits in 0_i64..10_000_000_000_000_000, decimals in 0_i32..6, negative: bool) {
        #[expect(clippy::cast_precision_loss, reason = "any value will do")]
        let value = digits as f64 / 10_f64.powi(decimals);
        reads_back(if negative { -value } else { value })?;
    }

    #[test]
    fn a_measured_value_always_shows_that_it_is_no_count(digits in 0_u32..1_000_000) {
        let value = f64::from(digits) / 100.0;
        let text = text(value, false);
        prop_assert!(text.contains('.'), "{}", text);
    }
}
