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

    /// The upper bits of a product: they depend on all bits of the number.
    fn slot(&self, number: T) -> usize {
        let product = number.bits().wrapping_mul(self.factor);
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
