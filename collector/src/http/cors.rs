//! Which pages may send from a browser (H23). Without configured origins there
//! is not a header of it.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::Cors;

const ALWAYS: [HeaderName; 3] =
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::AUTHORIZATION];

#[derive(Debug)]
pub(super) struct Policy {
    origins: Vec<Origin>,
    headers: HeaderValue,
    max_age: HeaderValue,
    credentials: bool,
}

#[derive(Debug)]
enum Origin {
    Any,
    Exact(String),
    /// `https://*.example`: the scheme with its slashes, and `.example`.
    Below(String, String),
}

impl Origin {
    fn new(text: &str) -> Origin {
        match text.split_once("://*.") {
            _ if text == "*" => Origin::Any,
            Some((scheme, host)) => Origin::Below(format!("{scheme}://"), format!(".{host}")),
            None => Origin::Exact(text.to_ascii_lowercase()),
        }
    }

    fn allows(&self, origin: &str) -> bool {
        match self {
            Origin::Any => true,
            Origin::Exact(exact) => exact.eq_ignore_ascii_case(origin),
            Origin::Below(scheme, domain) => origin
                .strip_prefix(scheme.as_str())
                .and_then(|host| host.strip_suffix(domain.as_str()))
                .is_some_and(|label| !label.is_empty() && !label.contains(['/', '@', ':'])),
        }
    }
}

impl Policy {
    pub(super) fn new(cors: &Cors) -> Policy {
        let mut names: Vec<String> = ALWAYS.iter().map(|name| name.as_str().to_owned()).collect();
        names.extend(cors.headers.iter().map(|name| name.to_ascii_lowercase()));
        Policy {
            origins: cors.origins.iter().map(|origin| Origin::new(origin)).collect(),
            // The settings were validated: each is a header name.
            headers: HeaderValue::from_str(&names.join(", "))
                .unwrap_or(HeaderValue::from_static("content-type")),
            max_age: HeaderValue::from(cors.max_age.as_secs()),
            credentials: cors.credentials,
        }
    }

    /// Adds what the page of `head` may know; errors carry it too, or the page
    /// could not read them.
    pub(super) fn mark(&self, head: &Parts, headers: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        let asks = head.method == Method::OPTIONS
            && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let vary = if asks {
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
        } else {
            "Origin"
        };
        headers.insert(header::VARY, HeaderValue::from_static(vary));
        let Some(origin) = head.headers.get(header::ORIGIN) else { return };
        let allowed = origin
            .to_str()
            .is_ok_and(|origin| self.origins.iter().any(|allowed| allowed.allows(origin)));
        if !allowed {
            return;
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        if asks {
            let post = HeaderValue::from_static("POST");
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, post);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: origins equal, below, and made to look so.
    /// Guarantees: H23, a pattern allows subdomains of its own scheme and host only.
    #[test]
    fn otlp_h23_origins_match_whole() {
        let below = Origin::new("https://*.shop.example");
        assert!(below.allows("https://a.shop.example"));
        assert!(below.allows("https://a.b.shop.example"));
        for not in [
            "https://shop.example",
            "https://.shop.example",
            "https://evilshop.example",
            "http://a.shop.example",
            "https://a.shop.example.evil",
            "https://evil/.shop.example",
            "https://a.shop.example:8443",
            "null",
        ] {
            assert!(!below.allows(not), "{not}");
        }
        let exact = Origin::new("https://app.example:8443");
        assert!(exact.allows("https://app.example:8443"));
        assert!(!exact.allows("https://app.example"));
        assert!(Origin::new("*").allows("null"));
    }
}
