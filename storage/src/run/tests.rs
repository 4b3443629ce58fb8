//! A naive model of points, and properties of the typed views against it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{TimestampMicrosecondType, TimestampMillisecondType};
use proptest::prelude::*;

use super::*;
use crate::point::{MetricId, Origins, Part, PointBatch, Seq};
use crate::selection::Selection;

/// User, time, source, device.
pub(crate) type Identity = (UserId, i64, String, Option<String>);
/// Value, acceptance, corrected.
pub(crate) type Content = (f64, i64, bool);

/// Points by identity: what every run must equal.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Model(pub(crate) BTreeMap<Identity, Content>);

impl Model {
    pub(crate) fn put(&mut self, identity: Identity, (value, accepted, corrected): Content) {
        let before = self.0.get(&identity);
        let corrected = corrected || before.is_some_and(|before| before.2 || before.0.to_bits() != value.to_bits());
        self.0.insert(identity, (value, accepted, corrected));
    }

    pub(crate) fn select(&self, users: &Users, times: TimeRange) -> Self {
        let wants = |user: &UserId| match users {
            Users::One(one) => one == user,
            Users::Sorted(users) => users.contains(user),
            Users::All => true,
        };
        let found = self.0.iter().filter(|((user, time, ..), _)| wants(user) && times.contains(*time));
        Self(found.map(|(identity, content)| (identity.clone(), *content)).collect())
    }

    /// As a run in batches of `rows` rows at most.
    pub(crate) fn batches(&self, rows: usize) -> Vec<RecordBatch> {
        let mut builder = RunBuilder::new(Columns::ALL, rows);
        for ((user, time, source, device), (value, accepted, corrected)) in &self.0 {
            builder.room().unwrap();
            builder.append_point(user.as_str(), (*time, *value), *accepted, *corrected);
            let origin = builder.origin(source, device.as_deref());
            builder.append_origin(origin, 1);
        }
        builder.close().unwrap();
        std::iter::from_fn(|| builder.next_full()).collect()
    }

    /// What batches with all columns hold; fails if they are not sorted and distinct.
    pub(crate) fn of(batches: &[RecordBatch]) -> Self {
        let mut model = Self::default();
        for batch in batches {
            assert!(batch.num_rows() > 0, "no batch is empty");
            assert_eq!(batch.schema(), crate::schema::schema());
            let rows = Rows::of(batch).unwrap();
            let accepted = batch.column(5).as_primitive::<TimestampMillisecondType>();
            for row in 0..batch.num_rows() {
                let (user, time, source, device) = rows.key(row).parts();
                let identity = (UserId::parse(user).unwrap(), time, source.to_owned(), device.map(str::to_owned));
                if let Some((last, _)) = model.0.last_key_value() {
                    assert!(*last < identity, "sorted and distinct: {last:?} before {identity:?}");
                }
                model.0.insert(identity, (rows.value(row), accepted.value(row), rows.is_corrected(row)));
            }
        }
        model
    }
}

/// The user with a number.
pub(crate) fn user(number: u8) -> UserId {
    UserId::parse(&format!("usr_user{number:04}")).unwrap()
}

/// One user's points of one metric as they may come: any order, any duplicates, with and without a device.
pub(crate) type RawPoint = (i64, u8, u8, Option<u8>);

pub(crate) fn raw_points() -> impl Strategy<Value = Vec<RawPoint>> {
    let any = prop::collection::vec((0..40_i64, 0..3_u8, 0..2_u8, prop::option::of(0..2_u8)), 1..24);
    let ascending = (0..40_i64, 1..24_usize, 0..2_u8, prop::option::of(0..2_u8))
        .prop_map(|(start, len, source, device)| (start..).take(len).map(|time| (time, 1, source, device)).collect());
    prop_oneof![any, ascending]
}

pub(crate) fn users() -> impl Strategy<Value = Users> {
    prop_oneof![
        2 => (0..6_u8).prop_map(|number| Users::One(user(number))),
        1 => prop::collection::btree_set(0..6_u8, 0..4).prop_map(|numbers| {
            Users::Sorted(numbers.into_iter().map(user).collect())
        }),
        1 => Just(Users::All),
    ]
}

pub(crate) fn times() -> impl Strategy<Value = TimeRange> {
    prop_oneof![Just(TimeRange::ALL), (0..45_i64, 0..45_i64).prop_map(|(start, end)| TimeRange { start, end })]
}

