//! Rows to payloads and back.

use std::collections::HashMap;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::RecordBatchDecoder;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions, StreamWriter};
use arrow::ipc::{MetadataVersion, RecordBatch as Message, root_as_message};
use schema::rows::Layout;
use schema::{Catalog, Rows, TableDef};
use zstd::bulk::Compressor;

use super::form::{self, wrap};
use super::ledger::{Key, Tally, take_key};
use super::log::KEPT_BUFFER;
use super::narrow::{forms, narrow, widen};
use super::wire::{Bytes, put_text};
use crate::Error;

/// Arrow's padding of metadata and of each buffer.
const PADDING: usize = 8;
/// Below this, compressing costs more than it saves.
const COMPRESS_FROM: usize = 64 << 10;
/// Near LZ4 in speed and size on columns of ids and texts, twice as fast as level
/// 1 (benches/README.md).
const ZSTD_LEVEL: i32 = -2;
/// What claims to be more is hostile: a group is closed long before.
const MOST_BYTES: usize = 1 << 30;
/// In what is told of a body's packing: its numbers are narrow. Before version 5 they
/// were not.
const NARROW: u64 = 1 << 63;
/// LZ4, of earlier versions, cannot give more than 255 bytes per byte.
const LZ4_RATIO: i64 = 255;

/// The head of a rows frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub key: Key,
    pub received_unix_nano: i64,
    /// Fingerprint of the schema.
    pub schema: u64,
    pub rows: u32,
    pub counts: Tally,
    /// Accepted of this tenant and table before this record.
    pub before: Tally,
}

impl Head {
    pub fn put(&self, out: &mut Vec<u8>) {
        put_text(out, self.key.0.as_str());
        put_text(out, &self.key.1);
        out.extend_from_slice(&self.received_unix_nano.to_le_bytes());
        out.extend_from_slice(&self.schema.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        self.counts.put(out);
        self.before.put(out);
    }

    pub fn parse(bytes: &[u8]) -> Option<Head> {
        let mut bytes = Bytes(bytes);
        Some(Head {
            key: take_key(&mut bytes)?,
            received_unix_nano: bytes.i64()?,
            schema: bytes.u64()?,
            rows: bytes.u32()?,
            counts: Tally::take(&mut bytes)?,
            before: Tally::take(&mut bytes)?,
        })
    }
}

/// A schema as it is written, and the number by which records name it.
pub(super) struct Written {
    layout: Arc<Layout>,
    schema: SchemaRef,
    pub fingerprint: u64,
    pub bytes: Vec<u8>,
}

/// Encodes batches; keeps what is worth keeping between them.
pub(super) struct Encoder {
    options: IpcWriteOptions,
    /// Writes each message into the same bytes: memory that is new to the process
    /// costs more than what is copied there.
    stream: StreamWriter<Vec<u8>>,
    schemas: HashMap<&'static str, Arc<Written>>,
    narrow: Vec<u8>,
    compressor: Compressor<'static>,
}

impl Encoder {
    pub fn new() -> Result<Encoder, Error> {
        let compressor = Compressor::new(ZSTD_LEVEL);
        Ok(Encoder {
            options: options()?,
            stream: stream()?,
            schemas: HashMap::new(),
            narrow: Vec::new(),
            compressor: compressor.map_err(|error| Error::Internal(error.to_string()))?,
        })
    }

    /// The schema message for rows of this table.
    pub fn schema(&mut self, table: &'static str, layout: &Arc<Layout>) -> Arc<Written> {
        if let Some(written) = self.schemas.get(table)
            && (Arc::ptr_eq(&written.layout, layout) || written.layout == *layout)
        {
            return written.clone();
        }
        let written = Arc::new(Written::new(layout, &self.options));
        self.schemas.insert(table, written.clone());
        written
    }

