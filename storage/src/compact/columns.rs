//! The columns of a merge: texts by codes where all files have them so, and of maps
//! that many rows share each once.

use std::hash::BuildHasher;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use ::parquet::basic::{Encoding, PageType};
use ::parquet::file::metadata::ColumnChunkMetaData;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef, Int32Type, Schema, SchemaRef};
use hashbrown::{DefaultHashBuilder, HashTable};
use schema::TableDef;
use schema::table::Of;

use crate::Error;
use crate::encode::codes::{by_codes, held, held_type};
use crate::encode::interleave::interleaved;
use crate::encode::stats::first_leaves;

/// The same columns, their texts by codes where all files have them so: then no
/// text is copied or hashed for each row.
pub fn by_codes_in_all<'a>(
    schema: &SchemaRef,
    files: impl Iterator<Item = &'a ArrowReaderMetadata> + Clone,
) -> SchemaRef {
    let in_all = |name: &str, nth: usize| {
        files.clone().all(|metadata| {
            let Ok(index) = metadata.schema().index_of(name) else { return true };
            let leaf = first_leaves(metadata.schema())[index] + nth;
            metadata.metadata().row_groups().iter().all(|group| is_by_codes(group.column(leaf)))
        })
    };
    let field = |field: &FieldRef| by_codes(field, 0, |nth| in_all(field.name(), nth));
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<FieldRef>>()))
}

/// Whether every data page of a chunk has codes of its dictionary.
fn is_by_codes(chunk: &ColumnChunkMetaData) -> bool {
    let coded = [Encoding::RLE_DICTIONARY, Encoding::PLAIN_DICTIONARY];
    match (chunk.page_encoding_stats_mask(), chunk.page_encoding_stats()) {
        (Some(data), _) => data.encodings().all(|encoding| coded.contains(&encoding)),
        (None, Some(pages)) => pages
            .iter()
            .filter(|page| page.page_type != PageType::DICTIONARY_PAGE)
            .all(|page| coded.contains(&page.encoding)),
        (None, None) => false,
    }
}

/// The same columns, with maps of resources and scopes [`shared`] where they are by
/// codes.
pub fn sharing(table: &TableDef, schema: &SchemaRef) -> SchemaRef {
    let is_of_origin =
        |name: &str| table.columns.iter().any(|c| c.name == name && c.of == Of::Origin);
    let field = |field: &FieldRef| match is_of_origin(field.name()) && is_coded(field.data_type()) {
        true => Arc::new(field.as_ref().clone().with_data_type(held_type(field.data_type()))),
        false => field.clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<FieldRef>>()))
}

/// Whether it is a map from texts by codes to texts by codes.
fn is_coded(of: &DataType) -> bool {
    match of {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                fields.iter().all(|field| matches!(field.data_type(), DataType::Dictionary(..)))
            }
            _ => false,
        },
        _ => false,
    }
}

/// A column as it is read: maps with each row.
pub fn unshared(of: &DataType) -> &DataType {
    match of {
        DataType::Dictionary(_, maps) if matches!(**maps, DataType::Map(..)) => maps,
        of => of,
    }
}

/// Each distinct map of a column once, and which of them each row has. Codes of one
/// column stand for one set of texts.
pub fn shared(column: &ArrayRef) -> Result<ArrayRef, Error> {
    let map = column.as_map();
    let (Some(keys), Some(values)) = (codes(map.keys()), codes(map.values())) else {
        return Err(Error::Internal("maps are shared whose texts are not by codes".into()));
    };
    let ends = map.value_offsets();
    // Keys are alike; values tell maps apart. One that is NULL has no entries, and
    // neither has an empty one.
    let entries = |row: usize| {
        let of = ends[row] as usize..ends[row + 1] as usize;
        (map.is_valid(row), &values[of.clone()], &keys[of])
    };
    let (hashes, mut known) = (DefaultHashBuilder::default(), HashTable::new());
    let mut first: Vec<(usize, usize)> = Vec::new();
    let mut of: Vec<u32> = Vec::with_capacity(map.len());
    for row in 0..map.len() {
        let now = entries(row);
        // Rows of one resource follow each other.
        if row > 0 && entries(row - 1) == now {
            of.push(of[row - 1]);
            continue;
        }
        let hash = hashes.hash_one(now.1);
        let same =
            |(of, other): &(u64, u32)| *of == hash && entries(first[*other as usize].1) == now;
        let place = match known.find(hash, same) {
            Some((_, place)) => *place,
            None => {
                let place = first.len() as u32;
                known.insert_unique(hash, (hash, place), |(hash, _)| *hash);
                first.push((0, row));
                place
            }
        };
        of.push(place);
    }
    held(&of, &interleaved(std::slice::from_ref(column), first.as_slice())?)
}

/// The code of each text; -1 of a NULL.
fn codes(texts: &ArrayRef) -> Option<Vec<i32>> {
    let coded = texts.as_dictionary_opt::<Int32Type>()?;
    let keys = coded.keys();
    Some(match coded.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => keys.values().to_vec(),
        Some(_) => keys.iter().map(|key| key.unwrap_or(-1)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{MapBuilder, StringBuilder};
    use arrow::compute::take;
    use arrow::datatypes::UInt32Type;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::encode::codes::coded;

    proptest! {
        /// Scenario: maps of a few texts, some NULL, some empty, some with NULLs,
        /// most of them met more than once.
        /// Guarantees: each distinct map is there once, and every row has its own.
        #[test]
        fn every_row_keeps_its_map(
            rows in vec(prop::option::of(vec((0..2_u8, prop::option::of(0..2_u8)), 0..3)), 0..60),
        ) {
            let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
            for row in &rows {
                for (key, value) in row.iter().flatten() {
                    maps.keys().append_value(format!("key {key}"));
                    maps.values().append_option(value.map(|value| format!("value {value}")));
                }
                maps.append(row.is_some()).unwrap();
            }
            let column = coded(vec![Arc::new(maps.finish()) as ArrayRef], 0).unwrap().remove(0);
            prop_assume!(is_coded(column.data_type()));
            let found = shared(&column).unwrap();
            let held = found.as_dictionary::<UInt32Type>();
            let written = take(held.values(), held.keys(), None).unwrap();
            prop_assert_eq!(&written, &column);
            let mut distinct = rows.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(held.values().len(), distinct.len());
            prop_assert_eq!(unshared(found.data_type()), column.data_type());
        }
    }
}
