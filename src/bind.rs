//! Listeners: bound before anything else is opened, so that a taken port is
//! told at once, and judged by the address really meant (S1).

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, anyhow};
use serde::Serialize;
use tokio::net::{TcpListener, lookup_host};

use crate::config::{Config, Invalid, bind_rule};

/// The doors that are built, bound.
#[derive(Debug)]
pub struct Listeners {
    pub otlp_grpc: Option<TcpListener>,
    pub otlp_http: Option<TcpListener>,
    pub http: Option<TcpListener>,
    pub flight: Option<TcpListener>,
    pub postgres: Option<TcpListener>,
}

/// The addresses really bound; the ports file is this as JSON.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Addresses {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_grpc: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_http: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flight: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres: Option<SocketAddr>,
}

impl Listeners {
    pub async fn bind(config: &Config) -> Result<Listeners> {
        let insecure = config.insecure.0;
        let [grpc, otlp, http, flight, postgres] = config.listens();
        Ok(Listeners {
            otlp_grpc: bind(grpc, insecure).await?,
            otlp_http: bind(otlp, insecure).await?,
            http: bind(http, insecure).await?,
            flight: bind(flight, insecure).await?,
            postgres: bind(postgres, insecure).await?,
        })
    }

    pub fn addresses(&self) -> Result<Addresses> {
        let of = |listener: &Option<TcpListener>| {
            listener.as_ref().map(TcpListener::local_addr).transpose()
        };
        Ok(Addresses {
            otlp_grpc: of(&self.otlp_grpc)?,
            otlp_http: of(&self.otlp_http)?,
            http: of(&self.http)?,
            flight: of(&self.flight)?,
            postgres: of(&self.postgres)?,
        })
    }
}

/// Binds one door; `None` when its address is empty.
pub async fn bind(door: (&str, &str), insecure: bool) -> Result<Option<TcpListener>> {
    let (key, listen) = door;
    if listen.is_empty() {
        return Ok(None);
    }
    let resolved = lookup_host(listen).await.with_context(|| {
        format!("{key}: cannot resolve {listen}; write an IP address and a port")
    })?;
    let mut resolved: Vec<SocketAddr> = resolved.collect();
    // `localhost` has two addresses; senders try IPv4 everywhere.
    resolved.sort_by_key(SocketAddr::is_ipv6);
    let address = *resolved
        .first()
        .ok_or_else(|| anyhow!("{key}: {listen} has no address; write an IP address and a port"))?;
    bind_rule(key, address.ip(), insecure).map_err(Invalid::one)?;
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) => Err(anyhow!(refused(key, address, &error))),
    }
}

/// Why a port cannot be had, and what to do.
fn refused(key: &str, address: SocketAddr, error: &std::io::Error) -> String {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            format!(
                "is taken by another program; stop that one, or set {key} to another port (port 0 picks a free one, empty turns the door off)"
            )
        }
        ErrorKind::PermissionDenied => {
            format!("needs rights that this user does not have; set {key} to a port above 1023")
        }
        ErrorKind::AddrNotAvailable => {
            format!("is no address of this machine; set {key} to one that is, like 127.0.0.1")
        }
        _ => format!("cannot be listened on: {error}"),
    };
    format!("{key}: {address} {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a port is bound twice, and a door is turned off.
    /// Guarantees: the second is told which key to change; an empty address binds nothing.
    #[tokio::test]
    async fn a_taken_port_is_told_with_its_key() {
        let first = bind(("http.listen", "127.0.0.1:0"), false).await.unwrap().unwrap();
        let taken = first.local_addr().unwrap().to_string();
        let error = bind(("http.listen", &taken), false).await.unwrap_err().to_string();
        assert!(error.contains(&taken) && error.contains("is taken"), "{error}");
        assert!(error.contains("set http.listen to another port"), "{error}");
        assert!(bind(("http.listen", ""), false).await.unwrap().is_none());
    }

    /// Scenario: an address that other machines reach, with and without insecure.
    /// Guarantees: S1 holds at the socket too, as a configuration error (exit code 2).
    #[tokio::test]
    async fn sec_s1_the_rule_holds_at_the_socket() {
        let error = bind(("http.listen", "0.0.0.0:0"), false).await.unwrap_err();
        assert!(error.is::<Invalid>(), "{error}");
        assert!(bind(("http.listen", "0.0.0.0:0"), true).await.unwrap().is_some());
        assert!(bind(("http.listen", "localhost:0"), false).await.unwrap().is_some());
    }
}
