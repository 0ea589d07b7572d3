//! HTTP to the outside: only to hosts that the configuration (or a command line)
//! allows, one connection per request, no redirects, answers thrown away.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

/// `host` or `host:port`, lower case; with a port only that one.
#[derive(Clone, Default)]
pub struct Egress {
    allowed: Vec<String>,
    /// Trusted besides the system's.
    roots: Arc<Vec<CertificateDer<'static>>>,
    tls: Arc<OnceLock<Result<TlsConnector, String>>>,
}

/// Why nothing was sent, or nothing came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    Denied(String),
    Sending(String),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failed::Denied(why) | Failed::Sending(why) => f.write_str(why),
        }
    }
}

pub struct Message<'a> {
    pub method: Method,
    pub url: &'a str,
    pub headers: &'a [(&'a str, String)],
    pub body: Bytes,
}

impl Egress {
    pub fn new(allowed: impl IntoIterator<Item = String>) -> Egress {
        let allowed = allowed.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        Egress { allowed, roots: Arc::default(), tls: Arc::default() }
    }

    /// Trusts these certificates, PEM, too.
    pub fn trusting(self, pem: &[u8]) -> Result<Egress, String> {
        let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let roots = read.map_err(|error| format!("is no PEM: {error}"))?;
        let mut store = rustls::RootCertStore::empty();
        let (good, bad) = store.add_parsable_certificates(roots.iter().cloned());
        if good == 0 || bad > 0 {
            return Err(format!("{good} certificates are good and {bad} are none; all must be"));
        }
        Ok(Egress { allowed: self.allowed, roots: Arc::new(roots), tls: Arc::default() })
    }

    /// The parsed URL, if its host is allowed.
    pub fn check(&self, url: &str) -> Result<Url, Failed> {
        let denied = |why: String| Err(Failed::Denied(why));
        let Ok(parsed) = Url::parse(url) else { return denied("it is no URL".into()) };
        if !matches!(parsed.scheme(), "http" | "https") {
            return denied(format!("{} is neither http nor https", parsed.scheme()));
        }
        let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else {
            return denied("it names no host".into());
        };
        let host = host.to_ascii_lowercase();
        let named = format!("{host}:{port}");
        if self.allowed.iter().any(|allowed| *allowed == host || *allowed == named) {
            return Ok(parsed);
        }
        denied(format!("{named} is not among the hosts that may be sent to"))
    }

    /// Sends one message and waits for the status of its answer.
    pub async fn send(
        &self,
        message: &Message<'_>,
        within: Duration,
    ) -> Result<StatusCode, Failed> {
        let url = self.check(message.url)?;
        let sending = async {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let port = url.port_or_known_default().unwrap_or_default();
            let stream = TcpStream::connect((host, port)).await.map_err(|e| e.to_string())?;
            stream.set_nodelay(true).map_err(|e| e.to_string())?;
            if url.scheme() == "http" {
                return exchange(stream, &url, message).await;
            }
            let name = rustls::pki_types::ServerName::try_from(host.to_owned());
            let name = name.map_err(|error| error.to_string())?;
            let connector = self.tls.get_or_init(|| connector(&self.roots)).clone()?;
            let stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
            exchange(stream, &url, message).await
        };
        match tokio::time::timeout(within, sending).await {
            Ok(sent) => sent.map_err(Failed::Sending),
            Err(_) => Err(Failed::Sending(format!("no answer within {} ms", within.as_millis()))),
        }
    }
}

fn connector(own: &[CertificateDer<'static>]) -> Result<TlsConnector, String> {
    let mut roots = rustls::RootCertStore::empty();
    let all = rustls_native_certs::load_native_certs().certs.into_iter().chain(own.iter().cloned());
    let (_, unreadable) = roots.add_parsable_certificates(all);
    if roots.is_empty() {
        return Err(format!(
            "the system has no certificates to trust ({unreadable} unreadable); install ca-certificates"
        ));
    }
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    url: &Url,
    message: &Message<'_>,
) -> Result<StatusCode, String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let authority = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let mut request = Request::builder().method(message.method.clone()).uri(target);
    request = request.header(HOST, authority);
    for (name, value) in message.headers {
        let name = HeaderName::try_from(*name).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
        request = request.header(name, value);
    }
    let request = request.body(Full::new(message.body.clone())).map_err(|e| e.to_string())?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    let answered = tokio::select! {
        answered = &mut answer => answered,
        // A connection that ends with its answer may be seen to end first.
        ended = &mut connection => {
            ended.map_err(text)?;
            answer.await
        }
    };
    answered.map(|answer| answer.status()).map_err(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: URLs of hosts that are allowed, and of others that look like them.
    /// Guarantees: egress is denied unless the host, and its port where one is
    /// named, is allowed.
    #[test]
    fn only_allowed_hosts_are_sent_to() {
        let egress = Egress::new(["Hooks.example.com".into(), "127.0.0.1:9000".into()]);
        for good in
            ["https://hooks.example.com/x?y", "http://HOOKS.example.com", "http://127.0.0.1:9000/a"]
        {
            assert!(egress.check(good).is_ok(), "{good}");
        }
        for bad in [
            "http://127.0.0.1:9001/",
            "http://127.0.0.1/",
            "http://hooks.example.com.evil.example/",
            "http://hooks.example.com@evil.example/",
            "file:///etc/passwd",
            "hooks.example.com",
            "http://169.254.169.254/latest",
        ] {
            assert!(matches!(egress.check(bad), Err(Failed::Denied(_))), "{bad}");
        }
        assert!(Egress::default().check("http://127.0.0.1/").is_err());
    }
}
