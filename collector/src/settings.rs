//! Every number of the receivers. The daemon fills them from its configuration;
//! the names in messages are the keys a user sees there.

use std::time::Duration;

use crate::Error;
use crate::decode::Limits;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest body in bytes, as sent and after decompression. OTLP 1.11
    /// recommends 64 MiB (G9, H13). What the budget can never hold is refused
    /// as too large even below this.
    pub max_request_bytes: u64,
    /// Bytes reserved per body byte until the body is rows: the body itself and
    /// columns that double as they grow.
    pub amplification: u64,
    /// Decompressions and decodes at once; 0 is one per core.
    pub decode_concurrency: usize,
    /// Longest wait for a body that has arrived: SDKs give up after 10 s (G17).
    pub deadline: Duration,
    /// Connections at once, per door.
    pub max_connections: usize,
    /// Connections at once from one address, per door (F36).
    pub max_connections_per_peer: usize,
    /// HTTP/2 streams at once on one connection (G22).
    pub max_concurrent_streams: u32,
    /// Bytes of a request's headers (G22).
    pub max_header_bytes: u32,
    /// From the first byte of a head, or the opening of a connection, to the
    /// end of the head (H20).
    pub header_timeout: Duration,
    /// From the head to the last byte of the body (H20).
    pub body_timeout: Duration,
    /// A connection of the HTTP door without a request. Longer than a minute,
    /// because exporters with a period of 60 s would race the close.
    pub http_idle_timeout: Duration,
    /// A connection of the gRPC door without a call.
    pub grpc_idle_timeout: Duration,
    /// Pings on HTTP/2 connections (G23), and how long their answer may take.
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
    /// Age at which an HTTP/2 or HTTP/1.1 connection is asked to leave, give or
    /// take a tenth, so that load spreads over new replicas (G23).
    pub connection_age: Duration,
    /// How long calls in flight may go on after that; longer than the longest
    /// body and its wait together.
    pub connection_grace: Duration,
    /// The same at shutdown; longer than `deadline`, so that what has arrived
    /// is answered.
    pub drain_timeout: Duration,
    /// Paths before `/v1/…` that the HTTP door accepts beside the bare one,
    /// such as `/otlp`.
    pub http_prefixes: Vec<String>,
    pub cors: Cors,
    pub decode: Limits,
}

/// Which pages may send from a browser (H23). Off while `origins` is empty.
#[derive(Debug, Clone)]
pub struct Cors {
    /// `https://app.example`, `https://*.example`, or `*` alone.
    pub origins: Vec<String>,
    /// Request headers allowed beside content-type, content-encoding and
    /// authorization.
    pub headers: Vec<String>,
    /// Needed by `sendBeacon`; not together with `*`.
    pub credentials: bool,
    pub max_age: Duration,
}

impl Default for Cors {
    fn default() -> Self {
        Cors {
            origins: Vec::new(),
            headers: Vec::new(),
            credentials: false,
            max_age: Duration::from_secs(7200),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_request_bytes: 64 << 20,
            amplification: 4,
            decode_concurrency: 0,
            deadline: Duration::from_secs(8),
            max_connections: 4096,
            max_connections_per_peer: 1024,
            max_concurrent_streams: 256,
            max_header_bytes: 16 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            http_idle_timeout: Duration::from_secs(75),
            grpc_idle_timeout: Duration::from_secs(15 * 60),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            connection_age: Duration::from_secs(30 * 60),
            connection_grace: Duration::from_secs(45),
            drain_timeout: Duration::from_secs(9),
            http_prefixes: Vec::new(),
            cors: Cors::default(),
            decode: Limits::default(),
        }
    }
}

impl Settings {
    /// Refuses what cannot work, naming the key and the remedy.
    pub fn validate(&self) -> Result<(), Error> {
        let fault = |key, problem: &str| Err(Error::Settings { key, problem: problem.into() });
        // A gRPC message tells its length in 32 bits.
        if self.max_request_bytes == 0 || self.max_request_bytes > u64::from(u32::MAX) {
            return fault("limits.max_request_bytes", "set it between 1 byte and 4 GiB");
        }
        if self.amplification == 0 {
            return fault("limits.amplification", "set it to 1 or more");
        }
        if self.max_connections == 0 || self.max_connections_per_peer == 0 {
            return fault("limits.max_connections", "set it to 1 or more");
        }
        if self.max_concurrent_streams == 0 {
            return fault("limits.max_concurrent_streams", "set it to 1 or more");
        }
        if self.max_header_bytes < 1024 {
            return fault("limits.max_header_bytes", "set it to 1024 or more");
        }
        let timeouts = [
            ("otlp.deadline", self.deadline),
            ("otlp.header_timeout", self.header_timeout),
            ("otlp.body_timeout", self.body_timeout),
            ("otlp.http.idle_timeout", self.http_idle_timeout),
            ("otlp.grpc.idle_timeout", self.grpc_idle_timeout),
            ("otlp.keepalive_interval", self.keepalive_interval),
            ("otlp.keepalive_timeout", self.keepalive_timeout),
            ("otlp.connection_age", self.connection_age),
            ("otlp.connection_grace", self.connection_grace),
            ("otlp.drain_timeout", self.drain_timeout),
        ];
        if let Some((key, _)) = timeouts.into_iter().find(|(_, timeout)| timeout.is_zero()) {
            return fault(key, "set it to more than zero");
        }
        for prefix in &self.http_prefixes {
            if !prefix.starts_with('/') || prefix.ends_with('/') {
                return fault("otlp.http.prefixes", "start each with / and end it without one");
            }
        }
        self.cors.validate()
    }
}

impl Cors {
    fn validate(&self) -> Result<(), Error> {
        let fault = |key, problem: String| Err(Error::Settings { key, problem });
        let any = self.origins.iter().any(|origin| origin == "*");
        if any && self.credentials {
            let problem = "`*` cannot go with credentials; name the origins instead";
            return fault("otlp.http.cors.origins", problem.into());
        }
        for origin in self.origins.iter().filter(|origin| *origin != "*") {
            let host = origin.split_once("://").map(|(_, host)| host).unwrap_or_default();
            let host = host.strip_prefix("*.").unwrap_or(host);
            if host.is_empty() || host.contains(['/', '*']) {
                let problem =
                    format!("write scheme://host[:port] or scheme://*.host, not {origin:?}");
                return fault("otlp.http.cors.origins", problem);
            }
        }
        for name in &self.headers {
            if ::http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return fault("otlp.http.cors.headers", format!("{name:?} is not a header name"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.validate().unwrap_err().to_string()
    }

    /// Scenario: numbers and origins that cannot work are configured.
    /// Guarantees: H23 (`*` with credentials), and each error names its key.
    #[test]
    fn otlp_h23_settings_that_cannot_work_are_refused_by_name() {
        assert!(Settings::default().validate().is_ok());
        assert!(fault(|s| s.amplification = 0).contains("limits.amplification"));
        assert!(fault(|s| s.max_request_bytes = 1 << 33).contains("limits.max_request_bytes"));
        assert!(fault(|s| s.deadline = Duration::ZERO).contains("otlp.deadline"));
        assert!(fault(|s| s.http_prefixes = vec!["otlp/".into()]).contains("otlp.http.prefixes"));
        let any = fault(|s| {
            s.cors.origins = vec!["*".into()];
            s.cors.credentials = true;
        });
        assert!(any.contains("`*` cannot go with credentials"), "{any}");
        assert!(fault(|s| s.cors.origins = vec!["app.example".into()]).contains("app.example"));
    }
}
