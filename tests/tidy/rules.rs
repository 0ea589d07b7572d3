//! The rules, each a pure function from what it looks at to its complaints.
//! A complaint says where, what is wrong and what to do.

use std::collections::BTreeSet;

use crate::tree::{Package, Source, Test, identifiers, lines_naming};

/// Who may depend on whom (ARCHITECTURE.md, "Walls"). The root may use all.
const ARROWS: &[(&str, &[&str])] = &[
    ("cloudsail-schema", &[]),
    ("cloudsail-collector", &["cloudsail-schema"]),
    ("cloudsail-storage", &["cloudsail-schema"]),
    ("cloudsail-query", &["cloudsail-schema", "cloudsail-storage"]),
    // It asks the engine by SQL through a seam of its own, and needs no more of it.
    ("cloudsail-experiments", &["cloudsail-schema"]),
];

/// Foreign crates that one room keeps to itself, by the names of their packages.
const KEPT: &[(&str, &[&str])] = &[
    ("deltalake", &["cloudsail-storage"]),
    ("deltalake-core", &["cloudsail-storage"]),
    ("parquet", &["cloudsail-storage", "cloudsail-query"]),
    ("object_store", &["cloudsail-storage", "cloudsail-query"]),
    ("datafusion", &["cloudsail-query"]),
    ("datafusion-datasource", &["cloudsail-query"]),
    ("datafusion-pg-catalog", &["cloudsail-query"]),
    ("arrow-pg", &["cloudsail-query"]),
    ("pgwire", &["cloudsail-query"]),
    ("opentelemetry-proto", &["cloudsail-collector"]),
    ("prost", &["cloudsail-collector", "cloudsail-query"]),
    ("tonic", &["cloudsail-collector", "cloudsail-query"]),
    ("arrow-flight", &["cloudsail-query"]),
    ("tonic-health", &["cloudsail-collector"]),
    ("tonic-types", &["cloudsail-collector"]),
    ("axum", &["cloudsail-collector", "cloudsail-query", "cloudsail"]),
    ("hyper", &["cloudsail-collector", "cloudsail-query", "cloudsail"]),
    ("anyhow", &["cloudsail"]),
    ("clap", &["cloudsail"]),
    ("clap_complete", &["cloudsail"]),
    ("indicatif", &["cloudsail"]),
    ("rustyline", &["cloudsail"]),
    ("serde-saphyr", &["cloudsail", "cloudsail-experiments"]),
];

/// Words that product code may say only under these paths.
const SAID: &[(&str, &[&str])] = &[
    ("deltalake", &["storage/src/table/delta"]),
    ("deltalake_core", &["storage/src/table/delta"]),
    ("datafusion", &["query/"]),
    ("datafusion_datasource", &["query/"]),
    ("pgwire", &["query/src/doors/postgres", "query/src/catalog"]),
    ("opentelemetry_proto", &["collector/"]),
    ("prost", &["collector/", "query/src/doors/flight/"]),
    ("tonic", &["collector/", "query/src/doors/flight/"]),
    ("clap", &["src/"]),
    ("anyhow", &["src/"]),
    ("serde_saphyr", &["src/", "experiments/src/document/"]),
    ("ArrowWriter", &["storage/"]),
    ("AsyncArrowWriter", &["storage/"]),
    ("SerializedFileWriter", &["storage/"]),
];

/// Names that say nothing (style.md); `common` too, but for the columns that
/// all tables have in common.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "manager", "impl", "common"];
const NAMED_ALL_THE_SAME: (&str, &str) = ("schema/src/tables/", "common");

/// The longest file (style.md), tests and docs included.
pub const LONGEST: usize = 500;

/// OTLP contract numbers without a test, and why.
const CONTRACT_WITHOUT_TEST: &[(&str, &str)] = &[
    ("g19", "authentication has an issue of its own"),
    ("h16", "quotas per tenant come with tenants"),
    ("h18", "authentication has an issue of its own"),
];

/// Invariants without a test, and why.
const INVARIANTS_WITHOUT_TEST: &[(&str, &str)] = &[];

