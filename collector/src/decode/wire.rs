//! Protobuf's wire format over a borrowed body. What does not fit it is an
//! error with its offset (G7); fields are neither copied nor interpreted here.

use std::borrow::Cow;

use super::outcome::{Notes, Warning};
use super::{Encoding, Error, Malformed};

/// Groups inside groups that an unknown field may have; nothing in OTLP uses
/// them, so this only bounds the hostile.
const GROUPS: usize = 100;

/// A part of the body that knows where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub bytes: &'a [u8],
    /// In the body.
    pub offset: usize,
}

impl<'a> Chunk<'a> {
    pub fn new(body: &'a [u8]) -> Chunk<'a> {
        Chunk { bytes: body, offset: 0 }
    }

    #[cold]
    fn fault(&self, cause: impl Into<Cow<'static, str>>) -> Error {
        Malformed::at(Encoding::Protobuf, self.offset, cause)
    }

    /// The next field, or None at the end.
    #[inline(always)]
    pub fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, Error> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let (tag, wire_type) = self.key()?;
        let payload = match wire_type {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Payload::Bytes(self.block()?),
            5 => Payload::Fixed32(u32::from_le_bytes(self.array()?)),
            3 => {
                self.skip_group(tag)?;
                Payload::Group
            }
            other => return Err(self.stray(other)),
        };
        Ok(Some((tag, Field { tag, offset: self.offset, payload })))
    }

    #[cold]
    fn stray(&self, wire_type: u8) -> Error {
        match wire_type {
            4 => self.fault("a group ends that has not begun"),
            other => self.fault(format!("wire type {other} does not exist")),
        }
    }

    #[inline(always)]
    fn key(&mut self) -> Result<(u32, u8), Error> {
        let key = self.varint()?;
        let tag = u32::try_from(key >> 3).unwrap_or(0);
        // Field numbers have 29 bits.
        if tag == 0 || key > u64::from(u32::MAX) {
            return Err(self.fault(format!("field number {} does not exist", key >> 3)));
        }
        Ok((tag, (key & 7) as u8))
    }

    /// Nearly all keys and lengths have one byte.
    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Error> {
        match self.bytes.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.bytes = rest;
                self.offset += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for (index, byte) in self.bytes.iter().take(10).enumerate() {
            // The tenth byte holds the one bit that is left of 64.
            if index == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.advance(index + 1);
                return Ok(value);
            }
        }
        let cut = self.bytes.len() < 10;
        Err(self.fault(if cut { "a varint is cut off" } else { "a varint is too long" }))
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        match self.bytes.first_chunk::<N>() {
            Some(array) => {
                self.advance(N);
                Ok(*array)
            }
            None => Err(self.fault("a number is cut off")),
        }
    }

    #[inline(always)]
    fn block(&mut self) -> Result<Chunk<'a>, Error> {
        let length = self.varint()?;
        let parts = usize::try_from(length).ok().and_then(|at| self.bytes.split_at_checked(at));
        let Some((bytes, rest)) = parts else { return Err(self.too_short(length)) };
        let block = Chunk { bytes, offset: self.offset };
        self.bytes = rest;
        self.offset += bytes.len();
        Ok(block)
    }

    #[cold]
    fn too_short(&self, length: u64) -> Error {
        let left = self.bytes.len();
        self.fault(format!("a field of {length} bytes has {left} bytes left"))
    }

    fn skip_group(&mut self, tag: u32) -> Result<(), Error> {
        let mut open = vec![tag];
        while let Some(innermost) = open.last() {
            let (tag, wire_type) = self.key()?;
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.array::<8>()?),
                2 => drop(self.block()?),
                5 => drop(self.array::<4>()?),
                3 if open.len() == GROUPS => {
                    return Err(self.fault(format!("groups are nested over {GROUPS} deep")));
                }
                3 => open.push(tag),
                4 if tag == *innermost => drop(open.pop()),
                other => return Err(self.stray(other)),
            }
        }
        Ok(())
    }

    fn advance(&mut self, by: usize) {
        self.bytes = self.bytes.get(by..).unwrap_or_default();
        self.offset += by;
    }
}

/// The texts of a body. They stand close together, with keys and lengths between
/// them that are ASCII too, so that one look often says of several that they are
/// UTF-8.
#[derive(Debug, Default)]
pub(crate) struct Texts<'a> {
    body: &'a [u8],
    /// What was found to be UTF-8 last, and where it begins.
    checked: &'a str,
    from: usize,
}

impl<'a> Texts<'a> {
    /// Bytes that one look covers: about the attributes of a record.
    const STRETCH: usize = 256;

