//! Every configuration that we ship is loaded by the daemon itself, and what the
//! manifests say about privileges is held. Whether the manifests fit Kubernetes'
//! schemas, and whether the image starts, is for `deploy/validate.sh`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The daemon's `config` command, in `folder` and with an empty environment.
fn config(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cloudsail"))
        .arg("config")
        .args(arguments)
        .env_clear()
        .current_dir(folder)
        .output()
        .expect("the daemon's binary runs")
}

fn documents(path: &str) -> Vec<Value> {
    let parsed: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&read(path));
    parsed.unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn manifests() -> Vec<(&'static str, Vec<Value>)> {
    ["deploy/kubernetes/daemonset.yaml", "deploy/kubernetes/sidecar-job.yaml"]
        .map(|path| (path, documents(path)))
        .to_vec()
}

/// Every container of a manifest, with its pod.
fn containers(documents: &[Value]) -> Vec<(&Value, &Value)> {
    let mut found = Vec::new();
    for document in documents {
        let pod = &document["spec"]["template"]["spec"];
        for list in ["initContainers", "containers"] {
            found.extend(pod[list].as_array().into_iter().flatten().map(|c| (pod, c)));
        }
    }
    found
}

/// Scenario: every file in `configs/` is validated as its deployment starts it.
/// Guarantees: each is accepted without a warning, and a wrong one is not.
#[test]
fn every_example_configuration_loads() {
    let folder = tempfile::tempdir().unwrap();
    let mut loaded = 0;
    for entry in fs::read_dir(root().join("configs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let mut arguments = vec!["validate", "--config", path.to_str().unwrap()];
        // Those that listen on all addresses are started with --insecure.
        if fs::read_to_string(&path).unwrap().contains("0.0.0.0:") {
            let out = config(folder.path(), &arguments);
            assert_eq!(out.status.code(), Some(2), "{path:?} must not start unasked");
            arguments.extend(["--set", "insecure=true"]);
        }
        let out = config(folder.path(), &arguments);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{path:?}: {said}");
        assert!(!said.to_lowercase().contains("no effect"), "{path:?}: {said}");
        loaded += 1;
    }
    assert!(loaded >= 6, "only {loaded} configurations were found");
    let wrong = folder.path().join("wrong.yaml");
    fs::write(&wrong, "wall:\n  sync: always\n").unwrap();
    let out = config(folder.path(), &["validate", "--config", wrong.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("wal.sync"), "{out:?}");
}

/// Scenario: `configs/default.yaml` against the daemon without any configuration.
/// Guarantees: it changes nothing, and it names every key there is.
#[test]
fn the_default_configuration_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let path = root().join("configs/default.yaml");
    let bare = config(folder.path(), &["show"]);
    let given = config(folder.path(), &["show", "--config", path.to_str().unwrap()]);
    assert!(bare.status.success() && given.status.success(), "{bare:?} {given:?}");
    assert_eq!(String::from_utf8_lossy(&given.stdout), String::from_utf8_lossy(&bare.stdout));

    let schema = config(folder.path(), &["schema"]);
    let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
    let text = read("configs/default.yaml");
    let mut keys = Vec::new();
    leaves(&schema, "", &mut keys);
    assert!(keys.len() > 20, "the schema was not understood");
    for key in keys {
        let name = key.rsplit('.').next().unwrap();
        let section = key.split('.').next().unwrap();
        let said = |line: &str| {
            line.trim().trim_start_matches("# ").starts_with(&format!("{name}:"))
                || line.contains(&format!("{section}.*"))
        };
        assert!(text.lines().any(said), "configs/default.yaml does not name {key}");
    }
}

fn leaves(schema: &Value, key: &str, found: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        return found.push(key.to_owned());
    };
    for (name, below) in properties {
        let path = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        leaves(below, &path, found);
    }
}

/// Scenario: the ConfigMaps against `configs/`.
/// Guarantees: what runs in Kubernetes is the file that is documented and loaded
/// above, word for word.
#[test]
fn manifests_carry_the_example_configurations() {
    let pairs = [
        ("deploy/kubernetes/daemonset.yaml", "configs/daemonset.yaml"),
        ("deploy/kubernetes/sidecar-job.yaml", "configs/sidecar.yaml"),
    ];
    for (manifest, configuration) in pairs {
        let documents = documents(manifest);
        let map = documents.iter().find(|d| d["kind"] == "ConfigMap").expect("a ConfigMap");
        let carried = map["data"]["cloudsail.yaml"].as_str().expect("a configuration");
        assert_eq!(carried, read(configuration), "copy {configuration} into {manifest}");
    }
}

/// Scenario: every container of every manifest.
/// Guarantees: not root (but for the one that hands over the folder), read-only
/// root, no capabilities, no escalation, default seccomp, bounded memory, no
/// service account token, a minute to end, and a network policy beside it.
#[test]
fn sec_s35_s36_s38_pods_drop_what_they_do_not_need() {
    for (path, documents) in manifests() {
        let containers = containers(&documents);
        assert!(containers.len() >= 2, "{path}");
        for (pod, container) in containers {
            let name = format!("{path}: {}", container["name"]);
            let own = &container["securityContext"];
            let setting = |key: &str| match &own[key] {
                Value::Null => pod["securityContext"][key].clone(),
                value => value.clone(),
            };
            if container["name"] == "own-data" {
                assert_eq!(own["capabilities"]["add"], serde_json::json!(["CHOWN"]), "{name}");
            } else {
                assert_eq!(setting("runAsNonRoot"), true, "{name}");
                assert_eq!(setting("runAsUser"), 10001, "{name}");
                assert_eq!(own["capabilities"]["add"], Value::Null, "{name}");
            }
            assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(own["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(own["capabilities"]["drop"], serde_json::json!(["ALL"]), "{name}");
            assert_eq!(setting("seccompProfile")["type"], "RuntimeDefault", "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            assert_eq!(pod["terminationGracePeriodSeconds"], 60, "{name}");
        }
        assert!(documents.iter().any(|d| d["kind"] == "NetworkPolicy"), "{path}");
    }
}

/// Scenario: who listens where, in the manifests, the image and compose.
/// Guarantees: `--insecure` is said wherever OTLP listens beyond loopback and
/// nowhere else, and the HTTP API is published to loopback at most.
#[test]
fn sec_s1_insecure_is_said_aloud_and_only_where_needed() {
    for (path, documents) in manifests() {
        let map = documents.iter().find(|d| d["kind"] == "ConfigMap").expect("a ConfigMap");
        let carried = map["data"]["cloudsail.yaml"].as_str().expect("a configuration");
        for (_, container) in containers(&documents) {
            let Some(arguments) = container["args"].as_array() else { continue };
            let said = arguments.iter().any(|argument| argument == "--insecure");
            assert_eq!(said, carried.contains("0.0.0.0:"), "{path}");
        }
        assert!(carried.contains("127.0.0.1:4320"), "{path}");
    }
    let image = read("deploy/docker/Dockerfile");
    assert!(image.contains("\nUSER 10001:10001\n") && image.contains("\nFROM scratch\n"));
    assert!(image.contains("\"--insecure\"]") && image.contains("\nEXPOSE 4317 4318\n"));
    let compose = &documents("deploy/compose/compose.yaml")[0]["services"]["cloudsail"];
    for port in compose["ports"].as_array().expect("ports") {
        assert!(port.as_str().expect("text").starts_with("127.0.0.1:"), "{port}");
    }
    assert_eq!(compose["read_only"], true);
    assert_eq!(compose["cap_drop"], serde_json::json!(["ALL"]));
}
