//! Parquet's hybrid of runs and packed integers: levels and codes.

/// Takes integers of `width` bits until there are `most`, or no more; `None`
/// when the bytes are no such thing. What fills up the last group of eight is
/// handed out, too.
pub(super) fn unpack(
    mut bytes: &[u8],
    width: usize,
    most: usize,
    out: &mut Vec<u32>,
) -> Option<()> {
    if width > 32 {
        return None;
    }
    let whole = width.div_ceil(8);
    while out.len() < most && !bytes.is_empty() {
        let header = varint(&mut bytes)?;
        let count = usize::try_from(header >> 1).ok()?;
        if header & 1 == 0 {
            let mut value = 0;
            for (at, byte) in bytes.get(..whole)?.iter().enumerate() {
                value |= u32::from(*byte) << (8 * at);
            }
            bytes = &bytes[whole..];
            out.resize(out.len() + count.min(most - out.len()), value);
        } else {
            let size = count.checked_mul(width)?;
            // The last group may be cut off behind what is needed of it.
            let packed = bytes.get(..size).unwrap_or(bytes);
            bytes = &bytes[packed.len()..];
            let held = (packed.len() * 8).checked_div(width).unwrap_or(count * 8);
            spread(packed, width, held.min(most - out.len()), out);
        }
    }
    Some(())
}

fn spread(packed: &[u8], width: usize, count: usize, out: &mut Vec<u32>) {
    let mask = (1u64 << width) - 1;
    out.extend((0..count).map(|at| {
        let bit = at * width;
        let from = &packed[bit / 8..];
        let word = match from.first_chunk::<8>() {
            Some(eight) => u64::from_le_bytes(*eight),
            None => from.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        (word >> (bit % 8) & mask) as u32
    }));
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::unpack;

    fn unpacked(bytes: &[u8], width: usize, most: usize) -> Option<Vec<u32>> {
        let mut out = Vec::new();
        unpack(bytes, width, most, &mut out).map(|()| out)
    }

    /// Scenario: the example of Parquet's specification, runs, both in a row,
    /// widths of zero and thirty-two bits, and bytes that break off.
    /// Guarantees: the integers, or nothing.
    #[test]
    fn runs_and_packed_integers_come_out() {
        let packed = [0b0000_0011, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        assert_eq!(unpacked(&packed, 3, 8), Some((0..8).collect()));
        assert_eq!(unpacked(&packed, 3, 5), Some((0..5).collect()));
        assert_eq!(unpacked(&[6, 5], 3, 9), Some(vec![5; 3]));
        let both = [&[4, 1][..], &packed].concat();
        assert_eq!(unpacked(&both, 3, 4), Some(vec![1, 1, 0, 1]));
        assert_eq!(unpacked(&[8], 0, 9), Some(vec![0; 4]));
        assert_eq!(unpacked(&[2, 1, 2, 3, 4], 32, 1), Some(vec![0x0403_0201]));
        assert_eq!(unpacked(&[2, 1], 32, 1), None);
        assert_eq!(unpacked(&[0x80], 1, 1), None);
        assert_eq!(unpacked(&[], 1, 1), Some(Vec::new()));
    }
}
