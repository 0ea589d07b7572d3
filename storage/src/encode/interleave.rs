//! Rows of several arrays, gathered in an order: texts by their codes, lists and maps
//! by stretches, numbers as they are. Arrow's own names every element of every list,
//! reads values that are NULL, and would join all texts of all arrays.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanBufferBuilder, DictionaryArray,
    Int32Array, ListArray, MapArray, PrimitiveArray, StringArray, UInt32Array, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::interleave;
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt32Type,
};

use super::codes::{Coded, rebuilt, same};
use crate::Error;

const UNKNOWN: u32 = u32::MAX;

/// Elements that follow each other in one of several arrays.
#[derive(Clone, Copy)]
struct Stretch {
    array: usize,
    from: u32,
    to: u32,
}

impl Stretch {
    fn of(array: usize, row: usize, ends: &[i32]) -> Stretch {
        Stretch { array, from: ends[row] as u32, to: ends[row + 1] as u32 }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.from as usize..self.to as usize
    }
}

/// Rows (array, row) of arrays whose texts may be by codes, and whose maps may be
/// [`held`](super::codes::held).
pub fn interleaved(arrays: &[ArrayRef], rows: &[(usize, usize)]) -> Result<ArrayRef, Error> {
    let Some(first) = arrays.first() else {
        return Err(Error::Internal("rows are gathered from nothing".into()));
    };
    match first.data_type() {
        DataType::Dictionary(_, of) if matches!(**of, DataType::Map(..)) => held(arrays, rows),
        DataType::Dictionary(..) => {
            let each = |&(array, row): &(usize, usize)| Stretch {
                array,
                from: row as u32,
                to: row as u32 + 1,
            };
            codes(arrays, rows.iter().map(each), rows.len())
        }
        DataType::Map(..) => {
            let maps: Vec<&MapArray> = arrays.iter().map(|array| array.as_map()).collect();
            let nulls: Vec<Option<&NullBuffer>> = maps.iter().map(|map| map.nulls()).collect();
            let of = |&(array, row): &(usize, usize)| {
                Stretch::of(array, row, maps[array].value_offsets())
            };
            let stretches: Vec<Stretch> = rows.iter().map(of).collect();
            let part = |of: fn(&MapArray) -> &ArrayRef| {
                let parts: Vec<ArrayRef> = maps.iter().map(|map| of(map).clone()).collect();
                elements(&parts, &stretches)
            };
            let (keys, values) = (part(MapArray::keys)?, part(MapArray::values)?);
            let nulls = gathered(&nulls, rows);
            rebuilt(first.data_type(), ends(&stretches)?, nulls, keys, values)
        }
        DataType::List(element) => match element.data_type() {
            DataType::Int32 => lists::<Int32Type>(arrays, rows),
            DataType::Int64 => lists::<Int64Type>(arrays, rows),
            DataType::Float64 => lists::<Float64Type>(arrays, rows),
            _ => by_arrow(arrays, rows),
        },
        DataType::Int32 => numbers::<Int32Type>(arrays, rows),
        DataType::Int64 => numbers::<Int64Type>(arrays, rows),
        DataType::Float64 => numbers::<Float64Type>(arrays, rows),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            numbers::<TimestampMicrosecondType>(arrays, rows)
        }
        _ => by_arrow(arrays, rows),
    }
}

