//! Parquet's hybrid of runs and packed bits, as dictionary codes are written.

/// Bits below which a run of equal numbers is packed like the others: a run of its
/// own costs two to four bytes.
pub const RUN_BITS: usize = 40;
/// Numbers are packed in groups of so many.
pub const GROUP: usize = 8;

/// Bits that hold every number up to `most`.
pub fn width(most: u32) -> u8 {
    (u32::BITS - most.leading_zeros()) as u8
}

/// Writes numbers of at most `width` bits.
pub fn pack(numbers: &[u32], width: u8, out: &mut Vec<u8>) {
    let (mut from, mut at) = (0, 0);
    while at < numbers.len() {
        let left = &numbers[at..];
        let run = run(left);
        let whole = at == from && run == left.len();
        if whole || (run >= GROUP && run * usize::from(width) >= RUN_BITS) {
            packed(&numbers[from..at], width, out);
            varint((run as u64) << 1, out);
            let bytes = usize::from(width).div_ceil(8);
            out.extend_from_slice(&left[0].to_le_bytes()[..bytes]);
            at += run;
            from = at;
        } else {
            at = numbers.len().min(at + GROUP);
        }
    }
    packed(&numbers[from..], width, out);
}

/// How many at the beginning are equal, told by groups.
fn run(numbers: &[u32]) -> usize {
    let alike = |number: &u32| *number == numbers[0];
    let groups = numbers.chunks_exact(GROUP);
    let groups = groups.take_while(|group| group.iter().fold(true, |all, n| all & alike(n)));
    let from = groups.count() * GROUP;
    from + numbers[from..].iter().take_while(|number| alike(number)).count()
}

fn packed(numbers: &[u32], width: u8, out: &mut Vec<u8>) {
    if numbers.is_empty() {
        return;
    }
    let groups = numbers.len().div_ceil(GROUP);
    varint(((groups as u64) << 1) | 1, out);
    let end = out.len() + groups * usize::from(width);
    out.reserve(groups * usize::from(width) + size_of::<u64>());
    match GROUP as u32 * u32::from(width) <= u64::BITS {
        true => numbers.chunks(GROUP).for_each(|group| narrow(group, width, out)),
        false => wide(numbers, width, out),
    }
    out.resize(end, 0);
}

/// A group that a word has bits for.
fn narrow(group: &[u32], width: u8, out: &mut Vec<u8>) {
    let end = out.len() + usize::from(width);
    let bits = |bits: u64, number: &u32| (bits << width) | u64::from(*number);
    out.extend_from_slice(&group.iter().rev().fold(0, bits).to_le_bytes());
    out.truncate(end);
}

fn wide(numbers: &[u32], width: u8, out: &mut Vec<u8>) {
    let (mut bits, mut filled) = (0_u64, 0);
    for number in numbers {
        bits |= u64::from(*number) << filled;
        filled += width;
        if filled >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            filled -= 32;
        }
    }
    out.extend_from_slice(&(bits as u32).to_le_bytes());
}

pub fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
pub mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Reads what [`pack`] wrote, by the letter of the format.
    pub fn unpack(mut bytes: &[u8], width: u8, count: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let (mut header, mut shift) = (0_u64, 0);
            loop {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= u64::from(byte & 0x7F) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            if header & 1 == 0 {
                let (value, rest) = bytes.split_at(usize::from(width).div_ceil(8));
                let value = value.iter().rev().fold(0, |all, byte| (all << 8) | u32::from(*byte));
                numbers.extend(std::iter::repeat_n(value, (header >> 1) as usize));
                bytes = rest;
            } else {
                let groups = (header >> 1) as usize;
                let (body, rest) = bytes.split_at(groups * usize::from(width));
                for number in 0..groups * GROUP {
                    let bit = |bit: usize| {
                        let at = number * usize::from(width) + bit;
                        u32::from((body[at / 8] >> (at % 8)) & 1) << bit
                    };
                    numbers.push((0..usize::from(width)).map(bit).sum());
                }
                bytes = rest;
            }
        }
        assert!(bytes.is_empty());
        numbers.truncate(count);
        numbers
    }

    proptest! {
        /// Scenario: stretches of equal and of differing numbers of any width.
        /// Guarantees: the format's own rules give back what was packed.
        #[test]
        fn numbers_come_back(
            bits in 0_u8..=32,
            parts in vec((any::<u32>(), prop_oneof![Just(1_usize), 1..200_usize]), 0..60),
        ) {
            let mask = 1_u64.checked_shl(bits.into()).map_or(u32::MAX, |end| (end - 1) as u32);
            let numbers: Vec<u32> = parts
                .into_iter()
                .flat_map(|(number, times)| std::iter::repeat_n(number & mask, times))
                .collect();
            let mut out = Vec::new();
            pack(&numbers, bits, &mut out);
            prop_assert_eq!(unpack(&out, bits, numbers.len()), numbers);
        }
    }

    /// Scenario: the widths of the largest numbers.
    /// Guarantees: nothing needs no bits, and a power of two one more than what is
    /// below it.
    #[test]
    fn widths_hold_their_numbers() {
        assert_eq!([0, 1, 2, 255, 256, u32::MAX].map(width), [0, 1, 2, 8, 9, 32]);
    }
}
