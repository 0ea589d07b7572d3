//! What OTLP says, borrowed from the body wherever it can be. Both encodings
//! end here, so nothing behind this file knows which one a request came in.

use std::borrow::Cow;
use std::mem;

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

/// A data point of any kind. What it measured is in the part of its metric's kind;
/// the others are there for their allocations, which points of all kinds in turn use.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Point<'a> {
    pub attributes: Vec<KeyValue<'a>>,
    pub start_time_unix_nano: u64,
    pub time_unix_nano: u64,
    pub exemplars: Vec<Exemplar<'a>>,
    pub flags: u32,
    pub number: Option<Number>,
    pub histogram: Histogram<'a>,
    pub exponential: Exponential,
    pub summary: Summary,
}

impl Point<'_> {
    /// Empties what a point of this kind says, and keeps its allocations.
    pub fn reset(&mut self, kind: Kind) {
        self.attributes.clear();
        self.start_time_unix_nano = 0;
        self.time_unix_nano = 0;
        self.exemplars.clear();
        self.flags = 0;
        match kind {
            Kind::Gauge | Kind::Sum => self.number = None,
            Kind::Histogram => self.histogram.clear(),
            Kind::ExponentialHistogram => self.exponential.clear(),
            Kind::Summary => self.summary.clear(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Double(f64),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Histogram<'a> {
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub bucket_counts: Packed<'a>,
    pub explicit_bounds: Packed<'a>,
}

impl Histogram<'_> {
    fn clear(&mut self) {
        let Histogram { mut bucket_counts, mut explicit_bounds, .. } = mem::take(self);
        bucket_counts.clear();
        explicit_bounds.clear();
        *self = Histogram { bucket_counts, explicit_bounds, ..Histogram::default() };
    }
}

/// 64-bit numbers as protobuf packs them, the lowest byte first.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Packed<'a>(Cow<'a, [[u8; 8]]>);

impl<'a> Packed<'a> {
    fn clear(&mut self) {
        match &mut self.0 {
            Cow::Owned(numbers) => numbers.clear(),
            Cow::Borrowed(numbers) => *numbers = &[],
        }
    }

    pub fn push(&mut self, number: [u8; 8]) {
        self.0.to_mut().push(number);
    }

    /// Copies nothing if it is the first, as it nearly always is.
    pub fn extend(&mut self, numbers: &'a [[u8; 8]]) {
        match self.0.is_empty() {
            true => self.0 = Cow::Borrowed(numbers),
            false => self.0.to_mut().extend_from_slice(numbers),
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn bytes(&self) -> &[[u8; 8]] {
        &self.0
    }

    pub fn integers(&self) -> impl ExactSizeIterator<Item = u64> + Clone {
        self.0.iter().map(|bytes| u64::from_le_bytes(*bytes))
    }

    pub fn doubles(&self) -> impl ExactSizeIterator<Item = f64> + Clone {
        self.0.iter().map(|bytes| f64::from_le_bytes(*bytes))
    }
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
    pub positive: Buckets,
    pub negative: Buckets,
}

impl Exponential {
    fn clear(&mut self) {
        let Exponential { mut positive, mut negative, .. } = mem::take(self);
        positive.clear();
        negative.clear();
        *self = Exponential { positive, negative, ..Exponential::default() };
    }

    /// Those that were given.
    pub fn sides(&self) -> impl Iterator<Item = &Buckets> + Clone {
        [&self.positive, &self.negative].into_iter().filter(|side| side.given)
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Buckets {
    /// Without it the rest is empty.
    pub given: bool,
    pub offset: i32,
    pub counts: Vec<u64>,
}

impl Buckets {
    pub fn clear(&mut self) {
        (self.given, self.offset) = (false, 0);
        self.counts.clear();
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Summary {
    pub count: u64,
    pub sum: f64,
    pub quantiles: Vec<Quantile>,
}

impl Summary {
    fn clear(&mut self) {
        (self.count, self.sum) = (0, 0.0);
        self.quantiles.clear();
    }
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
