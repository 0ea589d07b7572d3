//! A daemon whose tables are in a bucket of an S3 server on loopback.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::crash::ledger::Ledger;
use crate::crash::load::Load;
use crate::daemon::{Launch, run};
use crate::expect;
use crate::experiment;
use crate::guards::events;
use crate::otlp::{Encoding, Outcome, Request, Signal, send};
use crate::programs::{self, BUCKET, python, script};
use crate::vertical::{fixtures, now};

/// What moto takes for a secret, and nobody may print.
const SECRET: &str = "hunter2";

fn store() -> String {
    format!("s3://{BUCKET}/production")
}

/// The settings of the server as `--set` arguments, without the secret.
fn settings(server: &programs::Server) -> Vec<String> {
    let options = server.s3_options();
    let options = options.iter().filter(|(key, _)| !key.contains("secret"));
    options.map(|(key, value)| format!("store.options.{key}={value}")).collect()
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(!all.contains(SECRET), "{all}");
    all
}

/// Runs a command against the server, the secret given as an option.
async fn command(dir: &Path, server: &programs::Server, command: &[&str]) -> Output {
    let mut args: Vec<String> = command.iter().map(|arg| (*arg).to_owned()).collect();
    let secret = format!("store.options.aws_secret_access_key={SECRET}");
    for set in settings(server).into_iter().chain([secret]) {
        args.extend(["--set".to_owned(), set]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(dir, &args).await
}

/// A daemon whose tables are on the server, with the secret in its environment.
fn on(server: &programs::Server, dir: &Path) -> Launch {
    let launch = Launch::new(dir).set("flush.max_age=1h").set(format!("store.url={}", store()));
    let launch = settings(server).into_iter().fold(launch, Launch::set);
    launch.env("AWS_SECRET_ACCESS_KEY", SECRET)
}

/// Scenario: a daemon on `s3://` takes rows, flushes, takes more, dies by
/// SIGKILL and comes back; credentials are in its environment. SQL, deltalake,
/// `sql --store`, `verify`, `doctor` and `config show` look at it.
/// Guarantees: D4, S1, C1: the same rows for everybody, each once; S29: the
/// secret is printed by nothing.
#[tokio::test(flavor = "multi_thread")]
async fn inv_c1_a_daemon_on_s3_is_read_by_others() {
    let (Some(server), Some(python)) = (programs::s3().await, python().await) else { return };
    let dir = tempfile::tempdir().unwrap();
    let launch = on(&server, dir.path());
    let (requests, rows) = fixtures();
    let daemon = launch.start().await;
    let (last, first) = requests.split_last().unwrap();
    for request in first {
        daemon.ack(Encoding::HttpProtobuf, request).await;
    }
    daemon.flush().await;
    daemon.ack(Encoding::HttpProtobuf, last).await;
    expect::check(&daemon, &rows).await;
    let acked = expect::dump(&daemon).await;
    assert!(!daemon.process.log_text().contains(SECRET));
    daemon.kill().await;

    let daemon = launch.start().await;
    expect::assert_same(&acked, &expect::dump(&daemon).await, "after SIGKILL");
    daemon.flush().await;
    expect::assert_same(&acked, &expect::dump(&daemon).await, "after the second flush");
    let tenant = format!("{}/default", store());
    let args = [
        &daemon.url("/api/v1/sql"),
        &tenant,
        &server.address,
        "spans=span_id",
        "logs=time_unix_nano,observed_time_unix_nano,span_id",
        "metrics=metric_name,time_unix_nano,value_int,series_id",
        "trace_parts=trace_id,min_time,span_count",
    ];
    eprintln!("{}", script(&python, "python/bucket.py", &args).await);
    let count = daemon.count("spans").await;
    daemon.stop().await;

    let dir = dir.path();
    let asked = ["sql", "--store", &store(), "--format", "csv", "SELECT count(*) AS n FROM spans"];
    let told = command(dir, &server, &asked).await;
    assert_eq!(said(&told).replace("\r\n", "\n"), format!("n\n{count}\n"));
    let told = command(dir, &server, &["verify", "--store", &store()]).await;
    assert!(told.status.success(), "{}", said(&told));
    let url = format!("store.url={}", store());
    let ports = ["otlp.grpc.listen", "otlp.http.listen", "http.listen"];
    let mut doctor = vec!["doctor".to_owned(), "--set".to_owned(), url.clone()];
    doctor.extend(ports.iter().flat_map(|door| ["--set".into(), format!("{door}=127.0.0.1:0")]));
    let doctor: Vec<&str> = doctor.iter().map(String::as_str).collect();
    let told = command(dir, &server, &doctor).await;
    let text = said(&told);
    assert!(told.status.success(), "{text}");
    for step in ["list", "conditional put", "get", "multipart", "delete", "clock"] {
        assert!(text.contains(&format!("ok      store {step}")), "{step}: {text}");
    }
    let told = command(dir, &server, &["config", "show", "--set", &url]).await;
    assert!(said(&told).contains("<redacted>"), "{}", said(&told));
}

/// Scenario: under `ack.level: store` a daemon on S3 dies by SIGKILL while clients
/// send, and its folder with it; another starts with an empty one. Then the server
/// goes away.
/// Guarantees: D1 at this level: what was acked is in the bucket, once. F22, B2:
/// without the bucket nothing is acked, and refusals are the kind that is retried.
#[tokio::test(flavor = "multi_thread")]
async fn inv_d1_an_ack_of_s3_outlives_the_node() {
    let Some(server) = programs::s3().await else { return };
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger = Ledger::new(now().as_nanos() as u64);
    let daemon = on(&server, dir.path()).set("ack.level=store").start().await;
    let load = Load::start(&daemon, &ledger, 1, 1);
    let deadline = Instant::now() + Duration::from_secs(60);
    while ledger.acked() < 200 {
        assert!(Instant::now() < deadline, "{} acked", ledger.acked());
        sleep(Duration::from_millis(50)).await;
    }
    daemon.kill().await;
    load.stop().await;
    drop(dir);

    let daemon = on(&server, other.path()).set("ack.level=store").start().await;
    let stored = ledger.check_rows(&daemon, None).await;
    assert!(stored >= ledger.acked(), "{stored} of {}", ledger.acked());
    drop(server);
    let (request, deadline) = (&fixtures().0[0], Instant::now() + Duration::from_secs(60));
    let refused = loop {
        match send(&daemon.client, &daemon.ports, Encoding::HttpProtobuf, request).await {
            Outcome::Refused { status, retry_after: Some(_) } => break status,
            // The first may wait for a commit until its time is up.
            Outcome::Refused { .. } => assert!(Instant::now() < deadline, "no pause is said"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused, 503);
    daemon.kill().await;
}

/// Scenario: two daemons write the same tables in one bucket, under load; one dies
/// by SIGKILL and its folder is adopted, the other goes on. deltalake reads all the
/// while.
/// Guarantees: C1, F28, F42: no read fails, no version and no count falls, and at the
/// end deltalake and the SQL of the one that is left agree on what was acked, each
/// row once.
#[tokio::test(flavor = "multi_thread")]
async fn inv_c1_a_shared_bucket_is_read_at_any_moment() {
    let (Some(server), Some(python)) = (programs::s3().await, python().await) else { return };
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = async |dir: &Path| on(&server, dir).set("flush.max_age=1s").start().await;
    let (lasting, doomed) = tokio::join!(start(here.path()), start(there.path()));
    let ledger = Ledger::new(now().as_nanos() as u64);
    for daemon in [&lasting, &doomed] {
        for request in &fixtures().0 {
            daemon.ack(Encoding::HttpProtobuf, request).await;
        }
        daemon.flush().await;
    }
    let stop = here.path().join("stop");
    let (url, tenant) = (lasting.url("/api/v1/sql"), format!("{}/default", store()));
    let args = [&url, &tenant, &server.address, stop.to_str().unwrap()];
    let reading = script(&python, "python/watch_bucket.py", &args);
    let writing = async {
        let both = [Load::start(&lasting, &ledger, 1, 1), Load::start(&doomed, &ledger, 2, 2)];
        sleep(Duration::from_secs(6)).await;
        doomed.kill().await;
        for load in both {
            load.stop().await;
        }
        let adopt = ["adopt", "cloudsail-data", "--set", &format!("store.url={}", store())];
        let told = command(there.path(), &server, &adopt).await;
        assert!(told.status.success(), "{}", said(&told));
        let load = Load::start(&lasting, &ledger, 3, 3);
        sleep(Duration::from_secs(3)).await;
        load.stop().await;
        lasting.flush().await;
        std::fs::write(&stop, "").unwrap();
    };
    let (read, ()) = tokio::join!(reading, writing);
    eprintln!("{read}");
    for run in 1..=3 {
        ledger.check_rows(&lasting, Some(run)).await;
    }
    assert!(ledger.acked() > 100);
    lasting.stop().await;
    let told = command(here.path(), &server, &["verify", "--store", &store()]).await;
    assert!(told.status.success(), "{}", said(&told));
}

/// Log records with bodies that do not compress, 24 MB in all.
fn bulky() -> Request {
    let mut seed = 7u64;
    let mut letter = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'0' + (seed >> 58) as u8)
    };
    let mut record = |n: u64| {
        let body: String = (0..240_000).map(|_| letter()).collect();
        let body = body.replace('\\', "~");
        let time = now().as_nanos() as u64 + n;
        format!(r#"{{"timeUnixNano":"{time}","body":{{"stringValue":"{body}"}}}}"#)
    };
    let records = (0..100).map(&mut record).collect::<Vec<_>>().join(",");
    let logs = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#);
    Request::from_json(Signal::Logs, &logs)
}

/// Scenario: SIGKILL when all parts of a large file are on the store and the
/// upload is not completed; then a start without.
/// Guarantees: F5: no entry names what is not there, and every acked row is
/// found once, by the daemon and by a reader of the store.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f5_killed_in_the_middle_of_an_upload() {
    let Some(server) = programs::s3().await else { return };
    if !cfg!(debug_assertions) {
        return programs::skip("a release build has no stages to be killed at");
    }
    let dir = tempfile::tempdir().unwrap();
    let launch = on(&server, dir.path());
    let doomed = launch.clone().env("CLOUDSAIL_FAILPOINT", "upload_before_complete");
    let mut daemon = doomed.start().await;
    daemon.ack(Encoding::HttpProtobuf, &bulky()).await;
    let flush = daemon.client.post(&daemon.url("/api/v1/flush"), &[], "").await;
    assert!(flush.is_err(), "{flush:?}");
    let status = daemon.process.wait().await.unwrap();
    assert_eq!(status.signal(), Some(9), "{status}");

    let daemon = launch.start().await;
    let sums = "SELECT count(*), count(DISTINCT body), sum(length(body)) FROM logs";
    let found = daemon.sql(sums).await.rows;
    daemon.flush().await;
    assert_eq!(daemon.sql(sums).await.rows, found);
    daemon.stop().await;
    let ask = ["sql", "--store", &store(), "--format", "csv", sums];
    let told = said(&command(dir.path(), &server, &ask).await).replace("\r\n", "\n");
    assert!(told.ends_with("\n100,100,24000000\n"), "{told}");
    let told = command(dir.path(), &server, &["verify", "--store", &store()]).await;
    assert!(told.status.success(), "{}", said(&told));
}

/// Scenario: `doctor` and `sql --store` look for a bucket that is not there, and
/// for a prefix with nothing below.
/// Guarantees: interfaces.md: exit code 1, the cause and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn fault_f24_a_bucket_that_is_not_there_is_told() {
    let Some(server) = programs::s3().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let sets = ["--set", "store.url=s3://nowhere/x"];
    let told = command(dir.path(), &server, &[&["doctor"], &sets[..]].concat()).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(said(&told).contains("the bucket does not exist: create it"), "{}", said(&told));
    for (store, why) in
        [("s3://nowhere/x", "the bucket does not exist"), (&store(), "there is nothing at")]
    {
        let told = command(dir.path(), &server, &["sql", "--store", store, "SELECT 1"]).await;
        assert_eq!(told.status.code(), Some(1));
        assert!(said(&told).contains(why), "{}", said(&told));
    }
}

/// Scenario: the daemon's tables and the allowed store of reports lie in one bucket of
/// an S3 server; a run of half an hour ago is judged whose document wants its reports
/// published there.
/// Guarantees: every format is an object below run and time of judging, with its media
/// type and equal to what the daemon answers; it is written down where; the secret is
/// printed by nothing (S29).
#[tokio::test(flavor = "multi_thread")]
async fn reports_are_published_to_s3() {
    let (Some(server), Some(python)) = (programs::s3().await, python().await) else { return };
    let dir = tempfile::tempdir().unwrap();
    let chaos = format!("s3://{BUCKET}/chaos");
    let daemon =
        on(&server, dir.path()).set(format!("experiments.publish=[\"{chaos}\"]")).start().await;
    let second = 1_000_000_000;
    let inject = (experiment::now() - 1_500 * second) / (5 * second) * (5 * second);
    for request in experiment::telemetry_at(inject) {
        daemon.ack(Encoding::HttpJson, &request).await;
    }
    let errors = "    - {service: frontend, indicator: error_ratio, max: 5%}\n";
    let publish = format!("html], publish: \"{chaos}/team/\"}}");
    let at = |nanos: i64| {
        let at = std::time::UNIX_EPOCH + Duration::from_nanos(nanos as u64);
        humantime::format_rfc3339_micros(at).to_string()
    };
    let body = json!({
        "document": experiment::document(errors).replace("html]}", &publish), "run_id": "s3-1",
        "inject": at(inject), "recover": at(inject + 180 * second),
    });
    let kind = [("content-type", "application/json")];
    let url = daemon.url("/api/v1/experiments/runs");
    let opened = daemon.client.post(&url, &kind, body.to_string()).await.unwrap();
    assert_eq!(opened.status, 201, "{}", opened.text());
    let published = events(&daemon, "s3-1", "publish", 1).await;
    assert_eq!(published[0][2], true, "{published:?}");
    let told = published[0].iter().filter_map(|one| one.as_str()).collect::<String>();
    let folder = format!("{chaos}/team/default/s3-1/");
    let place = told.split(&folder).nth(1).unwrap_or_else(|| panic!("{folder} in {told}"));
    let folder = format!("chaos/team/default/s3-1/{}", place.split('/').next().unwrap());
    let args = [&server.address, BUCKET, "chaos/"];
    let objects = script(&python, "python/objects.py", &args).await;
    let objects: Vec<Value> =
        objects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let forms = [
        ("report.html", "html", "text/html; charset=utf-8"),
        ("report.json", "json", "application/json"),
        ("report.md", "md", "text/markdown; charset=utf-8"),
        ("report.xml", "junit", "application/xml"),
    ];
    assert_eq!(objects.len(), forms.len(), "{objects:?}");
    for (object, (name, form, media)) in objects.iter().zip(forms) {
        let kept = daemon.client.get(&format!("{url}/s3-1/report?format={form}")).await.unwrap();
        let key = format!("{folder}/{name}");
        assert_eq!(*object, json!({"key": key, "type": media, "text": kept.text()}), "{name}");
    }
    assert!(!daemon.process.log_text().contains(SECRET));
    daemon.stop().await;
}
