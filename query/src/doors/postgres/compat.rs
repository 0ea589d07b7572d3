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
    // JDBC: the columns of keys, of which there are none.
    ("(information_schema._pg_expandarray(i.indkey)).n", "1"),
    ("information_schema._pg_expandarray(i.indkey)", "1"),
    ("(result.KEYS).x", "result.KEYS"),
    // JDBC: which types are those of arrays.
    ("typinput='pg_catalog.array_in'::regproc", "typcategory = 'A'"),
    ("typinput='array_in'::regproc", "typcategory = 'A'"),
    // JDBC: the schemas of the search path, of which there is one.
    ("array_upper(current_schemas(false), 1)", "1"),
    ("tmp.I_INDOPTION[tmp.ORDINAL_POSITION - 1]", "0"),
    // psql, `\\dT`: whether a type is that of a table's rows.
    ("(SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid)", "false"),
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
        let rest = &words[at..];
        let phrase = PHRASES.iter().find(|(from, _)| rest.starts_with(from));
        let said = phrase.map(|(from, to)| (from.len(), to.as_str()));
        match said.or_else(|| Some((unkept(rest)?, "NULL"))) {
            Some((length, otherwise)) => {
                text.push_str(otherwise);
                at += length;
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

/// How many tokens ask for what is not kept here: rights and options of an object as
/// text (`array_to_string(c.relacl, …)`), or a list out of a subquery, which in
/// psql's commands is about members, rights and options.
fn unkept(words: &[Token]) -> Option<usize> {
    let named = |at: usize, name: &str| matches!(words.get(at), Some(Token::Word(word)) if word.value.eq_ignore_ascii_case(name));
    let kept_by_none = |at: usize| match words.get(at) {
        Some(Token::Word(word)) => word.value.ends_with("acl") || word.value == "reloptions",
        _ => false,
    };
    let calls = words.get(1) == Some(&Token::LParen);
    let rights = named(0, "array_to_string") && (kept_by_none(2) || kept_by_none(4));
    let list = named(0, "array") && named(2, "select");
    // `pg_catalog.array_to_string(…)` is one as well.
    if named(0, "pg_catalog") && words.get(1) == Some(&Token::Period) {
        return unkept(&words[2..]).map(|length| length + 2);
    }
    let of_list = named(0, "array_to_string") && named(2, "array") && named(4, "select");
    if !calls || !(rights || list || of_list) {
        return None;
    }
    let mut open = 0usize;
    let end = words.iter().position(|token| {
        match token {
            Token::LParen => open += 1,
            Token::RParen => open = open.saturating_sub(1),
            _ => {}
        }
        *token == Token::RParen && open == 0
    })?;
    Some(end + 1)
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
        let unkept = over(
            "SELECT pg_catalog.array_to_string(c.relacl, E'\\n'), array_to_string(ARRAY(SELECT (1)), ','), \
             ARRAY(SELECT a FROM b) AS m, array_to_string(c.kept, ',') FROM pg_class c",
        );
        let unkept = unkept.unwrap();
        assert!(unkept.starts_with("SELECT NULL, NULL, NULL AS m, array_to_string("), "{unkept}");
    }
}
