//! Queries over PostgreSQL's catalogs in words that only PostgreSQL's planner
//! understands, said in others. Nothing else is touched: a statement that
//! names no catalog runs as it was written, here as on every door. What comes
//! out is judged by the sandbox like any statement.

use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;

use crate::Engine;

/// Said in the place of what no planner here takes. Compared token by token.
const SAID_OTHERWISE: &[(&str, &str)] = &[
    // Grafana: the schemas of the search path, by a set-returning function over
    // its parts.
    (
        "SELECT CASE WHEN trim(s[i]) = '\"$user\"' THEN user ELSE trim(s[i]) END \
         FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), \
         array_upper(string_to_array(current_setting('search_path'),','),1)) as i, \
         string_to_array(current_setting('search_path'),',') s",
        "'public'",
    ),
];

/// The statement that runs in the place of `sql`; `None` for the same.
pub(super) async fn rewritten(engine: &Engine, sql: &str) -> Option<String> {
    let tokens = tokens(sql)?;
    if !tokens.iter().any(names_a_catalog) {
        return None;
    }
    // Parsing and dropping what was parsed recurse.
    engine.aside(move || rewrite(tokens)).await.flatten()
}

fn tokens(sql: &str) -> Option<Vec<Token>> {
    // Strings keep their escapes, so that they can be written down again.
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).with_unescape(false).tokenize().ok()?;
    Some(tokens)
}

fn names_a_catalog(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    let name = word.value.to_ascii_lowercase();
    name.starts_with("pg_") || name.starts_with("reg") || name == "information_schema"
}

fn rewrite(said: Vec<Token>) -> Option<String> {
    static PARSER: LazyLock<PostgresCompatibilityParser> =
        LazyLock::new(PostgresCompatibilityParser::new);
    static PHRASES: LazyLock<Vec<(Vec<Token>, String)>> = LazyLock::new(|| {
        let phrases = SAID_OTHERWISE.iter().filter_map(|(from, to)| {
            let words = tokens(from)?.into_iter().filter(|t| !matches!(t, Token::Whitespace(_)));
            Some((words.collect(), (*to).to_owned()))
        });
        phrases.collect()
    });
    let words: Vec<Token> =
        said.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let mut text = String::new();
    let mut at = 0;
    while at < words.len() {
        let phrase = PHRASES.iter().find(|(from, _)| words[at..].starts_with(from));
        match phrase {
            Some((from, to)) => {
                text.push_str(to);
                at += from.len();
            }
            None => {
                text.push_str(&words[at].to_string());
                at += 1;
            }
        }
        text.push(' ');
    }
    // What it cannot read, the engine refuses with better words.
    let mut statements = PARSER.parse(&text).ok()?;
    match (statements.pop(), statements.is_empty()) {
        (Some(query @ Statement::Query(_)), true) => Some(query.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(sql: &str) -> Option<String> {
        rewrite(tokens(sql).unwrap())
    }

    /// Scenario: statements with and without a catalog in them.
    /// Guarantees: only the former are looked at; strings stay what they are.
    #[test]
    fn only_catalog_queries_are_rewritten() {
        let touched = |sql: &str| tokens(sql).unwrap().iter().any(names_a_catalog);
        assert!(!touched("SELECT 'pg_class', (SELECT count(*) FROM spans) -- pg_type"));
        assert!(touched("SELECT 1 FROM PG_CLASS") && touched("SELECT 'spans'::regclass"));
        let kept = over("SELECT 'it''s', E'a\\n' FROM pg_class").unwrap();
        assert!(kept.contains("'it''s'") && kept.contains("pg_catalog.pg_class"), "{kept}");
        assert_eq!(over("SELECT ( FROM pg_class"), None);
    }
}