    /// Appends the payload of rows. The body is compressed as one: most of its
    /// buffers are so small that a compressor for each costs more than its work.
    pub fn rows(&mut self, rows: &Rows, form: &Written, out: &mut Vec<u8>) -> Result<(), Error> {
        let present: Vec<bool> = rows.own().iter().map(Option::is_some).collect();
        let schema = form::narrow(&form.schema, &present)
            .ok_or_else(|| Error::Internal("rows do not have their table's columns".into()))?;
        let rows = wrap(rows, &schema)?;
        self.stream.get_mut().clear();
        self.stream.write(&rows)?;
        let (metadata, message, body) = message(self.stream.get_ref()).ok_or_else(|| {
            Error::Internal(
                "a batch with dictionary columns reached the write-ahead log; tables have none"
                    .into(),
            )
        })?;
        let fits = |bytes: usize| match bytes > MOST_BYTES {
            true => Err(Error::Internal(format!(
                "a record of {bytes} bytes is above {MOST_BYTES}; group fewer rows"
            ))),
            false => Ok(()),
        };
        fits(body.len())?;
        self.narrow.clear();
        narrow(body, &message, &forms(&schema), &mut self.narrow);
        // What does not get narrow gets a little longer.
        fits(self.narrow.len())?;
        let packed = if self.narrow.len() < COMPRESS_FROM { 0 } else { self.narrow.len() };
        out.extend_from_slice(&(packed as u64 | NARROW).to_le_bytes());
        put_bits(out, &present);
        out.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
        out.extend_from_slice(metadata);
        if packed == 0 {
            out.extend_from_slice(&self.narrow);
        } else {
            out.reserve(zstd::zstd_safe::compress_bound(packed));
            let end = out.len() as u64;
            let mut tail = Cursor::new(out);
            tail.set_position(end);
            let done = self.compressor.compress_to_buffer(&self.narrow, &mut tail);
            done.map_err(|e| Error::Internal(format!("a record could not be packed: {e}")))?;
        }
        if self.stream.get_ref().capacity() > KEPT_BUFFER {
            self.stream = stream()?;
        }
        if self.narrow.capacity() > KEPT_BUFFER {
            self.narrow = Vec::new();
        }
        Ok(())
    }
}

/// The metadata, padded, what it says, and the body of a stream's only message, if that
/// is a record batch.
fn message(written: &[u8]) -> Option<(&[u8], Message<'_>, &[u8])> {
    let mut bytes = Bytes(written);
    let [_continues, length] = [bytes.u32()?, bytes.u32()?];
    let metadata = bytes.take(length as usize)?;
    let message = root_as_message(metadata).ok()?.header_as_record_batch()?;
    Some((metadata, message, bytes.0))
}

fn options() -> Result<IpcWriteOptions, ArrowError> {
    IpcWriteOptions::try_new(PADDING, false, MetadataVersion::V5)
}

/// A stream for messages of any schema; its own is never read.
fn stream() -> Result<StreamWriter<Vec<u8>>, ArrowError> {
    StreamWriter::try_new_with_options(Vec::new(), &Schema::empty(), options()?)
}

impl Written {
    fn new(layout: &Arc<Layout>, options: &IpcWriteOptions) -> Written {
        let schema = form::schema(layout);
        let mut tracker = DictionaryTracker::new(true);
        let bytes = IpcDataGenerator::default()
            .schema_to_bytes_with_dictionary_tracker(&schema, &mut tracker, options)
            .ipc_message;
        Written { layout: layout.clone(), schema, fingerprint: fingerprint(&bytes), bytes }
    }
}

/// How many, then one bit each, in whole words: what follows stays aligned.
fn put_bits(out: &mut Vec<u8>, bits: &[bool]) {
    out.extend_from_slice(&(bits.len() as u64).to_le_bytes());
    for word in bits.chunks(64) {
        let word = word.iter().rev().fold(0u64, |word, bit| word << 1 | u64::from(*bit));
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn take_bits(bytes: &mut Bytes<'_>) -> Option<Vec<bool>> {
    let count = bytes.u64().and_then(|count| usize::try_from(count).ok())?;
    let words = bytes.take(count.div_ceil(64).checked_mul(8)?)?;
    Some((0..count).map(|bit| words[bit / 8] >> (bit % 8) & 1 == 1).collect())
}

/// FNV-1a, 64 bits: told apart are the few schemas one log ever holds.
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// The schemas met so far, and those of today's tables, in case a schema frame
/// is lost.
pub(super) struct Schemas(HashMap<u64, SchemaRef>);

impl Schemas {
    pub fn of(catalog: &Catalog) -> Result<Schemas, Error> {
        let options = options()?;
        let written = |table: &Arc<TableDef>| {
            let written = Written::new(&table.layout, &options);
            (written.fingerprint, written.schema)
        };
        Ok(Schemas(catalog.tables().iter().map(written).collect()))
    }

    /// Reads a schema message; what cannot be read is not learnt.
    pub fn learn(&mut self, bytes: &[u8]) {
        let fingerprint = fingerprint(bytes);
        if self.0.contains_key(&fingerprint) {
            return;
        }
        let read = shielded(|| {
            let schema = arrow::ipc::convert::try_schema_from_flatbuffer_bytes(bytes);
            schema.map_err(|error| error.to_string())
        });
        match read {
            Ok(schema) => drop(self.0.insert(fingerprint, Arc::new(schema))),
            Err(error) => {
                tracing::warn!(error, "write-ahead log holds a schema that cannot be read")
            }
        }
    }

    pub fn get(&self, fingerprint: u64) -> Option<&SchemaRef> {
        self.0.get(&fingerprint)
    }
}

/// Reads a payload. Whatever it holds, the answer is rows or a reason.
pub(super) fn decode(
    head: &Head,
    schema: &SchemaRef,
    table: &TableDef,
    payload: &Buffer,
) -> Result<Rows, String> {
    let batch: RecordBatch = shielded(|| {
        let mut bytes = Bytes(payload);
        let (packed, is_narrow, schema) = match form::is_ours(schema) {
            true => opened(schema, &mut bytes)?,
            false => (0, false, schema.clone()),
        };
        let length = bytes.u64().and_then(|length| usize::try_from(length).ok());
        let metadata = length.and_then(|length| bytes.take(length));
        let metadata = metadata.ok_or("the metadata's length is beyond the payload")?;
        let message = root_as_message(metadata).map_err(|error| error.to_string())?;
        let batch = message.header_as_record_batch().ok_or("the message is no record batch")?;
        let mut body = match packed {
            0 => payload.slice(payload.len() - bytes.0.len()),
            size => Buffer::from(zstd::bulk::decompress(bytes.0, size).map_err(|e| e.to_string())?),
        };
        if is_narrow {
            let length = usize::try_from(message.bodyLength()).ok();
            let length = length.filter(|length| *length <= MOST_BYTES);
            let length = length.ok_or("its body claims to be more than any record")?;
            check(&batch, length)?;
            body = widen(&body, &batch, length)?;
        }
        check(&batch, body.len())?;
        check_lengths(&batch, &body)?;
        let none = HashMap::new();
        let version = message.version();
        RecordBatchDecoder::try_new(&body, batch, schema, &none, &version)
            .and_then(RecordBatchDecoder::read_record_batch)
            .map_err(|error| error.to_string())
    })?;
    let rows = shielded(|| form::unwrap(&batch, table))?;
    if rows.num_rows() != head.rows as usize {
        return Err(format!("{} rows where {} were written", rows.num_rows(), head.rows));
    }
    Ok(rows)
}

/// How a payload begins: the bytes of its body before zstd packed it, 0 if it did
/// not, whether that is narrow, and the schema of the columns that it has.
fn opened(schema: &SchemaRef, bytes: &mut Bytes<'_>) -> Result<(usize, bool, SchemaRef), String> {
    let told = bytes.u64().unwrap_or(u64::MAX);
    let packed = told & !NARROW;
    if packed > MOST_BYTES as u64 {
        return Err("it claims to hold more than any record".into());
    }
    let schema = take_bits(bytes).and_then(|present| form::narrow(schema, &present));
    Ok((packed as usize, told & NARROW != 0, schema.ok_or("it has other columns than its schema")?))
}

/// Arrow trusts offsets; this does not.
fn check(batch: &Message<'_>, body: usize) -> Result<(), String> {
    let available = body as i64;
    for buffer in batch.buffers().into_iter().flatten() {
        let (offset, length) = (buffer.offset(), buffer.length());
        let inside = offset >= 0 && length >= 0 && offset.saturating_add(length) <= available;
        if !inside {
            return Err(format!("a buffer of {length} bytes at {offset} in {available}"));
        }
    }
    Ok(())
}

/// Nor does it trust lengths before Arrow's own compression, of earlier versions.
fn check_lengths(batch: &Message<'_>, body: &Buffer) -> Result<(), String> {
    let buffers = batch.compression().and_then(|_| batch.buffers());
    for buffer in buffers.into_iter().flatten().filter(|buffer| buffer.length() > 0) {
        let (offset, length) = (buffer.offset(), buffer.length());
        let start = &body[offset as usize..(offset + length) as usize];
        let claimed = Bytes(start).i64().ok_or("a compressed buffer without its length")?;
        if claimed != -1 && !(0..=length.saturating_mul(LZ4_RATIO)).contains(&claimed) {
            return Err(format!("a buffer of {length} bytes claims to hold {claimed}"));
        }
    }
    Ok(())
}

/// Arrow panics on some malformed messages. The bytes passed a checksum, so
/// this happens for a fault of a writer only, and it must not become a crash
/// at every start (F37).
fn shielded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("the decoder panicked: {}", text.unwrap_or("without a message")))
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, StringArray, new_null_array};

