//! Rows of several arrays, gathered in an order: texts by their codes, lists and maps
//! by stretches, numbers as they are. Arrow's own names every element of every list,
//! reads values that are NULL, and would join all texts of all arrays.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, DictionaryArray, Int32Array, ListArray, MapArray,
    PrimitiveArray, StringArray, UInt32Array, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::interleave;
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt32Type,
};

use super::codes::{Coded, rebuilt, same};
use super::picked::{Picked, Stretch};
use crate::Error;

const UNKNOWN: u32 = u32::MAX;

/// Rows of arrays whose texts may be by codes, and whose maps may be
/// [`held`](super::codes::held).
pub fn interleaved(arrays: &[ArrayRef], rows: impl Picked) -> Result<ArrayRef, Error> {
    let Some(first) = arrays.first() else {
        return Err(Error::Internal("rows are gathered from nothing".into()));
    };
    match first.data_type() {
        DataType::Dictionary(_, of) if matches!(**of, DataType::Map(..)) => held(arrays, rows),
        DataType::Dictionary(..) => codes(arrays, rows),
        DataType::Map(..) => {
            let maps: Vec<&MapArray> = arrays.iter().map(|array| array.as_map()).collect();
            let nulls: Vec<Option<&NullBuffer>> = maps.iter().map(|map| map.nulls()).collect();
            let offsets: Vec<&[i32]> = maps.iter().map(|map| map.value_offsets()).collect();
            let (ends, stretches) = entries(rows, &offsets)?;
            let part = |of: fn(&MapArray) -> &ArrayRef| {
                let parts: Vec<ArrayRef> = maps.iter().map(|map| of(map).clone()).collect();
                elements(&parts, &stretches)
            };
            let (keys, values) = (part(MapArray::keys)?, part(MapArray::values)?);
            rebuilt(first.data_type(), ends, rows.nulls(&nulls), keys, values)
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

fn by_arrow(arrays: &[ArrayRef], rows: impl Picked) -> Result<ArrayRef, Error> {
    let nulls: Vec<Option<&NullBuffer>> = arrays.iter().map(|array| array.nulls()).collect();
    let count = rows.count();
    if rows.nulls(&nulls).is_some_and(|nulls| nulls.null_count() == count) {
        return Ok(new_null_array(arrays[0].data_type(), count));
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(interleave(&arrays, &each(rows.stretches(), count))?)
}

fn each(stretches: impl Iterator<Item = Stretch>, count: usize) -> Vec<(usize, usize)> {
    let mut rows = Vec::with_capacity(count);
    for stretch in stretches {
        rows.extend(stretch.range().map(|row| (stretch.array, row)));
    }
    rows
}

/// Rows of a map whose values are lists and whose keys stand once: `of` names those of
/// each row.
pub fn shaped(
    map: &DataType,
    values: &[ArrayRef],
    keys: &ArrayRef,
    rows: impl Picked,
    of: &[u32],
) -> Result<ArrayRef, Error> {
    let lists: Vec<&ListArray> = values.iter().map(|values| values.as_list()).collect();
    let nulls: Vec<Option<&NullBuffer>> = lists.iter().map(|list| list.nulls()).collect();
    let offsets: Vec<&[i32]> = lists.iter().map(|list| list.value_offsets()).collect();
    let (ends, values) = entries(rows, &offsets)?;
    let shapes: &ListArray = keys.as_list();
    let key_of = |shape: &u32| {
        let from = *shape as usize;
        Stretch { array: 0, from, to: from + 1 }.elements(shapes.value_offsets())
    };
    let keys: Vec<Stretch> = of.iter().map(key_of).collect();
    let texts: Vec<ArrayRef> = lists.iter().map(|list| list.values().clone()).collect();
    let keys = elements(std::slice::from_ref(shapes.values()), &keys)?;
    rebuilt(map, ends, rows.nulls(&nulls), keys, elements(&texts, &values)?)
}

/// Where the lists of rows end, by the ends that they have in their arrays, and the
/// elements that these are.
fn entries(
    rows: impl Picked,
    offsets: &[&[i32]],
) -> Result<(OffsetBuffer<i32>, Vec<Stretch>), Error> {
    let mut ends = Vec::with_capacity(rows.count() + 1);
    let mut stretches = Vec::new();
    let mut end = 0_u64;
    ends.push(0);
    for stretch in rows.stretches() {
        let offsets = offsets[stretch.array];
        let elements = stretch.elements(offsets);
        let of_row = |offset: &i32| (end + (*offset as usize - elements.from) as u64) as i32;
        ends.extend(offsets[stretch.from + 1..=stretch.to].iter().map(of_row));
        end += elements.range().len() as u64;
        stretches.push(elements);
    }
    match i32::try_from(end) {
        Ok(_) => Ok((OffsetBuffer::new(ends.into()), stretches)),
        Err(_) => Err(Error::Internal(format!("{end} elements of lists are gathered at once"))),
    }
}

/// The elements of lists or maps.
fn elements(arrays: &[ArrayRef], stretches: &[Stretch]) -> Result<ArrayRef, Error> {
    match arrays.iter().all(|array| matches!(array.data_type(), DataType::Dictionary(..))) {
        true => codes(arrays, stretches),
        false => by_arrow(arrays, stretches),
    }
}

/// Texts by codes.
fn codes(arrays: &[ArrayRef], rows: impl Picked) -> Result<ArrayRef, Error> {
    let coded: Vec<&Coded> = arrays.iter().map(|array| array.as_dictionary()).collect();
    let keys: Vec<&[i32]> = coded.iter().map(|coded| coded.keys().values().as_ref()).collect();
    let nulls: Vec<Option<&NullBuffer>> = coded.iter().map(|coded| coded.nulls()).collect();
    let (codes, texts) = match coded.windows(2).all(|pair| same(texts(pair[0]), texts(pair[1]))) {
        true => (rows.values(&keys), coded[0].values().clone()),
        false => {
            let mut codes = Vec::with_capacity(rows.count());
            let mut joined = Joined::of(&coded);
            for stretch in rows.stretches() {
                let nulls = nulls[stretch.array].filter(|nulls| nulls.null_count() > 0);
                let element = |at: usize| match nulls {
                    Some(nulls) if nulls.is_null(at) => None,
                    _ => Some(keys[stretch.array][at]),
                };
                joined.take(stretch.array, stretch.range().map(element), &mut codes);
            }
            (codes, joined.into_texts()?)
        }
    };
    let codes = Int32Array::try_new(codes.into(), rows.nulls(&nulls))?;
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
fn held(arrays: &[ArrayRef], rows: impl Picked) -> Result<ArrayRef, Error> {
    let all: Vec<&DictionaryArray<UInt32Type>> =
        arrays.iter().map(|array| array.as_dictionary()).collect();
    let mut known: Vec<Vec<u32>> =
        all.iter().map(|held| vec![UNKNOWN; held.values().len()]).collect();
    let mut used: Vec<(usize, usize)> = Vec::new();
    let mut of = Vec::with_capacity(rows.count());
    for stretch in rows.stretches() {
        let (held, known) = (all[stretch.array], &mut known[stretch.array]);
        for map in &held.keys().values()[stretch.range()] {
            let place = &mut known[*map as usize];
            if *place == UNKNOWN {
                *place = used.len() as u32;
                used.push((stretch.array, *map as usize));
            }
            of.push(*place);
        }
    }
    let maps: Vec<ArrayRef> = all.iter().map(|held| held.values().clone()).collect();
    let maps = interleaved(&maps, used.as_slice())?;
    Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(UInt32Array::from(of), maps)?))
}

fn numbers<T: ArrowPrimitiveType>(
    arrays: &[ArrayRef],
    rows: impl Picked,
) -> Result<ArrayRef, Error> {
    let parts: Vec<&PrimitiveArray<T>> = arrays.iter().map(|array| array.as_primitive()).collect();
    let of = parts[0].data_type();
    let nulls: Vec<Option<&NullBuffer>> = parts.iter().map(|part| part.nulls()).collect();
    let (nulls, count) = (rows.nulls(&nulls), rows.count());
    let parts: Vec<&[T::Native]> = parts.iter().map(|part| part.values().as_ref()).collect();
    let values = match &nulls {
        None => rows.values(&parts),
        Some(nulls) if nulls.null_count() == count => return Ok(new_null_array(of, count)),
        Some(nulls) => rows.present(&parts, nulls),
    };
    let numbers = PrimitiveArray::<T>::try_new(values.into(), nulls)?;
    Ok(Arc::new(numbers.with_data_type(of.clone())))
}

/// Lists of numbers.
fn lists<T: ArrowPrimitiveType>(arrays: &[ArrayRef], rows: impl Picked) -> Result<ArrayRef, Error> {
    let lists: Vec<&ListArray> = arrays.iter().map(|array| array.as_list()).collect();
    let DataType::List(element) = lists[0].data_type() else { return by_arrow(arrays, rows) };
    if lists.iter().any(|list| list.values().null_count() > 0) {
        return by_arrow(arrays, rows);
    }
    let nulls: Vec<Option<&NullBuffer>> = lists.iter().map(|list| list.nulls()).collect();
    let nulls = rows.nulls(&nulls);
    if nulls.as_ref().is_some_and(|nulls| nulls.null_count() == rows.count()) {
        return Ok(new_null_array(lists[0].data_type(), rows.count()));
    }
    let offsets: Vec<&[i32]> = lists.iter().map(|list| list.value_offsets()).collect();
    let (ends, stretches) = entries(rows, &offsets)?;
    let parts = lists.iter().map(|list| list.values().as_primitive::<T>().values().as_ref());
    let values = stretches.as_slice().values(&parts.collect::<Vec<&[T::Native]>>());
    let values = PrimitiveArray::<T>::try_new(values.into(), None)?;
    let values = Arc::new(values.with_data_type(element.data_type().clone()));
    Ok(Arc::new(ListArray::try_new(element.clone(), ends, values, nulls)?))
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
        /// Scenario: rows of three arrays in any order, some more than once, named one
        /// by one and by stretches, of columns of each kind: with and without NULLs, texts as they are, by codes
        /// over one set of texts or over one each, maps that are held.
        /// Guarantees: what Arrow's own gathers from the same rows.
        #[test]
        fn rows_are_gathered_as_arrow_does(
            parts in vec(vec(row(), 0..30), 3),
            picked in vec((0..3_usize, any::<prop::sample::Index>(), 0..9_usize), 0..30),
        ) {
            let stretch = |(array, from, count): (usize, prop::sample::Index, usize)| {
                let from = from.index(parts[array].len() + 1);
                Stretch { array, from, to: parts[array].len().min(from + count) }
            };
            let stretches: Vec<Stretch> = picked.into_iter().map(stretch).collect();
            let picked = each(stretches.iter().copied(), 0);
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
                    let found = interleaved(&form, picked.as_slice()).unwrap();
                    prop_assert_eq!(&written_out(&found, &of), &expected);
                    let found = interleaved(&form, stretches.as_slice()).unwrap();
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
        let found = interleaved(&parts, [(0, 0), (1, 0), (1, 1)].as_slice()).unwrap();
        let whole = concat_batches(&batch.schema(), [&head, &tail]).unwrap();
        assert_eq!(&found, whole.column(0));
        assert!(interleaved(&[], [(0, 0)].as_slice()).is_err());
    }
}
