//! Texts as codes: each distinct one is hashed where it came from, and from
//! there on a number stands for it.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, ListArray, MapArray, RecordBatch,
    StringArray, StructArray, UInt32Array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Int32Type, Schema, SchemaRef, UInt32Type,
};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::Error;

/// Bytes of distinct texts from which on codes save nothing: readers keep a
/// dictionary in memory, and so does who writes it.
pub const MOST_BYTES: usize = 1 << 20;

/// Texts from which on it shows that they are mostly unique: a dictionary of those
/// costs its own size and saves nothing.
const FEW: usize = 64;
/// Texts looked at to tell that nearly all of them are unique.
const SAMPLE: usize = 4096;

pub type Coded = DictionaryArray<Int32Type>;

/// Distinct texts in the order in which they were met.
pub struct Dictionary {
    bytes: Vec<u8>,
    /// Where each text begins, and where the last one ends.
    ends: Vec<i32>,
    /// The codes, each beside its text's hash: to tell most others apart, and to grow,
    /// no text is read.
    codes: HashTable<(u32, u32)>,
    hashes: DefaultHashBuilder,
}

impl Default for Dictionary {
    fn default() -> Dictionary {
        let (codes, hashes) = (HashTable::new(), DefaultHashBuilder::default());
        Dictionary { bytes: Vec::new(), ends: vec![0], codes, hashes }
    }
}

impl Dictionary {
    /// The code of a text, which is new if nobody had it.
    pub fn code(&mut self, text: &[u8]) -> u32 {
        let mut hasher = self.hashes.build_hasher();
        hasher.write(text);
        let hash = hasher.finish() as u32;
        let known = |(of, code): &(u32, u32)| *of == hash && self.text(*code) == text;
        if let Some((_, code)) = self.codes.find(spread(hash), known) {
            return *code;
        }
        let code = self.count() as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as i32);
        self.codes.insert_unique(spread(hash), (hash, code), |(of, _)| spread(*of));
        code
    }

    pub fn text(&self, code: u32) -> &[u8] {
        let code = code as usize;
        &self.bytes[self.ends[code] as usize..self.ends[code + 1] as usize]
    }

    /// Bytes of the text of a code.
    pub fn length(&self, code: u32) -> i32 {
        self.ends[code as usize + 1] - self.ends[code as usize]
    }

    /// How many texts there are.
    pub fn count(&self) -> usize {
        self.ends.len() - 1
    }

    /// Bytes of all texts.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn into_texts(self) -> Result<StringArray, Error> {
        let ends = OffsetBuffer::new(self.ends.into());
        Ok(StringArray::try_new(ends, Buffer::from(self.bytes), None)?)
    }
}

/// A table of hashes goes by the highest and the lowest bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The same column by codes over one set of texts, where it is text or a map of
/// texts; a part with more than [`MOST_BYTES`] of distinct texts stays as it is, and
/// so does one whose texts are mostly unique. `rows` are those that the columns
/// stand for, if that is more than they have.
pub fn coded(columns: Vec<ArrayRef>, rows: usize) -> Result<Vec<ArrayRef>, Error> {
    match columns.first().map(|column| column.data_type()) {
        Some(DataType::Utf8) => {
            let texts: Vec<&StringArray> =
                columns.iter().map(|column| column.as_string()).collect();
            Ok(codes(&texts, |_| None, rows)?.unwrap_or(columns))
        }
        Some(DataType::Map(..)) => {
            let maps: Vec<&MapArray> = columns.iter().map(|column| column.as_map()).collect();
            let part = |of: fn(&MapArray) -> &ArrayRef| -> Result<Vec<ArrayRef>, Error> {
                let parts: Vec<ArrayRef> = maps.iter().map(|map| of(map).clone()).collect();
                let texts =
                    parts.iter().map(|part| part.as_string_opt()).collect::<Option<Vec<_>>>();
                let ends = |array: usize| Some(maps[array].offsets());
                let coded = texts.map(|texts| codes(&texts, ends, rows)).transpose()?.flatten();
                Ok(coded.unwrap_or(parts))
            };
            let entries = part(MapArray::keys)?.into_iter().zip(part(MapArray::values)?);
            let map = |(map, (keys, values)): (&&MapArray, _)| {
                rebuilt(map.data_type(), map.offsets().clone(), map.nulls().cloned(), keys, values)
            };
            maps.iter().zip(entries).map(map).collect()
        }
        _ => Ok(columns),
    }
}

