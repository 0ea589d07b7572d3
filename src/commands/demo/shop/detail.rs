//! What SDKs and agents add of their own: attributes by OpenTelemetry's conventions.

use serde_json::{Value, json};

use super::window::Instance;

/// Of the convention for durations of HTTP requests, in seconds.
pub const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

pub fn resource((service, version): Instance, shop: u64) -> Value {
    // The same pod as long as the version is.
    let pod = format!("{service}-{}-x7k{shop}p", version.replace('.', ""));
    json!({ "attributes": [
        text("service.name", service),
        text("service.namespace", "shop"),
        text("service.version", version),
        text("service.instance.id", &format!("{service}-{shop}")),
        text("deployment.environment.name", "demo"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.language", "java"),
        text("telemetry.sdk.version", "1.54.0"),
        text("k8s.cluster.name", "demo-1"),
        text("k8s.namespace.name", "shop"),
        text("k8s.deployment.name", service),
        text("k8s.pod.name", &pod),
        text("k8s.node.name", "node-1"),
        text("k8s.container.name", service),
        text("host.name", &pod),
        text("host.arch", "amd64"),
        text("os.type", "linux"),
        text("cloud.region", "local"),
        text("container.runtime.name", "containerd"),
        text("process.command", "/usr/bin/java"),
        text("process.runtime.name", "OpenJDK Runtime Environment"),
        text("process.runtime.version", "21.0.8"),
        number("process.pid", 1),
    ]})
}

/// Of a request that a service answers.
pub fn server(name: &str, failed: bool, thread: i64) -> Value {
    let mut all = answered(name, failed);
    all.extend([
        text("url.path", parts(name).1),
        text("network.protocol.version", "1.1"),
        text("server.address", "shop.demo"),
        number("server.port", 8080),
        text("client.address", "10.4.0.17"),
        text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101"),
        number("thread.id", thread),
        text("thread.name", &format!("http-nio-8080-exec-{thread}")),
    ]);
    Value::Array(all)
}

/// Of a point that measures requests that a service answered.
pub fn measured(name: &str, failed: bool) -> Value {
    Value::Array(answered(name, failed))
}

fn answered(name: &str, failed: bool) -> Vec<Value> {
    let (method, route) = parts(name);
    let mut all = vec![
        text("http.request.method", method),
        text("http.route", route),
        text("url.scheme", "http"),
    ];
    all.extend(outcome(failed));
    all
}

/// Of a request that a service makes.
pub fn client(name: &str, failed: bool, to: &str) -> Value {
    let (method, route) = parts(name);
    let mut all = vec![
        text("http.request.method", method),
        text("url.full", &format!("http://{to}:8080{route}")),
        text("network.protocol.version", "1.1"),
        text("network.peer.address", "10.4.1.9"),
        text("server.address", to),
        number("server.port", 8080),
    ];
    all.extend(outcome(failed));
    Value::Array(all)
}

/// How a request went; one that failed says how.
fn outcome(failed: bool) -> impl Iterator<Item = Value> {
    let status = if failed { 503 } else { 200 };
    let error = failed.then(|| text("error.type", &status.to_string()));
    std::iter::once(number("http.response.status_code", status)).chain(error)
}

/// Of a statement like `SELECT carts`.
pub fn database(name: &str) -> Value {
    let (operation, table) = parts(name);
    json!([
        text("db.system.name", "postgresql"),
        text("db.operation.name", operation),
        text("db.collection.name", table),
        text("db.namespace", "shop"),
        text("db.query.summary", name),
        text("server.address", "postgres"),
        number("server.port", 5432),
        text("network.peer.address", "10.4.2.3"),
    ])
}

/// Of a log record.
pub fn record(service: &str, thread: i64) -> Value {
    json!([
        text("code.function.name", &format!("demo.shop.{service}.Service.handle")),
        text("code.file.path", "Service.java"),
        number("code.line.number", 118),
        number("thread.id", thread),
        text("thread.name", &format!("http-nio-8080-exec-{thread}")),
    ])
}

pub fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: i64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn parts(name: &str) -> (&str, &str) {
    name.split_once(' ').unwrap_or((name, ""))
}
