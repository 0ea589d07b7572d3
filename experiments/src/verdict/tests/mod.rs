//! Verdicts over generated rows.
//!
//! | file | what it proves |
//! | --- | --- |
//! | [`shop`] | the generator: a shop's buckets, seeded |
//! | [`missing`] | J2, row by row of the paper's table |
//! | [`order`] | what outranks what, and the closed lists |
//! | [`honesty`] | power and honesty, a hundred runs each |

mod honesty;
mod missing;
mod order;
mod shop;