pub(crate) fn columns() -> impl Strategy<Value = Columns> {
    any::<[bool; 4]>().prop_map(|[user_id, source, source_device_id, acceptance]| Columns {
        user_id,
        source,
        source_device_id,
        acceptance,
    })
}

pub(crate) fn identity(user: UserId, (time, _, source, device): RawPoint) -> Identity {
    (user, time, format!("source-{source}"), device.map(|device| format!("device-{device}")))
}

/// A batch of one metric.
pub(crate) fn point_batch(user: UserId, metric: MetricId, points: &[RawPoint]) -> PointBatch {
    let mut origins = Origins::default();
    let origin = points.iter().map(|point| {
        let (_, _, source, device) = identity(user, *point);
        origins.intern(&source, device.as_deref()).unwrap()
    });
    let origin = origin.collect();
    let end = u32::try_from(points.len()).unwrap();
    let times = points.iter().map(|point| point.0).collect();
    let values = points.iter().map(|point| f64::from(point.1)).collect();
    PointBatch::new(user, vec![Part { metric, start: 0, end }], times, values, origin, origins).unwrap()
}

/// Asserts that batches hold what the model does, in the columns wanted.
pub(crate) fn assert_projected(batches: &[RecordBatch], model: &Model, columns: Columns) {
    let whole = model.batches(usize::MAX);
    let expected = whole.iter().map(|batch| Projection::to(columns).slice(batch, 0..batch.num_rows()).unwrap());
    let lines = |batches: Vec<RecordBatch>| {
        let mut lines = Vec::new();
        for batch in batches {
            assert_eq!(batch.schema(), columns.schema());
            let shown: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| {
                    arrow::util::display::ArrayFormatter::try_new(
                        column,
                        &arrow::util::display::FormatOptions::new().with_null("null"),
                    )
                    .unwrap()
                })
                .collect();
            for row in 0..batch.num_rows() {
                lines.push(shown.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"));
            }
        }
        lines
    };
    assert_eq!(lines(batches.to_vec()), lines(expected.collect()));
}

#[test]
fn partition_and_gallop_agree() {
    for len in 0..70 {
        for at in 0..=len {
            assert_eq!(partition(0..len, |row| row < at), at);
            assert_eq!(gallop(0..len, |row| row < at), at);
        }
    }
    assert_eq!(gallop(5..5, |_| true), 5);
}

#[test]
fn a_null_leaves_no_name_in_the_dictionary() {
    let mut model = Model::default();
    model.put((user(1), 1, "s".to_owned(), None), (1.0, 1, false));
    let batch = model.batches(10).remove(0);
    let devices = batch.column(4).as_dictionary::<Int32Type>();
    assert_eq!(devices.values().len(), 0);
    assert!(devices.is_null(0));
}

#[test]
fn a_batch_of_other_columns_is_refused() {
    let batch = RecordBatch::new_empty(Columns::default().schema());
    assert!(matches!(Keys::of(&batch), Err(Error::Batch { .. })));
    assert!(matches!(Rows::of(&batch), Err(Error::Batch { .. })));
    assert!(batch.column(0).as_primitive_opt::<TimestampMicrosecondType>().is_some());
}

proptest! {
    #[test]
    fn selected_rows_equal_the_model(
        requests in prop::collection::vec((0..6_u8, raw_points()), 0..6),
        users in users(),
        times in times(),
    ) {
        let mut model = Model::default();
        for (number, points) in &requests {
            for point in points {
                model.put(identity(user(*number), *point), (f64::from(point.1), 7, false));
            }
        }
        let mut found = Vec::new();
        for batch in model.batches(usize::MAX) {
            for rows in Keys::of(&batch).unwrap().select(&users, times) {
                found.push(batch.slice(rows.start, rows.len()));
            }
        }
        prop_assert_eq!(Model::of(&found), model.select(&users, times));
    }
}

/// A selection of metric 0.
pub(crate) fn selection(users: &Users, times: TimeRange) -> Selection {
    Selection { metric: MetricId(0), users: users.clone(), times }
}

/// A batch accepted at a seq.
pub(crate) fn accepted(batch: PointBatch, first_seq: u64, accepted_at_ms: i64) -> crate::point::Accepted {
    crate::point::Accepted { batch: Arc::new(batch), first_seq: Seq(first_seq), accepted_at_ms }
}
