//! Last write wins: the one rule by which a point displaces another of the same identity.

/// Whether a point that displaces another counts as corrected: the displaced value differs, or was itself corrected.
///
/// Values are compared by their bits, so that what reads back differently is different.
pub(crate) fn is_corrected(value: f64, displaced: f64, displaced_corrected: bool) -> bool {
    displaced_corrected || value.to_bits() != displaced.to_bits()
}

/// Of one identity's values in order of acceptance: whether the last is corrected.
pub(crate) fn any_differs(values: impl IntoIterator<Item = f64>) -> bool {
    let mut values = values.into_iter();
    let Some(mut before) = values.next() else { return false };
    let mut corrected = false;
    for value in values {
        corrected = is_corrected(value, before, corrected);
        before = value;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_sent_again_is_not_corrected() {
        assert!(!any_differs([62.0, 62.0, 62.0]));
    }

    #[test]
    fn a_value_that_came_back_was_corrected_on_the_way() {
        assert!(any_differs([62.0, 63.0, 62.0]));
    }

    #[test]
    fn the_sign_of_zero_is_a_difference() {
        assert!(is_corrected(0.0, -0.0, false));
    }
}
