//! Storage from outside, in one binary.

#![allow(clippy::unwrap_used, reason = "a test stops where it goes wrong")]

mod compact_merge;
mod compact_node;
mod compact_plan;
mod compact_wide;
mod encode_numbers;
mod encode_parquet;
mod encode_rows;
mod encode_stats;
mod encode_text;
mod faults_disk;
mod faults_store;
mod faults_table;
mod faults_time;
mod faulty;
mod node;
mod outage_acks;
mod outage_cache;
mod outage_catch_up;
mod outage_copies;
mod outage_drain;
mod outage_outbox;
mod outage_recovered;
mod outage_tables;
mod outage_writers;
#[path = "../../../tests/clients/programs.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest of it")]
mod programs;
mod sim;
mod stage_outbox;
mod stage_world;
mod store_answers;
mod store_away;
mod store_local;
mod store_probe;
mod store_remote;
mod store_scripted;
mod table_change;
mod table_commit;
mod table_rewrite;
mod table_verify;
mod table_writers;
mod upkeep;
mod upkeep_tenants;
mod wal_damage;
mod wal_faults;
mod wal_fuzz;
mod wal_log;
mod wal_model;
mod wal_world;
