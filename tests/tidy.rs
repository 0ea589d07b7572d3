//! Holds the walls: what ARCHITECTURE.md and CONTRIBUTING.md say of the tree is
//! read off the tree here, so that it stays true.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `tidy.rs` | each rule over the whole tree, and each rule seen to fail |
//! | `tidy/tree.rs` | the tree: sources, code without comments, tests, manifests |
//! | `tidy/rules.rs` | the rules and their lists of what may know what |

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/tree.rs"]
mod tree;

use std::collections::BTreeSet;

use tree::{Package, Source};

#[track_caller]
fn hold(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{}:\n  {}", complaints.len(), complaints.join("\n  "));
}

/// Runs a rule over every source and holds the sum.
#[track_caller]
fn hold_each(rule: fn(&Source) -> Vec<String>) {
    let sources = tree::sources();
    assert!(sources.len() > 10, "the sources were not found");
    hold(sources.iter().flat_map(rule).collect());
}

/// Scenario: the manifests as they are.
/// Guarantees: crates depend on each other only along the allowed arrows, and
/// each foreign world is in the manifest of the room that keeps its door.
#[test]
fn the_walls_between_crates_stand() {
    let packages = tree::packages();
    assert!(packages.len() >= 5, "cargo metadata lost the workspace");
    hold(rules::arrows(&packages));
    hold(rules::kept_crates(&packages));
}

/// Scenario: product code as it is.
/// Guarantees: Delta, DataFusion, protobuf, clap and Parquet's writers are named
/// only behind their doors.
#[test]
fn foreign_worlds_have_one_door() {
    hold_each(rules::kept_words);
}

/// Scenario: every manifest of the workspace.
/// Guarantees: a version or feature is written once.
#[test]
fn versions_are_written_once() {
    hold(tree::files("Cargo.toml").iter().flat_map(|(p, t)| rules::versions_once(p, t)).collect());
}

/// Scenario: every Rust file.
/// Guarantees: none is over 500 lines, none has an empty name, and each folder
/// under a `src` has its map.
#[test]
fn files_are_short_named_and_mapped() {
    let sources = tree::sources();
    let each = |source| [rules::length(source), rules::names(source)].concat();
    hold([sources.iter().flat_map(each).collect(), rules::maps(&sources)].concat());
}

/// Scenario: every Rust file.
/// Guarantees: no stub, no mark for later, and nothing silenced without a reason.
#[test]
fn nothing_is_left_half_done() {
    hold_each(rules::unfinished);
}

/// Scenario: every test function.
/// Guarantees: it says what happens and what it proves.
#[test]
fn every_test_says_what_it_proves() {
    hold_each(rules::documented);
}

/// Scenario: the names of all functions.
/// Guarantees: each line of the OTLP contract and each invariant has a test
/// that carries its number, or stands in a list with the reason.
#[test]
fn every_promise_has_a_test() {
    let sources = tree::sources();
    let names = tree::all_identifiers(&sources);
    let tests: Vec<_> = sources.iter().flat_map(Source::tests).collect();
    hold([rules::contract(&names), rules::invariants(&names, &tests)].concat());
}

/// Scenario: every Markdown file.
/// Guarantees: its relative links lead somewhere and the tests it names exist.
#[test]
fn documents_point_at_what_exists() {
    let names = tree::all_identifiers(&tree::sources());
    let documents = tree::files(".md");
    assert!(documents.len() > 5, "the documents were not found");
    let exists = |path: &str| tree::root().join(path).exists();
    let complaints = |(p, t): &(String, String)| rules::document(p, t, &names, &exists);
    hold(documents.iter().flat_map(complaints).collect());
}

/// Scenario: the table of faults and the tests of the tree.
/// Guarantees: it names each test of a fault in its row, and none that is not there.
#[test]
fn the_table_of_faults_is_true() {
    let path = "docs/faults.md";
    let text = tree::files(".md").into_iter().find(|(found, _)| found == path);
    let text = text.expect("docs/faults.md is there").1;
    let tests = tree::sources().iter().flat_map(Source::tests).map(|test| test.name).collect();
    hold(rules::faults(path, &text, &tests));
}

