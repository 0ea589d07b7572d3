//! An answer that is read in pieces: as many rows at a time as are asked for.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use pgwire::messages::PgWireBackendMessage;

use super::rows::Columns;
use super::status::{Failure, warning};
use super::wire::Writer;
use crate::{Answer, Error, Rows, Stats};

#[derive(Debug)]
pub(super) struct Cursor {
    pub schema: SchemaRef,
    /// `None` once it has ended: then nothing of it runs any more.
    rows: Option<Rows>,
    stats: Stats,
    /// What came and was not asked for yet.
    left: Option<RecordBatch>,
}

impl Cursor {
    pub fn of(answer: Answer) -> Cursor {
        let Answer { schema, rows, stats, .. } = answer;
        Cursor { schema, rows: Some(rows), stats, left: None }
    }

    /// Rows of the next batch, at most so many; `None` at the end.
    pub async fn take(&mut self, most: usize) -> Result<Option<RecordBatch>, Error> {
        let batch = match (self.left.take(), &mut self.rows) {
            (Some(left), _) => left,
            (None, None) => return Ok(None),
            (None, Some(rows)) => match rows.next().await {
                Some(Ok(batch)) => batch,
                Some(Err(error)) => {
                    self.rows = None;
                    return Err(error);
                }
                None => {
                    self.rows = None;
                    return Ok(None);
                }
            },
        };
        if batch.num_rows() <= most {
            return Ok(Some(batch));
        }
        self.left = Some(batch.slice(most, batch.num_rows() - most));
        Ok(Some(batch.slice(0, most)))
    }

    /// Sends rows, at most so many, at the pace of the client. Says how many.
    pub async fn send(
        &mut self,
        columns: &Columns,
        most: usize,
        writer: &mut Writer,
    ) -> Result<usize, Failure> {
        let mut sent = 0;
        while sent < most
            && let Some(batch) = self.take(most - sent).await?
        {
            for row in 0..batch.num_rows() {
                columns.data_row(&batch, row, writer.output())?;
                writer.relieve().await?;
            }
            sent += batch.num_rows();
        }
        Ok(sent)
    }

    /// Goes past rows, at most so many. Says how many.
    pub async fn skip(&mut self, most: usize) -> Result<usize, Error> {
        let mut gone = 0;
        while gone < most
            && let Some(batch) = self.take(most - gone).await?
        {
            gone += batch.num_rows();
        }
        Ok(gone)
    }

    /// What the client should know about an answer that has ended: that it was
    /// cut, that it is not of everything.
    pub fn warnings(&self) -> Vec<PgWireBackendMessage> {
        if self.rows.is_some() || self.left.is_some() {
            return Vec::new();
        }
        let summary = self.stats.summary();
        let mut told = Vec::new();
        if summary.truncated {
            let message = format!(
                "the answer was cut after {} rows; query.max_rows allows no more",
                summary.rows
            );
            told.push(warning("01004", message));
        }
        for (table, why) in &summary.incomplete {
            told.push(warning("01000", format!("the answer may lack rows of {table}: {why}")));
        }
        told
    }
}
