//! Rows as Flight messages, as fast as the client reads them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow_flight::{FlightData, SchemaAsIpc};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use tonic::Status;

use super::status::unencoded;
use crate::Error;

/// Bytes of a message's rows. gRPC clients refuse messages above 4 MiB unless
/// told otherwise; a single row that is larger goes alone.
const MOST: usize = 2 << 20;

/// The columns in types that every client reads: text and bytes without views,
/// nothing by dictionary or in runs. Whether NULL can be in a column is only
/// settled by running.
pub(super) fn plain(schema: &Schema) -> SchemaRef {
    let column = |field: &FieldRef| Field::new(field.name(), plain_type(field.data_type()), true);
    Arc::new(Schema::new(schema.fields().iter().map(column).collect::<Vec<_>>()))
}

fn plain_type(data_type: &DataType) -> DataType {
    let inner =
        |field: &FieldRef| field.as_ref().clone().with_data_type(plain_type(field.data_type()));
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(Arc::new(inner(item))),
        DataType::LargeList(item) | DataType::LargeListView(item) => {
            DataType::LargeList(Arc::new(inner(item)))
        }
        DataType::FixedSizeList(item, size) => {
            DataType::FixedSizeList(Arc::new(inner(item)), *size)
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(entry, sorted) => DataType::Map(Arc::new(inner(entry)), *sorted),
        other => other.clone(),
    }
}

/// The columns as the client was told of them.
fn as_told(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let column = |(column, field): (&ArrayRef, &FieldRef)| match field.data_type() {
        told if told == column.data_type() => Ok(column.clone()),
        told => cast_with_options(column, told, &options),
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(column);
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_, _>>()?, &rows)
}

/// The schema, then each batch when it is asked for. Whoever does not read
/// stops the statement, whoever goes drops it.
pub(super) fn messages(
    schema: SchemaRef,
    rows: impl Stream<Item = Result<RecordBatch, Error>> + Send + 'static,
) -> BoxStream<'static, Result<FlightData, Status>> {
    let head = FlightData::from(SchemaAsIpc::new(&schema, &IpcWriteOptions::default()));
    let rest = rows.flat_map(move |batch| {
        let mut messages = Vec::new();
        let encoded = batch.map_err(Status::from).and_then(|batch| {
            let batch = as_told(&batch, &schema).map_err(unencoded)?;
            encode(&batch, &mut messages).map_err(unencoded)
        });
        stream::iter(messages.into_iter().map(Ok).chain(encoded.err().map(Err)))
    });
    stream::once(async move { Ok(head) }).chain(rest).boxed()
}

/// Appends a batch in messages of at most [`MOST`] bytes. How large rows become
/// is known only once they are encoded: slices of nested columns do not tell.
fn encode(batch: &RecordBatch, messages: &mut Vec<FlightData>) -> Result<(), ArrowError> {
    let (generator, options) = (IpcDataGenerator::default(), IpcWriteOptions::default());
    let mut no_dictionaries = DictionaryTracker::new(false);
    let (_, encoded) =
        generator.encode(batch, &mut no_dictionaries, &options, &mut Default::default())?;
    let (bytes, rows) = (encoded.arrow_data.len(), batch.num_rows());
    if bytes <= MOST || rows <= 1 {
        messages.push(encoded.into());
        return Ok(());
    }
    drop(encoded);
    let step = rows.div_ceil(bytes.div_ceil(MOST).min(rows));
    for from in (0..rows).step_by(step) {
        encode(&batch.slice(from, step.min(rows - from)), messages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, DictionaryArray, StringArray, StringViewArray};
    use arrow::datatypes::Int32Type;
    use arrow_flight::decode::FlightRecordBatchStream;
    use futures::TryStreamExt;

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    async fn sent(batch: RecordBatch) -> (Vec<usize>, Vec<RecordBatch>) {
        let schema = plain(&batch.schema());
        let sent: Vec<_> = messages(schema, stream::iter([Ok(batch)])).try_collect().await.unwrap();
        let sizes = sent.iter().skip(1).map(|message| message.data_body.len()).collect();
        let stream = stream::iter(sent.into_iter().map(Ok));
        let read = FlightRecordBatchStream::new_from_flight_data(stream).try_collect();
        (sizes, read.await.unwrap())
    }

    /// Scenario: text as a view, by dictionary, and in lists and structs of those.
    /// Guarantees: it arrives as plain text with its values.
    #[tokio::test]
    async fn text_arrives_as_plain_text() {
        let view: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
        let coded: DictionaryArray<Int32Type> = [Some("x"), Some("x")].into_iter().collect();
        let nested = arrow::array::StructArray::from(vec![(
            Arc::new(Field::new("v", DataType::Utf8View, true)),
            view.clone(),
        )]);
        let columns: Vec<(&str, ArrayRef)> =
            vec![("view", view), ("coded", Arc::new(coded)), ("nested", Arc::new(nested))];
        let (_, read) = sent(batch(columns)).await;
        let types: Vec<_> = read[0].columns().iter().map(|c| c.data_type().clone()).collect();
        let inside = DataType::Struct(vec![Field::new("v", DataType::Utf8, true)].into());
        assert_eq!(types, [DataType::Utf8, DataType::Utf8, inside]);
        assert_eq!(
            read[0].column(0).as_string::<i32>().iter().collect::<Vec<_>>(),
            [Some("a"), None]
        );
        assert_eq!(read[0].column(1).as_string::<i32>().value(1), "x");
        assert_eq!(read[0].column(2).as_struct().column(0).as_string::<i32>().value(0), "a");
    }

    /// Scenario: a batch of 20 MiB, half of it in one row, as a slice of one
    /// that is twice as long.
    /// Guarantees: every message but that row's own is below the bound, and not
    /// far below; rows and their order are kept.
    #[tokio::test]
    async fn messages_are_bounded() {
        let texts = |n: usize| {
            let text = |row| "x".repeat(if row == n / 2 { 10 << 20 } else { 10 << 10 });
            StringArray::from_iter_values((0..n).map(text))
        };
        let whole = batch(vec![("t", Arc::new(texts(2_000)))]);
        let half = whole.slice(500, 1_000);
        let (sizes, read) = sent(half.clone()).await;
        assert!(sizes.len() < 25, "{}", sizes.len());
        assert_eq!(sizes.iter().filter(|size| **size > MOST).count(), 1);
        let read = arrow::compute::concat_batches(&read[0].schema(), &read).unwrap();
        assert_eq!(read.column(0).as_string::<i32>(), half.column(0).as_string::<i32>());
    }
}