fn package(name: &str, dependencies: &[(&str, &str)]) -> Package {
    let own = |(name, kind): &(&str, &str)| (name.to_string(), kind.to_string());
    Package { name: name.into(), dependencies: dependencies.iter().map(own).collect() }
}

fn source(path: &str, text: &str) -> Source {
    Source::new(path, text)
}

/// Scenario: a crate looks across a wall, an unknown crate appears, a foreign
/// crate is taken into another room.
/// Guarantees: each is a complaint, and a test's own dependency is none.
#[test]
fn walls_are_seen_to_be_crossed() {
    let schema = package("cloudsail-schema", &[]);
    let crossing = package("cloudsail-collector", &[("cloudsail-schema", "")]);
    assert!(rules::arrows(&[schema, crossing]).is_empty());
    let packages = [
        package("cloudsail-storage", &[("cloudsail-query", ""), ("bytes", "")]),
        package("cloudsail-query", &[]),
        package("cloudsail-more", &[]),
    ];
    assert_eq!(rules::arrows(&packages).len(), 2);
    let taken = package("cloudsail-query", &[("deltalake-core", ""), ("prost", "dev")]);
    assert_eq!(rules::kept_crates(&[taken]).len(), 1);
}

/// Scenario: product code names a foreign world in code, in a comment, in a
/// string, in a test.
/// Guarantees: only the first is a complaint.
#[test]
fn a_kept_word_is_seen_in_code_only() {
    let said = "use datafusion::prelude;\n// datafusion\nlet x = \"datafusion\";\n\
                #[cfg(test)]\nmod tests {\nuse datafusion::x;\n}\n";
    let complaints = rules::kept_words(&source("storage/src/lib.rs", said));
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].starts_with("storage/src/lib.rs:1:"));
    assert!(rules::kept_words(&source("query/src/lib.rs", said)).is_empty());
    assert!(rules::kept_words(&source("storage/tests/it.rs", said)).is_empty());
    let delta = "use deltalake_core::kernel;";
    assert_eq!(rules::kept_words(&source("storage/src/commit.rs", delta)).len(), 1);
    assert!(rules::kept_words(&source("storage/src/table/delta.rs", delta)).is_empty());
}

/// Scenario: literals and comments of every kind around a word.
/// Guarantees: code stays, line for line, and nothing else does.
#[test]
fn code_is_told_from_comments_and_strings() {
    let text =
        "a /* b /* c */ d */ e // f\n\"g \\\" h\" r#\"i \" j\"# 'k' &'l m '\\'' n \"o\np\" q";
    let code = tree::code_of(text);
    let left: Vec<&str> = tree::identifiers(&code).collect();
    assert_eq!(left, ["a", "e", "l", "m", "n", "q"]);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.lines().count(), text.lines().count());
}

/// Scenario: a version in a crate's manifest, a long file, empty names, a folder
/// without a map, a map without its first line.
/// Guarantees: each is a complaint.
#[test]
fn untidy_files_are_seen() {
    let manifest =
        "[dependencies]\nbytes = \"1\"\nhttp.workspace = true\n[package]\nname = \"x\"\n";
    assert_eq!(rules::versions_once("storage/Cargo.toml", manifest).len(), 1);
    let long = "//\n".repeat(rules::LONGEST + 1);
    assert_eq!(rules::length(&source("src/a.rs", &long)).len(), 1);
    assert!(rules::length(&source("src/a.rs", "//!\n")).is_empty());
    assert_eq!(rules::names(&source("src/utils.rs", "")).len(), 1);
    assert_eq!(rules::names(&source("src/wal_v2/mod.rs", "")).len(), 1);
    assert_eq!(rules::names(&source("src/lib.rs", "pub mod helpers;")).len(), 1);
    assert!(rules::names(&source("src/lib.rs", "pub mod wal;")).is_empty());
    let tree = [
        source("storage/src/lib.rs", "//! Map."),
        source("storage/src/wal/segment.rs", ""),
        source("storage/src/table/mod.rs", "mod delta;"),
        source("storage/src/buffer/tests.rs", ""),
    ];
    assert_eq!(rules::maps(&tree).len(), 2);
}

