//! Which columns are written without compression.
//!
//! zstd finds little in packed differences and in the codes of a few values;
//! yet each chunk that is compressed costs every reader two contexts and a
//! copy, more than decoding what such a chunk holds.

use std::collections::{HashMap, HashSet};

use ::parquet::basic::Compression;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::schema::types::ColumnPath;
use arrow::datatypes::{DataType, Field};

/// A chunk may have this part of a byte per row whatever could be saved of it.
const SMALL: u64 = 4;
/// What compression must save to be worth it, as a part of the whole.
const WORTH: u64 = 8;

/// The leaf columns that stay as they are encoded.
pub type Plain = HashSet<ColumnPath>;

/// What compressing a column did in the files that hold its rows so far.
#[derive(Default)]
struct Measured {
    rows: u64,
    bytes: u64,
    saved: u64,
}

/// The columns of these files that are not worth compressing. One that is plain
/// in a file was found so before, or is empty there.
pub fn measured<'a>(files: impl Iterator<Item = &'a ParquetMetaData>) -> Plain {
    let mut columns: HashMap<&ColumnPath, Measured> = HashMap::new();
    for group in files.flat_map(ParquetMetaData::row_groups) {
        for chunk in group.columns() {
            let of = columns.entry(chunk.column_path()).or_default();
            let number = |signed: i64| u64::try_from(signed).unwrap_or(0);
            let bytes = number(chunk.uncompressed_size());
            of.rows += number(group.num_rows());
            of.bytes += bytes;
            if chunk.compression() != Compression::UNCOMPRESSED {
                of.saved += bytes.saturating_sub(number(chunk.compressed_size()));
            }
        }
    }
    let plain = |of: &Measured| of.saved < of.bytes / WORTH || of.bytes <= of.rows / SMALL;
    columns.into_iter().filter(|(_, of)| plain(of)).map(|(path, _)| path.clone()).collect()
}

/// The leaves of a column, as Parquet names them.
pub fn leaves(field: &Field) -> Vec<ColumnPath> {
    let mut paths = Vec::new();
    descend(field, &mut vec![field.name().clone()], &mut paths);
    paths
}

/// Parquet's schema has a group between a list or a map and its elements, under
/// names of its own.
fn descend(field: &Field, path: &mut Vec<String>, paths: &mut Vec<ColumnPath>) {
    let mut into = |names: &[&str], field: &Field| {
        let depth = path.len();
        path.extend(names.iter().map(|name| (*name).to_owned()));
        descend(field, path, paths);
        path.truncate(depth);
    };
    match field.data_type() {
        DataType::List(element) => into(&["list", element.name()], element),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                for field in fields {
                    into(&[entries.name(), field.name()], field);
                }
            }
            _ => into(&[entries.name()], entries),
        },
        DataType::Struct(fields) => {
            for field in fields {
                into(&[field.name()], field);
            }
        }
        _ => paths.push(ColumnPath::new(path.clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
    use ::parquet::basic::ZstdLevel;
    use ::parquet::file::properties::WriterProperties;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use schema::Catalog;

    use super::*;
    use crate::encode::parquet::file_schema;

    /// Scenario: every table's columns, nested ones too.
    /// Guarantees: leaves have the names that they have in a file.
    #[test]
    fn leaves_are_named_as_parquet_names_them() {
        for table in Catalog::default().tables() {
            let schema = file_schema(table).unwrap();
            let named = ArrowSchemaConverter::new().convert(&schema).unwrap();
            let named: Vec<_> = named.columns().iter().map(|leaf| leaf.path().clone()).collect();
            let ours: Vec<_> = schema.fields().iter().flat_map(|field| leaves(field)).collect();
            assert_eq!(ours, named, "{}", table.name);
        }
    }

    /// Scenario: two files, the second with the columns found plain in the first.
    /// Guarantees: what is long and repeats stays compressed, what is empty, small
    /// or random does not, and what was found is found again.
    #[test]
    fn a_column_is_compressed_where_that_saves() {
        let texts = |text: &dyn Fn(u64) -> Option<String>| -> ArrayRef {
            Arc::new((0..8192).map(text).collect::<StringArray>())
        };
        let mixed = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        let chance = Int64Array::from_iter_values((0..8192).map(|n| mixed(n) as i64));
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("empty", texts(&|_| None), true),
            ("few", texts(&|n| Some(format!("v{}", n / 4096))), true),
            ("chance", Arc::new(chance), true),
            ("path", texts(&|n| Some(format!("/api/v1/carts/{n}/items/of/a/user"))), true),
        ])
        .unwrap();
        let file = |plain: &Plain| {
            let zstd = Compression::ZSTD(ZstdLevel::default());
            let properties = WriterProperties::builder().set_compression(zstd);
            let properties = plain.iter().fold(properties, |properties, path| {
                properties.set_column_compression(path.clone(), Compression::UNCOMPRESSED)
            });
            let properties = Some(properties.build());
            let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), properties).unwrap();
            writer.write(&rows).unwrap();
            writer.finish().unwrap()
        };
        let first = file(&Plain::new());
        let plain = measured([&first].into_iter());
        let path = |name: &str| ColumnPath::from(name);
        assert_eq!(plain, ["empty", "few", "chance"].map(path).into_iter().collect());
        let second = file(&plain);
        assert_eq!(measured([&first, &second].into_iter()), plain);
        assert_eq!(measured([&second].into_iter()), plain);
    }
}
