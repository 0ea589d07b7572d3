//! Rows and origins against the plain rows that they stand for.

use arrow::array::{
    BooleanArray, Float64Array, Float64Builder, Int32Array, Int64Array, ListArray, ListBuilder,
    MapBuilder, MapFieldNames, StringArray, StringBuilder, new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Catalog;
use crate::tables::common::{list, list_field, string_map};

/// Rows of a table whose columns follow from one number each, few of which
/// differ: every type of a column of the origins, with NULLs.
fn plain(table: &str, numbers: &[u8]) -> (Arc<Layout>, RecordBatch) {
    let table = Catalog::default().get(table).unwrap().clone();
    let text = |tag: &str| -> ArrayRef {
        let value = |n: &u8| (!n.is_multiple_of(5)).then(|| tag.repeat(usize::from(n % 3)));
        Arc::new(numbers.iter().map(value).collect::<StringArray>())
    };
    let column = |(index, field): (usize, &arrow::datatypes::FieldRef)| -> ArrayRef {
        match field.data_type() {
            DataType::Utf8 => text(field.name()),
            DataType::Int64 => {
                Arc::new(numbers.iter().map(|n| Some(i64::from(*n) % 4)).collect::<Int64Array>())
            }
            DataType::Int32 => Arc::new(Int32Array::from(vec![index as i32; numbers.len()])),
            DataType::Boolean => Arc::new(BooleanArray::from(vec![index % 2 == 0; numbers.len()])),
            DataType::Float64 => Arc::new(Float64Array::from(vec![index as f64; numbers.len()])),
            doubles if *doubles == list(DataType::Float64) => {
                let mut lists = ListBuilder::new(Float64Builder::new())
                    .with_field(list_field(DataType::Float64));
                for number in numbers {
                    lists.values().append_slice(&[0.0, -0.0][..usize::from(number % 3)]);
                    lists.append(number % 2 > 0);
                }
                Arc::new(lists.finish())
            }
            map if *map == string_map() => {
                let names = MapFieldNames {
                    entry: "key_value".into(),
                    key: "key".into(),
                    value: "value".into(),
                };
                let (keys, values) = (StringBuilder::new(), StringBuilder::new());
                let mut map = MapBuilder::new(Some(names), keys, values);
                for number in numbers {
                    for key in 0..number % 3 {
                        map.keys().append_value(format!("key-{key}"));
                        map.values().append_option((number % 2 > 0).then_some("value"));
                    }
                    map.append(true).unwrap();
                }
                Arc::new(map.finish())
            }
            other => new_null_array(other, numbers.len()),
        }
    };
    let columns = table.schema.fields().iter().enumerate().map(column).collect();
    let batch = RecordBatch::try_new(table.schema.clone(), columns).unwrap();
    (table.layout.clone(), batch)
}

/// The distinct rows of a set, by what they are made from.
fn distinct(held: &SchemaRef, numbers: &[u8]) -> usize {
    let told = |n: &u8| (!n.is_multiple_of(5), n % 3, n % 4, n % 2);
    let distinct: std::collections::BTreeSet<_> = numbers.iter().map(told).collect();
    if held.fields().is_empty() { 1 } else { distinct.len() }
}

proptest! {
    /// Scenario: plain rows of each kind of table become rows with origins, are
    /// joined, shared, cut, and projected again.
    /// Guarantees: they are the same rows in the same order, and no origin
    /// stands twice.
    #[test]
    fn rows_are_what_they_stand_for(
        parts in vec(vec(any::<u8>(), 1..40), 1..6),
        table in prop::sample::select(vec!["spans", "logs", "metrics", "usage_parts"]),
        cut in (0usize..40, 1usize..40),
    ) {
        let whole: Vec<u8> = parts.concat();
        let (layout, expected) = plain(table, &whole);
        let rows = |part: &Vec<u8>| Rows::plain(&layout, &plain(table, part).1).unwrap();
        let parts: Vec<Rows> = parts.iter().map(rows).collect();

        let shared = Rows::share(parts.clone()).unwrap();
        prop_assert!(shared.windows(2).all(|pair| pair[0].shares(&pair[1])));
        let batches: Vec<RecordBatch> = shared.iter().map(|one| one.to_batch().unwrap()).collect();
        prop_assert_eq!(&concat_batches(&layout.schema, &batches).unwrap(), &expected);

        let joined = Rows::concat(parts).unwrap();
        prop_assert_eq!(&joined.to_batch().unwrap(), &expected);
        for (held, schema) in joined.held().iter().zip(&layout.held) {
            prop_assert!(held.values.num_rows() <= distinct(schema, &whole));
        }
        prop_assert_eq!(&joined, &Rows::plain(&layout, &expected).unwrap());

        let (from, count) = (cut.0 % whole.len(), cut.1.min(whole.len() - cut.0 % whole.len()));
        let sliced = joined.slice(from, count);
        prop_assert_eq!(sliced.to_batch().unwrap(), expected.slice(from, count));
        let last = layout.schema.fields().len() - 1;
        let some = sliced.project(&[last, 0]).unwrap();
        prop_assert_eq!(some, expected.slice(from, count).project(&[last, 0]).unwrap());

        let pieces: Vec<Rows> = joined.pieces(cut.1, 64).collect();
        prop_assert!(pieces.iter().all(|piece| (1..=cut.1).contains(&piece.num_rows())));
        prop_assert_eq!(Rows::concat(pieces).unwrap(), joined);
    }
}

/// Scenario: rows that name an origin that is not there, too few of them, keys that
/// are more or fewer than their values, and
/// the rows of another table.
/// Guarantees: F37, what was read from a disk is refused and never panics later.
#[test]
fn fault_f37_rows_without_their_origin_are_refused() {
    let (layout, batch) = plain("logs", &[1, 2]);
    let rows = Rows::plain(&layout, &batch).unwrap();
    let (own, held) = (rows.own().to_vec(), rows.held().to_vec());
    let made = |set: usize, of: Vec<u32>| {
        let mut held = held.clone();
        held[set].of = of.into();
        Rows::new(&layout, own.clone(), held)
    };
    assert!(made(ORIGINS, vec![0, 1]).is_ok());
    assert!(made(ORIGINS, vec![0, 2]).is_err());
    assert!(made(ORIGINS, vec![0]).is_err());
    // One has a key and the other two.
    assert!(made(1, vec![0, 1]).is_ok());
    assert!(made(1, vec![1, 0]).is_err());
    assert!(made(1, vec![0, 2]).is_err());
    for table in ["spans", "metrics"] {
        let (other, _) = plain(table, &[1]);
        assert!(Rows::new(&other, own.clone(), held.clone()).is_err());
    }
    let (metrics, batch) = plain("metrics", &[1, 2]);
    let rows = Rows::plain(&metrics, &batch).unwrap();
    let mut held = rows.held().to_vec();
    assert!(Rows::new(&metrics, rows.own().to_vec(), held.clone()).is_ok());
    held[1].of = vec![0, 2].into();
    assert!(Rows::new(&metrics, rows.own().to_vec(), held).is_err());
}

/// Scenario: a handful of bytes stands for a megabyte in each of many rows.
/// Guarantees: B1, it is projected in pieces that fit in memory.
#[test]
fn inv_b1_a_large_origin_is_projected_in_small_pieces() {
    let (layout, batch) = plain("logs", &[7; 100]);
    let rows = Rows::plain(&layout, &batch).unwrap();
    let width: usize = rows.held().iter().map(|held| widths(&held.values)[0]).sum();
    assert!(width > 10);
    let pieces: Vec<usize> = rows.pieces(1000, 3 * width).map(|piece| piece.num_rows()).collect();
    assert_eq!((pieces.len(), pieces[0]), (34, 3));
    assert_eq!(rows.pieces(1000, 0).count(), 100);
}

/// Scenario: lists of numbers of some lengths stand once for many rows.
/// Guarantees: B1, what they take in each of these counts too.
#[test]
fn inv_b1_lists_of_numbers_have_a_width() {
    let bounds = [Some(vec![Some(1.0); 3]), None, Some(vec![])];
    let column: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(bounds));
    let rows = RecordBatch::try_from_iter([("explicit_bounds", column)]).unwrap();
    assert_eq!(widths(&rows), [24, 0, 0]);
}
