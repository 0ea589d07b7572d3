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
    Value::Object(stats.map(|(key, value)| (key.to_owned(), value)).into_iter().collect())
        .to_string()
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

#[cfg(test)]
mod tests {
    use arrow::array::{
        Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    };
    use proptest::prelude::*;
    use schema::Catalog;
    use std::sync::Arc;

    use super::*;
    use crate::encode::stats::{less, of};

    fn within(stats: &FileStats, column: &str, value: &StatValue) -> bool {
        let Some(known) = stats.get(column) else { return true };
        known.min.as_ref().is_none_or(|min| !less(value, min))
            && known.max.as_ref().is_none_or(|max| !less(max, value))
    }

    proptest! {
        /// Scenario: any doubles, integers, texts and times are written as a
        /// manifest's and then as a log's statistics, and read back from both.
        /// Guarantees: every value lies within its bounds at each stage, and a
        /// column with a NaN has none, so that its rows are never pruned.
        #[test]
        fn every_value_lies_within_the_bounds(
            doubles in proptest::collection::vec(proptest::option::of(any::<f64>()), 1..20),
            ints in proptest::collection::vec(any::<i64>(), 1..20),
            texts in proptest::collection::vec(".{0,80}", 1..20),
            times in proptest::collection::vec(any::<i32>().prop_flat_map(|s| (0..1_000_000i64).prop_map(move |us| i64::from(s) * 1_000_000 + us)), 1..20),
        ) {
            let rows = [doubles.len(), ints.len(), texts.len(), times.len()].into_iter().min().unwrap();
            let zone = TimestampMicrosecondArray::from(times[..rows].to_vec()).with_timezone("UTC");
            let batch = RecordBatch::try_from_iter_with_nullable([
                ("value", Arc::new(Float64Array::from(doubles[..rows].to_vec())) as _, true),
                ("value_int", Arc::new(Int64Array::from(ints[..rows].to_vec())) as _, true),
                ("unit", Arc::new(StringArray::from(texts[..rows].to_vec())) as _, true),
                ("time", Arc::new(zone) as _, true),
            ])
            .unwrap();
            let catalog = Catalog::default();
            let metrics = catalog.get("metrics").unwrap();
            let gathered = of(&batch);
            let manifest = serde_json::to_string(&gathered).unwrap();
            let kept: FileStats = serde_json::from_str(&manifest).unwrap();
            let (count, read) = read(metrics, &write(rows as u64, &kept));
            prop_assert_eq!(count, Some(rows as u64));
            for stats in [&gathered, &kept, &read] {
                for row in 0..rows {
                    if let Some(value) = doubles[row] {
                        prop_assert!(value.is_nan() || within(stats, "value", &StatValue::Double(value)), "{} {:?}", value, stats["value"]);
                    }
                    prop_assert!(within(stats, "value_int", &StatValue::Int(ints[row])));
                    prop_assert!(within(stats, "unit", &StatValue::Text(texts[row].clone())));
                    prop_assert!(within(stats, "time", &StatValue::Timestamp(times[row])));
                }
                if doubles[..rows].iter().flatten().any(|v| v.is_nan()) {
                    prop_assert_eq!((&stats["value"].min, &stats["value"].max), (&None, &None));
                }
            }
        }
    }

    /// Scenario: the doubles that break statistics: both zeros, both
    /// infinities, the smallest and the largest numbers.
    /// Guarantees: bounds hold, an infinity is no bound, and the JSON is valid.
    #[test]
    fn awkward_doubles_stay_within() {
        let catalog = Catalog::default();
        let metrics = catalog.get("metrics").unwrap();
        let sets: [&[f64]; 6] = [
            &[-0.0],
            &[0.0, -0.0],
            &[f64::NEG_INFINITY, 1.0],
            &[f64::INFINITY],
            &[f64::MAX, f64::MIN],
            &[5e-324, -5e-324, 0.1 + 0.2],
        ];
        for values in sets {
            let array = Arc::new(Float64Array::from(values.to_vec())) as _;
            let batch = RecordBatch::try_from_iter_with_nullable([("value", array, true)]).unwrap();
            let (_, stats) = read(metrics, &write(1, &of(&batch)));
            for value in values {
                assert!(within(&stats, "value", &StatValue::Double(*value)), "{value} {stats:?}");
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
        assert!(!stats.contains_key("value"));
        assert_eq!(stats["unit"].null_count, Some(3));
        let (Some(StatValue::Timestamp(low)), Some(StatValue::Timestamp(high))) =
            (&stats["time"].min, &stats["time"].max)
        else {
            panic!("{stats:?}")
        };
        assert_eq!(high - low, 999);
        assert_eq!(read(metrics, "NaN"), (None, FileStats::new()));
    }
}
