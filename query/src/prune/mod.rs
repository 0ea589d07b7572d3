//! Files that cannot hold a match, found without opening them.
//!
//! | file | by |
//! | --- | --- |
//! | [`statistics`] | the bounds that a snapshot carries per file and column |
//! | [`trace`] | the index of traces: where a trace id's spans lie in time |
//!
//! Both may only ever leave out files that cannot match: a column without
//! statistics, a file that the index does not cover, an index that is not
//! complete, all keep the file.

mod statistics;
mod trace;

pub(crate) use statistics::{by_statistics, scalar};
pub(crate) use trace::{Range, by_trace};
