//! A field of each protobuf type, in every form that protobuf's JSON mapping
//! allows. `null` is the type's default throughout (J9).

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::number;
use super::reader::Reader;
use crate::decode::Error;
use crate::decode::model::Id;
use crate::decode::{Notes, Warning};

/// Senders pad or do not (J4).
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

impl<'a> Reader<'a> {
    pub fn text(&mut self) -> Result<Cow<'a, str>, Error> {
        if self.null() { Ok(Cow::Borrowed("")) } else { self.string() }
    }

    pub fn bool(&mut self) -> Result<bool, Error> {
        if self.null() { Ok(false) } else { self.boolean() }
    }

    /// An integer as a number or a string (J5, J6).
    fn integer(&mut self, wanted: &str) -> Result<i128, Error> {
        let token = match self.peek() {
            Some(b'"') => {
                let text = self.string()?;
                if !number::is_number(&text) {
                    return Err(self.fault(format!("expected {wanted}, found another string")));
                }
                text
            }
            Some(b'n') if self.null() => return Ok(0),
            Some(b'-' | b'0'..=b'9') => Cow::Borrowed(self.number()?),
            _ => return Err(self.unexpected(wanted)),
        };
        match number::integer(&token) {
            Some(integer) => Ok(integer),
            None => Err(self.fault(format!("expected {wanted}, found another number"))),
        }
    }

    fn within<T: TryFrom<i128>>(&mut self, wanted: &'static str) -> Result<T, Error> {
        let integer = self.integer(wanted)?;
        T::try_from(integer).map_err(|_| self.fault(format!("{integer} is not {wanted}")))
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        self.within("an unsigned 64-bit integer")
    }

    pub fn i64(&mut self) -> Result<i64, Error> {
        self.within("a 64-bit integer")
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        self.within("an unsigned 32-bit integer")
    }

    pub fn i32(&mut self) -> Result<i32, Error> {
        self.within("a 32-bit integer")
    }

    /// A number, a quoted number, or the name of a value that is none (J7).
    pub fn f64(&mut self) -> Result<f64, Error> {
        let double = match self.peek() {
            Some(b'n') if self.null() => return Ok(0.0),
            Some(b'"') => {
                let text = self.string()?;
                match text.as_ref() {
                    "NaN" => return Ok(f64::NAN),
                    "Infinity" => return Ok(f64::INFINITY),
                    "-Infinity" => return Ok(f64::NEG_INFINITY),
                    digits if number::is_number(digits) => number::double(digits),
                    _ => return Err(self.fault("expected a double, found another string")),
                }
            }
            Some(b'-' | b'0'..=b'9') => number::double(self.number()?),
            _ => return Err(self.unexpected("a double")),
        };
        double.ok_or_else(|| self.fault("a double is past the largest"))
    }

    /// An enum by number; by name too, though senders must not (J8).
    pub fn enumeration(
        &mut self,
        prefix: &str,
        names: &[&str],
        notes: &mut Notes,
    ) -> Result<i32, Error> {
        if self.peek() != Some(b'"') {
            return self.i32();
        }
        let text = self.string()?;
        if number::is_number(&text) {
            let number = number::integer(&text).and_then(|number| i32::try_from(number).ok());
            return number.ok_or_else(|| self.fault("expected a 32-bit integer"));
        }
        let known = text.strip_prefix(prefix);
        match known.and_then(|name| names.iter().position(|known| *known == name)) {
            Some(number) => {
                notes.warnings.add(Warning::EnumName);
                Ok(number as i32)
            }
            None => Err(self.fault(format!("expected a number or a name in {prefix}*"))),
        }
    }

    /// A trace or span id: hex, not base64 (J3). What is not one is for the
    /// item's rules to judge.
    pub fn id<const N: usize>(&mut self) -> Result<Id<N>, Error> {
        Ok(Id::from_hex(&self.text()?))
    }

    /// Base64 of either alphabet (J4).
    pub fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        let text = self.text()?;
        let url_safe = text.contains(['-', '_']);
        let decoded = if url_safe { BASE64_URL.decode(&*text) } else { BASE64.decode(&*text) };
        decoded.map_err(|_| self.fault("expected base64, found another string"))
    }

    /// Doubles and 64-bit counts in lists.
    pub fn u64s(&mut self, mut each: impl FnMut(u64)) -> Result<(), Error> {
        self.array(|reader| {
            each(reader.u64()?);
            Ok(())
        })
    }

    pub fn f64s(&mut self, mut each: impl FnMut(f64)) -> Result<(), Error> {
        self.array(|reader| {
            each(reader.f64()?);
            Ok(())
        })
    }
}
