//! Timestamps in protobuf requests. A message is described by the fields that
//! lead to timestamps; everything else is stepped over.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;
use schema::Signal;

use super::{Error, Peek, moved};

/// The fields of a message that matter here.
struct Message {
    /// Fields that hold messages with timestamps.
    nested: &'static [(u32, &'static Message)],
    /// `fixed64` fields that hold nanoseconds.
    times: &'static [u32],
    /// For a span, log record or data point: the fields that date it, the first
    /// that is not zero.
    dated_by: &'static [u32],
}

const fn route(nested: &'static [(u32, &'static Message)]) -> Message {
    Message { nested, times: &[], dated_by: &[] }
}

const fn leaf(field: &'static [u32]) -> Message {
    Message { nested: &[], times: field, dated_by: &[] }
}

const fn item(
    times: &'static [u32],
    dated_by: &'static [u32],
    nested: &'static [(u32, &'static Message)],
) -> Message {
    Message { nested, times, dated_by }
}

// Field numbers of opentelemetry-proto 1.x, which never change.
static EVENT: Message = leaf(&[1]);
static SPAN: Message = item(&[7, 8], &[8, 7], &[(11, &EVENT)]);
static TRACES: Message = route(&[(1, &RESOURCE_SPANS)]);
static RESOURCE_SPANS: Message = route(&[(2, &SCOPE_SPANS)]);
static SCOPE_SPANS: Message = route(&[(2, &SPAN)]);

static RECORD: Message = item(&[1, 11], &[1, 11], &[]);
static LOGS: Message = route(&[(1, &RESOURCE_LOGS)]);
static RESOURCE_LOGS: Message = route(&[(2, &SCOPE_LOGS)]);
static SCOPE_LOGS: Message = route(&[(2, &RECORD)]);

static EXEMPLAR: Message = leaf(&[2]);
static NUMBER: Message = item(&[2, 3], &[3], &[(5, &EXEMPLAR)]);
static HISTOGRAM: Message = item(&[2, 3], &[3], &[(8, &EXEMPLAR)]);
static EXPONENTIAL: Message = item(&[2, 3], &[3], &[(11, &EXEMPLAR)]);
static SUMMARY: Message = item(&[2, 3], &[3], &[]);
static NUMBERS: Message = route(&[(1, &NUMBER)]);
static HISTOGRAMS: Message = route(&[(1, &HISTOGRAM)]);
static EXPONENTIALS: Message = route(&[(1, &EXPONENTIAL)]);
static SUMMARIES: Message = route(&[(1, &SUMMARY)]);
static METRIC: Message =
    route(&[(5, &NUMBERS), (7, &NUMBERS), (9, &HISTOGRAMS), (10, &EXPONENTIALS), (11, &SUMMARIES)]);
static METRICS: Message = route(&[(1, &RESOURCE_METRICS)]);
static RESOURCE_METRICS: Message = route(&[(2, &SCOPE_METRICS)]);
static SCOPE_METRICS: Message = route(&[(2, &METRIC)]);

fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Traces => &TRACES,
        Signal::Logs => &LOGS,
        Signal::Metrics => &METRICS,
    }
}

pub fn peek(signal: Signal, body: &[u8]) -> Result<Peek, Error> {
    let mut peek = Peek::default();
    Walk { body, at: 0, times: |_| {}, items: |time| peek.item(time) }
        .message(request(signal), body.len())
        .map_err(|cause| Error::new(signal, cause))?;
    Ok(peek)
}

pub fn shift(signal: Signal, mut body: Vec<u8>, delta_ns: i64) -> Result<Vec<u8>, Error> {
    let mut found = Vec::new();
    Walk { body: &body, at: 0, times: |offset| found.push(offset), items: |_| {} }
        .message(request(signal), body.len())
        .map_err(|cause| Error::new(signal, cause))?;
    for offset in found {
        if let Some(bytes) = body.get_mut(offset..).and_then(|rest| rest.first_chunk_mut::<8>()) {
            *bytes = moved(u64::from_le_bytes(*bytes), delta_ns).to_le_bytes();
        }
    }
    Ok(body)
}

/// All three signals answer in one shape.
pub fn partial_success(body: &[u8]) -> Result<Option<(u64, String)>, Error> {
    let answer = ExportTraceServiceResponse::decode(body)
        .map_err(|error| Error::Answer(error.to_string()))?;
    let told = |partial: ExportTracePartialSuccess| {
        (u64::try_from(partial.rejected_spans).unwrap_or(0), partial.error_message)
    };
    Ok(answer.partial_success.map(told))
}

/// A walk over a body, telling the offset of each timestamp and the time of
/// each item.
struct Walk<'a, T, I> {
    body: &'a [u8],
    at: usize,
    times: T,
    items: I,
}

impl<T: FnMut(usize), I: FnMut(u64)> Walk<'_, T, I> {
    /// The depth is that of the description, whatever the body holds.
    fn message(&mut self, described: &Message, end: usize) -> Result<(), String> {
        let mut dates = [0_u64; 2];
        while self.at < end {
            let key = self.varint(end)?;
            let field = u32::try_from(key >> 3).map_err(|_| self.fault("a field number"))?;
            match key & 7 {
                0 => {
                    self.varint(end)?;
                }
                1 => {
                    let offset = self.at;
                    let value = self.fixed64(end)?;
                    if described.times.contains(&field) {
                        (self.times)(offset);
                    }
                    let rank = described.dated_by.iter().position(|dating| *dating == field);
                    if let Some(date) = rank.and_then(|rank| dates.get_mut(rank)) {
                        *date = value;
                    }
                }
                2 => {
                    let length = usize::try_from(self.varint(end)?).unwrap_or(usize::MAX);
                    let inner = self.at.checked_add(length).filter(|inner| *inner <= end);
                    let inner = inner.ok_or_else(|| self.fault("a length"))?;
                    match described.nested.iter().find(|(nested, _)| *nested == field) {
                        Some((_, message)) => self.message(message, inner)?,
                        None => self.at = inner,
                    }
                }
                5 => {
                    self.at += 4;
                    if self.at > end {
                        return Err(self.fault("a field"));
                    }
                }
                _ => return Err(self.fault("a wire type")),
            }
        }
        if !described.dated_by.is_empty() {
            (self.items)(dates.into_iter().find(|date| *date != 0).unwrap_or(0));
        }
        Ok(())
    }

    fn varint(&mut self, end: usize) -> Result<u64, String> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let Some(byte) = self.body.get(self.at).filter(|_| self.at < end) else {
                return Err(self.fault("a number"));
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.fault("a number"))
    }

    fn fixed64(&mut self, end: usize) -> Result<u64, String> {
        let bytes = self.body.get(self.at..end).and_then(|rest| rest.first_chunk::<8>());
        let Some(bytes) = bytes else { return Err(self.fault("a timestamp")) };
        self.at += 8;
        Ok(u64::from_le_bytes(*bytes))
    }

    fn fault(&self, what: &str) -> String {
        format!("{what} is broken at byte {}", self.at)
    }
}