pub fn arrows(packages: &[Package]) -> Vec<String> {
    let ours: BTreeSet<&str> = packages.iter().map(|p| p.name.as_str()).collect();
    let mut complaints = Vec::new();
    for package in packages.iter().filter(|p| p.name != "cloudsail") {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            complaints.push(format!(
                "{}: a new crate; say in ARROWS of tests/tidy/rules.rs and in ARCHITECTURE.md whom it may know",
                package.name
            ));
            continue;
        };
        for (name, _) in &package.dependencies {
            if ours.contains(name.as_str()) && !allowed.contains(&name.as_str()) {
                complaints.push(format!(
                    "{}: must not depend on {name}; move what is shared to schema, or wire it in the root",
                    package.name
                ));
            }
        }
    }
    complaints
}

/// Development dependencies are free: a test may speak a protocol as its
/// clients do.
pub fn kept_crates(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages {
        for (name, kind) in &package.dependencies {
            let kept = KEPT.iter().find(|(foreign, _)| foreign == name);
            if let Some((_, rooms)) = kept
                && kind != "dev"
                && !rooms.contains(&package.name.as_str())
            {
                complaints.push(format!(
                    "{}: {name} belongs to {}; ask that room for what you need of it",
                    package.name,
                    rooms.join(", ")
                ));
            }
        }
    }
    complaints
}

pub fn kept_words(source: &Source) -> Vec<String> {
    if source.is_test() {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (word, rooms) in SAID {
        if rooms.iter().any(|room| source.path.starts_with(room)) {
            continue;
        }
        for line in lines_naming(source.product(), word) {
            complaints.push(format!(
                "{}:{line}: `{word}` is named only under {}; put the call behind that door",
                source.path,
                rooms.join(", ")
            ));
        }
    }
    complaints
}

/// Versions and features are written once, in the workspace's manifest.
pub fn versions_once(path: &str, manifest: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut section = String::new();
    for (at, line) in manifest.lines().map(str::trim).enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_string();
        } else if section.ends_with("dependencies")
            && section != "workspace.dependencies"
            && line.contains('=')
            && !line.starts_with('#')
            && !line.contains("workspace = true")
        {
            complaints.push(format!(
                "{path}:{}: write the version in [workspace.dependencies] and `.workspace = true` here",
                at + 1
            ));
        }
    }
    complaints
}

pub fn length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= LONGEST {
        return Vec::new();
    }
    vec![format!(
        "{}: {lines} lines, over {LONGEST}; cut it where the route of the data has a joint",
        source.path
    )]
}

/// Each folder under a `src` has a map: `mod.rs`, `lib.rs` or `main.rs` that
/// starts with `//!`. A folder with nothing but the tests of `foo.rs` needs none.
pub fn maps(sources: &[Source]) -> Vec<String> {
    let folder_of = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_string());
    let in_src = |path: &&Source| path.path.starts_with("src/") || path.path.contains("/src/");
    let folders: BTreeSet<String> =
        sources.iter().filter(in_src).filter_map(|s| folder_of(&s.path)).collect();
    let mut complaints = Vec::new();
    for folder in folders {
        let inside: Vec<&Source> =
            sources.iter().filter(|s| folder_of(&s.path).as_deref() == Some(&folder)).collect();
        let map = inside.iter().find(|s| {
            ["mod.rs", "lib.rs", "main.rs"].contains(&s.path.rsplit('/').next().unwrap_or_default())
        });
        let only_tests = inside.iter().all(|s| s.is_test());
        match map {
            Some(map) if map.text.starts_with("//!") => {}
            Some(map) => complaints.push(format!(
                "{}: starts without `//!`; say what this is, where it stands on the route, which files it has",
                map.path
            )),
            None if only_tests => {}
            None => complaints.push(format!("{folder}: has no mod.rs; give it a map")),
        }
    }
    complaints
}

