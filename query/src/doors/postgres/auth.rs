//! How the door comes to believe who asks.

use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::startup::Authentication as Reply;

use super::startup::Wishes;
use super::wire::{Broken, Reader, Writer};
use crate::doors::Caller;

/// What a client has to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// Nothing: only this machine reaches the socket, or the operator said that
    /// anybody may. Everyone is nobody, of the default tenant, whatever name
    /// they give. The daemon refuses other addresses without `--insecure` (S1).
    #[default]
    Trust,
}

impl Authentication {
    /// Asks and hears until the caller is known, and tells the client so.
    /// SCRAM's rounds belong here; `reader` and `writer` are the connection.
    pub(super) async fn of(
        self,
        _wishes: &Wishes,
        _reader: &mut Reader,
        writer: &mut Writer,
    ) -> Result<Caller, Broken> {
        let Authentication::Trust = self;
        writer.push(PgWireBackendMessage::Authentication(Reply::Ok)).map_err(Broken::Refused)?;
        Ok(Caller::default())
    }
}
