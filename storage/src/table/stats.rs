//! Statistics as Delta's JSON, sound for readers that know milliseconds only.

use arrow::datatypes::DataType;
use chrono::{DateTime, SecondsFormat};
use schema::TableDef;
use serde_json::{Map, Value};

use crate::{ColumnStats, FileStats, StatValue};

/// The `stats` of an Add.
pub fn write(rows: u64, stats: &FileStats) -> String {
    let (mut low, mut high, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (name, column) in stats.iter() {
        if let Some(value) = column.min.as_ref().and_then(|min| bound(min, false)) {
            low.insert(name.to_owned(), value);
        }
        if let Some(value) = column.max.as_ref().and_then(|max| bound(max, true)) {
            high.insert(name.to_owned(), value);
        }
        if let Some(count) = column.null_count {
            nulls.insert(name.to_owned(), count.into());
        }
    }
    let stats = [
        ("numRecords", Value::from(rows)),
        ("minValues", low.into()),
        ("maxValues", high.into()),
        ("nullCount", nulls.into()),
    ];
    Value::Object(stats.map(|(key, value)| (key.to_owned(), value)).into_iter().collect())
        .to_string()
}

/// Reads statistics back, whoever wrote them. What is not understood is not
/// known; the row count is `None` when it is not there.
pub fn read(table: &TableDef, json: &str) -> (Option<u64>, FileStats) {
    let Ok(json) = serde_json::from_str::<Value>(json) else {
        // Statistics are a hint: without them the file is simply read.
        tracing::debug!(table = table.name, "statistics are not JSON");
        return (None, FileStats::default());
    };
    let stats = table.columns.iter().filter_map(|column| {
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
        (known != ColumnStats::default()).then_some((&column.name, known))
    });
    let stats = stats.collect();
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schema::Catalog;

    use super::*;
    use crate::encode::stats::{above, below, less};

    /// Bounds of values as encoding gives them.
    fn stats(values: &[StatValue], null_count: u64) -> ColumnStats {
        let least = |flip: bool| {
            let pick = |a: StatValue, b: &StatValue| match flip {
                false if less(b, &a) => b.clone(),
                true if less(&a, b) => b.clone(),
                _ => a,
            };
            values.split_first().map(|(first, rest)| rest.iter().fold(first.clone(), pick))
        };
        let outward = |value: StatValue, to: fn(f64) -> Option<StatValue>| match value {
            StatValue::Double(value) => to(value),
            other => Some(other),
        };
        ColumnStats {
            min: least(false).and_then(|min| outward(min, below)),
            max: least(true).and_then(|max| outward(max, above)),
            null_count: Some(null_count),
        }
    }

    fn within(stats: &FileStats, column: &str, value: &StatValue) -> bool {
        let Some(known) = stats.get(column) else { return true };
        known.min.as_ref().is_none_or(|min| !less(value, min))
            && known.max.as_ref().is_none_or(|max| !less(max, value))
    }

    proptest! {
        /// Scenario: bounds of any doubles, integers, texts and times go
        /// through a manifest, and then through a log entry.
        /// Guarantees: every value lies within the bounds after each.
        #[test]
        fn bounds_hold_through_manifest_and_log(
            doubles in proptest::collection::vec(any::<f64>().prop_filter("number", |v| !v.is_nan()), 1..20),
            ints in proptest::collection::vec(any::<i64>(), 1..20),
            texts in proptest::collection::vec(".{0,80}", 1..20),
            times in proptest::collection::vec(-1_000_000_000_000_000..9_000_000_000_000_000i64, 1..20),
        ) {
            let columns = [
                ("value", doubles.into_iter().map(StatValue::Double).collect::<Vec<_>>()),
                ("value_int", ints.into_iter().map(StatValue::Int).collect()),
                ("unit", texts.into_iter().map(StatValue::Text).collect()),
                ("time", times.into_iter().map(StatValue::Timestamp).collect()),
            ];
            let made: FileStats =
                columns.iter().map(|(name, values)| (*name, stats(values, 3))).collect();
            let kept: FileStats = serde_json::from_str(&serde_json::to_string(&made).unwrap()).unwrap();
            let catalog = Catalog::default();
            let (count, logged) = read(catalog.get("metrics").unwrap(), &write(23, &kept));
            prop_assert_eq!(count, Some(23));
            for (name, values) in &columns {
                prop_assert_eq!(logged[*name].null_count, Some(3));
                for stats in [&made, &kept, &logged] {
                    let out = values.iter().find(|value| !within(stats, name, value));
                    prop_assert!(out.is_none(), "{} {:?} {:?}", name, out, stats[*name]);
                }
            }
        }
    }

    /// Scenario: statistics of another writer: half a pair of doubles, a
    /// maximum cut to milliseconds, and something that is not JSON.
    /// Guarantees: what may be wrong is not taken for a bound.
    #[test]
    fn foreign_statistics_are_read_with_care() {
        let catalog = Catalog::default();
        let metrics = catalog.get("metrics").unwrap();
        let json = r#"{"numRecords":3,"minValues":{"value":1.5,"time":"2026-11-23T01:02:03.004Z"},
            "maxValues":{"value":"NaN","time":"2026-11-23T01:02:03.004Z"},"nullCount":{"unit":3,"attributes":0}}"#;
        let (rows, stats) = read(metrics, json);
        assert_eq!(rows, Some(3));
        assert!(stats.get("value").is_none());
        assert_eq!(stats["unit"].null_count, Some(3));
        let (Some(StatValue::Timestamp(low)), Some(StatValue::Timestamp(high))) =
            (&stats["time"].min, &stats["time"].max)
        else {
            panic!("{stats:?}")
        };
        assert_eq!(high - low, 999);
        assert_eq!(read(metrics, "NaN"), (None, FileStats::default()));
    }
}
