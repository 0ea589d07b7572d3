//! Paths: `/v1/{signal}` bare or behind a configured prefix, with or without a
//! slash at the end, never a redirect (H1).

use schema::Signal;

pub(super) fn signal(path: &str, prefixes: &[String]) -> Option<Signal> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let bare = prefixes
        .iter()
        .filter_map(|prefix| path.strip_prefix(prefix.as_str()))
        .find(|rest| rest.starts_with("/v1/"))
        .unwrap_or(path);
    let name = bare.strip_prefix("/v1/")?;
    Signal::ALL.into_iter().find(|signal| signal.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: paths that name a signal, and near misses.
    /// Guarantees: H1 and H9.
    #[test]
    fn otlp_h1_paths_name_signals() {
        let prefixes = ["/otlp".to_owned(), "/a/b".to_owned()];
        for path in ["/v1/traces", "/v1/traces/", "/otlp/v1/traces", "/a/b/v1/traces/"] {
            assert_eq!(signal(path, &prefixes), Some(Signal::Traces), "{path}");
        }
        assert_eq!(signal("/v1/metrics", &[]), Some(Signal::Metrics));
        assert_eq!(signal("/v1/logs", &[]), Some(Signal::Logs));
        for path in ["", "/", "/v1", "/v1/", "/v1/traces//", "//v1/traces", "/v1/Traces"] {
            assert_eq!(signal(path, &prefixes), None, "{path}");
        }
        for path in ["/otlp/v1/traces", "/v1/profiles", "/v1development/profiles", "/x/v1/logs"] {
            assert_eq!(signal(path, &[]), None, "{path}");
        }
    }
}
