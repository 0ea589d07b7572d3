//! What a session does itself, told from what the engine runs: transactions,
//! settings, cursors, COPY. Read from tokens, never parsed recursively.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer};

use super::copy::{self, Copy};
use super::status::Refusal;
use crate::error::quoted;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    /// Everything else: the engine judges it.
    Query(String),
    Begin,
    Commit,
    Rollback,
    RollbackTo(String),
    Savepoint(String),
    Release(String),
    /// `value` is `None` for DEFAULT.
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    /// How a transaction is isolated: every statement sees one moment, and none writes.
    SetTransaction,
    Reset(Option<String>),
    Show(Option<String>),
    Discard(String),
    Deallocate(Option<String>),
    Unlisten,
    Declare {
        name: String,
        hold: bool,
        binary: bool,
        sql: String,
    },
    Fetch {
        name: String,
        rows: usize,
        moves: bool,
    },
    Close(Option<String>),
    Copy(Copy),
}

impl Command {
    pub fn read(sql: &str) -> Result<Command, Refusal> {
        let mut words = Words::of(sql);
        let Some(first) = words.word() else { return Ok(Command::Query(sql.into())) };
        Ok(match first.as_str() {
            "begin" => Command::Begin,
            "start" if words.skip("transaction") => Command::Begin,
            "commit" | "end" => Command::Commit,
            "abort" => Command::Rollback,
            "rollback" => {
                let _ = words.skip("work") || words.skip("transaction");
                if words.skip("to") {
                    let _ = words.skip("savepoint");
                    Command::RollbackTo(words.name()?)
                } else {
                    Command::Rollback
                }
            }
            "savepoint" => Command::Savepoint(words.name()?),
            "release" => {
                let _ = words.skip("savepoint");
                Command::Release(words.name()?)
            }
            "set" => set(&mut words)?,
            "reset" => match words.skip("all") {
                true => Command::Reset(None),
                false => Command::Reset(Some(setting(&mut words)?)),
            },
            "show" => return show(sql, &mut words),
            "discard" => Command::Discard(words.word().unwrap_or_default()),
            "deallocate" => {
                let _ = words.skip("prepare");
                Command::Deallocate(if words.skip("all") { None } else { Some(words.name()?) })
            }
            "unlisten" => Command::Unlisten,
            "declare" => declare(sql, &mut words)?,
            "fetch" => fetch(&mut words, false)?,
            "move" => fetch(&mut words, true)?,
            "close" => Command::Close(if words.skip("all") { None } else { Some(words.name()?) }),
            "copy" => Command::Copy(copy::read(sql, &mut words)?),
            "prepare" | "execute" => {
                return Err(Refusal::new(
                    "0A000",
                    format!("{} is not supported", first.to_uppercase()),
                )
                .with_hint("prepare through the protocol, as drivers do"));
            }
            "listen" | "notify" => {
                let message =
                    format!("{} is not supported: nothing is ever notified", first.to_uppercase());
                return Err(Refusal::new("0A000", message));
            }
            _ => Command::Query(sql.into()),
        })
    }

    /// The statement that gives the rows, if one does.
    pub fn query(&self) -> Option<&str> {
        match self {
            Command::Query(sql) | Command::Declare { sql, .. } => Some(sql),
            Command::Copy(copy) => Some(&copy.sql),
            _ => None,
        }
    }

    /// Whether it may run when an earlier statement of the transaction failed.
    pub fn mends(&self) -> bool {
        matches!(self, Command::Commit | Command::Rollback | Command::RollbackTo(_))
    }