/// Scenario: a stub, a mark, a silent lint and a silent test.
/// Guarantees: each is a complaint; one with its reason is none.
#[test]
fn half_done_work_is_seen() {
    let bad = "fn a() { todo!() }\n// FIXME later\n#[allow(dead_code)]\n#[ignore]\nfn b() {}\n";
    assert_eq!(rules::unfinished(&source("src/a.rs", bad)).len(), 4);
    let good =
        "#[allow(dead_code, reason = \"why\")]\n#[ignore = \"slow\"]\nlet s = \"todo!()\";\n";
    assert!(rules::unfinished(&source("src/a.rs", good)).is_empty());
}

/// Scenario: a test without its two lines, and one with them.
/// Guarantees: the first is a complaint per missing line.
#[test]
fn a_silent_test_is_seen() {
    let text = "/// Scenario: x.\n#[test]\nfn half() {}\n\n\
                /// Scenario: x.\n/// Guarantees: y.\n#[tokio::test]\nasync fn whole() {}\n";
    let complaints = rules::documented(&source("tests/a.rs", text));
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains("`half`") && complaints[0].contains("Guarantees:"));
}

/// Scenario: no test at all, and one test that carries two numbers.
/// Guarantees: every number is missed but those that are listed or carried; a
/// listed number that has a test after all is a complaint too.
#[test]
fn a_missing_promise_is_seen() {
    let none = rules::contract(&BTreeSet::new()).len();
    assert_eq!(none, 28 + 24 + 15 + 13 - 3);
    let names = BTreeSet::from(["otlp_g7_g12_bad_bytes".to_string()]);
    assert_eq!(rules::contract(&names).len(), none - 2);
    let names = BTreeSet::from(["otlp_g19_no_token".to_string()]);
    assert_eq!(rules::contract(&names).len(), none + 1);
    let none = rules::invariants(&BTreeSet::new(), &[]).len();
    assert_eq!(none, 18);
    let docs = "/// Guarantees: C2, in order; D4 is the contract's.\n#[test]\nfn a() {}\n";
    let tests = source("tests/a.rs", docs).tests();
    assert_eq!(rules::invariants(&BTreeSet::new(), &tests).len(), none - 1);
}

/// Scenario: a document with a dead link and a test that is not there.
/// Guarantees: both are complaints; a link to the web is none.
#[test]
fn a_lying_document_is_seen() {
    let text = "[a](gone.md) [b](https://x.y/z) [c](here.md#part) `inv_d1_gone` `otlp_g7_…`";
    let exists = |path: &str| path == "docs/here.md";
    let complaints = rules::document("docs/a.md", text, &BTreeSet::new(), &exists);
    assert_eq!(complaints.len(), 2, "{complaints:?}");
}

/// Scenario: a table of faults with a test that is not there, one of another
/// row, a row without any, a row twice, rows missing, a test left out.
/// Guarantees: each is a complaint; a row that is open is none.
#[test]
fn a_lying_table_of_faults_is_seen() {
    let mut text: String = (5..=48).map(|n| format!("| F{n} | x | later |\n")).collect();
    text += "| F1 | `fault_f1_there` |\n| F2 | open: `fault_f2_…` |\n";
    let tests = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    let there = tests(&["fault_f1_there", "helper"]);
    assert_eq!(
        rules::faults("f", &format!("{text}| F3 | later |\n| F4 | later |"), &there).len(),
        0
    );
    text += "| F3 | `fault_f3_gone` |\n| F3 | `fault_f1_there` |\n";
    let complaints = rules::faults("f", &text, &tests(&["fault_f1_there", "fault_f9_left_out"]));
    assert_eq!(complaints.len(), 5, "{complaints:?}");
    assert_eq!(rules::faults("f", "| F1 | `helper` |", &there).len(), 1 + 47 + 1);
}
