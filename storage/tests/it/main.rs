//! Storage from outside, in one binary.

#![allow(clippy::unwrap_used, reason = "a test stops where it goes wrong")]

mod encode_parquet;
mod encode_rows;
mod encode_stats;
mod faults_disk;
mod faults_store;
mod faults_table;
mod faults_time;
mod faulty;
mod node;
mod sim;
mod stage_outbox;
mod stage_world;
mod store_local;
mod table_change;
mod table_commit;
mod wal_damage;
mod wal_faults;
mod wal_fuzz;
mod wal_log;
mod wal_model;
mod wal_world;