    /// What its `CommandComplete` says; `rows` where rows are counted.
    pub fn tag(&self, rows: usize) -> String {
        match self {
            Command::Query(sql) => match Words::of(sql).word().as_deref() {
                Some("explain") => "EXPLAIN".into(),
                Some("show") => "SHOW".into(),
                _ => format!("SELECT {rows}"),
            },
            Command::Begin => "BEGIN".into(),
            Command::Commit => "COMMIT".into(),
            Command::Rollback | Command::RollbackTo(_) => "ROLLBACK".into(),
            Command::Savepoint(_) => "SAVEPOINT".into(),
            Command::Release(_) => "RELEASE".into(),
            Command::Set { .. } | Command::SetTransaction => "SET".into(),
            Command::Reset(_) => "RESET".into(),
            Command::Show(_) => "SHOW".into(),
            Command::Discard(what) => format!("DISCARD {}", what.to_uppercase()),
            Command::Deallocate(None) => "DEALLOCATE ALL".into(),
            Command::Deallocate(_) => "DEALLOCATE".into(),
            Command::Unlisten => "UNLISTEN".into(),
            Command::Declare { .. } => "DECLARE CURSOR".into(),
            Command::Fetch { moves: true, .. } => format!("MOVE {rows}"),
            Command::Fetch { .. } => format!("FETCH {rows}"),
            Command::Close(None) => "CLOSE CURSOR ALL".into(),
            Command::Close(_) => "CLOSE CURSOR".into(),
            Command::Copy(_) => format!("COPY {rows}"),
        }
    }
}

fn set(words: &mut Words) -> Result<Command, Refusal> {
    let local = words.skip("local");
    let session = !local && words.skip("session");
    if words.skip("transaction")
        || session && words.skip("characteristics")
        || words.skip("constraints")
    {
        return Ok(Command::SetTransaction);
    }
    let name = if words.skip("time") {
        words.expect("zone")?;
        "timezone".into()
    } else if words.skip("names") {
        "client_encoding".into()
    } else {
        let name = setting(words)?;
        if !words.symbol(&Token::Eq) {
            words.expect("to")?;
        }
        name
    };
    let value = words.value()?;
    Ok(Command::Set { name, value, local })
}

/// A setting's name, which may have dots.
fn setting(words: &mut Words) -> Result<String, Refusal> {
    if words.skip("time") {
        words.expect("zone")?;
        return Ok("timezone".into());
    }
    if words.skip("session") {
        words.expect("authorization")?;
        return Ok("session_authorization".into());
    }
    let mut name = words.name()?;
    while words.symbol(&Token::Period) {
        name = format!("{name}.{}", words.name()?);
    }
    Ok(name.to_lowercase())
}

fn show(sql: &str, words: &mut Words) -> Result<Command, Refusal> {
    match words.peek_word().as_deref() {
        // The engine's.
        Some("tables" | "columns" | "functions" | "create" | "full" | "extended") | None => {
            Ok(Command::Query(sql.into()))
        }
        Some("all") => Ok(Command::Show(None)),
        Some("transaction") => {
            words.word();
            words.expect("isolation")?;
            words.expect("level")?;
            Ok(Command::Show(Some("transaction_isolation".into())))
        }
        Some(_) => Ok(Command::Show(Some(setting(words)?))),
    }
}

fn declare(sql: &str, words: &mut Words) -> Result<Command, Refusal> {
    let name = words.name()?;
    let (mut hold, mut binary) = (false, false);
    loop {
        match words.word().as_deref() {
            Some("binary") => binary = true,
            Some("cursor") => {}
            Some("with") => {
                words.expect("hold")?;
                hold = true;
            }
            Some("without") => words.expect("hold")?,
            // A cursor only goes forward, which is what NO SCROLL asks for.
            Some("insensitive" | "asensitive" | "no") => {}
            Some("scroll") => {}
            Some("for") => break,
            _ => return Err(words.unexpected()),
        }
    }
    match words.rest(sql) {
        "" => Err(words.unexpected()),
        query => Ok(Command::Declare { name, hold, binary, sql: query.into() }),
    }
}