fn by_arrow(arrays: &[ArrayRef], rows: &[(usize, usize)]) -> Result<ArrayRef, Error> {
    let nulls: Vec<Option<&NullBuffer>> = arrays.iter().map(|array| array.nulls()).collect();
    if rows.iter().all(|&(array, row)| nulls[array].is_some_and(|nulls| nulls.is_null(row))) {
        return Ok(new_null_array(arrays[0].data_type(), rows.len()));
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(interleave(&arrays, rows)?)
}

/// Rows (array, row) of a map whose values are lists and whose keys stand once: `of`
/// names those of each row.
pub fn shaped(
    map: &DataType,
    values: &[ArrayRef],
    keys: &ArrayRef,
    rows: &[(usize, usize)],
    of: &[u32],
) -> Result<ArrayRef, Error> {
    let lists: Vec<&ListArray> = values.iter().map(|values| values.as_list()).collect();
    let shapes: &ListArray = keys.as_list();
    let value_of =
        |&(array, row): &(usize, usize)| Stretch::of(array, row, lists[array].value_offsets());
    let values: Vec<Stretch> = rows.iter().map(value_of).collect();
    let key_of = |shape: &u32| Stretch::of(0, *shape as usize, shapes.value_offsets());
    let keys: Vec<Stretch> = of.iter().map(key_of).collect();
    let texts: Vec<ArrayRef> = lists.iter().map(|list| list.values().clone()).collect();
    let nulls: Vec<Option<&NullBuffer>> = lists.iter().map(|list| list.nulls()).collect();
    let keys = elements(std::slice::from_ref(shapes.values()), &keys)?;
    let ends = ends(&values)?;
    rebuilt(map, ends, gathered(&nulls, rows), keys, elements(&texts, &values)?)
}

/// Where lists of these elements end.
fn ends(stretches: &[Stretch]) -> Result<OffsetBuffer<i32>, Error> {
    let mut ends = Vec::with_capacity(stretches.len() + 1);
    ends.push(0);
    let mut end = 0_u64;
    for stretch in stretches {
        end += u64::from(stretch.to - stretch.from);
        ends.push(end as i32);
    }
    match i32::try_from(end) {
        Ok(_) => Ok(OffsetBuffer::new(ends.into())),
        Err(_) => Err(Error::Internal(format!("{end} elements of lists are gathered at once"))),
    }
}

/// The elements of lists or maps.
fn elements(arrays: &[ArrayRef], stretches: &[Stretch]) -> Result<ArrayRef, Error> {
    let count = stretches.iter().map(|stretch| stretch.range().len()).sum();
    if arrays.iter().all(|array| matches!(array.data_type(), DataType::Dictionary(..))) {
        return codes(arrays, stretches.iter().copied(), count);
    }
    let mut all = Vec::with_capacity(count);
    for stretch in stretches {
        all.extend(stretch.range().map(|element| (stretch.array, element)));
    }
    interleaved(arrays, &all)
}

/// Texts by codes.
fn codes(
    arrays: &[ArrayRef],
    stretches: impl Iterator<Item = Stretch> + Clone,
    count: usize,
) -> Result<ArrayRef, Error> {
    let coded: Vec<&Coded> = arrays.iter().map(|array| array.as_dictionary()).collect();
    let keys: Vec<&[i32]> = coded.iter().map(|coded| coded.keys().values().as_ref()).collect();
    let nulls: Vec<Option<&NullBuffer>> = coded.iter().map(|coded| coded.nulls()).collect();
    let any = nulls.iter().flatten().any(|nulls| nulls.null_count() > 0);
    let nulls_of = any.then(|| {
        let mut valid = BooleanBufferBuilder::new(count);
        for stretch in stretches.clone() {
            match nulls[stretch.array] {
                Some(nulls) => valid.append_buffer(
                    &nulls.inner().slice(stretch.from as usize, stretch.range().len()),
                ),
                None => valid.append_n(stretch.range().len(), true),
            }
        }
        NullBuffer::new(valid.finish())
    });
    let mut codes = Vec::with_capacity(count);
    let texts = match coded.windows(2).all(|pair| same(texts(pair[0]), texts(pair[1]))) {
        true => {
            for stretch in stretches {
                codes.extend_from_slice(&keys[stretch.array][stretch.range()]);
            }
            coded[0].values().clone()
        }
        false => {
            let mut joined = Joined::of(&coded);
            for stretch in stretches {
                let nulls = nulls[stretch.array].filter(|nulls| nulls.null_count() > 0);
                let element = |at: usize| match nulls {
                    Some(nulls) if nulls.is_null(at) => None,
                    _ => Some(keys[stretch.array][at]),
                };
                joined.take(stretch.array, stretch.range().map(element), &mut codes);
            }
            joined.into_texts()?
        }
    };
    let codes = Int32Array::try_new(codes.into(), nulls_of)?;
    Ok(Arc::new(Coded::try_new(codes, texts)?))
}

/// The texts that rows use, from arrays with texts of their own: what two arrays have
/// is there twice, unless it is the same in memory.
struct Joined<'a> {
    texts: Vec<&'a StringArray>,
    /// Per array the place of its texts among `known`: batches of one row group share
    /// theirs.
    places: Vec<usize>,
    /// The new code of each, or [`UNKNOWN`].
    known: Vec<Vec<u32>>,
    bytes: Vec<u8>,
    ends: Vec<i32>,
}

