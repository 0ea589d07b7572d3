//! What a statement must be before anything is planned (S19 to S21).
//!
//! A statement comes as text from anyone who may query. It passes, in order:
//!
//! | file | fence |
//! | --- | --- |
//! | [`dialect`] | the SQL that is read at all |
//! | [`text`] | size, tokens and nesting of the text, without recursion, before the parser sees it |
//! | [`statement`] | exactly one statement, of a kind that reads, of bounded depth and size |
//! | [`stores`] | the object stores a plan can reach: the table's own two, nothing by URL |
//! | [`functions`] | functions that would show paths are absent, those that take much are evaluated in pieces |
//!
//! `SQLOptions` without DDL, DML and statements stands behind as a second
//! fence (in [`crate::engine`]). Who may see which tenant's tables is not here:
//! the catalog given to the session holds no others (S11).

pub(crate) mod dialect;
pub(crate) mod functions;
pub(crate) mod statement;
pub(crate) mod stores;
pub(crate) mod text;

use datafusion::sql::parser::{DFParserBuilder, Statement};

use crate::Error;
use dialect::Ours as DIALECT;
pub(crate) use text::{MAX_BYTES, split};

/// What was asked for, in so far as it changes how the answer is treated.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub statement: Statement,
    /// EXPLAIN: the rows are plan text and lose their paths.
    pub explains: bool,
}

/// Parses a statement and refuses what may not run. Needs a large stack: the
/// parser and the drop of what it built are recursive up to its limit.
pub(crate) fn admit(sql: &str) -> Result<Admitted, Error> {
    text::check(sql)?;
    let dialect = DIALECT;
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&dialect)
        .with_recursion_limit(statement::MAX_DEPTH * 4)
        .build()
        .and_then(|mut parser| parser.parse_statements())?;
    let mut statement = statements.pop_front().ok_or_else(|| {
        Error::invalid("there is no statement in the text")
            .with_hint("try SELECT * FROM spans LIMIT 10")
    })?;
    if !statements.is_empty() {
        return Err(Error::invalid("there is more than one statement in the text")
            .with_hint("send one statement at a time"));
    }
    let explains = statement::check(&statement)?;
    dialect::write_out(&mut statement);
    Ok(Admitted { statement, explains })
}

/// The name most like `name`, if any is like it.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    names
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