pub fn names(source: &Source) -> Vec<String> {
    let empty = |part: &str| {
        let stem = part.trim_end_matches(".rs");
        let (folder, kept) = NAMED_ALL_THE_SAME;
        (EMPTY_NAMES.contains(&stem) || stem.ends_with("_v2") || stem.ends_with("_impl"))
            && !(stem == kept && source.path.starts_with(folder))
    };
    let mut complaints = Vec::new();
    for part in source.path.split('/').filter(|part| empty(part)) {
        complaints.push(format!(
            "{}: `{part}` says nothing; name it by what its data goes through there",
            source.path
        ));
    }
    for (at, line) in source.code.lines().enumerate() {
        let words: Vec<&str> = identifiers(line).collect();
        let named =
            words.windows(2).find(|pair| pair[0] == "mod" && empty(pair[1])).map(|pair| pair[1]);
        if let Some(name) = named {
            complaints.push(format!(
                "{}:{}: module `{name}` says nothing; name it by what it holds",
                source.path,
                at + 1
            ));
        }
    }
    complaints
}

/// Nothing half done, and no lint or test silenced without a reason.
pub fn unfinished(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for (at, (code, text)) in source.code.lines().zip(source.text.lines()).enumerate() {
        let mut complain = |what: &str| {
            complaints.push(format!("{}:{}: {what}", source.path, at + 1));
        };
        if code.contains("todo!(") || code.contains("unimplemented!(") {
            complain("a stub; build it, or refuse with an error that says so");
        }
        let comment = text.find("//").map_or("", |start| &text[start..]);
        let marks = ["FIXME", "TODO", "XXX", "HACK"];
        let in_comment = code[text.len() - comment.len()..].trim().is_empty();
        if in_comment && identifiers(comment).any(|word| marks.contains(&word)) {
            complain("a mark for later; do it now or file an issue");
        }
        let attribute = code.trim_start();
        if attribute.starts_with("#[ignore]") {
            complain(
                "ignored without a reason; write #[ignore = \"why, and the command that runs it\"]",
            );
        }
        let silences = ["#[allow(", "#![allow(", "#[expect(", "#![expect("];
        if silences.iter().any(|s| attribute.starts_with(s)) {
            let rest: Vec<&str> = source.code.lines().skip(at).collect();
            let close = rest.iter().position(|line| line.contains(")]")).unwrap_or(0);
            if !rest[..=close].iter().any(|line| line.contains("reason")) {
                complain("a lint silenced without `reason = \"…\"`; say why, or heed it");
            }
        }
    }
    complaints
}

pub fn documented(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for test in source.tests() {
        for mark in ["Scenario:", "Guarantees:"] {
            if !test.docs.contains(mark) {
                complaints.push(format!(
                    "{}:{}: test `{}` has no `{mark}` line; say what happens and what it proves",
                    source.path, test.line, test.name
                ));
            }
        }
    }
    complaints
}

/// `otlp_g7_g12_what` carries g7 and g12.
fn numbers<'a>(name: &'a str, family: &str) -> impl Iterator<Item = &'a str> {
    let rest = name.strip_prefix(family).and_then(|rest| rest.strip_prefix('_')).unwrap_or("");
    rest.split('_').take_while(|part| {
        let (letter, digits) = part.split_at(part.len().min(1));
        letter.chars().all(char::is_alphabetic)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_ascii_digit())
    })
}

fn each_has_a_test(
    family: &str,
    all: &[(char, usize)],
    without: &[(&str, &str)],
    names: &BTreeSet<String>,
    guaranteed: &BTreeSet<String>,
) -> Vec<String> {
    let mut held: BTreeSet<&str> = names.iter().flat_map(|name| numbers(name, family)).collect();
    held.extend(guaranteed.iter().map(String::as_str));
    let mut complaints = Vec::new();
    for number in
        all.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}")))
    {
        let reason = without.iter().find(|(known, _)| *known == number);
        match (held.contains(number.as_str()), reason) {
            (false, None) => complaints.push(format!(
                "{family} {number}: no test is named `{family}_{number}_…`; write one, or list it with a reason in tests/tidy/rules.rs"
            )),
            (true, Some((_, reason))) => complaints.push(format!(
                "{family} {number}: has a test and is still listed without one ({reason}); strike it from the list"
            )),
            _ => {}
        }
    }
    complaints
}

