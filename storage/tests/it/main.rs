//! Storage from outside, in one binary.

mod node;
mod wal_log;
mod wal_world;
