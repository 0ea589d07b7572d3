//! Protobuf's wire format over a borrowed body. What does not fit it is an
//! error with its offset (G7); fields are neither copied nor interpreted here.

use std::borrow::Cow;

use super::model::Packed;
use super::outcome::{Notes, Warning};
use super::{Encoding, Error, Malformed};

/// Groups inside groups that an unknown field may have; nothing in OTLP uses
/// them, so this only bounds the hostile.
const GROUPS: usize = 100;

/// Wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
/// No field of OTLP is one; its content is passed over.
const GROUP: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED32: u8 = 5;

/// A part of the body that knows where it lies. What is seldom needed takes it by
/// value: one whose address is given away stays on the stack.
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

    /// Has the processor bring all of it near. Where a field begins is known once the
    /// one before it is read, so hopping from one to the next waits for memory each
    /// time, and reading a byte of each cache line does not.
    pub fn fetch(self) {
        let lines = self.bytes.iter().step_by(64);
        std::hint::black_box(lines.fold(0, |all, byte| all ^ byte));
    }

    #[cold]
    fn fault(self, cause: impl Into<Cow<'static, str>>) -> Error {
        Malformed::at(Encoding::Protobuf, self.offset, cause)
    }

    /// The next field, or None at the end.
    #[inline(always)]
    pub fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, Error> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let (tag, wire_type) = self.key()?;
        let (mut number, mut bytes): (u64, &[u8]) = (0, &[]);
        match wire_type {
            VARINT => number = self.varint()?,
            FIXED64 => number = u64::from_le_bytes(self.array()?),
            BYTES => bytes = self.block()?,
            FIXED32 => number = u64::from(u32::from_le_bytes(self.array()?)),
            GROUP => *self = self.past_group(tag)?,
            other => return Err(self.stray(other)),
        }
        Ok(Some((tag, Field { tag, wire_type, end: self.offset, number, bytes })))
    }

    #[cold]
    fn stray(self, wire_type: u8) -> Error {
        match wire_type {
            GROUP_END => self.fault("a group ends that has not begun"),
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
            _ => {
                let (value, length) = self.long_varint()?;
                self.advance(length);
                Ok(value)
            }
        }
    }

    /// The number and how long it is.
    #[inline(never)]
    fn long_varint(self) -> Result<(u64, usize), Error> {
        let mut value = 0u64;
        for (index, byte) in self.bytes.iter().take(10).enumerate() {
            // The tenth byte holds the one bit that is left of 64.
            if index == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok((value, index + 1));
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
    fn block(&mut self) -> Result<&'a [u8], Error> {
        let length = self.varint()?;
        let parts = usize::try_from(length).ok().and_then(|at| self.bytes.split_at_checked(at));
        let Some((bytes, rest)) = parts else { return Err(self.too_short(length)) };
        self.bytes = rest;
        self.offset += bytes.len();
        Ok(bytes)
    }

    #[cold]
    fn too_short(self, length: u64) -> Error {
        let left = self.bytes.len();
        self.fault(format!("a field of {length} bytes has {left} bytes left"))
    }

    #[cold]
    fn past_group(mut self, tag: u32) -> Result<Chunk<'a>, Error> {
        let mut open = vec![tag];
        while let Some(innermost) = open.last() {
            let (tag, wire_type) = self.key()?;
            match wire_type {
                VARINT => drop(self.varint()?),
                FIXED64 => drop(self.array::<8>()?),
                BYTES => drop(self.block()?),
                FIXED32 => drop(self.array::<4>()?),
                GROUP if open.len() == GROUPS => {
                    return Err(self.fault(format!("groups are nested over {GROUPS} deep")));
                }
                GROUP => open.push(tag),
                GROUP_END if tag == *innermost => drop(open.pop()),
                other => return Err(self.stray(other)),
            }
        }
        Ok(self)
    }

    #[inline(always)]
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
    const STRETCH: usize = 1024;

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
        // A number soon ends it. Most texts are ASCII, of which the end is found for
        // less than by looking at all of it twice.
        let ascii = leading_ascii(stretch);
        let stretch = if ascii < length { stretch } else { &stretch[..ascii] };
        let text = std::str::from_utf8(stretch);
        let valid = |end| std::str::from_utf8(&stretch[..end]).ok();
        self.checked = text.ok().or_else(|| valid(text.err()?.valid_up_to()))?;
        self.from = at;
        self.checked.get(..length)
    }
}

