//! The identity of a metric's series: a 64-bit hash that is the same on every
//! node and in every version, whatever order attributes were sent in.
//!
//! A series is what OpenTelemetry's data model says it is: resource attributes;
//! scope name, version and attributes; metric name, kind, unit, temporality;
//! point attributes. Every part is preceded by its length, so that no two
//! different series write the same bytes.

use twox_hash::XxHash64;

use super::attributes::Attribute;
use super::model::Value;

/// Collects bytes to hash, in a buffer that is reused.
#[derive(Debug, Default)]
pub(super) struct Digest {
    bytes: Vec<u8>,
}

impl Digest {
    pub fn start(&mut self) -> &mut Digest {
        self.bytes.clear();
        self
    }

    pub fn number(&mut self, number: u64) -> &mut Digest {
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Digest {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// Attributes come sorted and once per key.
    pub fn attribute(&mut self, attribute: Attribute<'_>) {
        self.text(attribute.key);
        self.bytes.push(attribute.letter as u8);
        match attribute.value {
            Value::Empty => self.number(u64::MAX),
            Value::Bool(value) => self.number(u64::from(*value)),
            Value::Int(value) => self.number(*value as u64),
            // All NaN are one.
            Value::Double(value) if value.is_nan() => self.number(f64::NAN.to_bits()),
            Value::Double(value) => self.number(value.to_bits()),
            _ => self.text(attribute.text.unwrap_or_default()),
        };
    }

    pub fn attributes<'s>(
        &mut self,
        attributes: impl Iterator<Item = Attribute<'s>>,
    ) -> &mut Digest {
        attributes.for_each(|attribute| self.attribute(attribute));
        self
    }

    pub fn finish(&self) -> u64 {
        XxHash64::oneshot(0, &self.bytes)
    }
}
