//! Rows → Parquet → rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use schema::{Catalog, TableDef};
use storage::encode::parquet::file_schema;
use storage::encode::{days, write};

use crate::encode_rows::{DAY, rows, shared};

fn batches(table: &TableDef) -> Vec<RecordBatch> {
    [300, 1, 200].iter().zip(1..).map(|(count, seed)| rows(table, *count, 3, seed)).collect()
}

/// Scenario: rows of every table, three batches over three days, are encoded
/// and read by a plain Parquet reader.
/// Guarantees: each column comes back with the very type and values it had, in
/// the table's order, and no row is lost or doubled over the days.
#[test]
fn every_column_of_every_table_comes_back_as_it_went() {
    for table in Catalog::default().tables() {
        let plain = batches(table);
        let batches = shared(table, &plain);
        let mut seen = 0;
        let days = days(table, &batches).unwrap();
        assert_eq!(days.iter().map(|day| day.date).collect::<Vec<_>>(), [DAY, DAY + 1, DAY + 2]);
        for day in &days {
            let mut file = Vec::new();
            let encoded = write(table, &batches, day, &mut file).unwrap();
            assert_eq!((encoded.size, encoded.rows), (file.len() as u64, day.rows.len() as u64));
            let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
            assert_eq!(
                reader.schema().fields(),
                file_schema(table).unwrap().fields(),
                "{}",
                table.name
            );
            let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
            let read = concat_batches(read[0].schema_ref(), &read).unwrap();
            let sources: Vec<&RecordBatch> = plain.iter().collect();
            let expected = interleave_record_batch(&sources, &day.rows).unwrap();
            let kept =
                expected.project(&(0..expected.num_columns() - 1).collect::<Vec<_>>()).unwrap();
            assert_eq!(read.columns(), kept.columns(), "{}", table.name);
            seen += read.num_rows();
        }
        assert_eq!(seen, 501);
    }
}

/// Scenario: rows of every table in no order, some without what they are ordered by.
/// Guarantees: within a file they are in their table's order (none first), as the
/// footer claims by the right leaves.
#[test]
fn rows_are_in_the_order_that_the_footer_claims() {
    let catalog = Catalog::default();
    for table in catalog.tables() {
        let batches = shared(table, &batches(table));
        let day = &days(table, &batches).unwrap()[0];
        let mut file = Vec::new();
        write(table, &batches, day, &mut file).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
        let group = reader.metadata().row_group(0).clone();
        let claimed: Vec<String> = group
            .sorting_columns()
            .unwrap()
            .iter()
            .inspect(|order| assert!(!order.descending && order.nulls_first))
            .map(|order| group.column(order.column_idx as usize).column_path().string())
            .collect();
        assert_eq!(claimed, table.sort, "{}", table.name);
        let rows: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        let rows = concat_batches(rows[0].schema_ref(), &rows).unwrap();
        let keys: Vec<ArrayRef> = table.sort.iter().map(|name| rows[*name].clone()).collect();
        let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        let keys = RowConverter::new(fields).unwrap().convert_columns(&keys).unwrap();
        assert!(keys.num_rows() > 100 && keys.iter().is_sorted(), "{}", table.name);
    }
}

