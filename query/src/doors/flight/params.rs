//! A row of parameters, typed by the client's own Arrow columns.

use arrow::array::RecordBatch;
use arrow::ipc::root_as_message;
use arrow_flight::FlightData;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use datafusion::common::ScalarValue;
use futures::{Stream, StreamExt, TryStreamExt};
use tonic::Status;

use super::status::undecoded;
use crate::{Error, Params};

/// Bytes of a statement's parameters, as on the other doors.
const MOST: usize = 1 << 20;

/// Reads one row; tells about how many bytes it holds.
pub(super) async fn read(
    messages: impl Stream<Item = Result<FlightData, Status>> + Send + 'static,
) -> Result<(Params, usize), Status> {
    let mut bytes = 0;
    let bounded = messages.map(move |message| {
        let message = message.map_err(FlightError::from)?;
        bytes += message.data_header.len() + message.data_body.len();
        if bytes > MOST {
            let error = Error::invalid(format!("the parameters are larger than {MOST} bytes"));
            return Err(Status::from(error).into());
        }
        refuse_compressed(&message)?;
        Ok(message)
    });
    let mut batches = FlightRecordBatchStream::new_from_flight_data(bounded);
    let mut row: Option<RecordBatch> = None;
    while let Some(batch) = batches.try_next().await.map_err(undecoded)? {
        match (&row, batch.num_rows()) {
            (_, 0) => {}
            (None, 1) => row = Some(batch),
            _ => {
                return Err(Error::invalid("there is more than one row of parameters")
                    .with_hint("bind one row and execute, for each row")
                    .into());
            }
        }
    }
    let Some(row) = row else {
        return Err(Error::invalid("there is no row of parameters").into());
    };
    let values = row.columns().iter().map(|column| ScalarValue::try_from_array(column, 0));
    let values = values.collect::<Result<Vec<_>, _>>().map_err(Error::from)?;
    let held = values.iter().map(ScalarValue::size).sum();
    Ok((Params::of(values), held))
}

/// What compressed bytes claim to become is allocated before it is known
/// whether they do (S14), and a row has no need of it.
fn refuse_compressed(message: &FlightData) -> Result<(), FlightError> {
    let unread = |error| FlightError::DecodeError(format!("{error}"));
    let header = root_as_message(&message.data_header).map_err(unread)?;
    let rows = header.header_as_record_batch();
    let rows = rows.or_else(|| header.header_as_dictionary_batch().and_then(|it| it.data()));
    if rows.is_some_and(|rows| rows.compression().is_some()) {
        let error = Error::invalid("the parameters are compressed")
            .with_hint("send them without compression of their buffers");
        return Err(Status::from(error).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::IpcWriteOptions;
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use futures::stream;

    use super::*;

    async fn sent(rows: Vec<RecordBatch>, options: IpcWriteOptions) -> Result<usize, Status> {
        let encoder = FlightDataEncoderBuilder::new().with_options(options);
        let encoded: Vec<_> =
            encoder.build(stream::iter(rows.into_iter().map(Ok))).try_collect().await.unwrap();
        read(stream::iter(encoded.into_iter().map(Ok))).await.map(|(_, bytes)| bytes)
    }

    fn row(text: &str) -> RecordBatch {
        let columns: [(&str, ArrayRef); 2] = [
            ("1", Arc::new(StringArray::from(vec![text]))),
            ("2", Arc::new(Int64Array::from(vec![7]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// Scenario: one row, two rows, none, a row of two megabytes, and one whose
    /// buffers are compressed.
    /// Guarantees: S14, only a single row of bounded size is read.
    #[tokio::test]
    async fn sec_s14_one_row_of_bounded_size_is_read() {
        let plain = IpcWriteOptions::default;
        assert!(sent(vec![row("a")], plain()).await.unwrap() > 0);
        let compressed = plain().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
        for (rows, options, word) in [
            (vec![row("a"), row("b")], plain(), "more than one"),
            (vec![row("a").slice(0, 0)], plain(), "no row"),
            (vec![], plain(), "no row"),
            (vec![row(&"x".repeat(2 << 20))], plain(), "larger"),
            (vec![row("a")], compressed, "compressed"),
        ] {
            let error = sent(rows, options).await.unwrap_err();
            assert_eq!(error.code(), tonic::Code::InvalidArgument, "{word}");
            assert!(error.message().contains(word), "{}", error.message());
        }
        let garbage = FlightData { data_header: "garbage".into(), ..FlightData::default() };
        let error = read(stream::iter([Ok(garbage)])).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::InvalidArgument);
    }
}