impl<'a> Joined<'a> {
    fn of(coded: &[&'a Coded]) -> Joined<'a> {
        let mut met = HashMap::new();
        let mut known = Vec::new();
        let all: Vec<&StringArray> = coded.iter().map(|coded| texts(coded)).collect();
        let place = |texts: &&StringArray| {
            let memory = (texts.values().as_ptr(), texts.offsets().as_ptr(), texts.len());
            *met.entry(memory).or_insert_with(|| {
                known.push(vec![UNKNOWN; texts.len()]);
                known.len() - 1
            })
        };
        let places = all.iter().map(place).collect();
        Joined { texts: all, places, known, bytes: Vec::new(), ends: vec![0] }
    }

    fn take(
        &mut self,
        array: usize,
        keys: impl Iterator<Item = Option<i32>>,
        codes: &mut Vec<i32>,
    ) {
        let (texts, known) = (self.texts[array], &mut self.known[self.places[array]]);
        for key in keys {
            // Under a NULL there may be a key of nothing.
            let Some(key) = key else {
                codes.push(0);
                continue;
            };
            let code = &mut known[key as usize];
            if *code == UNKNOWN {
                self.bytes.extend_from_slice(texts.value(key as usize).as_bytes());
                *code = self.ends.len() as u32 - 1;
                self.ends.push(self.bytes.len() as i32);
            }
            codes.push(*code as i32);
        }
    }

    fn into_texts(mut self) -> Result<ArrayRef, Error> {
        if self.ends.len() == 1 {
            // Codes of nothing but NULLs still name a text.
            self.ends.push(0);
        }
        let ends = OffsetBuffer::new(self.ends.into());
        Ok(Arc::new(StringArray::try_new(ends, Buffer::from(self.bytes), None)?))
    }
}

fn texts(coded: &Coded) -> &StringArray {
    coded.values().as_string()
}

/// Maps that are held: those that the rows have, and which each row has.
fn held(arrays: &[ArrayRef], rows: &[(usize, usize)]) -> Result<ArrayRef, Error> {
    let all: Vec<&DictionaryArray<UInt32Type>> =
        arrays.iter().map(|array| array.as_dictionary()).collect();
    let mut known: Vec<Vec<u32>> =
        all.iter().map(|held| vec![UNKNOWN; held.values().len()]).collect();
    let mut used: Vec<(usize, usize)> = Vec::new();
    let mut of = Vec::with_capacity(rows.len());
    for &(array, row) in rows {
        let map = all[array].keys().value(row) as usize;
        let place = &mut known[array][map];
        if *place == UNKNOWN {
            *place = used.len() as u32;
            used.push((array, map));
        }
        of.push(*place);
    }
    let maps: Vec<ArrayRef> = all.iter().map(|held| held.values().clone()).collect();
    let maps = interleaved(&maps, &used)?;
    Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(UInt32Array::from(of), maps)?))
}

fn numbers<T: ArrowPrimitiveType>(
    arrays: &[ArrayRef],
    rows: &[(usize, usize)],
) -> Result<ArrayRef, Error> {
    let parts: Vec<&PrimitiveArray<T>> = arrays.iter().map(|array| array.as_primitive()).collect();
    let of = parts[0].data_type();
    let nulls: Vec<Option<&NullBuffer>> = parts.iter().map(|part| part.nulls()).collect();
    let nulls = gathered(&nulls, rows);
    let parts: Vec<&[T::Native]> = parts.iter().map(|part| part.values().as_ref()).collect();
    let values = match &nulls {
        None => rows.iter().map(|&(array, row)| parts[array][row]).collect(),
        Some(nulls) if nulls.null_count() == rows.len() => {
            return Ok(new_null_array(of, rows.len()));
        }
        // Most columns have values in few rows, which lie together.
        Some(nulls) => {
            let mut values = vec![T::default_value(); rows.len()];
            for (from, to) in nulls.valid_slices() {
                for (value, &(array, row)) in values[from..to].iter_mut().zip(&rows[from..to]) {
                    *value = parts[array][row];
                }
            }
            values
        }
    };
    let numbers = PrimitiveArray::<T>::try_new(values.into(), nulls)?;
    Ok(Arc::new(numbers.with_data_type(of.clone())))
}

