//! The daemon as a user meets it: the built binary, real ports, real SIGKILL.
//!
//! Every test starts its own `cloudsail serve` in a temporary folder with
//! port 0 on every door and learns the addresses from `--ports-file`.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`daemon`] | starts, kills and stops the binary; its addresses |
//! | [`client`] | HTTP and gRPC as a sender speaks them; SQL over HTTP |
//! | [`otlp`] | requests, encodings, and what an answer means to a sender |
//! | [`expect`] | SQL expressions and what they must give |
//! | `programs` | Python, Node and the servers on them, and what happens without them |
//! | [`remote`] | a daemon on an S3 server |
//! | [`vertical`] | rows by SQL before and after flush, restart and SIGKILL |
//! | [`examples`] | the four example files of the OTLP specification |
//! | [`sdk`] | the Python and JavaScript SDKs as senders |
//! | [`nezha`] | recorded telemetry through `cloudsail replay` |
//! | [`crash`] | SIGKILL at random moments and at every named stage |
//! | [`flight`] | ADBC on the Flight SQL door |
//! | [`attacks`] | hostile statements while telemetry comes in |
//! | [`full`] | a full disk |
//! | [`outage`] | draining a node, adopting a dead one's folder |
//! | [`outsiders`] | deltalake writes, deletes, joins and vacuums beside a daemon |
//! | [`postgres`] | psql, psycopg, node-pg and JDBC by the Postgres door |
//! | [`pressure`] | memory and log at their bounds |
//! | [`readers`] | deltalake and DuckDB read what we wrote |
//! | [`shutdown`] | SIGTERM under load, exit codes, the lock on the folder |
//! | [`usage`] | what telemetry costs, as metered |
//! | [`experiment`] | experiments: lint, judge, verify |
//! | [`completeness`] | what is missing or wrong in what was sent, counted |
//! | [`reach`] | what a fault reaches beside what was declared, on stored rows |
//! | [`alerts`] | alerts of others, and runs that expect them |
//! | [`runs`] | runs over HTTP and by telemetry, across SIGKILL |
//! | [`away`] | runs while the store is away from the start, and of several nodes |
//! | [`guards`] | guards, leases, webhooks, supervised injectors |
//! | [`asked`] | guards that ask by SQL |
//! | [`told`] | what a daemon tells the outside: https webhooks, published reports |
//! | [`chaos_toolkit`] | Chaos Toolkit under a guard |
//! | [`recipes`] | the recipes that we ship, and what they ask for |
//! | [`cli`] | the commands |

#![allow(clippy::unwrap_used, reason = "a test stops where it goes wrong")]

mod client;
mod daemon;
mod expect;
mod otlp;
#[path = "../clients/programs.rs"]
#[allow(dead_code, reason = "the tests of storage use the rest of it")]
mod programs;

mod alerts;
mod asked;
mod attacks;
mod away;
mod chaos_toolkit;
mod cli;
mod completeness;
mod crash;
mod examples;
mod experiment;
mod flight;
mod full;
mod guards;
mod nezha;
mod outage;
mod outsiders;
mod postgres;
mod pressure;
mod reach;
mod readers;
mod recipes;
mod remote;
mod runs;
mod sdk;
mod shutdown;
mod told;
mod usage;
mod vertical;
