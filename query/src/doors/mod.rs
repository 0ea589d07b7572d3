//! Protocols, each behind a door that makes a [`crate::Query`] and forgets
//! where it came from.
//!
//! | folder | protocol |
//! | --- | --- |
//! | [`http`] | the HTTP API of interfaces.md |
//! | `flight` | Arrow Flight SQL; a feature |
//! | `postgres` | the PostgreSQL protocol; a feature |

#[cfg(feature = "flight")]
pub mod flight;
pub mod http;
#[cfg(feature = "postgres")]
pub mod postgres;

use schema::Tenant;

/// Who asks, as far as a door was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    pub tenant: Tenant,
    pub principal: Option<String>,
}
