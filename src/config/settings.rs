//! From what the user wrote to the numbers each crate is run with.

use std::path::PathBuf;
use std::time::Duration;

use schema::tables::experiments;
use schema::{Catalog, ColumnType, Promotion, Scope};
use storage::{
    AckLevel, CacheSettings, CompactionSettings, FlushSettings, RetentionSettings, Settings,
    StageSettings, Sync, WalSettings,
};

use super::keys::{self, Config, PromoteScope, PromoteType, TenantRetention, WalSync};
use super::units::Period;
use crate::bind::Addresses;
use crate::shutdown;

impl Config {
    /// Every door's key and address, whether it is built or not.
    pub fn listens(&self) -> [(&'static str, &str); 5] {
        [
            ("otlp.grpc.listen", &self.otlp.grpc.listen),
            ("otlp.http.listen", &self.otlp.http.listen),
            ("http.listen", &self.http.listen),
            ("flight.listen", &self.flight.listen),
            ("postgres.listen", &self.postgres.listen),
        ]
    }

    /// Fixes the open doors to the addresses that they have.
    pub fn listen_on(&mut self, addresses: &Addresses) {
        let doors = [
            (&mut self.otlp.grpc.listen, addresses.otlp_grpc),
            (&mut self.otlp.http.listen, addresses.otlp_http),
            (&mut self.http.listen, addresses.http),
            (&mut self.flight.listen, addresses.flight),
            (&mut self.postgres.listen, addresses.postgres),
        ];
        for (listen, address) in doors {
            if let Some(address) = address {
                *listen = address.to_string();
            }
        }
    }

    pub fn storage(&self) -> Settings {
        Settings {
            ack: match self.ack.level {
                keys::AckLevel::Store => AckLevel::Store,
                // The check lets no other level through.
                keys::AckLevel::Local | keys::AckLevel::Gateway => AckLevel::Log,
            },
            wal: WalSettings {
                dir: PathBuf::from(&self.wal.dir),
                sync: match self.wal.sync {
                    WalSync::Always => Sync::Always,
                    WalSync::Interval => Sync::Interval(self.wal.sync_interval.0),
                    WalSync::Off => Sync::Off,
                },
                segment_bytes: self.wal.segment_bytes.0,
                max_bytes: self.wal.max_bytes.0,
            },
            stage: StageSettings {
                dir: PathBuf::from(&self.stage.dir),
                max_bytes: self.stage.max_bytes.0,
            },
            cache: CacheSettings {
                dir: PathBuf::from(&self.cache.dir),
                max_bytes: self.cache.max_bytes.0,
            },
            flush: FlushSettings {
                max_age: self.flush.max_age.0,
                max_bytes: self.flush.max_bytes.0,
            },
            compaction: CompactionSettings {
                enabled: self.compaction.enabled.0,
                target_bytes: self.compaction.target_bytes.0,
                grace: self.compaction.grace.0,
                log_retention: self.compaction.log_retention.0,
            },
            retention: self.retention(),
            spill_dir: PathBuf::from(&self.query.spill_dir),
            disk_reserve: self.disk.reserve.0,
        }
    }

    /// A table of revisions is known by its view's name.
    fn retention(&self) -> RetentionSettings {
        let catalog = Catalog::default();
        let said = |limits: [(&str, &Option<Period>); 10]| {
            let stored = |name: &str| {
                let revisions = catalog.revised(name).map(|table| table.name);
                revisions.unwrap_or(name).to_owned()
            };
            let of =
                |(table, keep): (&str, &Option<Period>)| Some((stored(table), keep.as_ref()?.0));
            limits.into_iter().filter_map(of).collect()
        };
        macro_rules! limits {
            ($of:expr) => {{
                let of = $of;
                [
                    ("spans", &of.spans),
                    ("logs", &of.logs),
                    ("metrics", &of.metrics),
                    ("usage_parts", &of.usage_parts),
                    (experiments::EXPERIMENTS, &of.experiments),
                    (experiments::WINDOWS, &of.experiment_windows),
                    (experiments::EVENTS, &of.experiment_events),
                    (experiments::SAMPLES, &of.experiment_samples),
                    (experiments::VERDICTS, &of.experiment_verdicts),
                    (experiments::ALERTS, &of.alert_events),
                ]
            }};
        }
        let own = |(tenant, own): (&String, &TenantRetention)| (tenant.clone(), said(limits!(own)));
        let all = &self.retention;
        RetentionSettings {
            tables: said(limits!(all)),
            tenants: all.tenants.iter().map(own).collect(),
            // The daemon tells which days runs keep.
            waits: true,
        }
    }

    /// Bytes of telemetry that may be in memory on the way in (B1).
    pub fn ingest_memory(&self) -> u64 {
        self.limits.memory.0.saturating_sub(self.query.memory.0)
    }

    pub fn collector(&self) -> collector::Settings {
        collector::Settings {
            max_request_bytes: self.limits.max_request_bytes.0,
            max_connections: whole(self.limits.max_connections.0),
            max_connections_per_peer: whole(self.limits.max_connections_per_peer.0),
            // Within ingest's stage of the shutdown, so that the collector itself
            // closes what is late.
            drain_timeout: shutdown::INGEST - Duration::from_secs(1),
            ..collector::Settings::default()
        }
    }

    pub fn query(&self) -> query::Settings {
        query::Settings {
            memory: whole(self.query.memory.0),
            timeout: self.query.timeout.0,
            max_rows: whole(self.query.max_rows.0),
            max_result_bytes: self.query.max_result_bytes.0,
            max_scan_bytes: self.query.max_scan_bytes.0,
            concurrency: whole(self.query.concurrency.0),
            user_concurrency: whole(self.query.user_concurrency.0),
            resident: self.limits.resident.0,
            // One statement may hold back half of what ingest has.
            pinned: whole(self.ingest_memory() / 2),
            spill_bytes: self.query.spill_max_bytes.0,
            ..query::Settings::under(&self.query.spill_dir)
        }
    }

    pub fn catalog(&self) -> Catalog {
        let promotions: Vec<Promotion> = self
            .promote
            .iter()
            .map(|promote| Promotion {
                scope: match promote.scope {
                    PromoteScope::Resource => Scope::Resource,
                    PromoteScope::Scope => Scope::Scope,
                    PromoteScope::Record => Scope::Record,
                },
                key: promote.key.clone(),
                kind: match promote.kind {
                    PromoteType::Text => ColumnType::Text,
                    PromoteType::Int => ColumnType::Int,
                    PromoteType::Double => ColumnType::Double,
                    PromoteType::Bool => ColumnType::Bool,
                },
                column: promote.key.clone(),
            })
            .collect();
        Catalog::new(&promotions)
    }
}

fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
