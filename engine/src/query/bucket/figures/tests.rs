//! Figures against plain formulas.

use proptest::prelude::*;

use super::*;

fn figures(aggregates: &[Aggregate], chunks: &[&[f64]]) -> Figures {
    let mut figures = Figures::new(Needs::of(aggregates));
    for chunk in chunks {
        figures.add(chunk);
    }
    figures
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

#[test]
fn one_point_has_no_deviation_and_is_every_percentile() {
    let mut one = figures(&Aggregate::ALL, &[&[62.0]]);
    assert_eq!(one.get(Aggregate::Stddev), None);
    for aggregate in [Aggregate::Avg, Aggregate::P50, Aggregate::P95, Aggregate::First, Aggregate::Last] {
        assert_eq!(one.get(aggregate), Some(62.0), "{aggregate:?}");
    }
    assert_eq!(one.get(Aggregate::Count), Some(1.0));
}

#[test]
fn no_points_have_no_figures() {
    let mut none = figures(&Aggregate::ALL, &[&[]]);
    assert!(Aggregate::ALL.iter().all(|aggregate| none.get(*aggregate).is_none()));
}

#[test]
fn small_values_are_not_lost_beside_large_ones() {
    let mut sum = figures(&[Aggregate::Sum], &[&[1.0, 1e100], &[1.0, -1e100]]);
    assert_eq!(sum.get(Aggregate::Sum), Some(2.0));
    let tenths = vec![0.1; 1_000_000];
    let mut sum = figures(&[Aggregate::Sum], &[&tenths]);
    assert_eq!(sum.get(Aggregate::Sum), Some(100_000.0));
}

#[test]
fn the_deviation_is_right_far_from_zero() {
    let values = [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0];
    let mut spread = figures(&[Aggregate::Stddev], &[&values]);
    assert!(near(spread.get(Aggregate::Stddev).unwrap(), 30.0_f64.sqrt()));
}

#[test]
fn percentiles_of_many_values_are_exact_by_counting() {
    let values: Vec<f64> = (0..200_001_u32).map(|nth| f64::from(nth * 7_919 % 200_001)).collect();
    let mut many = figures(&[Aggregate::P50, Aggregate::P95], &values.chunks(9_999).collect::<Vec<_>>());
    assert_eq!(many.get(Aggregate::P50), Some(100_000.0));
    assert_eq!(many.get(Aggregate::P95), Some(190_000.0));
}

#[test]
fn clearing_leaves_nothing_behind() {
    let mut figures = figures(&Aggregate::ALL, &[&[5.0, 7.0]]);
    figures.clear();
    figures.add(&[1.0]);
    assert_eq!(figures.get(Aggregate::P95), Some(1.0));
    assert_eq!(figures.get(Aggregate::Max), Some(1.0));
    assert_eq!(figures.get(Aggregate::Stddev), None);
}

proptest! {
    #[test]
    fn figures_are_those_of_the_formulas(values in prop::collection::vec(-1_000.0_f64..1_000.0, 1..200), cut in 0_usize..200) {
        let cut = cut.min(values.len());
        let mut found = figures(&Aggregate::ALL, &[&values[..cut], &values[cut..]]);
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let count = f64::from(u32::try_from(values.len()).unwrap());
        let mean = values.iter().sum::<f64>() / count;
        let percentile = |share: f64| {
            let place = share * (count - 1.0);
            let whole = (0..sorted.len()).take_while(|index| f64::from(u32::try_from(*index).unwrap()) <= place).count() - 1;
            let (low, high) = (sorted[whole], sorted[(whole + 1).min(sorted.len() - 1)]);
            low + (high - low) * (place - place.floor())
        };
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        for (aggregate, expected) in [
            (Aggregate::Avg, mean),
            (Aggregate::Min, sorted[0]),
            (Aggregate::Max, sorted[sorted.len() - 1]),
            (Aggregate::Sum, mean * count),
            (Aggregate::Count, count),
            (Aggregate::First, values[0]),
            (Aggregate::Last, values[values.len() - 1]),
            (Aggregate::P50, percentile(0.5)),
            (Aggregate::P95, percentile(0.95)),
        ] {
            let figure = found.get(aggregate).unwrap();
            prop_assert!(near(figure, expected), "{:?}: {} is not {}", aggregate, figure, expected);
        }
        if values.len() > 1 {
            prop_assert!(near(found.get(Aggregate::Stddev).unwrap(), (squares / (count - 1.0)).sqrt()));
        }
    }
}