/// The same of lists of texts.
pub fn coded_lists(columns: Vec<ArrayRef>, rows: usize) -> Result<Vec<ArrayRef>, Error> {
    let lists: Vec<&ListArray> = columns.iter().map(|column| column.as_list()).collect();
    let texts: Vec<&StringArray> = lists.iter().map(|list| list.values().as_string()).collect();
    let Some(coded) = codes(&texts, |list| Some(lists[list].offsets()), rows)? else {
        return Ok(columns);
    };
    let list = |(list, texts): (&&ListArray, ArrayRef)| -> Result<ArrayRef, Error> {
        let element = Arc::new(Field::new("element", texts.data_type().clone(), true));
        let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
        Ok(Arc::new(ListArray::try_new(element, offsets, texts, nulls)?))
    };
    lists.iter().zip(coded).map(list).collect()
}

/// Rows of maps that are held: `of` names those of each row.
pub fn held(of: &[u32], maps: &ArrayRef) -> Result<ArrayRef, Error> {
    let of = UInt32Array::from(of.to_vec());
    Ok(Arc::new(DictionaryArray::<UInt32Type>::try_new(of, maps.clone())?))
}

/// The type of maps of this type that are held.
pub fn held_type(maps: &DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(maps.clone()))
}

/// The maps of a column, and which of them each row has where they are [`held`].
pub fn maps(column: &ArrayRef) -> Option<(&MapArray, Option<&[u32]>)> {
    match column.as_dictionary_opt::<UInt32Type>() {
        Some(held) => Some((held.values().as_map_opt()?, Some(held.keys().values()))),
        None => Some((column.as_map_opt()?, None)),
    }
}

/// Whether both are the same texts in memory.
pub fn same(a: &StringArray, b: &StringArray) -> bool {
    a.values().ptr_eq(b.values()) && a.offsets().ptr_eq(b.offsets())
}

/// Rows with their texts by codes, where that saves anything.
pub fn coded_rows(rows: &RecordBatch) -> Result<RecordBatch, Error> {
    let columns = rows.columns().iter().map(|column| coded(vec![column.clone()], 0));
    let columns = columns.collect::<Result<Vec<_>, Error>>()?.concat();
    let fields = rows.schema_ref().fields().iter().zip(&columns);
    let fields = fields.map(|(field, column)| typed(field, column)).collect::<Vec<FieldRef>>();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// A field for what stands in an array.
pub fn typed(field: &FieldRef, array: &ArrayRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(array.data_type().clone()))
}

/// Codes for each array; `ends` are those of the rows of the map that an array's
/// texts are in.
fn codes<'a>(
    arrays: &[&StringArray],
    ends: impl Fn(usize) -> Option<&'a OffsetBuffer<i32>>,
    rows: usize,
) -> Result<Option<Vec<ArrayRef>>, Error> {
    let present: usize = arrays.iter().map(|texts| texts.len() - texts.null_count()).sum();
    let stand_for = present.max(rows);
    if stand_for == present && are_unique(arrays, present)? {
        return Ok(None);
    }
    let mut dictionary = Dictionary::default();
    let mut all = Vec::with_capacity(arrays.len());
    for (index, texts) in arrays.iter().enumerate() {
        let mut codes: Vec<i32> = Vec::with_capacity(texts.len());
        let mut above = above(ends(index).map(|ends| ends.as_ref()));
        for entry in 0..texts.len() {
            // Rows of one request are alike: mostly the text above is the same.
            let same =
                |above: &usize| texts.is_valid(*above) && texts.value(*above) == texts.value(entry);
            codes.push(match above(entry).filter(same) {
                _ if texts.is_null(entry) => 0,
                Some(above) => codes[above],
                None => dictionary.code(texts.value(entry).as_bytes()) as i32,
            });
            if dictionary.bytes() > MOST_BYTES {
                return Ok(None);
            }
        }
        all.push((codes, texts.nulls().cloned()));
    }
    if stand_for >= FEW && dictionary.count() * 10 > stand_for * 7 {
        return Ok(None);
    }
    let texts: ArrayRef = Arc::new(dictionary.into_texts()?);
    let array = |(codes, nulls): (Vec<i32>, _)| -> Result<ArrayRef, Error> {
        let codes = Int32Array::try_new(codes.into(), nulls)?;
        Ok(Arc::new(Coded::try_new(codes, texts.clone())?))
    };
    // Codes of nothing but NULLs would name a text that is not there.
    match texts.is_empty() {
        true => Ok(None),
        false => all.into_iter().map(array).collect::<Result<_, _>>().map(Some),
    }
}

