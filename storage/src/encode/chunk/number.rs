//! A column chunk of numbers or times, flat or in a list, written by codes.

use std::ops::Range;

use ::parquet::column::writer::ColumnCloseResult;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::statistics::{Statistics, ValueStatistics};
use ::parquet::schema::types::ColumnDescPtr;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, ToByteSlice,
};
use arrow::util::bit_iterator::BitSliceIterator;
use bytes::Bytes;

use super::bounds::NumberBounds;
use super::distinct::Distinct;
use super::open::Open;
use super::pages::Pages;
use super::press::Press;
use crate::Error;

/// Values after which it is looked whether a page or the dictionary is full.
const STEP: usize = 4096;
/// Values that tell whether nearly all of a chunk's are distinct. Rows are sorted, so
/// that the first series do not speak for all; with a quarter of a row group a cache
/// still holds the dictionary.
const SAMPLE: usize = 8 * STEP;

/// A number as a file has it.
pub trait Number: ArrowNativeType + PartialOrd {
    const LEAST: Self;
    const MOST: Self;

    fn bits(self) -> u64;

    /// Bounds that hold for both zeros, where there are two.
    fn with_zeros(low: Self, high: Self) -> (Self, Self) {
        (low, high)
    }

    fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics;
}

/// What a file says of numbers, also where readers look that know signed ones only.
macro_rules! statistics {
    () => {
        fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics {
            let (low, high) = bounds.unzip();
            let statistics = ValueStatistics::new(low, high, None, Some(nulls), false);
            statistics.with_backwards_compatible_min_max(true).into()
        }
    };
}

impl Number for i32 {
    const LEAST: i32 = i32::MIN;
    const MOST: i32 = i32::MAX;

    fn bits(self) -> u64 {
        self as u64
    }

    statistics!();
}

impl Number for i64 {
    const LEAST: i64 = i64::MIN;
    const MOST: i64 = i64::MAX;

    fn bits(self) -> u64 {
        self as u64
    }

    statistics!();
}

impl Number for f64 {
    const LEAST: f64 = f64::NEG_INFINITY;
    const MOST: f64 = f64::INFINITY;

    fn bits(self) -> u64 {
        self.to_bits()
    }

    fn with_zeros(low: f64, high: f64) -> (f64, f64) {
        (if low == 0.0 { -0.0 } else { low }, if high == 0.0 { 0.0 } else { high })
    }

    statistics!();
}

/// A column chunk of numbers of some type.
pub trait Numbers: Send {
    /// Rows of the column.
    fn push(&mut self, column: &ArrayRef, press: &mut Press) -> Result<(), Error>;

    /// Bytes that the chunk has so far.
    fn size(&self) -> usize;

    /// The chunk as it stands in a file, and what a file says of it.
    fn finish(self: Box<Self>, press: &mut Press) -> Result<(Bytes, ColumnCloseResult), Error>;
}

/// A chunk for rows of this type, where they are numbers that are written by codes;
/// those with an encoding of their own or a filter are the library's.
pub fn numbers(
    of: &DataType,
    column: &ColumnDescPtr,
    properties: &WriterProperties,
) -> Option<Box<dyn Numbers>> {
    let path = column.path();
    let of = match of {
        DataType::List(element) => element.data_type(),
        of => of,
    };
    if properties.encoding(path).is_some() || properties.bloom_filter_properties(path).is_some() {
        return None;
    }
    match of {
        DataType::Int32 => Some(chunk::<Int32Type>(column, properties)),
        DataType::Int64 => Some(chunk::<Int64Type>(column, properties)),
        DataType::Float64 => Some(chunk::<Float64Type>(column, properties)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Some(chunk::<TimestampMicrosecondType>(column, properties))
        }
        _ => None,
    }
}

fn chunk<T: ArrowPrimitiveType<Native: Number>>(
    column: &ColumnDescPtr,
    properties: &WriterProperties,
) -> Box<dyn Numbers> {
    let most = column.max_def_level() as u8;
    Box::new(NumberChunk::<T> {
        distinct: Distinct::default(),
        most_bytes: properties.column_dictionary_page_size_limit(column.path()),
        is_over: !properties.dictionary_enabled(column.path()),
        values: 0,
        most,
        // Below it is a NULL, if there can be one.
        empty: most.saturating_sub(1 + u8::from(column.self_type().is_optional())),
        page: Open::default(),
        pages: Pages::new(column.clone(), properties),
    })
}

struct NumberChunk<T: ArrowPrimitiveType<Native: Number>> {
    distinct: Distinct<T::Native>,
    /// Of the dictionary, from which on it saves nothing.
    most_bytes: usize,
    /// From here on values are written as they are.
    is_over: bool,
    /// Values so far, without NULLs.
    values: usize,
    /// The definition levels of a value and of an empty list.
    most: u8,
    empty: u8,
    page: Open<NumberBounds<T::Native>>,
    pages: Pages<NumberBounds<T::Native>>,
}

/// Rows with a number each, or a list of them.
struct Rows<'a, T> {
    count: usize,
    nulls: Option<&'a NullBuffer>,
    /// Where lists end, each where the next begins.
    ends: Option<&'a [i32]>,
    values: &'a [T],
    /// Those among the values of lists.
    value_nulls: Option<&'a NullBuffer>,
}

