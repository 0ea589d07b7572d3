//! What cannot work, said before anything starts. A security setting that this
//! version cannot honour is an error, never ignored; other keys that have no
//! effect yet are a warning.

use std::net::{IpAddr, SocketAddr};

use super::keys::{AckLevel, Config};
use super::layers::{Layers, Origin};
use super::{Invalid, Problem};

/// Warnings, or everything that is wrong.
pub fn check(config: &Config, layers: &Layers) -> Result<Vec<Problem>, Invalid> {
    let mut found = Found { layers, problems: Vec::new(), warnings: Vec::new() };
    for section in ["auth", "tls"] {
        found.set_below(section, |key| Err(format!(
            "{key} is not available in this version; remove it, and keep every listen address on loopback or behind a proxy that does this"
        )));
    }
    found.set_below("self_telemetry", |key| Ok(format!("{key} has no effect in this version")));
    match config.ack.level {
        AckLevel::Local | AckLevel::Store => {}
        AckLevel::Gateway => found
            .problem("ack.level", "ack.level: gateway is not available in this version; use local"),
    }
    for (key, listen) in config.listens() {
        match listen.parse::<SocketAddr>() {
            _ if listen.is_empty() => {}
            Ok(address) => {
                if let Err(message) = bind_rule(key, address.ip(), config.insecure.0) {
                    found.problem(key, &message);
                }
            }
            Err(_) if host_and_port(listen) => {}
            Err(_) => found.problem(
                key,
                &format!("{key}: {listen:?} is not an address; write host:port, like 127.0.0.1:4317 or [::1]:4317"),
            ),
        }
    }
    for (key, listen, feature, built) in [
        ("flight.listen", &config.flight.listen, "flight", cfg!(feature = "flight")),
        ("postgres.listen", &config.postgres.listen, "postgres", cfg!(feature = "postgres")),
    ] {
        if !built && !listen.is_empty() {
            found.problem(key, &format!(
                "{key}: this build has no such door; leave it empty, or build with --features {feature}"
            ));
        }
    }
    if config.otlp.grpc.listen.is_empty()
        && config.otlp.http.listen.is_empty()
        && config.http.listen.is_empty()
    {
        found.problem(
            "otlp.grpc.listen",
            "every door is turned off; give at least one listen address",
        );
    }
    for (key, message) in storage::store::problems(&config.store.url, &config.store.options.texts())
    {
        found.problem(&key, &message);
    }
    for (key, message) in config.experiments.problems(&config.store.options.texts()) {
        found.problem(key, &message);
    }
    let limits = &config.limits;
    if limits.max_request_bytes.0 == 0 {
        found.problem("limits.max_request_bytes", "limits.max_request_bytes must be above zero");
    }
    for (key, most) in [
        ("limits.max_connections", limits.max_connections),
        ("limits.max_connections_per_peer", limits.max_connections_per_peer),
    ] {
        if most.0 == 0 {
            found.problem(key, &format!("{key} must be above zero: nobody could send anything"));
        }
    }
    if config.query.memory.0 >= limits.memory.0 {
        found.problem("query.memory", &format!(
            "query.memory ({}) leaves nothing of limits.memory ({}) for ingest; lower the one or raise the other",
            config.query.memory, limits.memory
        ));
    }
    if limits.resident.0 < config.query.memory.0 {
        found.problem("limits.resident", &format!(
            "limits.resident ({}) is below query.memory ({}): queries would be cancelled before they have their share; raise the one or lower the other",
            limits.resident, config.query.memory
        ));
    }
    if config.compaction.grace.0 <= config.query.timeout.0 {
        found.problem("compaction.grace", &format!(
            "compaction.grace ({}) is not longer than query.timeout ({}): a query could lose its files; raise the one or lower the other",
            config.compaction.grace, config.query.timeout
        ));
    }
    for (key, zero) in [
        ("query.concurrency", config.query.concurrency.0 == 0),
        ("query.user_concurrency", config.query.user_concurrency.0 == 0),
        ("query.max_result_bytes", config.query.max_result_bytes.0 == 0),
        ("query.max_scan_bytes", config.query.max_scan_bytes.0 == 0),
        ("query.max_rows", config.query.max_rows.0 == 0),
        ("query.timeout", config.query.timeout.0.is_zero()),
        ("wal.sync_interval", config.wal.sync_interval.0.is_zero()),
    ] {
        if zero {
            found.problem(key, &format!("{key} must be above zero"));
        }
    }
    let crates = [
        config.storage().validate().map_err(|error| error.to_string()),
        config.collector().validate().map_err(|error| error.to_string()),
        config.query().validate().map_err(|error| error.to_string()),
    ];
    for message in crates.into_iter().filter_map(Result::err) {
        found.problems.push(Problem { message, origin: None });
    }
    if found.problems.is_empty() { Ok(found.warnings) } else { Err(Invalid(found.problems)) }
}

/// S1: without TLS and authentication only loopback, unless told otherwise.
pub fn bind_rule(key: &str, ip: IpAddr, insecure: bool) -> Result<(), String> {
    if insecure || ip.is_loopback() {
        return Ok(());
    }
    Err(format!(
        "{key}: {ip} can be reached from other machines, and this version has neither TLS nor authentication; listen on 127.0.0.1, or say --insecure (insecure: true) if the network itself keeps others out"
    ))
}

/// A name and a port; the name is resolved, and judged, when it is bound.
fn host_and_port(listen: &str) -> bool {
    listen.rsplit_once(':').is_some_and(|(host, port)| {
        let name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        !host.is_empty() && host.chars().all(name) && port.parse::<u16>().is_ok()
    })
}

struct Found<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Found<'_> {
    fn origin(&self, key: &str) -> Option<Origin> {
        self.layers.0.get(key).map(|entry| entry.origin.clone())
    }

    fn problem(&mut self, key: &str, message: &str) {
        self.problems.push(Problem { message: message.into(), origin: self.origin(key) });
    }

    /// Says something of every key set below a section: `Err` is a problem.
    fn set_below(&mut self, section: &str, say: impl Fn(&str) -> Result<String, String>) {
        let prefix = format!("{section}.");
        for (key, entry) in self.layers.0.range(prefix.clone()..) {
            if !key.starts_with(&prefix) {
                break;
            }
            let origin = Some(entry.origin.clone());
            match say(key) {
                Ok(message) => self.warnings.push(Problem { message, origin }),
                Err(message) => self.problems.push(Problem { message, origin }),
            }
        }
    }
}
