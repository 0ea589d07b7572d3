//! Maps whose keys are held once for many rows: the records that one place in a
//! program writes have the same keys, in the same order, and differ in the values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StringArray, StructArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;

/// The values of a map and its keys, each as lists.
pub(super) fn parted(
    map: &ArrayRef,
    values: &FieldRef,
    keys: &FieldRef,
) -> Result<(ArrayRef, ArrayRef), ArrowError> {
    let map = map.as_map_opt().ok_or_else(|| {
        ArrowError::InvalidArgumentError(format!("{} is to be a map", values.name()))
    })?;
    let list = |field: &FieldRef, of: &ArrayRef, nulls| -> Result<ArrayRef, ArrowError> {
        let list = ListArray::try_new(element(field)?, map.offsets().clone(), of.clone(), nulls)?;
        Ok(Arc::new(list))
    };
    Ok((list(values, map.values(), map.nulls().cloned())?, list(keys, map.keys(), None)?))
}

/// Whether each row has as many values as its shape has keys.
pub(super) fn fit(values: &ArrayRef, keys: &ArrayRef, of: &[u32]) -> bool {
    let (Some(values), Some(keys)) = (values.as_list_opt::<i32>(), keys.as_list_opt::<i32>())
    else {
        return false;
    };
    let length = |list: &ListArray, row: usize| list.value_length(row);
    of.iter().enumerate().all(|(row, of)| length(values, row) == length(keys, *of as usize))
}

/// The map that values and keys stand for; `of` names the keys of each row.
pub fn mapped(
    data_type: &DataType,
    values: &ArrayRef,
    keys: &ArrayRef,
    of: &[u32],
) -> Result<ArrayRef, ArrowError> {
    let unfit = || ArrowError::InvalidArgumentError(format!("values and keys are no {data_type}"));
    let DataType::Map(entry, sorted) = data_type else { return Err(unfit()) };
    let DataType::Struct(fields) = entry.data_type() else { return Err(unfit()) };
    let (values, keys) =
        values.as_list_opt::<i32>().zip(keys.as_list_opt::<i32>()).ok_or_else(unfit)?;
    let texts = keys.values().as_string_opt::<i32>().ok_or_else(unfit)?;
    let (shapes, ends, bytes) = (keys.offsets(), texts.value_offsets(), texts.value_data());
    let offsets = values.offsets();
    let first = offsets[0];
    let count = (offsets[offsets.len() - 1] - first) as usize;
    let mut key_ends: Vec<i32> = Vec::with_capacity(count + 1);
    let mut key_bytes: Vec<u8> = Vec::new();
    key_ends.push(0);
    for of in of {
        let shape = shapes[*of as usize] as usize..shapes[*of as usize + 1] as usize;
        let (from, until) = (ends[shape.start], ends[shape.end]);
        let moved = key_bytes.len() as i32 - from;
        key_bytes.extend_from_slice(&bytes[from as usize..until as usize]);
        if key_bytes.len() > i32::MAX as usize {
            return Err(ArrowError::OffsetOverflowError(key_bytes.len()));
        }
        key_ends.extend(ends[shape.start + 1..=shape.end].iter().map(|end| end + moved));
    }
    let key_ends = OffsetBuffer::new(key_ends.into());
    let key_texts = StringArray::try_new(key_ends, Buffer::from(key_bytes), None)?;
    let entries =
        vec![Arc::new(key_texts) as ArrayRef, values.values().slice(first as usize, count)];
    let entries = StructArray::try_new(fields.clone(), entries, None)?;
    let offsets = match first {
        0 => offsets.clone(),
        _ => OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect()),
    };
    let nulls = values.nulls().cloned();
    Ok(Arc::new(MapArray::try_new(entry.clone(), offsets, entries, nulls, *sorted)?))
}

fn element(list: &FieldRef) -> Result<FieldRef, ArrowError> {
    match list.data_type() {
        DataType::List(element) => Ok(element.clone()),
        other => Err(ArrowError::SchemaError(format!("{other} is not a list"))),
    }
}
