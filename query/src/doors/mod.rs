//! Protocols, each behind a door that makes a [`crate::Query`] and forgets
//! where it came from.
//!
//! | folder | protocol |
//! | --- | --- |
//! | [`http`] | the HTTP API of interfaces.md |
//! | [`postgres`] | the PostgreSQL protocol |

pub mod http;
pub mod postgres;

use schema::Tenant;

/// Who asks, as far as a door was told.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    pub tenant: Tenant,
    pub principal: Option<String>,
}
