//! Statistics as Delta's JSON, sound for readers that know milliseconds only.

use arrow::datatypes::DataType;
use chrono::{DateTime, SecondsFormat};
use schema::TableDef;
use serde_json::{Map, Value};

use crate::{ColumnStats, FileStats, StatValue};

/// The `stats` of an Add.
pub fn write(rows: u64, stats: &FileStats) -> String {
    let (mut low, mut high, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (name, column) in stats {
        if let Some(value) = column.min.as_ref().and_then(|min| bound(min, false)) {
            low.insert(name.clone(), value);
        }
        if let Some(value) = column.max.as_ref().and_then(|max| bound(max, true)) {
            high.insert(name.clone(), value);
        }
        if let Some(count) = column.null_count {
            nulls.insert(name.clone(), count.into());
        }
    }
    let stats = [
        ("numRecords", Value::from(rows)),
        ("minValues", low.into()),
        ("maxValues", high.into()),
        ("nullCount", nulls.into()),
    ];
    Value::Object(stats.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()).to_string()
}

/// Reads statistics back, whoever wrote them. What is not understood is not
/// known; the row count is `None` when it is not there.
pub fn read(table: &TableDef, json: &str) -> (Option<u64>, FileStats) {
    let Ok(json) = serde_json::from_str::<Value>(json) else {
        // Statistics are a hint: without them the file is simply read.
        tracing::debug!(table = table.name, "statistics are not JSON");
        return (None, FileStats::new());
    };
    let mut stats = FileStats::new();
    for column in &table.columns {
        let of = |kind: &str| json.get(kind).and_then(|values| values.get(&column.name));
        let mut known = ColumnStats {
            min: of("minValues").and_then(|value| parse(&column.data_type, value, false)),
            max: of("maxValues").and_then(|value| parse(&column.data_type, value, true)),
            null_count: of("nullCount").and_then(Value::as_u64),
        };
        // Half a pair means that a NaN or an infinity was not written.
        if column.data_type == DataType::Float64 && (known.min.is_none() || known.max.is_none()) {
            (known.min, known.max) = (None, None);
        }
        if known != ColumnStats::default() {
            stats.insert(column.name.clone(), known);
        }
    }
    (json.get("numRecords").and_then(Value::as_u64), stats)
}

fn bound(value: &StatValue, up: bool) -> Option<Value> {
    Some(match value {
        StatValue::Bool(value) => (*value).into(),
        StatValue::Int(value) => (*value).into(),
        StatValue::Text(value) => value.as_str().into(),
        // JSON has no other doubles.
        StatValue::Double(value) => serde_json::Number::from_f64(*value)?.into(),
        StatValue::Timestamp(micros) => {
            // Outwards to the millisecond, the finest that all readers take.
            let millis = micros.div_euclid(1000) + i64::from(up && micros.rem_euclid(1000) != 0);
            let time = DateTime::from_timestamp_millis(millis)?;
            // A year beyond 9999 has no form that every reader parses.
            (0..=9999).contains(&chrono::Datelike::year(&time)).then_some(())?;
            time.to_rfc3339_opts(SecondsFormat::Millis, true).into()
        }
    })
}

fn parse(data_type: &DataType, value: &Value, up: bool) -> Option<StatValue> {
    match data_type {
        DataType::Boolean => value.as_bool().map(StatValue::Bool),
        DataType::Int32 | DataType::Int64 => value.as_i64().map(StatValue::Int),
        DataType::Float64 => value.as_f64().filter(|v| v.is_finite()).map(StatValue::Double),
        DataType::Utf8 => value.as_str().map(|text| StatValue::Text(text.to_owned())),
        DataType::Timestamp(..) => {
            let micros = DateTime::parse_from_rfc3339(value.as_str()?).ok()?.timestamp_micros();
            // Others cut a maximum down to its millisecond.
            let cut = up && micros % 1000 == 0;
            Some(StatValue::Timestamp(if cut { micros.saturating_add(999) } else { micros }))
        }
        _ => None,
    }
}
