//! Every key there is, typed. The doc comments become the JSON schema's
//! descriptions (`cloudsail config schema`), so they speak to users.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use storage::store::{options, shown};

use super::experiments::Experiments;
use super::units::{Bytes, Count, Percent, Period, Switch, text};

/// Cloudsail's configuration. Every key has a default.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub otlp: Otlp,
    /// HTTP API, /healthz, /readyz and /metrics.
    pub http: Http,
    /// Arrow Flight SQL.
    pub flight: Flight,
    /// Postgres wire protocol.
    pub postgres: Postgres,
    /// Allow listening on other than loopback addresses without TLS and
    /// authentication: whoever reaches the port may write and read everything.
    pub insecure: Switch,
    pub store: Store,
    pub ack: Ack,
    pub wal: Wal,
    pub stage: Stage,
    pub cache: Cache,
    pub disk: Disk,
    pub flush: Flush,
    pub limits: Limits,
    pub query: Query,
    /// Attributes that get a typed column of their own.
    pub promote: Vec<Promote>,
    pub node: Node,
    pub retention: Retention,
    pub compaction: Compaction,
    pub experiments: Experiments,
    /// Authentication (not built yet).
    pub auth: NotBuilt,
    /// TLS (not built yet).
    pub tls: NotBuilt,
    /// Export of the daemon's own telemetry by OTLP (not built yet).
    pub self_telemetry: NotBuilt,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    pub grpc: OtlpGrpc,
    pub http: OtlpHttp,
}

/// A section whose one key is the address of a door: the usual port where the
/// build has the door, and empty where it does not.
macro_rules! door {
    ($name:ident, $port:literal, $doc:literal) => {
        door!($name, $port, $doc, true);
    };
    ($name:ident, $port:literal, $doc:literal, $built:expr) => {
        #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            #[doc = $doc]
            #[serde(deserialize_with = "text")]
            pub listen: String,
        }

        impl Default for $name {
            fn default() -> Self {
                let usual = concat!("127.0.0.1:", $port);
                $name { listen: if $built { usual } else { "" }.into() }
            }
        }
    };
}

door!(
    OtlpGrpc,
    "4317",
    "Address for OTLP/gRPC; port 0 picks a free one, empty turns the door off."
);
door!(
    OtlpHttp,
    "4318",
    "Address for OTLP/HTTP; port 0 picks a free one, empty turns the door off."
);
door!(Http, "4320", "Address for the HTTP API; port 0 picks a free one, empty turns the door off.");
door!(
    Flight,
    "4321",
    "Address for Arrow Flight SQL; port 0 picks a free one, empty turns the door off.",
    cfg!(feature = "flight")
);
door!(
    Postgres,
    "4322",
    "Address for the Postgres wire protocol; empty turns the door off.",
    cfg!(feature = "postgres")
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Where the tables live: file:///path, s3://bucket/prefix,
    /// gs://bucket/prefix, az://container/prefix or memory://. Default: the
    /// folder cloudsail-data/store below the current one.
    #[serde(deserialize_with = "text", serialize_with = "without_secrets")]
    pub url: String,
    /// Options of the object store by object_store's names, like aws_region or
    /// azure_storage_account_name; what they leave open is read from AWS_*,
    /// GOOGLE_* or AZURE_* in the environment.
    pub options: StoreOptions,
}

/// Options of the object store. Some are secrets, so neither `Debug` nor
/// `Serialize` ever shows those (S29).
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StoreOptions(pub BTreeMap<String, OptionText>);

/// One option's value.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct OptionText(#[serde(deserialize_with = "text")] pub String);

impl StoreOptions {
    /// As the store takes them.
    pub fn texts(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect()
    }

    fn shown(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(key, value)| match options::is_secret(key) {
            true => (key.as_str(), options::REDACTED.to_owned()),
            false => (key.as_str(), shown(&value.0)),
        })
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for StoreOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown())
    }
}