/// Scenario: a spans file is opened by its footer alone.
/// Guarantees: it says who wrote it, which schema and promotions it has, and
/// its bloom filter knows the ids that are in it and hardly any other.
#[test]
fn a_file_says_what_it_is() {
    let catalog = Catalog::default();
    let spans = catalog.get("spans").unwrap();
    let batches = shared(spans, &[rows(spans, 400, 1, 9)]);
    let day = &days(spans, &batches).unwrap()[0];
    let mut file = Vec::new();
    write(spans, &batches, day, &mut file).unwrap();
    let blooms = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let options =
        ReadOptionsBuilder::new().with_reader_properties(blooms).with_page_index().build();
    let reader = SerializedFileReader::new_with_options(Bytes::from(file), options).unwrap();
    let footer = reader.metadata().file_metadata();
    assert_eq!(footer.created_by(), Some(concat!("cloudsail ", env!("CARGO_PKG_VERSION"))));
    let entries = footer.key_value_metadata().unwrap();
    let value =
        |key: &str| entries.iter().find(|entry| entry.key == key).unwrap().value.clone().unwrap();
    assert_eq!(value("cloudsail.schema"), "1");
    assert!(value("cloudsail.promoted").contains(r#""key":"http.route""#));
    assert!(entries.iter().all(|entry| entry.key != "ARROW:schema"));
    assert!(
        reader.metadata().column_index().is_some() && reader.metadata().offset_index().is_some()
    );

    let columns = reader.metadata().row_group(0).columns();
    let column = columns.iter().position(|c| c.column_path().string() == "trace_id").unwrap();
    let group = reader.get_row_group(0).unwrap();
    let bloom = group.get_column_bloom_filter(column).unwrap();
    let ids = batches[0].column("trace_id").unwrap();
    let ids = ids.as_string::<i32>();
    assert!(ids.iter().flatten().all(|id| bloom.check(&id)));
    let strangers = (0..1000).filter(|n| bloom.check(&format!("{:032x}", u128::MAX - n).as_str()));
    assert!(strangers.count() < 50);
}

/// Scenario: spans with few paths, and with more text in distinct paths than a
/// dictionary takes.
/// Guarantees: only where codes end a bloom filter begins: it knows the paths of
/// before and after, and hardly any other.
#[test]
fn promoted_texts_without_codes_have_a_bloom_filter() {
    let catalog = Catalog::default();
    let spans = catalog.get("spans").unwrap();
    let count = 9_000;
    let at = spans.schema.index_of("url.path").unwrap();
    let bloom = |path: &dyn Fn(usize) -> String| {
        let plain = rows(spans, count, 1, 9);
        let mut columns = plain.columns().to_vec();
        columns[at] = Arc::new(StringArray::from_iter_values((0..count).map(path)));
        let plain = RecordBatch::try_new(plain.schema(), columns).unwrap();
        let batches = shared(spans, &[plain]);
        let mut file = Vec::new();
        write(spans, &batches, &days(spans, &batches).unwrap()[0], &mut file).unwrap();
        let blooms = ReaderProperties::builder().set_read_bloom_filter(true).build();
        let options = ReadOptionsBuilder::new().with_reader_properties(blooms).build();
        let reader = SerializedFileReader::new_with_options(Bytes::from(file), options).unwrap();
        let columns = reader.metadata().row_group(0).columns();
        let column = columns.iter().position(|c| c.column_path().string() == "url.path").unwrap();
        reader.get_row_group(0).unwrap().get_column_bloom_filter(column).cloned()
    };
    assert!(bloom(&|row| format!("/{:0200}", row % 100)).is_none());
    // Nearly unique by a sample, so that there never are codes; and with some.
    for distinct in [count, count - count / 10] {
        let path = |row: usize| format!("/{row:0400}");
        let bloom = bloom(&|row| path(row % distinct)).unwrap();
        assert!((0..distinct).all(|row| bloom.check(&path(row).as_str())));
        let strangers = (count..2 * count).filter(|row| bloom.check(&path(*row).as_str()));
        assert!(strangers.count() < count / 20);
    }
}

/// Scenario: rows of another table, and rows without a date.
/// Guarantees: the first are refused, the second are kept, on day zero.
#[test]
fn fault_f39_a_row_without_a_date_is_kept() {
    let catalog = Catalog::default();
    let logs = catalog.get("logs").unwrap();
    let whole = rows(logs, 3, 1, 1);
    let spans = catalog.get("spans").unwrap();
    let alien = shared(spans, &[rows(spans, 3, 1, 1)]);
    let day = storage::encode::Day { date: DAY, rows: vec![(0, 0)] };
    assert!(write(logs, &alien, &day, Vec::new()).is_err());

    let mut columns = whole.columns().to_vec();
    *columns.last_mut().unwrap() = std::sync::Arc::new(arrow::array::Date32Array::new_null(3));
    let dateless = RecordBatch::try_new(whole.schema(), columns).unwrap();
    let days = days(logs, &shared(logs, &[dateless])).unwrap();
    assert_eq!((days.len(), days[0].date, days[0].rows.len()), (1, 0, 3));
}
