//! Codes of maps that many rows share.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, MapArray};
use arrow::buffer::Buffer;

/// The codes that a column chunk has for the texts of each map, once they are known.
#[derive(Default)]
pub struct HeldCodes {
    /// Where the maps end, and their texts: by these they are known again.
    of: Option<(Buffer, ArrayRef)>,
    /// By map; empty while it was not met.
    places: Vec<Range<u32>>,
    codes: Vec<u32>,
}

impl HeldCodes {
    /// Says whose codes are asked for next: those of other maps are forgotten.
    pub fn come_from(&mut self, maps: &MapArray, texts: &ArrayRef) {
        let ends = maps.offsets().inner().inner();
        let same = |(known, of): &(Buffer, ArrayRef)| known.ptr_eq(ends) && Arc::ptr_eq(of, texts);
        if self.of.as_ref().is_some_and(same) {
            return;
        }
        self.of = Some((ends.clone(), texts.clone()));
        self.codes.clear();
        self.places.clear();
        self.places.resize(maps.len(), 0..0);
    }

    pub fn codes_of(&self, map: usize) -> Option<&[u32]> {
        let place = &self.places[map];
        let codes = &self.codes[place.start as usize..place.end as usize];
        (!codes.is_empty()).then_some(codes)
    }

    pub fn keep(&mut self, map: usize, codes: &[u32]) {
        let from = self.codes.len() as u32;
        self.codes.extend_from_slice(codes);
        self.places[map] = from..self.codes.len() as u32;
    }
}
