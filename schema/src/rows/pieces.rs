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

/// Bytes of text in each row: a small set of origins can stand for a lot of it.
pub fn widths(rows: &RecordBatch) -> Vec<usize> {
    let mut widths = vec![0; rows.num_rows()];
    for column in rows.columns() {
        let (offsets, texts): (&[i32], Vec<&[i32]>) = match column.data_type() {
            DataType::Utf8 => (column.as_string::<i32>().value_offsets(), Vec::new()),
            DataType::List(element) if *element.data_type() == DataType::Utf8 => {
                let list = column.as_list::<i32>();
                (list.value_offsets(), vec![list.values().as_string::<i32>().value_offsets()])
            }
            DataType::Map(..) => {
                let map = column.as_map();
                let texts = map.entries().columns().iter();
                (map.value_offsets(), texts.map(|t| t.as_string::<i32>().value_offsets()).collect())
            }
            _ => continue,
        };
        for (width, ends) in widths.iter_mut().zip(offsets.windows(2)) {
            let length =
                |offsets: &[i32]| (offsets[ends[1] as usize] - offsets[ends[0] as usize]) as usize;
            *width += match texts.is_empty() {
                true => (ends[1] - ends[0]) as usize,
                false => texts.iter().map(|offsets| length(offsets)).sum(),
            };
        }
    }
    widths
}
