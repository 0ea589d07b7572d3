//! Column chunks that we write ourselves: of texts and of numbers, by codes.
//!
//! Parquet's own writer hashes and compares every value of every row, and takes the
//! levels of each by itself. Here a value is looked up in what a chunk has, levels
//! come by stretches, and pages are made of codes. A chunk whose dictionary saves
//! nothing goes on with values as they are.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`text`] | [`TextChunk`](text::TextChunk): texts, flat or in a map, whose codes may come with them |
//! | [`held`] | [`HeldCodes`](held::HeldCodes): the codes of maps that many rows share |
//! | [`number`] | [`numbers`](number::numbers): numbers and times, flat or in a list |
//! | [`distinct`] | [`Distinct`](distinct::Distinct): numbers and their codes |
//! | [`bounds`] | [`Bounds`](bounds::Bounds): the least and the greatest, for pages and footer |
//! | [`open`] | [`Open`](open::Open): the page that is not written yet |
//! | [`pages`] | [`Pages`](pages::Pages): the pages that are, and what a file says of them |
//! | [`levels`] | [`Levels`](levels::Levels): where rows begin and what is NULL, by runs |
//! | [`hybrid`] | how codes are packed |
//! | [`press`] | [`Press`](press::Press): pages as bytes, compressed |
//!
//! Deliberately not here: differences of numbers, flags, and what is nested deeper,
//! which the Parquet library writes.

mod bounds;
mod distinct;
mod held;
mod hybrid;
mod levels;
pub mod number;
mod open;
mod pages;
pub mod press;
pub mod text;

#[cfg(test)]
mod tests;
