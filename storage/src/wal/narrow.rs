//! A record's body with its numbers in as few bytes as they need, before zstd packs it:
//! a compressor that looks for repetitions takes longer over eight bytes of a small
//! number than over one, and finds less.
//!
//! ```text
//! for each buffer of the message, in its order:
//!   form u8     0 as it is · 1 hexadecimal digits as bytes · 2 numbers of 4 bytes
//!               3 numbers of 8 · 4 where lists end, of 4 bytes
//!   of numbers: width u8, 0 to 8 · least i64 · of each the difference to that,
//!               of `width` bytes; of ends what numbers are is how long each list is
//! ```

use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::ipc::RecordBatch as Message;

use super::wire::Bytes;

const AS_IS: u8 = 0;
const DIGITS: u8 = 1;
const SHORTS: u8 = 2;
const LONGS: u8 = 3;
const ENDS: u8 = 4;

/// What the buffers of a batch with this schema hold, in the order of its message: the
/// form that each is tried in.
pub(super) fn forms(schema: &Schema) -> Vec<u8> {
    let mut forms = Vec::new();
    descend(schema.fields(), &mut forms);
    forms
}

fn descend(fields: &Fields, forms: &mut Vec<u8>) {
    let mut into = |field: &Field| {
        // Which values there are.
        forms.push(AS_IS);
        match field.data_type() {
            DataType::Struct(fields) => descend(fields, forms),
            DataType::List(element) | DataType::Map(element, _) => {
                forms.push(ENDS);
                descend(&Fields::from(vec![element.clone()]), forms);
            }
            DataType::Utf8 => forms.extend([ENDS, DIGITS]),
            // Doubles are rarely near each other as bits.
            DataType::Int64 | DataType::Timestamp(..) => forms.push(LONGS),
            DataType::Int32 | DataType::UInt32 | DataType::Date32 => forms.push(SHORTS),
            _ => forms.push(AS_IS),
        }
    };
    fields.iter().for_each(|field| into(field));
}

/// Appends the buffers of a body. Those that `forms` does not know stay as they are.
pub(super) fn narrow(body: &[u8], batch: &Message<'_>, forms: &[u8], out: &mut Vec<u8>) {
    let buffers = batch.buffers().into_iter().flatten();
    for (buffer, form) in buffers.zip(forms.iter().copied().chain(std::iter::repeat(AS_IS))) {
        let from = buffer.offset() as usize;
        let bytes = &body[from..from + buffer.length() as usize];
        let (shorts, no_shorts) = bytes.as_chunks::<4>();
        let (longs, no_longs) = bytes.as_chunks::<8>();
        let short = |bytes: &[u8; 4]| i64::from(i32::from_le_bytes(*bytes));
        match form {
            DIGITS if digits(bytes, out) => {}
            SHORTS if no_shorts.is_empty() => numbers(form, shorts.iter().map(short), out),
            LONGS if no_longs.is_empty() => {
                numbers(form, longs.iter().map(|bytes| i64::from_le_bytes(*bytes)), out);
            }
            ENDS if no_shorts.is_empty() => {
                let start = |index: usize| index.checked_sub(1).map_or(0, |at| short(&shorts[at]));
                let length = |(index, end)| short(end) - start(index);
                numbers(form, shorts.iter().enumerate().map(length), out);
            }
            _ => {
                out.push(AS_IS);
                out.extend_from_slice(bytes);
            }
        }
    }
}

/// Writes digits two in a byte, if there is nothing else: ids are.
fn digits(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let at = out.len();
    out.push(DIGITS);
    let mut all = rest.is_empty();
    // Long texts are told by their beginning.
    for pairs in pairs.chunks(256) {
        let mut unknown = 0;
        out.extend(pairs.iter().map(|[high, low]| {
            let (high, low) = (NIBBLES[usize::from(*high)], NIBBLES[usize::from(*low)]);
            unknown |= high | low;
            high << 4 | low
        }));
        all &= unknown & NO_DIGIT == 0;
        if !all {
            break;
        }
    }
    if !all {
        out.truncate(at);
    }
    all
}

