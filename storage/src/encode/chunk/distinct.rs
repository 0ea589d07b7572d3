//! Numbers as codes.

use std::hash::{BuildHasher, RandomState};

use super::number::Number;

const NONE: u32 = u32::MAX;

/// Distinct numbers in the order in which they were met, told apart by their bits.
pub struct Distinct<T> {
    numbers: Vec<T>,
    /// Codes, each in the slot of its number or the next that was free; a power of
    /// two of them, at least twice as many as there are numbers.
    slots: Vec<u32>,
    /// Odd, and by chance, so that nobody can send numbers that meet in one slot.
    factor: u64,
}

impl<T: Number> Default for Distinct<T> {
    fn default() -> Distinct<T> {
        let factor = RandomState::new().hash_one(0) | 1;
        Distinct { numbers: Vec::new(), slots: vec![NONE; 64], factor }
    }
}

impl<T: Number> Distinct<T> {
    /// Appends the codes of numbers, of which new ones get the next.
    pub fn encode(&mut self, numbers: &[T], codes: &mut Vec<u32>) {
        let Some(first) = numbers.first() else { return };
        let mut last = (first.bits(), self.code(*first));
        codes.extend(numbers.iter().map(|number| {
            if number.bits() != last.0 {
                last = (number.bits(), self.code(*number));
            }
            last.1
        }));
    }

    pub fn numbers(&self) -> &[T] {
        &self.numbers
    }

    fn code(&mut self, number: T) -> u32 {
        let mut at = self.slot(number);
        loop {
            let code = self.slots[at];
            if code == NONE {
                return self.add(number, at);
            }
            if self.numbers[code as usize].bits() == number.bits() {
                return code;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The upper bits of a product, which depend on all bits of the number. One product
    /// alone keeps the distances of evenly spaced numbers, and some factors make heaps
    /// of those.
    fn slot(&self, number: T) -> usize {
        let fold = |bits: u64| bits ^ (bits >> 32);
        let mixed = fold(fold(number.bits()).wrapping_mul(self.factor));
        let product = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (product >> (u64::BITS - self.slots.len().trailing_zeros())) as usize
    }

    fn add(&mut self, number: T, slot: usize) -> u32 {
        let code = self.numbers.len() as u32;
        self.numbers.push(number);
        self.slots[slot] = code;
        if self.numbers.len() * 2 > self.slots.len() {
            self.grow();
        }
        code
    }

    fn grow(&mut self) {
        self.slots = vec![NONE; self.slots.len() * 2];
        for code in 0..self.numbers.len() {
            let mut at = self.slot(self.numbers[code]);
            while self.slots[at] != NONE {
                at = (at + 1) & (self.slots.len() - 1);
            }
            self.slots[at] = code as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: counters, times a minute apart and bounds of buckets, by many factors.
    /// Guarantees: looking for a number's slot costs a few steps, whatever the factor.
    #[test]
    fn evenly_spaced_numbers_make_no_heaps() {
        fn most(factor: u64, numbers: impl Iterator<Item = f64>) -> usize {
            let numbers: Vec<f64> = numbers.collect();
            let mut distinct = Distinct { factor, ..Distinct::default() };
            distinct.encode(&numbers, &mut Vec::new());
            let way = |code: usize| {
                let slot = distinct.slot(numbers[code]);
                let found = |at: &usize| {
                    let at = (slot + at) & (distinct.slots.len() - 1);
                    distinct.slots[at] == code as u32
                };
                (0..distinct.slots.len()).find(found).unwrap()
            };
            (0..numbers.len()).map(way).sum::<usize>() / numbers.len()
        }
        const COUNT: u64 = 30_000;
        for seed in 0..200_u64 {
            let factor = (seed + 1).wrapping_mul(0xD134_2543_DE82_EF95) | 1;
            for spaced in [
                most(factor, (0..COUNT).map(f64::from_bits)),
                most(factor, (0..COUNT).map(|n| f64::from_bits(n * 60_000_000))),
                most(factor, (0..COUNT).map(|n| n as f64 * 0.25)),
            ] {
                assert!(spaced < 4, "{spaced} steps with {factor}");
            }
        }
    }
}