/// Lists of numbers.
fn lists<T: ArrowPrimitiveType>(
    arrays: &[ArrayRef],
    rows: &[(usize, usize)],
) -> Result<ArrayRef, Error> {
    let lists: Vec<&ListArray> = arrays.iter().map(|array| array.as_list()).collect();
    let DataType::List(element) = lists[0].data_type() else { return by_arrow(arrays, rows) };
    if lists.iter().any(|list| list.values().null_count() > 0) {
        return by_arrow(arrays, rows);
    }
    let nulls: Vec<Option<&NullBuffer>> = lists.iter().map(|list| list.nulls()).collect();
    let nulls = gathered(&nulls, rows);
    let numbers = |list: &&'_ ListArray| list.values().as_primitive::<T>().values().clone();
    let numbers: Vec<_> = lists.iter().map(numbers).collect();
    let stretch = |(at, &(array, row)): (usize, &(usize, usize))| match &nulls {
        Some(nulls) if nulls.is_null(at) => Stretch { array, from: 0, to: 0 },
        _ => Stretch::of(array, row, lists[array].value_offsets()),
    };
    let stretches: Vec<Stretch> = rows.iter().enumerate().map(stretch).collect();
    let ends = ends(&stretches)?;
    let mut values: Vec<T::Native> = Vec::with_capacity(ends[rows.len()] as usize);
    for stretch in &stretches {
        values.extend_from_slice(&numbers[stretch.array][stretch.range()]);
    }
    let values = PrimitiveArray::<T>::try_new(values.into(), None)?;
    let values = Arc::new(values.with_data_type(element.data_type().clone()));
    Ok(Arc::new(ListArray::try_new(element.clone(), ends, values, nulls)?))
}

