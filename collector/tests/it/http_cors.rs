//! Which pages may send from a browser (H23).

use http::StatusCode;

use crate::support::http::{JSON, Reply, post, request};
use crate::support::{Server, payload};

const PAGE: (&str, &str) = ("origin", "https://shop.example");
const ASKS: (&str, &str) = ("access-control-request-method", "POST");

fn allowed(reply: &Reply) -> &str {
    reply.header("access-control-allow-origin")
}

/// Scenario: nothing is configured, a page asks and sends.
/// Guarantees: H23 and S17, not a header of CORS is sent.
#[tokio::test]
async fn otlp_h23_cors_is_off_by_default() {
    let server = Server::start().await;
    let asked = request(server.http, "OPTIONS", "/v1/logs", &[PAGE, ASKS], "").await;
    assert_eq!((asked.status, allowed(&asked)), (StatusCode::NO_CONTENT, ""));
    let sent = post(server.http, "/v1/logs", &[PAGE, JSON], payload::JSON_LOG).await;
    assert_eq!((sent.status, allowed(&sent)), (StatusCode::OK, ""));
}

/// Scenario: allowed pages, exact and below a domain, ask, send, and err.
/// Guarantees: H23, preflights are answered in full, and answers good and bad
/// carry the origin.
#[tokio::test]
async fn otlp_h23_allowed_pages_ask_and_send() {
    let server = Server::with(|s| {
        s.cors.origins = vec![PAGE.1.into(), "https://*.team.example".into()];
        s.cors.headers = vec!["X-Tenant".into()];
        s.cors.credentials = true;
    })
    .await;
    for origin in [PAGE, ("origin", "https://a.team.example")] {
        let asked = request(server.http, "OPTIONS", "/v1/logs", &[origin, ASKS], "").await;
        assert_eq!((asked.status, allowed(&asked)), (StatusCode::NO_CONTENT, origin.1));
        assert_eq!(asked.header("access-control-allow-methods"), "POST");
        assert_eq!(asked.header("access-control-max-age"), "7200");
        assert_eq!(asked.header("access-control-allow-credentials"), "true");
        let headers = asked.header("access-control-allow-headers");
        assert_eq!(headers, "content-type, content-encoding, authorization, x-tenant");
        let vary = asked.header("vary");
        assert_eq!(vary, "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
        for (path, body, status) in
            [("/v1/logs", payload::JSON_LOG, 200), ("/v1/logs", "?", 400), ("/v2", "", 404)]
        {
            let sent = post(server.http, path, &[origin, JSON], body).await;
            assert_eq!((sent.status.as_u16(), allowed(&sent)), (status, origin.1));
            assert_eq!(sent.header("vary"), "Origin");
        }
    }
}

/// Scenario: other pages ask and send; a sender without an origin sends.
/// Guarantees: H23, they get no header of CORS but Vary.
#[tokio::test]
async fn otlp_h23_other_pages_get_nothing() {
    let server = Server::with(|s| s.cors.origins = vec![PAGE.1.into()]).await;
    for origin in ["http://shop.example", "https://evil.example", "null"] {
        let origin = ("origin", origin);
        let asked = request(server.http, "OPTIONS", "/v1/logs", &[origin, ASKS], "").await;
        assert_eq!((allowed(&asked), asked.header("access-control-allow-methods")), ("", ""));
        let sent = post(server.http, "/v1/logs", &[origin, JSON], payload::JSON_LOG).await;
        assert_eq!((allowed(&sent), sent.header("vary")), ("", "Origin"));
    }
    let plain = post(server.http, "/v1/logs", &[JSON], payload::JSON_LOG).await;
    assert_eq!((plain.status, allowed(&plain)), (StatusCode::OK, ""));
}
