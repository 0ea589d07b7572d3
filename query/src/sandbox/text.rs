//! Bounds on the text itself, checked without recursion (S21).

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{
    Location, Token, TokenWithSpan, Tokenizer, TokenizerError,
};

use super::DIALECT;
use super::statement::MAX_DEPTH;
use crate::error::Place;
use crate::{Error, redact};

/// Bytes of a statement.
pub(crate) const MAX_BYTES: usize = 64 << 10;
/// Joins are left-deep in the plan however flat they are written, and so are
/// UNIONs: each costs a level.
const MAX_RELATIONS: usize = 100;
/// A WITH inside a WITH is resolved twice per level by the planner.
const MAX_WITH: usize = 32;

/// The tokens of a text of bounded size.
fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, Error> {
    if sql.len() > MAX_BYTES {
        return Err(Error::invalid(format!(
            "the statement is {} bytes long; {MAX_BYTES} are allowed",
            sql.len()
        ))
        .with_hint("pass long lists of values as params, or join against a table"));
    }
    Tokenizer::new(&DIALECT, sql).tokenize_with_location().map_err(unreadable)
}

/// The statements of a text, without those that say nothing: a protocol that
/// takes several in one string runs them one by one.
pub(crate) fn split(sql: &str) -> Result<Vec<&str>, Error> {
    // Where a place in lines and columns (characters, from 1) is in bytes.
    // Places are asked for in order, so that the text is walked once.
    let mut chars = sql.char_indices().peekable();
    let mut here = Location::new(1, 1);
    let mut byte = |wanted: Location| {
        while here < wanted
            && let Some((_, c)) = chars.next()
        {
            here = match c {
                '\n' => Location::new(here.line + 1, 1),
                _ => Location::new(here.line, here.column + 1),
            };
        }
        chars.peek().map_or(sql.len(), |(at, _)| *at)
    };
    let mut statements = Vec::new();
    let (mut from, mut says) = (0, false);
    for token in tokens(sql)? {
        match token.token {
            Token::SemiColon => {
                if says {
                    statements.push(sql[from..byte(token.span.start)].trim());
                }
                (from, says) = (byte(token.span.end), false);
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ => says = true,
        }
    }
    if says {
        statements.push(sql[from..].trim());
    }
    Ok(statements)
}

pub(super) fn check(sql: &str) -> Result<(), Error> {
    let tokens = tokens(sql)?;
    let (mut depth, mut relations, mut withs) = (0usize, 0usize, 0usize);
    for token in &tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Word(word) => match word.keyword {
                Keyword::CASE => depth += 1,
                Keyword::END => depth = depth.saturating_sub(1),
                Keyword::JOIN | Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
                    relations += 1;
                }
                Keyword::WITH => withs += 1,
                _ => {}
            },
            _ => {}
        }
        let place = Some(Place { line: token.span.start.line, column: token.span.start.column });
        if depth > MAX_DEPTH {
            return Err(Error::invalid(format!(
                "the statement nests deeper than {MAX_DEPTH} levels"
            ))
            .at(place));
        }
        if relations > MAX_RELATIONS {
            return Err(Error::invalid(format!(
                "the statement joins or unites more than {MAX_RELATIONS} relations"
            ))
            .at(place));
        }
        if withs > MAX_WITH {
            return Err(Error::invalid(format!(
                "the statement says WITH more than {MAX_WITH} times"
            ))
            .at(place));
        }
    }
    Ok(())
}

fn unreadable(error: TokenizerError) -> Error {
    let place = Place { line: error.location.line, column: error.location.column };
    Error::invalid(format!("syntax: {}", redact::paths(&error.message))).at(Some(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: statements in one string, with semicolons in quotes, in a
    /// comment and in a dollar-quoted text, letters of several bytes, and
    /// nothing between some.
    /// Guarantees: each comes out as it was written.
    #[test]
    fn sec_s19_a_text_is_split_where_statements_end() {
        let sql =
            "SELECT 'é;ü', \"a;b\";;\n -- no; thing\n;SELECT $$;$$ /* ; */ ; \n SELECT 'it''s;'";
        let all = split(sql).unwrap();
        assert_eq!(all, ["SELECT 'é;ü', \"a;b\"", "SELECT $$;$$ /* ; */", "SELECT 'it''s;'"]);
        assert!(split(" -- nothing\n ;; ").unwrap().is_empty());
        assert!(split("SELECT 'open; SELECT 1").is_err());
        assert!(split(&"x;".repeat(MAX_BYTES)).is_err());
    }
}
