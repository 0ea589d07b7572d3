//! Protocols, each behind a door that makes a [`crate::Query`] and forgets
//! where it came from.
//!
//! | folder | protocol |
//! | --- | --- |
//! | [`http`] | the HTTP API of interfaces.md |

pub mod http;