/// Every numbered line of the OTLP contract.
pub fn contract(names: &BTreeSet<String>) -> Vec<String> {
    let all = [('g', 28), ('h', 24), ('j', 15), ('d', 13)];
    each_has_a_test("otlp", &all, CONTRACT_WITHOUT_TEST, names, &BTreeSet::new())
}

/// Every invariant of ARCHITECTURE.md: named by a test, or guaranteed in its doc
/// lines. D and J are letters of the contract too, so there only names count.
pub fn invariants(names: &BTreeSet<String>, tests: &[Test]) -> Vec<String> {
    let mut guaranteed = BTreeSet::new();
    for test in tests {
        let words = test.docs.split("Guarantees:").skip(1).flat_map(identifiers);
        let marks =
            words.filter(|word| word.len() == 2 && word.starts_with(['C', 'S', 'K', 'L', 'B']));
        guaranteed.extend(marks.map(str::to_lowercase));
    }
    let all = [('d', 4), ('c', 4), ('s', 3), ('k', 2), ('l', 1), ('j', 2), ('b', 2)];
    each_has_a_test("inv", &all, INVARIANTS_WITHOUT_TEST, names, &guaranteed)
}

/// A document's relative links lead somewhere, and the tests it quotes exist.
pub fn document(
    path: &str,
    text: &str,
    names: &BTreeSet<String>,
    exists: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut complaints = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let target = if folder.is_empty() { file.into() } else { format!("{folder}/{file}") };
            if !file.is_empty() && !file.contains("://") && !exists(&target) {
                complaints.push(format!("{path}:{}: the link to {link} leads nowhere", at + 1));
            }
        }
        for quoted in line.split('`').skip(1).step_by(2) {
            let is_test = ["otlp_", "inv_", "fault_", "sec_"].iter().any(|family| {
                quoted.starts_with(family)
                    && numbers(quoted, family.trim_end_matches('_')).next().is_some()
            });
            let whole = quoted.chars().all(|c| c.is_alphanumeric() || c == '_');
            if is_test && whole && !names.contains(quoted) {
                complaints.push(format!(
                    "{path}:{}: there is no test `{quoted}`; name one that exists",
                    at + 1
                ));
            }
        }
    }
    complaints
}

/// The faults that are numbered.
const FAULTS: usize = 48;

/// The table of faults has a row for each, which names every test of its number
/// and none that is not there.
pub fn faults(path: &str, text: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut named = BTreeSet::new();
    let mut rows = BTreeSet::new();
    for (at, line) in text.lines().enumerate() {
        let mut complain = |what: String| complaints.push(format!("{path}:{}: {what}", at + 1));
        let Some(number) = line.strip_prefix("| F").and_then(|rest| rest.split(' ').next()) else {
            continue;
        };
        if !rows.insert(number.to_owned()) {
            complain(format!("F{number} has a second row"));
        }
        let quoted = line.split('`').skip(1).step_by(2);
        let quoted: Vec<&str> = quoted.filter(|q| q.starts_with("fault_f")).collect();
        let mut proved = false;
        for test in quoted {
            let open = test.ends_with('…');
            if !open && !tests.contains(test) {
                complain(format!("there is no test `{test}`; name one that exists"));
            }
            // The nearest test of another row may be named, and proves nothing.
            if numbers(test, "fault").any(|n| n == format!("f{number}")) {
                proved |= !open;
                named.insert(test.to_owned());
            }
        }
        if !proved && !line.contains("open") && !line.contains("later") {
            complain(format!("F{number} has no test and is called neither open nor later"));
        }
    }
    for number in (1..=FAULTS).map(|n| n.to_string()).filter(|n| !rows.contains(n)) {
        complaints.push(format!("{path}: F{number} has no row; say how it is injected and proved"));
    }
    let of_a_fault = |test: &&String| numbers(test, "fault").next().is_some();
    for test in tests.iter().filter(of_a_fault).filter(|test| !named.contains(*test)) {
        complaints.push(format!("{path}: does not name `{test}`; put it in its row"));
    }
    complaints
}
