//! What is taken from a filter, and what is left alone.

use datafusion::logical_expr::{cast, col, lit};

use super::*;

fn at(us: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())))
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn plain_comparisons_narrow() {
    let filters = [
        col("metric").eq(lit("hrv")).or(lit("steps").eq(col("metric"))),
        col("user_id").in_list(vec![lit("usr_a"), lit("usr_b")], false).and(col("user_id").eq(lit("usr_b"))),
        col("recorded_at").gt_eq(at(100)).and(at(200).gt(col("recorded_at"))),
    ];
    let narrowed = Narrowed::by(&filters);
    assert_eq!(narrowed.metrics, Some(set(&["hrv", "steps"])));
    assert_eq!(narrowed.users, Some(set(&["usr_b"])));
    assert_eq!(narrowed.times, TimeRange { start: 100, end: 200 });
    assert!(filters.iter().all(|filter| Narrowed::grade(filter) == TableProviderFilterPushDown::Exact));
}

#[test]
fn a_range_is_what_the_filter_says_to_the_microsecond() {
    let ns = |ns| lit(ScalarValue::TimestampNanosecond(Some(ns), None));
    for (filter, times) in [
        (col("recorded_at").eq(at(5)), TimeRange { start: 5, end: 6 }),
        (col("recorded_at").between(at(5), at(7)), TimeRange { start: 5, end: 8 }),
        (col("recorded_at").between(ns(1_500), ns(3_500)), TimeRange { start: 2, end: 4 }),
        (col("recorded_at").eq(ns(1_500)), TimeRange { start: 2, end: 2 }),
        (col("recorded_at").gt(at(5)), TimeRange { start: 6, end: i64::MAX }),
        (col("recorded_at").gt_eq(at(5)), TimeRange { start: 5, end: i64::MAX }),
        (col("recorded_at").lt(at(5)), TimeRange { start: i64::MIN, end: 5 }),
        (col("recorded_at").lt_eq(at(5)), TimeRange { start: i64::MIN, end: 6 }),
        (col("recorded_at").gt(ns(1_500)), TimeRange { start: 2, end: i64::MAX }),
        (col("recorded_at").gt_eq(ns(1_500)), TimeRange { start: 2, end: i64::MAX }),
        (col("recorded_at").lt(ns(-1_500)), TimeRange { start: i64::MIN, end: -1 }),
        (col("recorded_at").lt_eq(ns(-1_500)), TimeRange { start: i64::MIN, end: -1 }),
        (col("recorded_at").lt_eq(at(i64::MAX)), TimeRange { start: i64::MIN, end: i64::MAX }),
        (
            cast(col("recorded_at"), DataType::Timestamp(TimeUnit::Nanosecond, None)).lt(ns(1_000)),
            TimeRange { start: i64::MIN, end: 1 },
        ),
    ] {
        assert_eq!(Narrowed::by([&filter]).times, times, "{filter}");
    }
}

#[test]
fn whatever_computes_stays_above() {
    for filter in [
        col("value").gt(lit(1.0)),
        col("source").eq(lit("watch")),
        col("metric").not_eq(lit("hrv")),
        col("metric").eq(lit("hrv")).or(col("user_id").eq(lit("usr_a"))),
        col("metric").eq(lit("hrv")).or(col("value").gt(lit(1.0))),
        col("user_id").in_list(vec![lit("usr_a"), col("source")], false),
        col("user_id").in_list(vec![lit("usr_a")], true),
        col("metric").eq(col("source")),
        (lit(1.0) / (col("value") - lit(62.0))).gt(lit(0.0)),
        cast(col("recorded_at"), DataType::Timestamp(TimeUnit::Second, None))
            .lt_eq(lit(ScalarValue::TimestampSecond(Some(1), None))),
        cast(col("recorded_at"), DataType::Date32).eq(lit(ScalarValue::Date32(Some(1)))),
        col("recorded_at").not_eq(at(5)),
        col("recorded_at").between(col("recorded_at"), at(5)),
    ] {
        assert_eq!(Narrowed::grade(&filter), TableProviderFilterPushDown::Unsupported, "{filter}");
        assert_eq!(Narrowed::by([&filter]), Narrowed::by([]), "{filter}");
    }
}

#[test]
fn what_is_taken_in_part_stays_above_as_well() {
    let part = col("metric").eq(lit("hrv")).and(col("value").gt(lit(1.0)));
    assert_eq!(Narrowed::grade(&part), TableProviderFilterPushDown::Inexact);
    assert_eq!(Narrowed::by([&part]).metrics, Some(set(&["hrv"])));
}

#[test]
fn contradictions_leave_nothing() {
    let filters = [col("metric").eq(lit("hrv")), col("metric").eq(lit("steps"))];
    assert_eq!(Narrowed::by(&filters).metrics, Some(set(&[])));
}
