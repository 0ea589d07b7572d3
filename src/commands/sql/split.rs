//! Where statements end: at a semicolon outside of quotes and comments.

/// The statements of a text, without their semicolons; empty ones left out.
pub fn statements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let end = end_of(rest);
        let statement = &rest[..end.unwrap_or(rest.len())];
        if says_something(statement) {
            found.push(statement.trim());
        }
        match end {
            Some(end) => rest = &rest[end + 1..],
            None => return found,
        }
    }
}

/// Whether a text ends with a whole statement.
pub fn complete(text: &str) -> bool {
    let mut rest = text;
    while let Some(end) = end_of(rest) {
        rest = &rest[end + 1..];
    }
    !says_something(rest)
}

/// The place of the first semicolon that ends a statement.
fn end_of(text: &str) -> Option<usize> {
    scan(text, |at, c| (c == ';').then_some(at))
}

/// Whether there is anything but blanks and comments.
fn says_something(text: &str) -> bool {
    scan(text, |_, c| (!c.is_whitespace()).then_some(())).is_some()
}

/// Tells every character outside of quotes and comments, and every quote that
/// opens, until `found` has what it looks for.
fn scan<T>(text: &str, mut found: impl FnMut(usize, char) -> Option<T>) -> Option<T> {
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let skipped = match c {
            '\'' | '"' | '`' => {
                if let Some(answer) = found(at, c) {
                    return Some(answer);
                }
                // A doubled quote ends one string and begins the next: the same.
                rest[1..].find(c).map(|end| end + 2)
            }
            '$' if dollars(rest).is_some() => {
                if let Some(answer) = found(at, c) {
                    return Some(answer);
                }
                let quote = dollars(rest).unwrap_or_default();
                rest[quote.len()..].find(quote).map(|end| end + 2 * quote.len())
            }
            '-' if rest.starts_with("--") => rest.find('\n'),
            '/' if rest.starts_with("/*") => rest.find("*/").map(|end| end + 2),
            _ => {
                if let Some(answer) = found(at, c) {
                    return Some(answer);
                }
                Some(c.len_utf8())
            }
        };
        at += skipped?;
    }
    None
}

/// The `$$` or `$tag$` that opens a text here.
fn dollars(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 1;
    let tag = &rest[1..end];
    let named = tag.chars().all(|c| c.is_alphanumeric() || c == '_');
    let number = tag.starts_with(|c: char| c.is_ascii_digit());
    (named && !number).then_some(&rest[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: semicolons at ends, in quotes, in comments, and none at all.
    /// Guarantees: only those between statements part them.
    #[test]
    fn semicolons_part_statements() {
        let text =
            "SELECT ';', \"a;b\" -- no; end\n; /* ; */ ;; SELECT 'it''s;' ;\n SELECT 3 -- end";
        let expected = ["SELECT ';', \"a;b\" -- no; end", "SELECT 'it''s;'", "SELECT 3 -- end"];
        assert_eq!(statements(text), expected);
        let dollars = "SELECT $$;$$, $a$ $$;$a$; SELECT $1, $2; SELECT '$$'";
        let expected = ["SELECT $$;$$, $a$ $$;$a$", "SELECT $1, $2", "SELECT '$$'"];
        assert_eq!(statements(dollars), expected);
        assert!(statements(" ;; -- nothing").is_empty());
    }

    /// Scenario: a line is typed bit by bit.
    /// Guarantees: it is complete only where a semicolon ends it.
    #[test]
    fn a_statement_is_complete_at_its_semicolon() {
        for open in ["SELECT 1", "SELECT $$;", "SELECT ';", "SELECT 1; SELECT", "SELECT /* ;"] {
            assert!(!complete(open), "{open}");
        }
        for done in ["SELECT 1;", "SELECT ';';  ", "SELECT 1; -- done", "", "  "] {
            assert!(complete(done), "{done}");
        }
    }
}
