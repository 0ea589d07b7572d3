//! The tree as the rules see it: sources, their code without comments and
//! strings, their tests, and what cargo says of the manifests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Rust file. `code` is `text` with comments and the insides of strings
/// blanked, line for line, so that a rule meets code and nothing else.
pub struct Source {
    pub path: String,
    pub text: String,
    pub code: String,
}

/// A test function and the doc comment above it.
pub struct Test {
    pub line: usize,
    pub name: String,
    pub docs: String,
}

/// A workspace package as `cargo metadata` describes it.
pub struct Package {
    pub name: String,
    /// Name and kind (`""` for a plain one, `dev`, `build`).
    pub dependencies: Vec<(String, String)>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into(), code: code_of(text) }
    }

    /// Tests, benches and fuzz targets may know what the product may not.
    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|part| {
            matches!(part, "tests" | "benches" | "fuzz" | "examples" | "tests.rs" | "build.rs")
        })
    }

    /// The code up to an inline `mod tests`, which by style ends a file.
    pub fn product(&self) -> &str {
        let mut from = 0;
        while let Some(at) = self.code[from..].find("#[cfg(test)]").map(|at| from + at) {
            let item = self.code[at + "#[cfg(test)]".len()..].trim_start();
            let head = item.split_inclusive(['{', ';']).next().unwrap_or_default();
            if head.contains("mod ") && head.ends_with('{') {
                return &self.code[..at];
            }
            from = at + 1;
        }
        &self.code
    }

    pub fn tests(&self) -> Vec<Test> {
        let code: Vec<&str> = self.code.lines().map(str::trim).collect();
        let text: Vec<&str> = self.text.lines().map(str::trim).collect();
        let header = |line: &str| line.starts_with("///") || line.starts_with("#[");
        let mut tests = Vec::new();
        for (at, line) in code.iter().enumerate() {
            if !(line.starts_with("#[test]") || line.starts_with("#[tokio::test")) {
                continue;
            }
            let above = text[..at].iter().rev().take_while(|line| header(line)).count();
            let below = code[at..].iter().take_while(|line| !line.contains("fn ")).count();
            let Some(name) = code.get(at + below).and_then(|line| line.split("fn ").nth(1)) else {
                continue;
            };
            let name = name.split(['(', '<']).next().unwrap_or_default().trim().to_string();
            let docs = text[at - above..at + below].join("\n");
            tests.push(Test { line: at + 1, name, docs });
        }
        tests
    }
}

/// Lines (from 1) where `word` stands as a whole identifier.
pub fn lines_naming<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.lines()
        .enumerate()
        .filter(move |(_, line)| identifiers(line).any(|found| found == word))
        .map(|(at, _)| at + 1)
}

pub fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// Every identifier of every source: the names that a document may quote.
pub fn all_identifiers(sources: &[Source]) -> BTreeSet<String> {
    sources.iter().flat_map(|s| identifiers(&s.code)).map(String::from).collect()
}

/// Blanks comments and the insides of string and character literals.
pub fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut blank = |from: usize, to: usize| {
        for byte in &mut out[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + block_comment(rest)
        } else if rest[0] == b'"' {
            let end = at + string(rest);
            blank(at + 1, end.saturating_sub(1).max(at + 1));
            at = end;
            continue;
        } else if rest[0] == b'r' && !(at > 0 && is_word(bytes[at - 1])) && raw(rest) > 0 {
            at + raw(rest)
        } else if rest[0] == b'\'' && character(rest) > 0 {
            at + character(rest)
        } else {
            at += 1;
            continue;
        };
        blank(at, end);
        at = end;
    }
    // Only whole literals and comments were blanked, so what is left is UTF-8.
    String::from_utf8(out).expect("blanking keeps UTF-8")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Length of a nested block comment.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of a string literal, quotes included.
fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a raw string literal, or 0 when `rest` does not start with one.
fn raw(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let close = [b"\"".as_slice(), "#".repeat(hashes).as_bytes()].concat();
    let body = &rest[2 + hashes..];
    match body.windows(close.len()).position(|window| window == close) {
        Some(at) => 2 + hashes + at + close.len(),
        None => rest.len(),
    }
}

/// Length of a character literal, or 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest[2..].iter().skip(1).position(|b| *b == b'\'').map_or(0, |at| at + 4);
    }
    let text = String::from_utf8_lossy(&rest[1..rest.len().min(6)]).into_owned();
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(one), Some('\'')) => one.len_utf8() + 2,
        _ => 0,
    }
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the project with this ending, as (path from the root, text).
pub fn files(ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(&root(), ending, &mut found);
    found.sort();
    found
}

pub fn sources() -> Vec<Source> {
    files(".rs").iter().map(|(path, text)| Source::new(path, text)).collect()
}

fn walk(folder: &Path, ending: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() {
            let foreign = name.starts_with('.')
                || matches!(&*name, "target" | "node_modules" | "cloudsail-data");
            if !foreign {
                walk(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            let text = fs::read_to_string(&path).expect("a source is UTF-8");
            let relative = path.strip_prefix(root()).expect("it lies under the root");
            found.push((relative.to_string_lossy().replace('\\', "/"), text));
        }
    }
}

pub fn packages() -> Vec<Package> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).expect("it is JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_string();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let package = |package: &serde_json::Value| Package {
        name: text(&package["name"]),
        dependencies: list(&package["dependencies"])
            .iter()
            .map(|dependency| (text(&dependency["name"]), text(&dependency["kind"])))
            .collect(),
    };
    list(&metadata["packages"]).iter().map(package).collect()
}