impl<T: ArrowPrimitiveType<Native: Number>> Numbers for NumberChunk<T> {
    fn push(&mut self, column: &ArrayRef, press: &mut Press) -> Result<(), Error> {
        let list = column.as_list_opt::<i32>();
        let values = list.map_or(column, |list| list.values());
        let Some(numbers) = values.as_primitive_opt::<T>() else {
            return Err(Error::Internal(format!(
                "{} is {}, not {}",
                self.pages.column.path(),
                values.data_type(),
                T::DATA_TYPE
            )));
        };
        let rows = Rows {
            count: column.len(),
            nulls: column.nulls(),
            ends: list.map(|list| list.value_offsets()),
            values: numbers.values(),
            value_nulls: list.and(values.nulls()).filter(|nulls| nulls.null_count() > 0),
        };
        let mut row = 0;
        while row < rows.count {
            let until = self.step(&rows, row);
            self.put(&rows, row..until);
            self.end_rows(press)?;
            row = until;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.pages.size() + self.dictionary_bytes() + self.page.plain.len() + self.page.codes.len()
    }

    fn finish(mut self: Box<Self>, press: &mut Press) -> Result<(Bytes, ColumnCloseResult), Error> {
        self.end_page(press)?;
        if self.pages.are_coded() {
            press.body.clear();
            press.body.extend_from_slice(self.distinct.numbers().to_byte_slice());
            self.pages.set_dictionary(self.distinct.numbers().len(), press)?;
        }
        self.pages.finish(&[], None)
    }
}

impl<T: ArrowPrimitiveType<Native: Number>> NumberChunk<T> {
    /// The row that what is put at once ends before.
    fn step(&self, rows: &Rows<'_, T::Native>, from: usize) -> usize {
        let most = rows.count.min(from + self.pages.page_rows - self.page.rows);
        match rows.ends {
            None => most.min(from + STEP),
            Some(ends) => {
                let is_in = |end: &i32| (end - ends[from]) as usize <= STEP;
                from + ends[from + 1..=most].partition_point(is_in).max(1)
            }
        }
    }

    fn put(&mut self, rows: &Rows<'_, T::Native>, of: Range<usize>) {
        let mut at = of.start;
        for there in present(rows.nulls, of.clone()) {
            self.put_nulls(rows, there.start - at);
            match rows.ends {
                None => {
                    self.page.flat(there.len(), self.most);
                    self.put_values(&rows.values[there.clone()]);
                }
                Some(ends) => {
                    let ends = &ends[there.start..=there.end];
                    self.page.lists(ends, self.most, self.empty, rows.value_nulls);
                    let elements = ends[0] as usize..ends[there.len()] as usize;
                    for there in present(rows.value_nulls, elements) {
                        self.put_values(&rows.values[there]);
                    }
                }
            }
            at = there.end;
        }
        self.put_nulls(rows, of.end - at);
        self.page.rows += of.len();
    }

    fn put_nulls(&mut self, rows: &Rows<'_, T::Native>, count: usize) {
        self.page.flat(count, 0);
        self.page.nulls += count as u64;
        if rows.ends.is_some() {
            self.page.repetition.push(0, count);
        }
    }

    fn put_values(&mut self, values: &[T::Native]) {
        self.values += values.len();
        let known = self.distinct.numbers().len();
        let (page, distinct) = (&mut self.page, &mut self.distinct);
        match self.is_over {
            true => page.plain.extend_from_slice(values.to_byte_slice()),
            false => distinct.encode(values, &mut page.codes),
        }
        // What the chunk has already widens nothing but a page's own bounds.
        let is_looked_at = self.is_over || self.pages.is_paged;
        page.bounds.meet(if is_looked_at { values } else { &distinct.numbers()[known..] });
    }

    fn dictionary_bytes(&self) -> usize {
        size_of_val(self.distinct.numbers())
    }

    /// Whether values as they are take less.
    fn is_outgrown(&self) -> bool {
        let are_unique = || self.distinct.numbers().len() * 10 > self.values * 9;
        self.dictionary_bytes() >= self.most_bytes || (self.values >= SAMPLE && are_unique())
    }

    fn end_rows(&mut self, press: &mut Press) -> Result<(), Error> {
        let is_over = !self.is_over && self.is_outgrown();
        if is_over || self.page.rows >= self.pages.page_rows || self.page.is_full() {
            self.end_page(press)?;
        }
        self.is_over |= is_over;
        Ok(())
    }

    fn end_page(&mut self, press: &mut Press) -> Result<(), Error> {
        if self.page.rows == 0 {
            return Ok(());
        }
        let distinct = (!self.is_over).then_some(self.distinct.numbers().len());
        self.pages.write(&mut self.page, distinct, press)
    }
}

/// The stretches of a range without NULLs.
fn present(nulls: Option<&NullBuffer>, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let start = range.start;
    let some = nulls.map(|nulls| {
        let stretches =
            BitSliceIterator::new(nulls.validity(), nulls.offset() + start, range.len());
        stretches.map(move |(from, until)| start + from..start + until)
    });
    let all = if some.is_none() { Some(range) } else { None };
    some.into_iter().flatten().chain(all)
}