fn gathered(nulls: &[Option<&NullBuffer>], rows: &[(usize, usize)]) -> Option<NullBuffer> {
    let valid = |&(array, row): &(usize, usize)| nulls[array].is_none_or(|n| n.is_valid(row));
    let any = nulls.iter().flatten().any(|nulls| nulls.null_count() > 0);
    any.then(|| rows.iter().map(valid).collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Float64Array, Int64Array, Int64Builder, ListBuilder, MapBuilder, RecordBatch,
        StringBuilder, TimestampMicrosecondArray,
    };
    use arrow::compute::{cast, concat_batches, take};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::codes::{coded, held as folded};
    use super::*;

    /// What a row has: a number, numbers in a list, texts by keys.
    type Row = (Option<i64>, Option<Vec<i64>>, Option<Vec<(u8, Option<u8>)>>);

    fn row() -> impl Strategy<Value = Row> {
        let list = prop::option::of(vec(any::<i64>(), 0..5));
        let map = prop::option::of(vec((0..6_u8, prop::option::of(0..9_u8)), 0..4));
        (prop::option::of(any::<i64>()), list, map)
    }

    /// The columns: numbers of each kind, lists, texts, maps; some of no values.
    fn columns(rows: &[Row]) -> Vec<ArrayRef> {
        let numbers: Int64Array = rows.iter().map(|row| row.0).collect();
        let doubles: Float64Array =
            numbers.iter().map(|number| number.map(|n| f64::from_bits(n as u64))).collect();
        let times: TimestampMicrosecondArray = numbers.iter().collect();
        let small = numbers.iter().map(|number| number.map(|n| n as i32)).collect::<Int32Array>();
        let mut lists = ListBuilder::new(Int64Builder::new());
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for (_, list, map) in rows {
            lists.append_option(list.as_ref().map(|list| list.iter().copied().map(Some)));
            for (key, value) in map.iter().flatten() {
                maps.keys().append_value(format!("key {key}"));
                maps.values().append_option(value.map(|value| format!("value {value}")));
            }
            maps.append(map.is_some()).unwrap();
        }
        let texts: StringArray =
            rows.iter().map(|row| row.0.map(|number| format!("text {}", number % 7))).collect();
        vec![
            Arc::new(numbers),
            Arc::new(doubles),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(small),
            Arc::new(lists.finish()),
            Arc::new(texts),
            Arc::new(maps.finish()),
        ]
    }

    /// What Arrow gathers, from arrays without codes.
    fn expected(parts: &[ArrayRef], rows: &[(usize, usize)]) -> ArrayRef {
        let arrays: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        interleave(&arrays, rows).unwrap()
    }

    /// The same written out: maps that are held, texts by codes.
    fn written_out(array: &ArrayRef, of: &DataType) -> ArrayRef {
        match (array.as_dictionary_opt::<UInt32Type>(), of) {
            (Some(held), _) => written_out(&take(held.values(), held.keys(), None).unwrap(), of),
            (None, DataType::Map(..)) => {
                let map = array.as_map();
                let text = |part: &ArrayRef| cast(part, &DataType::Utf8).unwrap();
                let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
                rebuilt(of, offsets, nulls, text(map.keys()), text(map.values())).unwrap()
            }
            (None, DataType::Utf8) => cast(array, of).unwrap(),
            _ => array.clone(),
        }
    }

    proptest! {
        /// Scenario: rows of three arrays in any order, some more than once, of
        /// columns of each kind: with and without NULLs, texts as they are, by codes
        /// over one set of texts or over one each, maps that are held.
        /// Guarantees: what Arrow's own gathers from the same rows.
        #[test]
        fn rows_are_gathered_as_arrow_does(
            parts in vec(vec(row(), 0..30), 3),
            picked in vec((0..3_usize, any::<prop::sample::Index>()), 0..80),
        ) {
            let picked: Vec<(usize, usize)> = picked
                .into_iter()
                .filter(|(array, _)| !parts[*array].is_empty())
                .map(|(array, row)| (array, row.index(parts[array].len())))
                .collect();
            let parts: Vec<Vec<ArrayRef>> = parts.iter().map(|rows| columns(rows)).collect();
            for column in 0..parts[0].len() {
                let plain: Vec<ArrayRef> =
                    parts.iter().map(|columns| columns[column].clone()).collect();
                let of = plain[0].data_type().clone();
                let expected = expected(&plain, &picked);
                let together = coded(plain.clone(), 0).unwrap();
                let each = plain.iter().map(|part| coded(vec![part.clone()], 1000).unwrap());
                let each: Vec<ArrayRef> = each.map(|mut part| part.swap_remove(0)).collect();
                let mut forms = vec![plain.clone(), together];
                if each.iter().all(|part| part.data_type() == each[0].data_type()) {
                    forms.push(each);
                }
                if matches!(of, DataType::Map(..)) {
                    let held = |part: &ArrayRef| {
                        let all: Vec<u32> = (0..part.len() as u32).collect();
                        folded(&all, part).unwrap()
                    };
                    forms.push(plain.iter().map(held).collect());
                }
                for form in forms {
                    let found = interleaved(&form, &picked).unwrap();
                    prop_assert_eq!(&written_out(&found, &of), &expected);
                }
            }
        }
    }

    /// Scenario: lists whose elements have NULLs, and a sliced batch.
    /// Guarantees: they come out as they went in.
    #[test]
    fn what_is_rare_comes_out_too() {
        let mut lists = ListBuilder::new(Int64Builder::new());
        lists.append_value([Some(1), None, Some(3)]);
        lists.append_null();
        lists.append_value([None]);
        let lists: ArrayRef = Arc::new(lists.finish());
        let batch = RecordBatch::try_from_iter([("lists", lists)]).unwrap();
        let (head, tail) = (batch.slice(0, 1), batch.slice(1, 2));
        let parts = [head.column(0).clone(), tail.column(0).clone()];
        let found = interleaved(&parts, &[(0, 0), (1, 0), (1, 1)]).unwrap();
        let whole = concat_batches(&batch.schema(), [&head, &tail]).unwrap();
        assert_eq!(&found, whole.column(0));
        assert!(interleaved(&[], &[]).is_err());
    }
}
