//! What OTLP says, borrowed from the body wherever it can be. Both encodings
//! end here, so nothing behind this file knows which one a request came in.

use std::borrow::Cow;

pub(crate) type Text<'a> = Cow<'a, str>;

/// An `AnyValue`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Value<'a> {
    #[default]
    Empty,
    Text(Text<'a>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Cow<'a, [u8]>),
    Array(Vec<Value<'a>>),
    Map(Vec<KeyValue<'a>>),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct KeyValue<'a> {
    pub key: Text<'a>,
    pub value: Value<'a>,
}

/// A trace id (16 bytes) or span id (8 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Id<const N: usize> {
    /// Not given, or all zeros, which means the same (W3C trace context).
    #[default]
    Absent,
    Valid([u8; N]),
    Invalid,
}

impl<const N: usize> Id<N> {
    pub fn from_bytes(bytes: &[u8]) -> Id<N> {
        match <[u8; N]>::try_from(bytes) {
            Ok(id) if id == [0; N] => Id::Absent,
            Ok(id) => Id::Valid(id),
            Err(_) if bytes.is_empty() => Id::Absent,
            Err(_) => Id::Invalid,
        }
    }

    /// From hex digits of either case, as OTLP's JSON has it (J3).
    pub fn from_hex(text: &str) -> Id<N> {
        let digits = text.as_bytes();
        if digits.is_empty() {
            return Id::Absent;
        }
        if digits.len() != 2 * N {
            return Id::Invalid;
        }
        let mut id = [0; N];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Id::Invalid };
            *byte = (high * 16 + low) as u8;
        }
        Id::from_bytes(&id)
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Resource<'a> {
    pub attributes: Vec<KeyValue<'a>>,
    pub dropped_attributes_count: u32,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Scope<'a> {
    pub name: Text<'a>,
    pub version: Text<'a>,
    pub attributes: Vec<KeyValue<'a>>,
    pub dropped_attributes_count: u32,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Span<'a> {
    pub trace_id: Id<16>,
    pub span_id: Id<8>,
    pub parent_span_id: Id<8>,
    pub trace_state: Text<'a>,
    pub flags: u32,
    pub name: Text<'a>,
    pub kind: i32,
    pub start_time_unix_nano: u64,
    pub end_time_unix_nano: u64,
    pub attributes: Vec<KeyValue<'a>>,
    pub dropped_attributes_count: u32,
    pub events: Vec<Event<'a>>,
    pub dropped_events_count: u32,
    pub links: Vec<Link<'a>>,
    pub dropped_links_count: u32,
    pub status_message: Text<'a>,
    pub status_code: i32,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Event<'a> {
    pub time_unix_nano: u64,
    pub name: Text<'a>,
    pub attributes: Vec<KeyValue<'a>>,
    pub dropped_attributes_count: u32,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Link<'a> {
    pub trace_id: Id<16>,
    pub span_id: Id<8>,
    pub trace_state: Text<'a>,
    pub attributes: Vec<KeyValue<'a>>,
    pub dropped_attributes_count: u32,
    pub flags: u32,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct LogRecord<'a> {
    pub time_unix_nano: u64,
    pub observed_time_unix_nano: u64,
    pub severity_number: i32,
    pub severity_text: Text<'a>,
    pub body: Value<'a>,
    pub attributes: Vec<KeyValue<'a>>,
    pub dropped_attributes_count: u32,
    pub flags: u32,
    pub trace_id: Id<16>,
    pub span_id: Id<8>,
    pub event_name: Text<'a>,
}

/// What a metric says once for all its points.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Metric<'a> {
    pub name: Text<'a>,
    pub description: Text<'a>,
    pub unit: Text<'a>,
    pub metadata: Vec<KeyValue<'a>>,
    /// None where the metric has no data of a known kind.
    pub kind: Option<Kind>,
    pub temporality: i32,
    pub is_monotonic: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

/// A data point of any kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Point<'a> {
    pub attributes: Vec<KeyValue<'a>>,
    pub start_time_unix_nano: u64,
    pub time_unix_nano: u64,
    pub exemplars: Vec<Exemplar<'a>>,
    pub flags: u32,
    pub data: Data,
}

/// What distinguishes the points of one kind from another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Number(Option<Number>),
    Histogram(Histogram),
    Exponential(Exponential),
    Summary(Summary),
}

impl Default for Data {
    fn default() -> Self {
        Data::Number(None)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Double(f64),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Histogram {
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub bucket_counts: Vec<u64>,
    pub explicit_bounds: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Exponential {
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub scale: i32,
    pub zero_count: u64,
    pub zero_threshold: f64,
    pub positive: Option<Buckets>,
    pub negative: Option<Buckets>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Buckets {
    pub offset: i32,
    pub counts: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Summary {
    pub count: u64,
    pub sum: f64,
    pub quantiles: Vec<Quantile>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Quantile {
    pub quantile: f64,
    pub value: f64,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Exemplar<'a> {
    pub filtered_attributes: Vec<KeyValue<'a>>,
    pub time_unix_nano: u64,
    pub value: Option<Number>,
    pub trace_id: Id<16>,
    pub span_id: Id<8>,
}
