//! Cutting rows that stand for more bytes than they hold.

use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// Divides `rows` rows into stretches of at most `most` that weigh at most
/// `bytes`, or are one row.
pub fn stretches(
    rows: usize,
    most: usize,
    bytes: usize,
    width: impl Fn(usize) -> usize,
) -> impl Iterator<Item = Range<usize>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let (from, mut weight) = (next, 0);
        while next < rows && next - from < most {
            weight += width(next);
            if weight > bytes && next > from {
                break;
            }
            next += 1;
        }
        (next > from).then_some(from..next)
    })
}

/// Bytes of texts and lists in each row: a small set of origins can stand for a lot of it.
pub fn widths(rows: &RecordBatch) -> Vec<usize> {
    let mut widths = vec![0; rows.num_rows()];
    for column in rows.columns() {
        // Where its elements end, each of so many bytes or with texts of their own.
        let (offsets, each, texts): (&[i32], usize, Vec<&[i32]>) = match column.data_type() {
            DataType::Utf8 => (column.as_string::<i32>().value_offsets(), 1, Vec::new()),
            DataType::List(element) => {
                let list = column.as_list::<i32>();
                let texts = list.values().as_string_opt::<i32>();
                let texts = texts.map(|texts| texts.value_offsets()).into_iter().collect();
                let each = element.data_type().primitive_width().unwrap_or_default();
                (list.value_offsets(), each, texts)
            }
            DataType::Map(..) => {
                let map = column.as_map();
                let texts = map.entries().columns().iter();
                let texts = texts.map(|t| t.as_string::<i32>().value_offsets()).collect();
                (map.value_offsets(), 0, texts)
            }
            _ => continue,
        };
        for (width, ends) in widths.iter_mut().zip(offsets.windows(2)) {
            let length =
                |offsets: &[i32]| (offsets[ends[1] as usize] - offsets[ends[0] as usize]) as usize;
            *width += match texts.is_empty() {
                true => each * (ends[1] - ends[0]) as usize,
                false => texts.iter().map(|offsets| length(offsets)).sum(),
            };
        }
    }
    widths
}