/// Whether nearly all of them are, by a sample.
fn are_unique(arrays: &[&StringArray], present: usize) -> Result<bool, Error> {
    let (mut dictionary, mut looked_at) = (Dictionary::default(), 0);
    let step = present.div_ceil(SAMPLE).max(1);
    for texts in arrays {
        for text in texts.iter().step_by(step).flatten() {
            dictionary.code(text.as_bytes());
            looked_at += 1;
        }
    }
    Ok(looked_at >= FEW && dictionary.count() * 20 > looked_at * 19)
}

/// What stands in the row above an entry, in the same place; of texts that are in
/// no map each is a row.
fn above(ends: Option<&[i32]>) -> impl FnMut(usize) -> Option<usize> {
    let (mut row, mut before) = (0, 0..0);
    move |entry| {
        let Some(ends) = ends else { return entry.checked_sub(1) };
        while row + 1 < ends.len() && entry >= ends[row + 1] as usize {
            before = ends[row] as usize..ends[row + 1] as usize;
            row += 1;
        }
        let above = before.start + entry.checked_sub(ends[row] as usize)?;
        (above < before.end).then_some(above)
    }
}

/// Rows of a map of a type with these entries, whose texts may be by codes.
pub(super) fn rebuilt(
    map: &DataType,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
    keys: ArrayRef,
    values: ArrayRef,
) -> Result<ArrayRef, Error> {
    let unfit = || Error::Internal("a map has other entries than keys and values".into());
    let DataType::Map(entries, ordered) = map else { return Err(unfit()) };
    let DataType::Struct(fields) = entries.data_type() else { return Err(unfit()) };
    let [key, value] = &fields[..] else { return Err(unfit()) };
    let fields = Fields::from(vec![typed(key, &keys), typed(value, &values)]);
    let structs = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    let entries = Arc::new(Field::new(entries.name(), DataType::Struct(fields), false));
    Ok(Arc::new(MapArray::try_new(entries, offsets, structs, nulls, *ordered)?))
}

/// A field whose texts are by codes where `is_coded` says so of its leaf, the first
/// of which is `leaf`.
pub fn by_codes(field: &FieldRef, leaf: usize, is_coded: impl Fn(usize) -> bool) -> FieldRef {
    let coded = |field: &FieldRef, leaf| -> FieldRef {
        match is_coded(leaf) && *field.data_type() == DataType::Utf8 {
            true => {
                let (codes, texts) = (Box::new(DataType::Int32), Box::new(DataType::Utf8));
                let coded = DataType::Dictionary(codes, texts);
                Arc::new(field.as_ref().clone().with_data_type(coded))
            }
            false => field.clone(),
        }
    };
    match field.data_type() {
        DataType::Map(entries, ordered) => match entries.data_type() {
            DataType::Struct(fields) => {
                let fields = fields.iter().enumerate().map(|(nth, field)| coded(field, leaf + nth));
                let fields = DataType::Struct(fields.collect());
                let entries = Arc::new(entries.as_ref().clone().with_data_type(fields));
                Arc::new(field.as_ref().clone().with_data_type(DataType::Map(entries, *ordered)))
            }
            _ => field.clone(),
        },
        _ => coded(field, leaf),
    }
}

/// The schema of the same rows with their texts written out.
pub fn uncoded(schema: &Schema) -> SchemaRef {
    let field = |field: &FieldRef| plain(field);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<FieldRef>>()))
}

fn plain(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Dictionary(_, values) => {
            return plain(&Arc::new(
                field.as_ref().clone().with_data_type(values.as_ref().clone()),
            ));
        }
        DataType::Map(entries, ordered) => match entries.data_type() {
            DataType::Struct(fields) => {
                let fields = fields.iter().map(plain).collect();
                let entries = Field::new(entries.name(), DataType::Struct(fields), false);
                DataType::Map(Arc::new(entries), *ordered)
            }
            _ => return field.clone(),
        },
        _ => return field.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}
