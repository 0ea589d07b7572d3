//! SIGKILL under load, and the books afterwards (faults.md, "Checker").
//!
//! A [`load`] stamps every item with (run, client, sequence) in its id, and its
//! content follows from the id alone. The [`ledger`] notes for every request
//! what the sender was told. After each restart on the same folder the two are
//! held against what SQL says:
//!
//! - acked ⊆ stored;
//! - nothing twice, but for what was sent again after an unknown outcome;
//! - nothing stored that was never sent, nothing with other content;
//! - `system.ledger` balances, and its `accepted` lies between what was acked
//!   and that plus what is unknown.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`item`] | an id, the content that follows from it, the requests made of them |
//! | [`load`] | clients that send until the daemon is gone |
//! | [`ledger`] | what was sent and answered; the checks |
//! | [`judged`] | the checks, seen to fail |
//! | [`races`] | queries while rows move |
//! | [`random`] | kills at random moments |
//! | [`restored`] | a wiped folder, an older copy of it |
//! | [`failpoints`] | kills at every named stage |
//! | [`upkeep`] | the same while tables are looked after |
//!
//! `cargo test --test e2e crash` kills 20 times. The long form, as one command:
//!
//! ```text
//! CLOUDSAIL_CRASH_ROUNDS=200 cargo test --test e2e fault_f11 -- --nocapture
//! ```
//!
//! The seed is printed; `CLOUDSAIL_CRASH_SEED` repeats a run's choices.

mod failpoints;
pub mod item;
mod judged;
pub mod ledger;
pub mod load;
mod races;
mod random;
mod restored;
pub mod upkeep;
