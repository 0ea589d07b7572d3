//! How much rows hold, whoever shares their buffers: a slice counts for what
//! it shows.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::DataType;

/// Bytes of all rows.
pub(crate) fn of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(total).sum()
}

/// Bytes of each row, summed over some columns.
pub(crate) fn of_rows<'a>(columns: impl Iterator<Item = &'a ArrayRef>, rows: usize) -> Vec<usize> {
    let mut widths = vec![0; rows];
    columns.for_each(|column| add(column, &mut widths));
    widths
}

/// Bytes of an array's values.
pub(crate) fn total(array: &ArrayRef) -> usize {
    let rows = array.len();
    match array.data_type() {
        DataType::Utf8 => span(array.as_string::<i32>().value_offsets()) + 4 * rows,
        DataType::LargeUtf8 => span(array.as_string::<i64>().value_offsets()) + 8 * rows,
        DataType::Binary => span(array.as_binary::<i32>().value_offsets()) + 4 * rows,
        DataType::LargeBinary => span(array.as_binary::<i64>().value_offsets()) + 8 * rows,
        DataType::Utf8View => array.as_string_view().views().iter().map(|v| in_view(*v)).sum(),
        DataType::BinaryView => array.as_binary_view().views().iter().map(|v| in_view(*v)).sum(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            within(list.value_offsets(), list.values()) + 4 * rows
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            within(list.value_offsets(), list.values()) + 8 * rows
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            within(map.value_offsets(), &entries) + 4 * rows
        }
        DataType::FixedSizeList(_, _) => total(array.as_fixed_size_list().values()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(total).sum(),
        // As if it were written out, which is what becomes of it.
        DataType::Dictionary(_, _) => rows * unit(array.as_any_dictionary().values()),
        other => rows * other.primitive_width().unwrap_or(8),
    }
}

fn add(array: &ArrayRef, widths: &mut [usize]) {
    match array.data_type() {
        DataType::Utf8 => spread(array.as_string::<i32>().value_offsets(), 1, widths),
        DataType::LargeUtf8 => spread(array.as_string::<i64>().value_offsets(), 1, widths),
        DataType::Binary => spread(array.as_binary::<i32>().value_offsets(), 1, widths),
        DataType::LargeBinary => spread(array.as_binary::<i64>().value_offsets(), 1, widths),
        DataType::Utf8View => {
            let views = array.as_string_view().views().iter();
            widths.iter_mut().zip(views).for_each(|(width, view)| *width += in_view(*view));
        }
        DataType::BinaryView => {
            let views = array.as_binary_view().views().iter();
            widths.iter_mut().zip(views).for_each(|(width, view)| *width += in_view(*view));
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            spread(list.value_offsets(), unit(list.values()), widths);
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            spread(list.value_offsets(), unit(list.values()), widths);
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            spread(map.value_offsets(), unit(&entries), widths);
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().for_each(|column| add(column, widths));
        }
        _ => {
            let each = total(array) / array.len().max(1);
            widths.iter_mut().for_each(|width| *width += each);
        }
    }
}

/// Bytes of an element, on average.
fn unit(values: &ArrayRef) -> usize {
    total(values).div_ceil(values.len().max(1))
}

fn in_view(view: u128) -> usize {
    // The low 32 bits are the length; up to twelve bytes lie in the view itself.
    let length = (view & u128::from(u32::MAX)) as usize;
    16 + if length > 12 { length } else { 0 }
}

fn span<O: OffsetSizeTrait>(offsets: &[O]) -> usize {
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => last.as_usize() - first.as_usize(),
        _ => 0,
    }
}

fn within<O: OffsetSizeTrait>(offsets: &[O], values: &ArrayRef) -> usize {
    let length = span(offsets);
    match offsets.first() {
        Some(first) if length > 0 => total(&values.slice(first.as_usize(), length)),
        _ => 0,
    }
}

fn spread<O: OffsetSizeTrait>(offsets: &[O], unit: usize, widths: &mut [usize]) {
    let lengths = offsets.windows(2).map(|pair| pair[1].as_usize() - pair[0].as_usize());
    widths.iter_mut().zip(lengths).for_each(|(width, length)| *width += 4 + length * unit);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, ListArray, StringArray, StringViewArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    /// Scenario: text, text in views, numbers and lists, whole and as a slice
    /// of something larger.
    /// Guarantees: S22, only what is shown counts, in all and by row.
    #[test]
    fn sec_s22_a_slice_counts_for_what_it_shows() {
        let long = "x".repeat(1_000);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "bb", &long]));
        assert_eq!((total(&text), total(&text.slice(0, 2))), (1_003 + 12, 3 + 8));
        let views: ArrayRef = Arc::new(StringViewArray::from(vec!["a", long.as_str()]));
        assert_eq!((total(&views), total(&views.slice(0, 1))), (1_032, 16));
        let lists = [Some(vec![Some(1), Some(2)]), None, Some(vec![Some(3); 100])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        assert_eq!((total(&lists), total(&lists.slice(0, 2))), (102 * 8 + 12, 16 + 8));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = of_rows([&text, &numbers, &lists].into_iter(), 3);
        assert_eq!(rows, [5 + 8 + 20, 6 + 8 + 4, 1_004 + 8 + 804]);
    }
}
