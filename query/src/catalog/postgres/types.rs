//! Arrow types as PostgreSQL's: one mapping for the catalogs and for the wire.

use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow_pg::datatypes::{PG_OID_ALIAS_KEY, into_pg_type, pg_type_for_alias_kind};
use pgwire::api::Type;

/// The type under which a column is seen. Maps, structs and lists of those
/// are JSON; what PostgreSQL has no type for is text.
pub(crate) fn of(field: &Field) -> Type {
    let alias = field.metadata().get(PG_OID_ALIAS_KEY);
    if let Some(alias) = alias.and_then(|kind| pg_type_for_alias_kind(kind)) {
        return alias;
    }
    of_data(field.data_type())
}

pub(crate) fn of_data(data_type: &DataType) -> Type {
    match data_type {
        DataType::Null => Type::TEXT,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match is_element(item.data_type()) {
                true => into_pg_type(data_type).unwrap_or(Type::JSON),
                false => Type::JSON,
            }
        }
        DataType::Dictionary(_, value) => of_data(value),
        nested if nested.is_nested() => Type::JSON,
        plain => into_pg_type(plain).unwrap_or(Type::TEXT),
    }
}

/// What an array of PostgreSQL's is made of here.
fn is_element(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(
        data_type,
        Boolean
            | Int16
            | Int32
            | Int64
            | Float32
            | Float64
            | Utf8
            | Utf8View
            | Timestamp(_, _)
            | Date32
    )
}

/// The Arrow type of a parameter; `None` for a type that is not taken.
pub(crate) fn arrow(oid: u32) -> Option<DataType> {
    let list = |item| DataType::List(std::sync::Arc::new(Field::new_list_field(item, true)));
    Some(match Type::from_oid(oid)? {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 | Type::OID | Type::REGCLASS | Type::REGTYPE => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        // A value decides whether it is whole.
        Type::NUMERIC => DataType::Float64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => DataType::Utf8,
        Type::CHAR | Type::JSON | Type::JSONB | Type::UUID => DataType::Utf8,
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::BOOL_ARRAY => list(DataType::Boolean),
        Type::INT2_ARRAY => list(DataType::Int16),
        Type::INT4_ARRAY => list(DataType::Int32),
        Type::INT8_ARRAY => list(DataType::Int64),
        Type::FLOAT4_ARRAY => list(DataType::Float32),
        Type::FLOAT8_ARRAY => list(DataType::Float64),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY => list(DataType::Utf8),
        _ => return None,
    })
}

/// Bytes of a value, as `pg_type.typlen` has it: -1 when they vary.
pub(crate) fn length(of: &Type) -> i16 {
    match *of {
        Type::BOOL | Type::CHAR => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID | Type::REGCLASS | Type::REGTYPE => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME => 8,
        Type::INTERVAL => 16,
        _ => -1,
    }
}

/// The name in `information_schema.columns.data_type`.
pub(crate) fn standard_name(of: &Type) -> &str {
    match *of {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::TIMESTAMP => "timestamp without time zone",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        Type::TIME => "time without time zone",
        Type::CHAR => "\"char\"",
        ref other if other.name().starts_with('_') => "ARRAY",
        ref other => other.name(),
    }
}

/// Bits or digits of a number, their base, and digits after the point.
pub(crate) fn precision(of: &Type) -> (Option<i32>, Option<i32>, Option<i32>) {
    match *of {
        Type::INT2 => (Some(16), Some(2), Some(0)),
        Type::INT4 => (Some(32), Some(2), Some(0)),
        Type::INT8 => (Some(64), Some(2), Some(0)),
        Type::FLOAT4 => (Some(24), Some(2), None),
        Type::FLOAT8 => (Some(53), Some(2), None),
        Type::NUMERIC => (None, Some(10), None),
        _ => (None, None, None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Scenario: the types of the tables' columns.
    /// Guarantees: each has the name that PostgreSQL's clients know; what nests is JSON.
    #[test]
    fn columns_have_names_that_clients_know() {
        let map = schema::tables::common::string_map();
        let text = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        for (data_type, standard, short) in [
            (DataType::Int64, "bigint", "int8"),
            (DataType::Float64, "double precision", "float8"),
            (DataType::Utf8View, "text", "text"),
            (zoned, "timestamp with time zone", "timestamptz"),
            (map.clone(), "json", "json"),
            (DataType::List(Arc::new(Field::new_list_field(map, true))), "json", "json"),
            (text, "ARRAY", "_text"),
        ] {
            let of = of_data(&data_type);
            assert_eq!((standard_name(&of), of.name()), (standard, short));
        }
    }
}
