//! The types of columns, in the words of ODBC and JDBC.

use std::sync::LazyLock;

use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};

static TYPES: LazyLock<Option<XdbcTypeInfoData>> = LazyLock::new(|| {
    let mut types = XdbcTypeInfoDataBuilder::new();
    let quotes = Some("'".to_owned());
    let of = |name: &str, data_type: XdbcDataType, size: i32| XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        column_size: Some(size),
        literal_prefix: None,
        literal_suffix: None,
        create_params: None,
        nullable: Nullable::NullabilityNullable,
        case_sensitive: false,
        searchable: Searchable::Full,
        unsigned_attribute: None,
        fixed_prec_scale: false,
        auto_increment: None,
        local_type_name: Some(name.to_owned()),
        minimum_scale: None,
        maximum_scale: None,
        sql_data_type: data_type,
        datetime_subcode: None,
        num_prec_radix: None,
        interval_precision: None,
    };
    let number = |name, data_type, size, radix| XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(radix),
        ..of(name, data_type, size)
    };
    let quoted =
        |of: XdbcTypeInfo| XdbcTypeInfo { literal_prefix: quotes.clone(), literal_suffix: quotes.clone(), ..of };
    let time = |name, data_type, size, subcode| XdbcTypeInfo {
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(subcode),
        ..quoted(of(name, data_type, size))
    };
    types.append(of("BOOLEAN", XdbcDataType::XdbcBit, 1));
    types.append(number("BIGINT", XdbcDataType::XdbcBigint, 64, 2));
    types.append(number("DOUBLE", XdbcDataType::XdbcDouble, 53, 2));
    let text = of("VARCHAR", XdbcDataType::XdbcVarchar, i32::MAX);
    types.append(XdbcTypeInfo { case_sensitive: true, ..quoted(text) });
    // 1 is a date in ODBC; Flight SQL has the number, and another name for it.
    types.append(time("DATE", XdbcDataType::XdbcDate, 10, XdbcDatetimeSubcode::XdbcSubcodeYear));
    types.append(time("TIMESTAMP", XdbcDataType::XdbcTimestamp, 27, XdbcDatetimeSubcode::XdbcSubcodeTimestamp));
    types.build().ok()
});

/// All of them.
pub(in crate::flight) fn types() -> Option<&'static XdbcTypeInfoData> {
    TYPES.as_ref()
}
