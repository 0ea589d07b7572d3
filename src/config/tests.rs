//! The layers together, as the daemon loads them.

use std::path::PathBuf;

use super::machine::Machine;
use super::*;

fn machine() -> Machine {
    Machine { hostname: "host-1".into(), memory: 1 << 30, current_dir: PathBuf::from("/work") }
}

struct Given {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Given {
    fn new() -> Given {
        Given { dir: tempfile::tempdir().unwrap(), sources: Sources::default() }
    }

    fn file(mut self, name: &str, text: &str) -> Given {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        self.sources.files.push(path);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Given {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn set(mut self, given: &str) -> Given {
        self.sources.set.push(given.into());
        self
    }

    fn load(&self) -> Result<Loaded, Invalid> {
        load(&self.sources, &machine())
    }

    fn error(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

/// Scenario: nothing is said at all.
/// Guarantees: a configuration that starts, on loopback, with data below the current folder.
#[test]
fn nothing_said_is_a_working_configuration() {
    let loaded = Given::new().load().unwrap();
    let config = loaded.config;
    assert_eq!(config.otlp.grpc.listen, "127.0.0.1:4317");
    assert_eq!(config.http.listen, "127.0.0.1:4320");
    assert_eq!(config.wal.dir, "/work/cloudsail-data/wal");
    assert_eq!(config.store.url, "file:///work/cloudsail-data/store");
    assert_eq!(config.node.id, "host-1");
    assert_eq!(config.limits.memory.to_string(), "512MiB");
    assert_eq!(config.ingest_memory(), 256 << 20);
    assert_eq!(config.limits.resident.to_string(), "1GiB");
    assert!(loaded.warnings.is_empty());
}

/// Scenario: only the memory of queries is given, or only that of both.
/// Guarantees: ingest always keeps its half; nonsense is refused with both keys.
#[test]
fn memory_is_shared_between_ingest_and_queries() {
    let config = Given::new().set("query.memory=700MiB").load().unwrap().config;
    assert_eq!(config.ingest_memory(), 256 << 20);
    let config = Given::new().set("limits.memory=100MiB").load().unwrap().config;
    assert_eq!((config.ingest_memory(), config.query.memory.0), (50 << 20, 50 << 20));
    let message = Given::new().set("limits.memory=100MiB").set("query.memory=100MiB").error();
    assert!(message.contains("leaves nothing of limits.memory"), "{message}");
    let config = Given::new().set("limits.max_connections=9000").load().unwrap().config;
    assert_eq!(config.collector().max_connections, 9000);
    let message = Given::new().set("limits.max_connections_per_peer=0").error();
    assert!(message.contains("limits.max_connections_per_peer must be above zero"), "{message}");
    let message = Given::new().set("limits.resident=100MiB").error();
    assert!(message.contains("limits.resident (100MiB) is below query.memory"), "{message}");
}

/// Scenario: two files, the environment and --set say the same keys.
/// Guarantees: the later layer wins per key, and the rest of the earlier stays.
#[test]
fn later_layers_win_key_by_key() {
    let given = Given::new()
        .file(
            "a.yaml",
            "flush:\n  max_age: 10s\n  max_bytes: 1MiB\nquery: {timeout: 5s, max_rows: 5}\n",
        )
        .file("b.yaml", "flush:\n  max_age: 20s\nquery:\n  concurrency: 3\nwal:\n")
        .env("CLOUDSAIL_QUERY__TIMEOUT", "7s")
        .env("CLOUDSAIL_QUERY__MAX_ROWS", "7")
        .set("query.max_rows=9");
    let loaded = given.load().unwrap();
    let config = &loaded.config;
    assert_eq!(config.flush.max_age.to_string(), "20s");
    assert_eq!(config.flush.max_bytes.to_string(), "1MiB");
    assert_eq!(config.query.timeout.to_string(), "7s");
    assert_eq!((config.query.max_rows.0, config.query.concurrency.0), (9, 3));
    let origin = |key: &str| loaded.layers.0[key].origin.to_string();
    assert!(origin("flush.max_age").ends_with("b.yaml:2"), "{}", origin("flush.max_age"));
    assert_eq!(origin("query.timeout"), "environment variable CLOUDSAIL_QUERY__TIMEOUT");
    assert_eq!(origin("query.max_rows"), "--set");
}

/// Scenario: --config names a folder.
/// Guarantees: its YAML files are merged in order of name; other files are left alone.
#[test]
fn a_folder_is_read_in_order_of_name() {
    let mut given = Given::new()
        .file("20.yml", "node: {id: second}")
        .file("10.yaml", "node: {id: first}\nflush: {max_age: 1s}")
        .file("note.txt", "not: [yaml");
    given.sources.files = vec![given.dir.path().to_owned()];
    let config = given.load().unwrap().config;
    assert_eq!((config.node.id.as_str(), config.flush.max_age.0.as_secs()), ("second", 1));
}

/// Scenario: the environment holds what Kubernetes injects, and other names of ours.
/// Guarantees: only names with `__` are configuration; a mistyped one is told.
#[test]
fn only_names_with_two_underscores_are_configuration() {
    let given = Given::new()
        .env("CLOUDSAIL_PORT", "tcp://10.0.0.1:4317")
        .env("CLOUDSAIL_SERVICE_HOST", "10.0.0.1")
        .env("CLOUDSAIL_LOG", "debug")
        .env("OTEL_SERVICE_NAME", "x");
    assert_eq!(given.load().unwrap().config.node.id, "host-1");
    let message = given.env("CLOUDSAIL_NODE__IDD", "x").error();
    assert!(message.contains("CLOUDSAIL_NODE__IDD") && message.contains("node.id?"), "{message}");
}

/// Scenario: references in a file, and dollar signs in the environment.
/// Guarantees: a variable brings a value, never structure; the environment is literal.
#[test]
fn references_bring_values_never_structure() {
    let given = Given::new()
        .file(
            "a.yaml",
            "node:\n  id: ${env:POD}\nstore:\n  url: s3://b\n  options:\n    aws_region: ${X:-d}$$\n    user_agent: '${env:POD}'\n",
        )
        .env("POD", "p: {q: r}\nwal: {dir: /x}")
        .env("CLOUDSAIL_STORE__OPTIONS__AWS_SESSION_TOKEN", "a${b}$$");
    let config = given.load().unwrap().config;
    assert_eq!(config.node.id, "p: {q: r}\nwal: {dir: /x}");
    let option = |key: &str| config.store.options.0[key].0.as_str();
    assert_eq!((option("aws_region"), option("aws_session_token")), ("d$", "a${b}$$"));
    let message = Given::new().file("a.yaml", "\nnode:\n  id: ${env:POD}").error();
    assert!(
        message.contains("a.yaml:3: node.id: environment variable POD is not set"),
        "{message}"
    );
}

/// Scenario: unknown keys, sections given values, values of the wrong kind.
/// Guarantees: each is told with file, line, key and what to write instead, all at once.
#[test]
fn every_mistake_is_told_with_its_place() {
    let message = Given::new()
        .file("a.yaml", "flush:\n  max_agee: 1s\nwal: 5\nhttpp:\n  listen: ''\n")
        .error();
    assert!(
        message.contains("a.yaml:2: unknown key flush.max_agee; did you mean flush.max_age?"),
        "{message}"
    );
    assert!(message.contains("a.yaml:3: wal is a section"), "{message}");
    assert!(message.contains("did you mean http.listen?"), "{message}");

    let message = Given::new()
        .file(
            "b.yaml",
            "flush: {max_age: 60, max_bytes: 64}\nwal: {sync: sometimes}\nnode: {id: 12}\n",
        )
        .error();
    assert!(message.contains("flush.max_age: 60 has no unit; write 60s"), "{message}");
    assert!(message.contains("flush.max_bytes: 64 has no unit"), "{message}");
    assert!(
        message.contains("wal.sync: unknown variant `sometimes`, expected one of `always`"),
        "{message}"
    );
    assert!(message.contains("b.yaml:3: node.id: 12 is a number"), "{message}");

    assert!(Given::new().file("c.yaml", "wal: {dir: [}").error().contains("c.yaml:1"));
    assert!(Given::new().file("d.yaml", "just text").error().contains("must hold keys"));
    assert!(Given::new().set("wal.dir").error().contains("has no value"));
}

/// Scenario: settings that this version cannot honour.
/// Guarantees: security and durability ones refuse to start; the others are told.
#[test]
fn what_is_not_built_is_said() {
    for (set, said) in [
        ("auth.tokens=x", "auth.tokens is not available"),
        ("tls.cert=/x", "tls.cert is not available"),
        ("ack.level=gateway", "not available"),
        ("store.url=/var/x", "is not a URL"),
        ("store.url=ftp://x", "no store"),
    ] {
        let message = Given::new().set(set).error();
        assert!(message.contains(said), "{set}: {message}");
    }
    let message = Given::new().set("compaction.grace=60s").error();
    assert!(message.contains("query.timeout"), "{message}");
    assert!(Given::new().set("retention.logs=3h").error().contains("at least 1d"));
    let loaded = Given::new().set("retention.spans=30d").set("self_telemetry.x=1").load().unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    let kept = loaded.config.storage().retention.of(&schema::Tenant::default(), "spans");
    assert_eq!(kept, Some(days(30)));
}

fn days(n: u64) -> std::time::Duration {
    std::time::Duration::from_secs(n * 86_400)
}

/// Scenario: limits for all and for single tenants, one with a dot in its name;
/// then limits that cannot be.
/// Guarantees: a tenant's own limit goes before that of all; what cannot be is
/// told by its key.
#[test]
fn a_tenant_has_limits_of_its_own() {
    let given = Given::new().file(
        "a.yaml",
        "retention:\n  spans: 30d\n  usage_parts: 400d\n  experiment_windows: 500d\n  tenants:\n    acme.eu: { spans: 7d }\n",
    );
    let retention =
        given.set("retention.tenants.b.logs=2d").load().unwrap().config.storage().retention;
    let of = |tenant: &str, table| retention.of(&schema::Tenant::new(tenant).unwrap(), table);
    assert_eq!(of("acme.eu", "spans"), Some(days(7)));
    assert_eq!(of("acme.eu", "usage_parts"), Some(days(400)));
    assert_eq!(of("b", "experiment_window_revisions"), Some(days(500)));
    assert_eq!((of("b", "spans"), of("b", "logs")), (Some(days(30)), Some(days(2))));
    assert_eq!(of("default", "logs"), None);
    for (set, said) in [
        ("retention.tenants.a.logs=3h", "retention.tenants.a.logs is below a day"),
        ("retention.tenants._a.logs=3d", "not a tenant name"),
        ("retention.tenants.a.trace_parts=3d", "trace_parts"),
        ("retention.tenants.a.logs=3", "has no unit"),
    ] {
        let message = Given::new().set(set).error();
        assert!(message.contains(said), "{set}: {message}");
    }
}

/// Scenario: stores and options that fit each other and that do not.
/// Guarantees: interfaces.md: what fits is taken, what does not is told with its
/// key, before anything is asked of a store.
#[test]
fn options_fit_their_store() {
    let s3 = || Given::new().set("store.url=s3://bucket/prefix");
    let config = s3().set("store.options.region=eu-west-1").load().unwrap().config;
    assert_eq!(config.store.options.texts()["region"], "eu-west-1");
    assert!(Given::new().set("store.url=gs://b").load().is_ok());
    assert!(Given::new().set("store.url=az://c/p").load().is_ok());
    for (given, said) in [
        (
            s3().set("store.options.aws_regoin=x"),
            "store.options.aws_regoin: is no option of s3://; did you mean aws_region?",
        ),
        (Given::new().set("store.options.aws_region=x"), "file:// takes no options"),
        (s3().set("store.options.region=a").set("store.options.aws_region=b"), "keep one of them"),
        (Given::new().set("store.url=s3://id:hunter2@bucket"), "holds credentials"),
        (Given::new().set("store.url=az://c/p?sig=hunter2"), "azure_storage_sas_key"),
        (Given::new().set("store.url=s3:///prefix"), "names no bucket"),
    ] {
        let message = given.error();
        assert!(message.contains(said), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

/// Scenario: doors are bound to addresses other machines reach.
/// Guarantees: S1, refused with the remedy unless insecure says otherwise.
#[test]
fn sec_s1_only_loopback_unless_insecure() {
    for open in ["0.0.0.0:4317", "[::]:4317", "192.168.1.5:4317", "[::ffff:127.0.0.1]:4317"] {
        let set = format!("otlp.grpc.listen={open}");
        let message = Given::new().set(&set).error();
        assert!(message.contains("--insecure"), "{open}: {message}");
        assert!(Given::new().set(&set).set("insecure=true").load().is_ok());
    }
    for shut in ["127.0.0.1:0", "[::1]:4317", "127.8.8.8:1", "localhost:4317", ""] {
        assert!(Given::new().set(&format!("otlp.grpc.listen={shut}")).load().is_ok(), "{shut}");
    }
    assert!(Given::new().set("http.listen=:4320").error().contains("is not an address"));
}

/// Scenario: attributes are promoted by file and by text.
/// Guarantees: both forms give the column of that type.
#[test]
fn promotions_are_a_list() {
    let yaml =
        "promote:\n- {scope: record, key: order.id}\n- {scope: resource, key: team, type: int}\n";
    for given in [
        Given::new().file("a.yaml", yaml),
        Given::new().set(
            "promote=[{scope: record, key: order.id}, {scope: resource, key: team, type: int}]",
        ),
    ] {
        let catalog = given.load().unwrap().config.catalog();
        let spans = catalog.get("spans").unwrap();
        assert_eq!(spans.promotion(schema::Scope::Record, "order.id").unwrap().column, "order.id");
        let team = spans.promotion(schema::Scope::Resource, "team").unwrap();
        assert_eq!(team.kind, schema::ColumnType::Int);
    }
    assert!(Given::new().set("promote=x").error().contains("a list is meant"));
}

/// Scenario: the effective configuration is shown and loaded again.
/// Guarantees: S29, no secret appears, in `Debug` neither; everything else survives.
#[test]
fn sec_s29_show_redacts_and_reads_back() {
    let given = Given::new()
        .set("store.url=s3://bucket")
        .set("store.options.aws_secret_access_key=hunter2")
        .set("store.options.proxy_url=http://user:hunter2@proxy")
        .set("store.options.aws_region=eu$$1")
        .set("node.id=a: b # c")
        .set("wal.sync=off");
    let loaded = given.load().unwrap();
    let shown = show::show(&loaded, true).unwrap();
    assert!(!shown.contains("hunter2") && shown.contains("<redacted>"), "{shown}");
    assert!(!format!("{:?}", loaded.config).contains("hunter2"));
    assert!(shown.contains("# --set") && shown.contains("# default"), "{shown}");
    let again = Given::new().file("a.yaml", &shown).load().unwrap();
    let unchanged = |loaded: &Loaded| {
        let mut config = loaded.config.clone();
        config.store.options.0.remove("aws_secret_access_key");
        config.store.options.0.remove("proxy_url");
        serde_json::to_value(config).unwrap()
    };
    assert_eq!(unchanged(&again), unchanged(&loaded));
}
