//! What many small commits and joins cost: measured once each, because setting
//! them up takes minutes.
//!
//! ```text
//! cargo bench --bench tables               both
//! cargo bench --bench tables -- commits    ten thousand commits against ten files
//! cargo bench --bench tables -- join       throughput and memory of a join
//! ```
//!
//! Without optimisation (`cargo test --bench tables`) a hundredth of it runs, to
//! see that it still works.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`commits`] | one store of ten thousand commits, joined, and one of ten files |
//! | [`join`] | eight files of all services and times into one |
//! | [`node`] | a storage, and the rows that go into it |
//! | [`load`] | services, resources and attributes, those of the other bench |

#![allow(clippy::print_stdout, reason = "a report is what it is for")]

mod commits;
mod join;
#[path = "../route/load.rs"]
#[allow(dead_code, reason = "the other bench uses the rest of it")]
mod load;
mod node;

use tokio::runtime::Runtime;

/// The daemon's: what it keeps resident is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // What cargo passes to a bench that is to measure.
    let full = args.iter().any(|arg| arg == "--bench");
    let wanted = |name: &str| {
        let names: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
        names.is_empty() || names.iter().any(|arg| *arg == name)
    };
    let runtime = Runtime::new().expect("a runtime");
    if wanted("commits") {
        runtime.block_on(commits::run(if full { 10_000 } else { 100 }));
    }
    if wanted("join") {
        runtime.block_on(join::run(if full { 250_000 } else { 2_500 }));
    }
}
