//! The document's rollbacks, in the words of Chaos Toolkit: HTTP alone, to
//! allowed hosts alone. Nothing else is ever run.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;

use crate::chaos::guards::egress::{Egress, Message};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Plays them in order and says how each went; true when all did.
pub async fn play(rollbacks: Option<&Value>, egress: &Egress) -> bool {
    let mut all = true;
    for step in rollbacks.and_then(Value::as_array).into_iter().flatten() {
        let name = step.get("name").and_then(Value::as_str).unwrap_or("without a name");
        match one(step, egress).await {
            Ok(said) => eprintln!("rollback {name}: {said}"),
            Err(why) => {
                all = false;
                eprintln!("rollback {name} failed: {why}");
            }
        }
    }
    all
}

async fn one(step: &Value, egress: &Egress) -> Result<String, String> {
    let provider = step.get("provider").ok_or("it has no provider")?;
    let text = |key: &str| provider.get(key).and_then(Value::as_str);
    if text("type") != Some("http") {
        return Err("only http providers are run here; let the injector roll back".into());
    }
    let url = text("url").ok_or("it has no url")?;
    let method = text("method").unwrap_or("GET").to_ascii_uppercase();
    let method: Method = method.parse().map_err(|_| format!("{method} is no method"))?;
    let mut headers: Vec<(&str, String)> = Vec::new();
    for (name, value) in provider.get("headers").and_then(Value::as_object).into_iter().flatten() {
        headers.push((name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    let body = match provider.get("arguments") {
        Some(arguments) if method != Method::GET => {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                headers.push(("content-type", "application/json".into()));
            }
            Bytes::from(arguments.to_string())
        }
        _ => Bytes::new(),
    };
    let seconds = provider.get("timeout").and_then(Value::as_f64);
    let within = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(TIMEOUT);
    let message = Message { method, url, headers: &headers, body };
    let status = egress.send(&message, within).await.map_err(|error| error.to_string())?;
    match status.is_success() {
        true => Ok(status.to_string()),
        false => Err(format!("it answered {status}")),
    }
}