const NO_DIGIT: u8 = 0x80;

/// The value of each digit; upper case is none, it would come back lower.
const NIBBLES: [u8; 256] = {
    let mut nibbles = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        nibbles[digit(value) as usize] = value;
        value += 1;
    }
    nibbles
};

const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

fn numbers(form: u8, numbers: impl ExactSizeIterator<Item = i64> + Clone, out: &mut Vec<u8>) {
    let (least, most) =
        numbers.clone().fold((i64::MAX, i64::MIN), |(least, most), n| (least.min(n), most.max(n)));
    let (least, most) = if least > most { (0, 0) } else { (least, most) };
    let width =
        u64::BITS.div_ceil(8) - most.wrapping_sub(least).cast_unsigned().leading_zeros() / 8;
    out.extend([form, width as u8]);
    out.extend_from_slice(&least.to_le_bytes());
    let differences = numbers.map(|number| number.wrapping_sub(least).cast_unsigned());
    match width {
        0 => {}
        1 => put::<1>(differences, out),
        2 => put::<2>(differences, out),
        3 => put::<3>(differences, out),
        4 => put::<4>(differences, out),
        5 => put::<5>(differences, out),
        6 => put::<6>(differences, out),
        7 => put::<7>(differences, out),
        _ => put::<8>(differences, out),
    }
}

fn put<const WIDTH: usize>(numbers: impl ExactSizeIterator<Item = u64>, out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + numbers.len() * WIDTH, 0);
    let (places, _) = out[at..].as_chunks_mut::<WIDTH>();
    for (place, number) in places.iter_mut().zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes()[..WIDTH]);
    }
}

/// The body of `length` bytes whose buffers these are; they lie within it.
pub(super) fn widen(bytes: &[u8], batch: &Message<'_>, length: usize) -> Result<Buffer, String> {
    let (mut bytes, mut body) = (Bytes(bytes), vec![0; length]);
    for buffer in batch.buffers().into_iter().flatten() {
        let from = buffer.offset() as usize;
        let place = &mut body[from..from + buffer.length() as usize];
        fill(&mut bytes, place)
            .ok_or_else(|| format!("no buffer of {} bytes follows", place.len()))?;
    }
    match bytes.0.len() {
        0 => Ok(Buffer::from(body)),
        more => Err(format!("{more} bytes are left of it")),
    }
}