    pub fn of(body: &'a [u8]) -> Texts<'a> {
        Texts { body, ..Texts::default() }
    }

    /// The bytes there as text, if they are UTF-8 by themselves.
    #[inline]
    pub fn get(&mut self, at: usize, length: usize) -> Option<&'a str> {
        let start = at.wrapping_sub(self.from);
        match self.checked.get(start..start.wrapping_add(length)) {
            Some(text) => Some(text),
            None => self.look(at, length),
        }
    }

    #[inline(never)]
    fn look(&mut self, at: usize, length: usize) -> Option<&'a str> {
        let rest = self.body.get(at..)?;
        let stretch = &rest[..rest.len().min(length.max(Self::STRETCH))];
        let text = std::str::from_utf8(stretch);
        let valid = |end| std::str::from_utf8(&stretch[..end]).ok();
        self.checked = text.ok().or_else(|| valid(text.err()?.valid_up_to()))?;
        self.from = at;
        self.checked.get(..length)
    }
}

/// A field's payload; the accessor says which wire type it has to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    tag: u32,
    offset: usize,
    payload: Payload<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Chunk<'a>),
    /// No field of OTLP is one; its content was passed over.
    Group,
}

impl<'a> Field<'a> {
    #[cold]
    fn mistyped(&self, wanted: &str) -> Error {
        let cause = format!("field {} is not {wanted}", self.tag);
        Malformed::at(Encoding::Protobuf, self.offset, cause)
    }

    pub fn varint(self) -> Result<u64, Error> {
        match self.payload {
            Payload::Varint(value) => Ok(value),
            _ => Err(self.mistyped("a varint")),
        }
    }

    /// Longer varints are cut to 32 bits, as protobuf has it.
    pub fn uint32(self) -> Result<u32, Error> {
        Ok(self.varint()? as u32)
    }

    pub fn int32(self) -> Result<i32, Error> {
        Ok(self.varint()? as i32)
    }

    pub fn sint32(self) -> Result<i32, Error> {
        let zigzag = self.uint32()?;
        Ok((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32))
    }

    pub fn boolean(self) -> Result<bool, Error> {
        Ok(self.varint()? != 0)
    }

    pub fn fixed64(self) -> Result<u64, Error> {
        match self.payload {
            Payload::Fixed64(value) => Ok(value),
            _ => Err(self.mistyped("a 64-bit number")),
        }
    }

    pub fn fixed32(self) -> Result<u32, Error> {
        match self.payload {
            Payload::Fixed32(value) => Ok(value),
            _ => Err(self.mistyped("a 32-bit number")),
        }
    }

    pub fn double(self) -> Result<f64, Error> {
        self.fixed64().map(f64::from_bits)
    }

    /// A string, bytes or message.
    #[inline(always)]
    pub fn chunk(self) -> Result<Chunk<'a>, Error> {
        match self.payload {
            Payload::Bytes(chunk) => Ok(chunk),
            _ => Err(self.mistyped("a string, bytes or message")),
        }
    }

    /// Bytes that are not UTF-8 become U+FFFD: one bad name must not cost a
    /// peer its whole batch (G26).
    #[inline]
    pub fn text(self, notes: &mut Notes<'a>) -> Result<Cow<'a, str>, Error> {
        let Chunk { bytes, offset } = self.chunk()?;
        match notes.texts.get(offset, bytes.len()) {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => Ok(mended(bytes, notes)),
        }
    }

    /// Appends 64-bit numbers, packed or not.
    pub fn fixed64s<T>(self, of: fn(u64) -> T, into: &mut Vec<T>) -> Result<(), Error> {
        let Payload::Bytes(chunk) = self.payload else {
            into.push(of(self.fixed64()?));
            return Ok(());
        };
        let (numbers, rest) = chunk.bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(self.mistyped("a whole number of 64-bit numbers"));
        }
        into.extend(numbers.iter().map(|bytes| of(u64::from_le_bytes(*bytes))));
        Ok(())
    }

    /// Appends varints, packed or not.
    pub fn varints(self, into: &mut Vec<u64>) -> Result<(), Error> {
        let Payload::Bytes(mut chunk) = self.payload else {
            into.push(self.varint()?);
            return Ok(());
        };
        while !chunk.bytes.is_empty() {
            into.push(chunk.varint()?);
        }
        Ok(())
    }
}

#[cold]
fn mended<'a>(bytes: &'a [u8], notes: &mut Notes<'a>) -> Cow<'a, str> {
    notes.warnings.add(Warning::InvalidUtf8);
    String::from_utf8_lossy(bytes)
}
