//! Verdicts over generated rows.
//!
//! | file | what it proves |
//! | --- | --- |
//! | [`shop`] | the generator: a shop's buckets, seeded |
//! | [`alerts`] | what was told of alerts, and what of a stop |
//! | [`control`] | beside a control group, and beside another week |
//! | [`drift`] | what creeps by itself, and what has no baseline |
//! | [`metered`] | RED by metrics, where spans are biased |
//! | [`missing`] | J2, row by row of the paper's table |
//! | [`off_target`] | what is touched beside the target |
//! | [`scaling`] | whether pods followed the load |
//! | [`order`] | what outranks what, and the closed lists |
//! | [`strata`] | a mix of endpoints that moved, and spans that stand for others |
//! | [`honesty`] | power and honesty, a hundred runs each |

mod alerts;
mod control;
mod drift;
mod honesty;
mod metered;
mod missing;
mod off_target;
mod order;
mod scaling;
pub mod shop;
mod strata;