/// Reads one buffer; `None` if the next is none of this size.
fn fill(bytes: &mut Bytes<'_>, place: &mut [u8]) -> Option<()> {
    let form = bytes.u8()?;
    match form {
        AS_IS => place.copy_from_slice(bytes.take(place.len())?),
        DIGITS => {
            let (pairs, []) = place.as_chunks_mut::<2>() else { return None };
            let digits = bytes.take(pairs.len())?;
            for (pair, byte) in pairs.iter_mut().zip(digits) {
                *pair = [digit(byte >> 4), digit(byte & 0xF)];
            }
        }
        SHORTS | LONGS | ENDS => {
            let (width, least) = (usize::from(bytes.u8()?), bytes.i64()?);
            let size = if form == LONGS { 8 } else { 4 };
            if width > 8 || !place.len().is_multiple_of(size) {
                return None;
            }
            let packed = bytes.take(place.len() / size * width)?;
            let mut end = 0_i64;
            for (index, place) in place.chunks_exact_mut(size).enumerate() {
                let mut number = [0; 8];
                number[..width].copy_from_slice(&packed[index * width..(index + 1) * width]);
                let mut number = i64::from_le_bytes(number).wrapping_add(least);
                if form == ENDS {
                    end = end.wrapping_add(number);
                    number = end;
                }
                place.copy_from_slice(&number.to_le_bytes()[..size]);
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array};
    use arrow::ipc::root_as_message;
    use arrow::ipc::writer::StreamWriter;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::sync::Arc;

    use super::*;

    /// A batch as a message: metadata, and body.
    fn message(batch: &RecordBatch) -> (Vec<u8>, Vec<u8>) {
        let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        stream.get_mut().clear();
        stream.write(batch).unwrap();
        let written = stream.get_ref();
        let length = u32::from_le_bytes(written[4..8].try_into().unwrap()) as usize;
        (written[8..8 + length].to_vec(), written[8 + length..].to_vec())
    }

    fn narrowed(batch: &RecordBatch) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let (metadata, body) = message(batch);
        let mut out = Vec::new();
        let parsed = root_as_message(&metadata).unwrap().header_as_record_batch().unwrap();
        narrow(&body, &parsed, &forms(&batch.schema()), &mut out);
        (metadata, body, out)
    }

    fn widened(metadata: &[u8], bytes: &[u8], length: usize) -> Result<Buffer, String> {
        let parsed = root_as_message(metadata).unwrap().header_as_record_batch().unwrap();
        widen(bytes, &parsed, length)
    }

    fn batch(longs: &[Option<i64>], text: &str) -> RecordBatch {
        let shorts = longs.iter().map(|long| long.map(|long| long as i32));
        let units = longs.iter().map(|long| long.map(|long| long as u32));
        let texts = longs.iter().map(|long| long.map(|long| format!("{text}{long:x}")));
        RecordBatch::try_from_iter_with_nullable([
            ("longs", Arc::new(longs.iter().copied().collect::<Int64Array>()) as ArrayRef, true),
            ("shorts", Arc::new(shorts.collect::<Int32Array>()), true),
            ("units", Arc::new(units.collect::<UInt32Array>()), true),
            ("texts", Arc::new(texts.collect::<StringArray>()), true),
        ])
        .unwrap()
    }

    proptest! {
        /// Scenario: numbers near each other and at the ends of their range, NULLs,
        /// texts of digits and of others.
        /// Guarantees: the body comes back byte for byte; cut anywhere, or with more
        /// behind it, it does not.
        #[test]
        fn a_body_comes_back(
            base in any::<i64>(),
            offsets in vec(prop::option::of(prop_oneof![0..3_i64, 0..70_000_i64, any::<i64>()]), 0..40),
            text in prop_oneof![Just(""), Just("00ff"), Just("é"), Just("A")],
            cut in any::<prop::sample::Index>(),
        ) {
            let longs: Vec<Option<i64>> =
                offsets.iter().map(|offset| offset.map(|offset| base.wrapping_add(offset))).collect();
            let (metadata, body, bytes) = narrowed(&batch(&longs, text));
            let found = widened(&metadata, &bytes, body.len());
            prop_assert_eq!(found.as_ref().map(|found| found.as_slice()), Ok(body.as_slice()));
            prop_assert!(widened(&metadata, &bytes[..cut.index(bytes.len())], body.len()).is_err());
            let more = [bytes.as_slice(), &[0]].concat();
            prop_assert!(widened(&metadata, &more, body.len()).is_err());
        }

        /// Scenario: any bytes instead.
        /// Guarantees: F37, a body or a reason.
        #[test]
        fn fault_f37_any_bytes_are_a_body_or_none(bytes in vec(any::<u8>(), 0..300)) {
            let (metadata, body, _) = narrowed(&batch(&[Some(1), None, Some(300)], "a"));
            let found = widened(&metadata, &bytes, body.len());
            prop_assert!(found.is_err() || found.is_ok_and(|found| found.len() == body.len()));
        }
    }

    /// Scenario: small numbers near a large one, and ids.
    /// Guarantees: a number takes the bytes of its difference, a pair of digits one.
    #[test]
    fn near_numbers_and_ids_are_narrow() {
        let longs: Vec<Option<i64>> = (0..1000).map(|n| Some((1 << 60) + n)).collect();
        let (_, body, bytes) = narrowed(&batch(&longs, "0a"));
        // Of each row 8 bytes, 4, 4, an end and 18 digits.
        assert!(body.len() >= 1000 * 38, "{}", body.len());
        let most = 1000 * (2 + 2 + 2 + 1 + 9) + 500;
        assert!(bytes.len() < most, "{} of {most}", bytes.len());
    }
}
