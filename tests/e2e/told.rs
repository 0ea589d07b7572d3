//! What a daemon tells the outside: webhooks over https by a CA of one's own, and
//! reports in the stores where documents want them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::daemon::{Daemon, Launch, run};
use crate::experiment::{code, document, now, telemetry_at};
use crate::guards::events;
use crate::otlp::Encoding;

const PATIENCE: Duration = Duration::from_secs(300);
const SECOND: i64 = 1_000_000_000;
const ERRORS: &str = "    - {service: frontend, indicator: error_ratio, max: 5%}\n";

/// A certificate for 127.0.0.1, its key, and the CA that nobody else trusts; made by
/// openssl for a hundred years, secret to nobody.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/fixtures/tls").join(name)
}

/// Takes requests over TLS and answers 204.
async fn secure() -> (String, mpsc::UnboundedReceiver<String>, JoinSet<()>) {
    let chain = CertificateDer::pem_file_iter(fixture("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (sender, told) = mpsc::unbounded_channel();
    let mut listening = JoinSet::new();
    listening.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Who does not trust it hangs up here.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut part = [0; 16 << 10];
            let n = stream.read(&mut part).await.unwrap_or(0);
            let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            drop(stream.write_all(answer).await);
            drop(stream.shutdown().await);
            drop(sender.send(String::from_utf8_lossy(&part[..n]).into_owned()));
        }
    });
    (host, told, listening)
}

/// Opens a run and stops it by hand.
async fn stopped(daemon: &Daemon, run: &str, host: &str) {
    let control = format!("controls: [{{webhook: \"https://{host}/told\", on: [aborted]}}]\n");
    let body = json!({"document": document(ERRORS) + &control, "run_id": run});
    let kind = [("content-type", "application/json")];
    let url = daemon.url("/api/v1/experiments/runs");
    let opened = daemon.client.post(&url, &kind, body.to_string()).await.unwrap();
    assert_eq!(opened.status, 201, "{}", opened.text());
    let aborted = daemon.client.post(&format!("{url}/{run}/abort"), &kind, "{}").await.unwrap();
    assert_eq!(aborted.status, 200, "{}", aborted.text());
}

/// Scenario: a control's webhook is an https server with a certificate of a private
/// CA: without `experiments.ca`, with it, and with a file that is none.
/// Guarantees: who is not trusted is told nothing, which is written down; who is
/// trusted by the configuration is told; a broken file is a usage error that names it.
#[tokio::test(flavor = "multi_thread")]
async fn webhooks_trust_a_ca_of_ones_own() {
    let (host, mut told, _listening) = secure().await;
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set(format!("experiments.egress=[\"{host}\"]"));
    let daemon = launch.start().await;
    stopped(&daemon, "distrusted", &host).await;
    let written = events(&daemon, "distrusted", "webhook", 1).await;
    assert_eq!(written[0][2], false, "{written:?}");
    assert!(written[0][1].as_str().unwrap().contains("certificate"), "{written:?}");
    daemon.stop().await;

    let ca = fixture("ca.pem");
    let daemon = launch.clone().set(format!("experiments.ca={}", ca.display())).start().await;
    stopped(&daemon, "trusted", &host).await;
    let request = timeout(PATIENCE, told.recv()).await.expect("it is told").unwrap();
    assert!(request.starts_with("POST /told HTTP/1.1"), "{request}");
    assert!(events(&daemon, "trusted", "webhook", 1).await[0][2] == true);
    assert!(told.try_recv().is_err(), "and nobody else was");
    daemon.stop().await;

    let none = fixture("server.key");
    let set = format!("experiments.ca={}", none.display());
    let output = run(dir.path(), &["config", "validate", "--set", &set]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("experiments.ca"), "{output:?}");
}

/// Scenario: a run of half an hour ago is judged whose document wants its reports in a
/// folder below an allowed store, whose folder cannot be written at first and then can;
/// a document that names another store.
/// Guarantees: a failed publish is written down and made up for by the next start; all
/// formats land there under run and time of judging, equal to what the daemon answers;
/// what is not allowed is refused before a run is opened.
#[tokio::test(flavor = "multi_thread")]
async fn reports_are_published_where_that_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let shared = dir.path().join("shared");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let launch =
        Launch::new(data).set(format!("experiments.publish=[\"file://{}\"]", shared.display()));
    let daemon = launch.start().await;
    let inject = (now() - 1_500 * SECOND) / (5 * SECOND) * (5 * SECOND);
    for request in telemetry_at(inject) {
        daemon.ack(Encoding::HttpJson, &request).await;
    }
    let wanted = |publish: &str| {
        document(ERRORS).replace("html]}", &format!("html], publish: \"{publish}\"}}"))
    };
    let at = |nanos: i64| {
        let at = std::time::UNIX_EPOCH + Duration::from_nanos(nanos as u64);
        humantime::format_rfc3339_micros(at).to_string()
    };
    let url = daemon.url("/api/v1/experiments/runs");
    let open = |publish: &str| {
        let body = json!({
            "document": wanted(publish), "run_id": "past-1",
            "inject": at(inject), "recover": at(inject + 180 * SECOND),
        });
        let kind = [("content-type", "application/json")];
        let (client, url) = (&daemon.client, &url);
        async move { client.post(url, &kind, body.to_string()).await.unwrap() }
    };
    let refused = open("s3://elsewhere/chaos").await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("experiments.publish"), "{}", refused.text());

    // Where the folder of the reports should be there is a file.
    let folder = shared.join("chaos");
    std::fs::write(&folder, "in the way").unwrap();
    let opened = open(&format!("file://{}/", folder.display())).await;
    assert_eq!(opened.status, 201, "{}", opened.text());
    let failed = events(&daemon, "past-1", "publish", 1).await;
    assert_eq!(failed[0][2], false, "{failed:?}");
    assert!(failed[0][1].as_str().unwrap().contains("after 4 tries"), "{failed:?}");
    daemon.stop().await;

    std::fs::remove_file(&folder).unwrap();
    let daemon = launch.start().await;
    let deadline = Instant::now() + PATIENCE;
    let run_folder = folder.join("default/past-1");
    let published = loop {
        let judgings = std::fs::read_dir(&run_folder).ok();
        let judging = judgings.and_then(|mut all| all.next()).map(|one| one.unwrap().path());
        if let Some(judging) = judging.filter(|path| path.join("report.html").is_file()) {
            break judging;
        }
        assert!(Instant::now() < deadline, "{}", daemon.process.log_text());
        sleep(Duration::from_millis(100)).await;
    };
    let read = |name: &str| std::fs::read_to_string(published.join(name)).unwrap();
    let kept = daemon.url("/api/v1/experiments/runs/past-1/report");
    for (name, format) in [("report.json", "json"), ("report.md", "md"), ("report.xml", "junit")] {
        let answer = daemon.client.get(&format!("{kept}?format={format}")).await.unwrap();
        assert_eq!(read(name), answer.text(), "{name}");
    }
    let report: Value = serde_json::from_str(&read("report.json")).unwrap();
    assert_eq!(report["verdict"], "held");
    let both = events(&daemon, "past-1", "publish", 2).await;
    assert!(both.iter().any(|row| row[2] == true), "{both:?}");
    let verify = published.join("report.json");
    let verify = ["experiment", "verify", verify.to_str().unwrap(), "--server", &daemon.url("")];
    code(&run(dir.path(), &verify).await, 0);
    daemon.stop().await;
}