    use super::*;

    fn encoded(rows: usize) -> (Head, SchemaRef, Arc<TableDef>, Vec<u8>) {
        let table = Catalog::default().get("spans").unwrap().clone();
        let columns = table.schema.fields().iter().map(|field| match field.name().as_str() {
            "name" => Arc::new(StringArray::from(vec!["n".repeat(300); rows])) as ArrayRef,
            _ => new_null_array(field.data_type(), rows),
        });
        let batch = RecordBatch::try_new(table.schema.clone(), columns.collect()).unwrap();
        let batch = Rows::plain(&table.layout, &batch).unwrap();
        let (mut payload, mut encoder) = (Vec::new(), Encoder::new().unwrap());
        let form = encoder.schema("spans", &table.layout);
        encoder.rows(&batch, &form, &mut payload).unwrap();
        let key = (schema::Tenant::default(), "spans".to_owned());
        let (counts, before) = (Tally::default(), Tally::default());
        let head =
            Head { key, received_unix_nano: 1, schema: 2, rows: rows as u32, counts, before };
        (head, form.schema.clone(), table, payload)
    }

    /// Scenario: payloads whose checksum is right and whose content is not:
    /// each byte of the metadata and some of the body are changed.
    /// Guarantees: F37: the answer is rows or a reason, never a panic, and no
    /// claim of a length is believed.
    #[test]
    fn fault_f37_a_poisoned_payload_is_told_not_felt() {
        for rows in [1, 500] {
            let (head, schema, table, payload) = encoded(rows);
            assert!(decode(&head, &schema, &table, &Buffer::from(payload.as_slice())).is_ok());
            let mut refused = 0;
            for at in (0..payload.len().min(9_000)).step_by(151) {
                for flip in [0x01, 0x80, 0xFF] {
                    let mut poisoned = payload.clone();
                    poisoned[at] ^= flip;
                    let answer = decode(&head, &schema, &table, &Buffer::from(poisoned.as_slice()));
                    refused += usize::from(answer.is_err());
                }
            }
            assert!(refused > 10, "{refused}");
            assert!(decode(&head, &schema, &table, &Buffer::from(&payload[..4])).is_err());
        }
    }

    /// Scenario: a head is written and read, and cut at every byte.
    /// Guarantees: it comes back as it was, or not at all.
    #[test]
    fn a_head_comes_back() {
        let (head, ..) = encoded(1);
        let mut bytes = Vec::new();
        head.put(&mut bytes);
        assert_eq!(Head::parse(&bytes), Some(head));
        assert!((0..bytes.len()).all(|cut| Head::parse(&bytes[..cut]).is_none()));
    }
}
