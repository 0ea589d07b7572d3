//! Regular expressions by their size. Matching takes time in proportion to the
//! text, but in the worst case also to the compiled pattern; what a short one
//! like `(a{500}){500}` compiles to is bounded by nothing else.

use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::Mutex;
use regex::RegexBuilder;
use schema::ErrorKind;

use crate::Error;

/// Compiled bytes of a class of patterns, the longest text that one of them may
/// be matched with, and how much longer than the lightest it takes. The
/// product of the first two bounds the steps that a match takes at worst.
const CLASSES: [(usize, usize, usize); 3] =
    [(32 << 10, 1 << 20, 1), (256 << 10, 128 << 10, 8), (1 << 20, 32 << 10, 32)];

/// Wildcards of a LIKE pattern. It is compiled to a regular expression as well.
const WILDCARDS: usize = 64;

/// Patterns whose class is remembered.
const KNOWN: usize = 1_024;

/// How heavy a pattern is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Class {
    longest: usize,
    weight: usize,
}

impl Class {
    /// Fails for a pattern that is heavier than all classes.
    pub fn of(pattern: &str, name: &str) -> Result<Class, Error> {
        let Some(class) = class(pattern) else {
            let error = format!("the regular expression given to {name} is too large");
            return Err(
                Error::invalid(error).with_hint("repeat less: x{1000} counts for a thousand x")
            );
        };
        let (_, longest, weight) = CLASSES[class];
        Ok(Class { longest, weight })
    }

    /// What matching a text of this length costs; fails if that is too much.
    pub fn cost(self, text: usize, name: &str) -> Result<usize, Error> {
        let longest = self.longest;
        if text <= longest {
            return Ok(text.saturating_mul(self.weight));
        }
        let error = format!(
            "{name} is to match a text of {text} bytes; {longest} are allowed with this pattern"
        );
        Err(Error::new(ErrorKind::TooLarge, error)
            .with_hint("match the beginning of the text: left(body, 10000) ~ '…'"))
    }
}

/// `None`: heavier than all.
fn class(pattern: &str) -> Option<usize> {
    static CLASSES_OF: LazyLock<Mutex<HashMap<String, Option<usize>>>> =
        LazyLock::new(Mutex::default);
    if let Some(class) = CLASSES_OF.lock().get(pattern) {
        return *class;
    }
    let fits = |size: usize| match RegexBuilder::new(pattern).size_limit(size).build() {
        Ok(_) => true,
        Err(regex::Error::CompiledTooBig(_)) => false,
        // Whoever compiles it says what is wrong with it.
        Err(_) => true,
    };
    let class = CLASSES.iter().position(|(size, _, _)| fits(*size));
    let mut known = CLASSES_OF.lock();
    if known.len() >= KNOWN {
        known.clear();
    }
    known.insert(pattern.to_owned(), class);
    class
}

/// Fails for a LIKE pattern with more wildcards than anyone writes.
pub(super) fn like(pattern: &str) -> Result<(), Error> {
    match pattern.chars().filter(|c| matches!(c, '%' | '_')).count() {
        0..=WILDCARDS => Ok(()),
        n => Err(Error::invalid(format!(
            "a LIKE pattern has {n} wildcards; {WILDCARDS} are allowed"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: patterns that people write, and such as grow when compiled.
    /// Guarantees: S22, the former match long texts, the latter short ones or
    /// none.
    #[test]
    fn sec_s22_patterns_are_weighed() {
        let cost = |pattern: &str, text| Class::of(pattern, "~")?.cost(text, "~");
        for usual in ["error.*timeout", r"^GET /api/v\d+/", "(?i)failed|refused", "[a-f0-9]{32}"] {
            assert_eq!(cost(usual, 1 << 20).ok(), Some(1 << 20), "{usual}");
        }
        assert_eq!(cost("(", 10).ok(), Some(10));
        assert!(cost("(a{500}){200}", 10).is_err());
        assert!(cost(r"\w{200}", 10).is_err());
        assert!(cost("(a|b)*a(a|b){1000}", 10).is_ok());
        assert!(cost("(a|b)*a(a|b){1000}", 1 << 20).is_err());
        assert!(like("%a%b_").is_ok() && like(&"%a".repeat(100)).is_err());
    }
}