fn fetch(words: &mut Words, moves: bool) -> Result<Command, Refusal> {
    let backwards = || {
        Refusal::new("55000", "cursor can only scan forward")
            .with_hint("declare it anew to begin again")
    };
    let mut rows = 1;
    match words.peek_word().as_deref() {
        Some("next") => _ = words.word(),
        Some("all") => {
            words.word();
            rows = usize::MAX;
        }
        Some("forward") => {
            words.word();
            rows = match words.skip("all") {
                true => usize::MAX,
                false => words.number().transpose()?.unwrap_or(1),
            };
        }
        Some("relative") => {
            words.word();
            rows = words.number().ok_or_else(|| words.unexpected())??;
            // Only the last of them is the one asked for; no driver asks for more than one.
            if rows > 1 && !moves {
                return Err(backwards());
            }
        }
        Some("prior" | "first" | "last" | "absolute" | "backward") => return Err(backwards()),
        _ => {
            if let Some(number) = words.number() {
                rows = number.map_err(|_| backwards())?;
            }
        }
    }
    let _ = words.skip("from") || words.skip("in");
    Ok(Command::Fetch { name: words.name()?, rows, moves })
}

/// The tokens of a statement without the space between, each with the byte at
/// which it begins.
pub(super) struct Words {
    tokens: Vec<(Token, usize)>,
    at: usize,
}

impl Words {
    pub fn of(sql: &str) -> Words {
        // What has no tokens is the engine's to refuse, with a position.
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location();
        let mut chars = sql.char_indices().peekable();
        let mut here = Location::new(1, 1);
        let mut found = Vec::new();
        for token in tokens.unwrap_or_default() {
            while here < token.span.start
                && let Some((_, c)) = chars.next()
            {
                here = match c {
                    '\n' => Location::new(here.line + 1, 1),
                    _ => Location::new(here.line, here.column + 1),
                };
            }
            if !matches!(token.token, Token::Whitespace(_) | Token::EOF | Token::SemiColon) {
                found.push((token.token, chars.peek().map_or(sql.len(), |(at, _)| *at)));
            }
        }
        Words { tokens: found, at: 0 }
    }

    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    pub fn advance(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += usize::from(token.is_some());
        token
    }

