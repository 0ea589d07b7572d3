//! The recipes under `configs/experiments/` and what the guide says: they parse,
//! and what they ask of a daemon is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::daemon::{Launch, run};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Name and text of every recipe.
fn recipes() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(root().join("configs/experiments")).unwrap();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    let mut found: Vec<_> = folder.map(|entry| read(entry.unwrap().path())).collect();
    found.sort();
    found
}

/// What follows each occurrence of `start`, as far as `within` goes.
fn after<'t>(text: &'t str, start: &str, within: fn(char) -> bool) -> Vec<&'t str> {
    let rest = text.split(start).skip(1);
    rest.map(|rest| rest.split(|c| !within(c)).next().unwrap_or_default()).collect()
}

/// Scenario: every recipe is parsed as YAML; the documents among them are linted.
/// Guarantees: none is broken, and ours are refused nothing.
#[tokio::test(flavor = "multi_thread")]
async fn every_recipe_parses() {
    let all = recipes();
    assert!(all.len() >= 6, "{}", all.len());
    let mut ours = 0;
    for (name, text) in &all {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        for document in documents.iter().filter(|d| d["apiVersion"] == "chaos/v1") {
            assert_eq!(document["kind"], "Experiment", "{name}");
            let path = Path::new("configs/experiments").join(name);
            let output = run(&root(), &["experiment", "lint", path.to_str().unwrap()]).await;
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{name}: {told}");
            ours += 1;
        }
    }
    assert_eq!(ours, 2, "twelve lines and the whole vocabulary");
}

/// Scenario: every path that a recipe, the guide or the README names is asked of
/// a daemon in which the run is open; every command is asked for its help.
/// Guarantees: paths are served and commands exist, so that what is written can
/// be followed to the letter.
#[tokio::test(flavor = "multi_thread")]
async fn what_recipes_ask_for_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Launch::new(dir.path()).start().await;
    let guide = ["docs/experiments.md", "README.md"];
    let guide =
        guide.map(|name| (name.to_owned(), std::fs::read_to_string(root().join(name)).unwrap()));
    let all: Vec<(String, String)> = recipes().into_iter().chain(guide).collect();

    let twelve = all.iter().find(|(name, _)| name == "twelve-lines.yaml").unwrap().1.clone();
    let open = daemon.url("/api/v1/experiments/runs?run_id=pay-delay");
    // Until the runs of the last process are read, it is asked for patience.
    let opened = loop {
        let opened = daemon.client.post(&open, &[], twelve.clone()).await.unwrap();
        if opened.status != 503 {
            break opened;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(opened.status, 201, "{}", opened.text());

    let in_path = |c: char| c.is_ascii_alphanumeric() || "/-_{}".contains(c);
    let mut paths = BTreeSet::new();
    for (_, text) in &all {
        for path in after(text, "/api/v1/", in_path) {
            let path = path.replace("{run}", "pay-delay").replace("/r1", "/pay-delay");
            paths.insert(path.trim_end_matches('/').to_owned());
        }
    }
    paths.retain(|path| {
        ["guards", "leases", "alerts", "experiments"].iter().any(|of| path.starts_with(of))
    });
    for known in ["guards/pay-delay", "leases/pay-delay", "alerts/grafana", "experiments/runs"] {
        assert!(paths.contains(known), "{known} is not among {paths:?}");
    }
    for path in paths.iter().filter(|path| !["alerts", "experiments"].contains(&path.as_str())) {
        let answer = daemon.client.get(&daemon.url(&format!("/api/v1/{path}"))).await.unwrap();
        assert_ne!(answer.status, 404, "/api/v1/{path}: {}", answer.text());
    }

    let mut commands = BTreeSet::new();
    for (name, text) in &all {
        for said in after(text, "cloudsail experiment ", |c| c.is_ascii_lowercase()) {
            commands.insert((said.to_owned(), name.clone()));
        }
    }
    commands.retain(|(said, _)| !said.is_empty());
    assert!(commands.len() >= 5, "{commands:?}");
    for (said, name) in &commands {
        let output = run(dir.path(), &["experiment", said, "--help"]).await;
        assert_eq!(output.status.code(), Some(0), "{name} says experiment {said}");
    }
    daemon.stop().await;
}