fn without_secrets<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(url))
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AckLevel {
    /// Durable in this node's log.
    #[default]
    Local,
    /// Committed to the object store. Senders wait for the commit, a second or
    /// two; while the store is away they are told to come back.
    Store,
    /// Made durable by the next hop (not built yet).
    Gateway,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ack {
    /// What an acknowledgement promises. With `store` the folders wal.dir and
    /// stage.dir are scratch that may be lost at any moment (a tmpfs, say).
    pub level: AckLevel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WalSync {
    /// Before every acknowledgement; one fsync serves many requests.
    Always,
    /// Every wal.sync_interval; a power loss may take what was acked since.
    Interval,
    /// When the operating system likes.
    Off,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wal {
    /// Folder of the write-ahead log; must be on a local disk.
    #[serde(deserialize_with = "text")]
    pub dir: String,
    /// When an acknowledged request is on the disk.
    pub sync: WalSync,
    /// Time between two fsyncs under `sync: interval`.
    pub sync_interval: Period,
    /// Size at which a segment is closed.
    pub segment_bytes: Bytes,
    /// Size of all segments at which requests are refused.
    pub max_bytes: Bytes,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stage {
    /// Folder for Parquet files on their way to the store.
    #[serde(deserialize_with = "text")]
    pub dir: String,
    /// Size of staged files at which staging pauses.
    pub max_bytes: Bytes,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Folder for local copies of recent files of a remote store. Default: the
    /// folder cache beside stage.dir.
    #[serde(deserialize_with = "text")]
    pub dir: String,
    /// Size of all copies; the oldest ones go first, 0 keeps none.
    pub max_bytes: Bytes,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// Share of the volume that is kept free. Short of twice that the cache gives
    /// way, short of one and a half times queries stop spilling, and below it
    /// requests are refused.
    pub reserve: Percent,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Flush {
    /// Age of a table's oldest row in memory at which its rows are written out.
    pub max_age: Period,
    /// Size of a table's rows in memory at which they are written out; no more than a
    /// sixteenth of what ingest may take.
    pub max_bytes: Bytes,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest OTLP request, compressed or not.
    pub max_request_bytes: Bytes,
    /// Memory for telemetry on its way in and for queries together. Default:
    /// a quarter each of what the machine or the container has, at most 512MiB
    /// for telemetry and 1GiB for queries.
    pub memory: Bytes,
    /// Memory that the whole process should have resident at most. Above 70 %
    /// queries begin one by one, above 85 % the largest is cancelled. Default:
    /// limits.memory and as much again, at least 1GiB more, within what the
    /// machine or the container has.
    pub resident: Bytes,
    /// Connections that are open at once, for OTLP over gRPC and over HTTP each.
    pub max_connections: Count,
    /// Of these, from one address.
    pub max_connections_per_peer: Count,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Memory for all queries together. Default: half of limits.memory, where
    /// that is given.
    pub memory: Bytes,
    /// Longest run of a query.
    pub timeout: Period,
    /// Most rows that a query may answer; a longer answer is cut and says so.
    pub max_rows: Count,
    /// Most bytes that a query may answer, as they are in memory; a larger
    /// answer is cut and says so.
    pub max_result_bytes: Bytes,
    /// Most bytes of files that a query may read.
    pub max_scan_bytes: Bytes,
    /// Queries that run at the same time.
    pub concurrency: Count,
    /// Queries of one user that run at the same time, where users are known.
    pub user_concurrency: Count,
    /// Folder for what queries cannot hold in memory. Default: the folder spill
    /// beside stage.dir.
    #[serde(deserialize_with = "text")]
    pub spill_dir: String,
    /// Size of what all queries together put there.
    pub spill_max_bytes: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PromoteScope {
    Resource,
    Scope,
    Record,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PromoteType {
    #[default]
    Text,
    Int,
    Double,
    Bool,
}

/// One promoted attribute.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// Where the attribute is set.
    pub scope: PromoteScope,
    /// Its key; also the name of the column.
    #[serde(deserialize_with = "text")]
    pub key: String,
    /// The column's type; a value of another type stays in the map.
    #[serde(default, rename = "type")]
    pub kind: PromoteType,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Name of this node in every row it receives. Default: the host's name.
    #[serde(deserialize_with = "text")]
    pub id: String,
}

/// Small files are joined into large ones, beside everything else.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Compaction {
    /// Whether this node joins its files unasked.
    pub enabled: Switch,
    /// Size that a joined file should have.
    pub target_bytes: Bytes,
    /// How long a replaced file stays on the store for those who still read it;
    /// longer than query.timeout.
    pub grace: Period,
    /// How long entries of a table's log stay, once a checkpoint stands in for
    /// them, for those who follow it entry by entry.
    pub log_retention: Period,
}

impl Default for Compaction {
    fn default() -> Self {
        Compaction {
            enabled: Switch(true),
            target_bytes: Bytes(256 << 20),
            grace: Period(std::time::Duration::from_secs(600)),
            log_retention: Period(std::time::Duration::from_secs(86_400)),
        }
    }
}

/// How long rows are kept, by the day of their event, at least 1d; without a
/// limit for ever. The index of traces follows the spans.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spans: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Period>,
    /// What the view usage adds up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_parts: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiments: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_windows: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_events: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_samples: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_verdicts: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert_events: Option<Period>,
    /// Limits of single tenants, by name; a table that is not said there has the
    /// limit of all.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<String, TenantRetention>,
}

/// How long one tenant's rows are kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantRetention {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spans: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_parts: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiments: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_windows: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_events: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_samples: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_verdicts: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert_events: Option<Period>,
}

/// A section that is reserved: its keys are known to be coming, and setting
/// one is answered in words instead of being ignored.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NotBuilt(pub BTreeMap<String, serde_json::Value>);

impl Default for Wal {
    fn default() -> Self {
        Wal {
            dir: String::new(),
            sync: WalSync::Always,
            sync_interval: Period(std::time::Duration::from_millis(200)),
            segment_bytes: Bytes(64 << 20),
            max_bytes: Bytes(1 << 30),
        }
    }
}

impl Default for Stage {
    fn default() -> Self {
        Stage { dir: String::new(), max_bytes: Bytes(10 << 30) }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Cache { dir: String::new(), max_bytes: Bytes(4 << 30) }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Disk { reserve: Percent(0.05) }
    }
}

impl Default for Flush {
    fn default() -> Self {
        Flush { max_age: Period(std::time::Duration::from_secs(60)), max_bytes: Bytes(64 << 20) }
    }
}

/// Zero memory stands for "what the machine allows" until the defaults that
/// depend on it are filled in.
impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_request_bytes: Bytes(64 << 20),
            memory: Bytes(0),
            resident: Bytes(0),
            max_connections: Count(4096),
            max_connections_per_peer: Count(1024),
        }
    }
}

impl Default for Query {
    fn default() -> Self {
        Query {
            memory: Bytes(0),
            timeout: Period(std::time::Duration::from_secs(60)),
            max_rows: Count(10_000_000),
            max_result_bytes: Bytes(4 << 30),
            max_scan_bytes: Bytes(256 << 30),
            concurrency: Count(8),
            user_concurrency: Count(6),
            spill_dir: String::new(),
            spill_max_bytes: Bytes(10 << 30),
        }
    }
}