    pub fn peek_word(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                Some(word.value.to_lowercase())
            }
            _ => None,
        }
    }

    /// The next word, in lower case.
    pub fn word(&mut self) -> Option<String> {
        let word = self.peek_word();
        self.at += usize::from(word.is_some());
        word
    }

    pub fn skip(&mut self, word: &str) -> bool {
        let found = self.peek_word().as_deref() == Some(word);
        self.at += usize::from(found);
        found
    }

    pub fn symbol(&mut self, symbol: &Token) -> bool {
        let found = self.peek() == Some(symbol);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, word: &str) -> Result<(), Refusal> {
        if self.skip(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// A name: quoted as it is, else in lower case.
    pub fn name(&mut self) -> Result<String, Refusal> {
        match self.advance() {
            Some(Token::Word(word)) if word.quote_style.is_some() => Ok(word.value),
            Some(Token::Word(word)) => Ok(word.value.to_lowercase()),
            _ => {
                self.at -= usize::from(self.at > 0 && self.at <= self.tokens.len());
                Err(self.unexpected())
            }
        }
    }

    pub fn string(&mut self) -> Option<String> {
        let text = match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => {
                text.clone()
            }
            _ => return None,
        };
        self.at += 1;
        Some(text)
    }

    /// A whole number of rows; an error inside when it is negative.
    fn number(&mut self) -> Option<Result<usize, Refusal>> {
        let negative = self.symbol(&Token::Minus);
        let Some(Token::Number(digits, _)) = self.peek().cloned() else {
            return negative.then(|| Err(self.unexpected()));
        };
        self.at += 1;
        Some(match digits.parse() {
            Ok(rows) if !negative || rows == 0 => Ok(rows),
            _ => Err(Refusal::new("55000", "cursor can only scan forward")),
        })
    }

    /// The rest as the value of a setting; `None` for DEFAULT.
    fn value(&mut self) -> Result<Option<String>, Refusal> {
        if self.skip("default") || self.skip("local") {
            return Ok(None);
        }
        // `INTERVAL '+02:00' HOUR TO MINUTE`, an old way to say a zone.
        if self.skip("interval") {
            return self.string().map(Some).ok_or_else(|| self.unexpected());
        }
        let (mut value, mut sign) = (String::new(), "");
        while let Some(token) = self.advance() {
            let part = match token {
                Token::Comma => ", ".to_owned(),
                Token::Minus => {
                    sign = "-";
                    continue;
                }
                Token::Plus => continue,
                Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text,
                Token::Word(word) if word.quote_style.is_some() => quoted(&word.value),
                Token::Word(word) => word.value,
                Token::Number(digits, _) => format!("{}{digits}", std::mem::take(&mut sign)),
                _ => {
                    self.at -= 1;
                    return Err(self.unexpected());
                }
            };
            value.push_str(&part);
        }
        if value.is_empty()
            && self.at > 0
            && self
                .tokens
                .get(self.at - 1)
                .is_none_or(|(t, _)| !matches!(t, Token::SingleQuotedString(_)))
        {
            return Err(self.unexpected());
        }
        Ok(Some(value))
    }

    /// The text from here to the end.
    pub fn rest<'a>(&self, sql: &'a str) -> &'a str {
        self.tokens.get(self.at).map_or("", |(_, at)| &sql[*at..])
    }

    /// The byte at which the next token begins.
    pub fn byte(&self) -> Option<usize> {
        self.tokens.get(self.at).map(|(_, at)| *at)
    }

    pub fn unexpected(&self) -> Refusal {
        match self.peek() {
            Some(token) => Refusal::new("42601", format!("syntax: unexpected {token}")),
            None => Refusal::new("42601", "syntax: the statement breaks off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: what drivers say of transactions, settings and cursors.
    /// Guarantees: each is understood; what is not the session's is left to the engine.
    #[test]
    fn commands_are_told_from_queries() {
        let set = |name: &str, value: Option<&str>, local| Command::Set {
            name: name.into(),
            value: value.map(str::to_owned),
            local,
        };
        let fetch = |rows, moves| Command::Fetch { name: "c".into(), rows, moves };
        for (sql, command) in [
            ("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", Command::Begin),
            ("/* pool */ start transaction read only", Command::Begin),
            ("ROLLBACK TO SAVEPOINT \"Sp\"", Command::RollbackTo("Sp".into())),
            ("SET TIME ZONE 'Europe/Zurich'", set("timezone", Some("Europe/Zurich"), false)),
            (
                "SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE",
                set("timezone", Some("+02:00"), false),
            ),
            ("set session TimeZone = -3", set("timezone", Some("-3"), false)),
            ("SET LOCAL statement_timeout TO '5s'", set("statement_timeout", Some("5s"), true)),
            (
                "SET search_path = \"$user\", public",
                set("search_path", Some("\"$user\", public"), false),
            ),
            ("SET extra_float_digits TO DEFAULT", set("extra_float_digits", None, false)),
            ("SET my.app = ''", set("my.app", Some(""), false)),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Command::SetTransaction),
            (
                "SHOW transaction isolation level",
                Command::Show(Some("transaction_isolation".into())),
            ),
            ("SHOW TABLES", Command::Query("SHOW TABLES".into())),
            ("FETCH FORWARD 50 FROM \"c\"", fetch(50, false)),
            ("MOVE ALL IN c", fetch(usize::MAX, true)),
            ("FETCH c", fetch(1, false)),
            ("SELECT 'BEGIN'", Command::Query("SELECT 'BEGIN'".into())),
        ] {
            assert_eq!(Command::read(sql).unwrap(), command, "{sql}");
        }
        let declared =
            Command::read("DECLARE \"é\" NO SCROLL CURSOR WITH HOLD FOR SELECT 'é;', 1").unwrap();
        assert_eq!(declared.query(), Some("SELECT 'é;', 1"));
        for (sql, code) in [
            ("FETCH BACKWARD 1 FROM c", "55000"),
            ("FETCH -1 FROM c", "55000"),
            ("SET", "42601"),
            ("SET x", "42601"),
            ("DECLARE c CURSOR", "42601"),
            ("PREPARE p AS SELECT 1", "0A000"),
        ] {
            assert_eq!(Command::read(sql).unwrap_err().code, code, "{sql}");
        }
    }
}
