//! Bounds on the text itself, checked without recursion (S21).

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, TokenizerError};

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

pub(super) fn check(sql: &str) -> Result<(), Error> {
    if sql.len() > MAX_BYTES {
        return Err(Error::invalid(format!(
            "the statement is {} bytes long; {MAX_BYTES} are allowed",
            sql.len()
        ))
        .with_hint("pass long lists of values as params, or join against a table"));
    }
    let tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location().map_err(unreadable)?;
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