/// How many bytes are ASCII before the first that is not.
fn leading_ascii(bytes: &[u8]) -> usize {
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let high = |word: &[u8; 8]| u64::from_le_bytes(*word) & HIGH;
    let (words, tail) = bytes.as_chunks::<8>();
    // By four, since to look at each word takes longer than to join them.
    let plain = |four: &[[u8; 8]; 4]| four.iter().fold(0, |all, word| all | high(word)) == 0;
    let plain = 4 * words.as_chunks::<4>().0.iter().take_while(|four| plain(four)).count();
    match words[plain..].iter().position(|word| high(word) != 0) {
        Some(at) => 8 * (plain + at) + high(&words[plain + at]).trailing_zeros() as usize / 8,
        None => 8 * words.len() + tail.iter().take_while(|byte| byte.is_ascii()).count(),
    }
}

/// A field's payload; the accessor says which wire type it has to have. Not an
/// `enum`: that is written to the stack in parts and read back as a whole, for which
/// a processor waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    tag: u32,
    wire_type: u8,
    /// Where it ends in the body.
    end: usize,
    /// Of a varint or of 64 or 32 bits.
    number: u64,
    /// Of a string, bytes or message.
    bytes: &'a [u8],
}

impl<'a> Field<'a> {
    #[cold]
    fn mistyped(self, wanted: &str) -> Error {
        let cause = format!("field {} is not {wanted}", self.tag);
        Malformed::at(Encoding::Protobuf, self.end, cause)
    }

    pub fn varint(self) -> Result<u64, Error> {
        match self.wire_type {
            VARINT => Ok(self.number),
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
        match self.wire_type {
            FIXED64 => Ok(self.number),
            _ => Err(self.mistyped("a 64-bit number")),
        }
    }

    pub fn fixed32(self) -> Result<u32, Error> {
        match self.wire_type {
            FIXED32 => Ok(self.number as u32),
            _ => Err(self.mistyped("a 32-bit number")),
        }
    }

    pub fn double(self) -> Result<f64, Error> {
        self.fixed64().map(f64::from_bits)
    }

    /// A string, bytes or message.
    #[inline(always)]
    pub fn chunk(self) -> Result<Chunk<'a>, Error> {
        match self.wire_type {
            BYTES => Ok(Chunk { bytes: self.bytes, offset: self.end - self.bytes.len() }),
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
    pub fn fixed64s(self, into: &mut Packed<'a>) -> Result<(), Error> {
        if self.wire_type != BYTES {
            into.push(self.fixed64()?.to_le_bytes());
            return Ok(());
        }
        let (numbers, rest) = self.bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(self.mistyped("a whole number of 64-bit numbers"));
        }
        into.extend(numbers);
        Ok(())
    }

    /// Appends varints, packed or not.
    pub fn varints(self, into: &mut Vec<u64>) -> Result<(), Error> {
        if self.wire_type != BYTES {
            into.push(self.varint()?);
            return Ok(());
        }
        let mut chunk = self.chunk()?;
        // The last byte of each is below 0x80.
        let count = chunk.bytes.iter().filter(|byte| **byte < 0x80).count();
        into.reserve(count);
        if count == chunk.bytes.len() {
            into.extend(chunk.bytes.iter().map(|byte| u64::from(*byte)));
            return Ok(());
        }
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    proptest! {
        /// Scenario: parts of a body of ASCII, longer characters, cut ones and other
        /// bytes are asked for in any order.
        /// Guarantees: G26, a part is text exactly if it is UTF-8 by itself, whatever
        /// was looked at before.
        #[test]
        fn otlp_g26_texts_are_what_is_utf8_by_itself(
            pieces in vec(select(vec!["a", "0123456789", "é", "\u{1F600}", "x\u{7ff}", ""]), 0..40),
            broken in vec((any::<usize>(), any::<u8>()), 0..3),
            asked in vec((any::<usize>(), 0..40usize), 1..40),
        ) {
            let mut body = pieces.concat().into_bytes();
            for (at, byte) in broken {
                let count = body.len().max(1);
                body.iter_mut().skip(at % count).take(1).for_each(|old| *old = byte);
            }
            let mut texts = Texts::of(&body);
            for (at, length) in asked {
                let at = at % (body.len() + 1);
                let length = length.min(body.len() - at);
                let alone = std::str::from_utf8(&body[at..at + length]).ok();
                prop_assert_eq!(texts.get(at, length), alone);
            }
        }
    }
}
