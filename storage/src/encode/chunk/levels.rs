//! Levels: where rows begin and what is NULL, in Parquet's hybrid of runs and packed
//! bits.

use super::hybrid::{GROUP, RUN_BITS, varint, width};

/// Levels of a page, which come in runs: what a row has, or that many rows have none.
#[derive(Debug, Default)]
pub struct Levels {
    runs: Vec<(u8, usize)>,
    count: usize,
}

impl Levels {
    pub fn push(&mut self, level: u8, times: usize) {
        self.count += times;
        match self.runs.last_mut() {
            Some((last, run)) if *last == level => *run += times,
            _ if times > 0 => self.runs.push((level, times)),
            _ => {}
        }
    }

    /// How many levels there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Its room stays.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.count = 0;
    }

    /// Writes levels up to `most` behind their length in bytes.
    pub fn write(&self, most: u8, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        self.pack(width(most.into()), out);
        let length = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn pack(&self, width: u8, out: &mut Vec<u8>) {
        let mut packed = Packed::new(width);
        for &(level, times) in &self.runs {
            // Only whole groups are followed by anything.
            let fill = times.min(packed.count.next_multiple_of(GROUP) - packed.count);
            packed.put(level, fill);
            let rest = times - fill;
            if rest == self.count || (rest >= GROUP && rest * usize::from(width) >= RUN_BITS) {
                packed.end(out);
                varint((rest as u64) << 1, out);
                out.push(level);
            } else {
                packed.put(level, rest);
            }
        }
        packed.end(out);
    }
}

/// Packed levels whose number is not known yet.
struct Packed {
    width: u8,
    /// As many as have room beside what is left of the last byte, and each of them 1.
    most: usize,
    ones: u64,
    count: usize,
    bytes: Vec<u8>,
    /// What does not fill a byte yet.
    bits: u64,
    filled: u32,
}

impl Packed {
    fn new(width: u8) -> Packed {
        let most = (u64::BITS - 8).checked_div(width.into()).unwrap_or(0) as usize;
        let ones = (0..most).fold(0, |ones, _| (ones << width) | 1);
        Packed { width, most, ones, count: 0, bytes: Vec::new(), bits: 0, filled: 0 }
    }

    fn put(&mut self, level: u8, mut times: usize) {
        self.count += times;
        while times > 0 && self.most > 0 {
            let now = times.min(self.most);
            let bits = now as u32 * u32::from(self.width);
            let levels = u64::from(level) * self.ones;
            self.bits |= (levels & ((1 << bits) - 1)) << self.filled;
            self.filled += bits;
            let whole = self.filled / 8;
            self.bytes.extend_from_slice(&self.bits.to_le_bytes()[..whole as usize]);
            self.bits >>= whole * 8;
            self.filled %= 8;
            times -= now;
        }
    }

    /// Writes them; what follows starts anew.
    fn end(&mut self, out: &mut Vec<u8>) {
        if self.count == 0 {
            return;
        }
        let groups = self.count.div_ceil(GROUP);
        varint(((groups as u64) << 1) | 1, out);
        let end = out.len() + groups * usize::from(self.width);
        out.append(&mut self.bytes);
        out.push(self.bits as u8);
        out.resize(end, 0);
        (self.count, self.bits, self.filled) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::hybrid::tests::unpack;
    use super::*;

    proptest! {
        /// Scenario: runs of levels, short and long, of any width that levels have.
        /// Guarantees: the format's own rules give back what was pushed.
        #[test]
        fn levels_come_back(
            most in 1_u8..=7,
            runs in vec((any::<u8>(), prop_oneof![0..3_usize, 0..20_usize, 0..600_usize]), 0..60),
        ) {
            let runs: Vec<(u8, usize)> =
                runs.into_iter().map(|(level, times)| (level % (most + 1), times)).collect();
            let mut levels = Levels::default();
            runs.iter().for_each(|(level, times)| levels.push(*level, *times));
            let expected: Vec<u32> = runs
                .iter()
                .flat_map(|(level, times)| std::iter::repeat_n(u32::from(*level), *times))
                .collect();
            prop_assert_eq!(levels.count(), expected.len());
            let mut out = Vec::new();
            levels.write(most, &mut out);
            prop_assert_eq!(u32::from_le_bytes(out[..4].try_into().unwrap()) as usize, out.len() - 4);
            prop_assert_eq!(unpack(&out[4..], width(most.into()), expected.len()), expected);
        }
    }
}
