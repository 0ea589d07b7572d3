//! `COPY (SELECT …) TO STDOUT`: how it is asked for, and its rows.

use bytes::{BufMut, BytesMut};
use datafusion::sql::sqlparser::tokenizer::Token;

use arrow::array::RecordBatch;

use super::command::Words;
use super::rows::Columns;
use super::status::Refusal;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Copy {
    pub sql: String,
    pub form: Form,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    Text { delimiter: u8, null: String, header: bool },
    Csv { delimiter: u8, null: String, header: bool, quote: u8, escape: u8, all: bool },
    Binary,
}

/// The options of either syntax, old and new.
#[derive(Default)]
struct Options {
    format: Option<String>,
    delimiter: Option<String>,
    null: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
    header: bool,
    force_quote: bool,
}

/// Reads what follows COPY.
pub(super) fn read(sql: &str, words: &mut Words) -> Result<Copy, Refusal> {
    let from = words.byte().unwrap_or(sql.len());
    let (mut depth, mut end) = (0usize, from);
    // Up to TO or FROM outside of parentheses.
    loop {
        match words.peek() {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth = depth.saturating_sub(1),
            Some(_)
                if depth == 0 && matches!(words.peek_word().as_deref(), Some("to" | "from")) =>
            {
                break;
            }
            Some(_) => {}
            None => return Err(words.unexpected()),
        }
        words.advance();
        end = words.byte().unwrap_or(sql.len());
    }
    if words.skip("from") {
        return Err(Refusal::new("25006", "COPY FROM is not allowed: this SQL only reads")
            .with_hint("rows come in by OTLP"));
    }
    words.expect("to")?;
    if !words.skip("stdout") {
        return Err(Refusal::new("42501", "COPY goes to the client only")
            .with_hint("write TO STDOUT; in psql, \\copy"));
    }
    let what = sql[from..end].trim();
    let query = match what.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(query) => query.to_owned(),
        // A table, with or without columns.
        None => match what.split_once('(') {
            Some((table, columns)) => {
                format!("SELECT {} FROM {table}", columns.trim_end_matches(')'))
            }
            None => format!("SELECT * FROM {what}"),
        },
    };
    Ok(Copy { sql: query, form: form(options(words)?)? })
}

fn options(words: &mut Words) -> Result<Options, Refusal> {
    let mut options = Options::default();
    let _ = words.skip("with");
    let listed = words.symbol(&Token::LParen);
    while let Some(name) = words.word() {
        // The old syntax says AS before a text.
        let _ = words.skip("as");
        match name.as_str() {
            "format" => options.format = Some(words.name()?.to_lowercase()),
            "csv" | "binary" if !listed => options.format = Some(name),
            "header" => options.header = header(words)?,
            "delimiter" => options.delimiter = Some(text(words)?),
            "null" => options.null = Some(text(words)?),
            "quote" => options.quote = Some(text(words)?),
            "escape" => options.escape = Some(text(words)?),
            "force_quote" => {
                options.force_quote = true;
                // Some columns or all: all are quoted, which every reader of CSV takes.
                let some = words.advance() == Some(Token::LParen);
                while some && !matches!(words.advance(), None | Some(Token::RParen)) {}
            }
            "encoding" => {
                let encoding = text(words)?;
                if !matches!(encoding.to_uppercase().as_str(), "UTF8" | "UTF-8") {
                    return Err(Refusal::new("22023", "only UTF8 is spoken"));
                }
            }
            _ => {
                return Err(Refusal::new(
                    "42601",
                    format!("syntax: COPY has no option {name} here"),
                )
                .with_hint("FORMAT text, csv or binary, HEADER, DELIMITER, NULL, QUOTE, ESCAPE"));
            }
        }
        let _ = listed && words.symbol(&Token::Comma);
    }
    if listed {
        let _ = words.symbol(&Token::RParen);
    }
    if words.peek().is_some() { Err(words.unexpected()) } else { Ok(options) }
}

fn header(words: &mut Words) -> Result<bool, Refusal> {
    match words.peek_word().as_deref() {
        Some("true" | "on") => {
            words.word();
            Ok(true)
        }
        Some("false" | "off") => {
            words.word();
            Ok(false)
        }
        Some("match") => Err(words.unexpected()),
        _ => match words.peek() {
            Some(Token::Number(digits, _)) => {
                let on = digits != "0";
                words.advance();
                Ok(on)
            }
            _ => Ok(words.string().is_none_or(|said| said != "false" && said != "off")),
        },
    }
}

fn text(words: &mut Words) -> Result<String, Refusal> {
    words.string().ok_or_else(|| words.unexpected())
}

fn form(options: Options) -> Result<Form, Refusal> {
    let letter = |said: Option<String>, usual: u8| match said {
        None => Ok(usual),
        Some(said) => match said.as_bytes() {
            [one] if one.is_ascii() && !matches!(one, b'\n' | b'\r') => Ok(*one),
            _ => Err(Refusal::new("22023", "DELIMITER, QUOTE and ESCAPE are one character each")),
        },
    };
    let header = options.header;
    Ok(match options.format.as_deref().unwrap_or("text") {
        "text" => Form::Text {
            delimiter: letter(options.delimiter, b'\t')?,
            null: options.null.unwrap_or_else(|| "\\N".into()),
            header,
        },
        "csv" => {
            let quote = letter(options.quote, b'"')?;
            Form::Csv {
                delimiter: letter(options.delimiter, b',')?,
                null: options.null.unwrap_or_default(),
                header,
                quote,
                escape: letter(options.escape, quote)?,
                all: options.force_quote,
            }
        }
        "binary" => Form::Binary,
        other => return Err(Refusal::new("22023", format!("COPY has no format {other}"))),
    })
}

impl Form {
    pub fn is_binary(&self) -> bool {
        matches!(self, Form::Binary)
    }

    /// What comes before the rows.
    pub fn head(&self, columns: &Columns, out: &mut BytesMut) {
        match self {
            Form::Binary | Form::Text { header: false, .. } | Form::Csv { header: false, .. } => {}
            _ => message(out, |out| {
                for (index, name) in columns.names().enumerate() {
                    self.between(index, out);
                    self.cell(Some(name.as_bytes()), out);
                }
                out.put_u8(b'\n');
            }),
        }
    }

    /// Appends a row as a `CopyData`, the `first` one or another.
    pub fn row(
        &self,
        columns: &Columns,
        batch: &RecordBatch,
        row: usize,
        first: bool,
        out: &mut BytesMut,
    ) -> Result<(), Refusal> {
        let (before, mut written) = (out.len(), Ok(()));
        message(out, |out| {
            self.signature(first, out);
            written = self.cells(columns, batch, row, out);
        });
        if written.is_err() {
            out.truncate(before);
        }
        written
    }

    fn cells(
        &self,
        columns: &Columns,
        batch: &RecordBatch,
        row: usize,
        out: &mut BytesMut,
    ) -> Result<(), Refusal> {
        if self.is_binary() {
            return columns.row(batch, row, out);
        }
        let mut cell = BytesMut::new();
        for index in 0..columns.len() {
            self.between(index, out);
            cell.clear();
            let there = columns.text(index, batch, row, &mut cell)?;
            self.cell(there.then_some(&cell), out);
        }
        out.put_u8(b'\n');
        Ok(())
    }

    /// What comes after the rows, if there were any.
    pub fn tail(&self, first: bool, out: &mut BytesMut) {
        if self.is_binary() {
            message(out, |out| {
                self.signature(first, out);
                out.put_i16(-1);
            });
        }
    }

    /// In the message of the first row, where PostgreSQL has it and clients that
    /// read row by row (psycopg) look for it.
    fn signature(&self, first: bool, out: &mut BytesMut) {
        if first && self.is_binary() {
            out.put_slice(b"PGCOPY\n\xff\r\n\0");
            out.put_u64(0);
        }
    }

    fn between(&self, index: usize, out: &mut BytesMut) {
        if let Form::Text { delimiter, .. } | Form::Csv { delimiter, .. } = self
            && index > 0
        {
            out.put_u8(*delimiter);
        }
    }

    fn cell(&self, cell: Option<&[u8]>, out: &mut BytesMut) {
        match (self, cell) {
            (Form::Text { null, .. } | Form::Csv { null, .. }, None) => {
                out.put_slice(null.as_bytes())
            }
            (Form::Text { delimiter, .. }, Some(cell)) => {
                for byte in cell {
                    match byte {
                        b'\\' => out.put_slice(b"\\\\"),
                        b'\n' => out.put_slice(b"\\n"),
                        b'\r' => out.put_slice(b"\\r"),
                        b'\t' => out.put_slice(b"\\t"),
                        b'\x08' => out.put_slice(b"\\b"),
                        b'\x0b' => out.put_slice(b"\\v"),
                        b'\x0c' => out.put_slice(b"\\f"),
                        own if own == delimiter => out.put_slice(&[b'\\', *own]),
                        plain => out.put_u8(*plain),
                    }
                }
            }
            (Form::Csv { delimiter, null, quote, escape, all, .. }, Some(cell)) => {
                let odd = |byte: &u8| {
                    *byte == *delimiter || *byte == *quote || matches!(byte, b'\n' | b'\r')
                };
                // What looks like NULL is quoted, and so is the mark of the end.
                if !*all && cell != null.as_bytes() && cell != b"\\." && !cell.iter().any(odd) {
                    return out.put_slice(cell);
                }
                out.put_u8(*quote);
                for byte in cell {
                    if byte == quote || byte == escape {
                        out.put_u8(*escape);
                    }
                    out.put_u8(*byte);
                }
                out.put_u8(*quote);
            }
            (Form::Binary, _) => {}
        }
    }
}

/// Appends a `CopyData` with what `write` appends.
fn message(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    out.put_u8(b'd');
    let start = out.len();
    out.put_u32(0);
    write(out);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::command::Command;
    use super::*;

    fn copy(sql: &str) -> Result<Copy, &'static str> {
        match Command::read(sql) {
            Ok(Command::Copy(copy)) => Ok(copy),
            Ok(other) => panic!("{sql}: {other:?}"),
            Err(refusal) => Err(refusal.code),
        }
    }

    /// Scenario: COPY in its old and its new syntax, of a query and of a table,
    /// and in directions that write.
    /// Guarantees: the query and the format are understood; what writes is refused.
    #[test]
    fn sec_s20_copy_only_reads() {
        let csv = Form::Csv {
            delimiter: b';',
            null: String::new(),
            header: true,
            quote: b'"',
            escape: b'"',
            all: false,
        };
        let text = Form::Text { delimiter: b'\t', null: "\\N".into(), header: false };
        for (sql, query, form) in [
            ("COPY (SELECT a, (1) FROM t) TO STDOUT", "SELECT a, (1) FROM t", text.clone()),
            ("COPY t TO STDOUT", "SELECT * FROM t", text),
            (
                "copy (SELECT ')') to stdout with (format csv, header, delimiter ';')",
                "SELECT ')'",
                csv.clone(),
            ),
            ("COPY (SELECT 1) TO STDOUT CSV HEADER DELIMITER AS ';'", "SELECT 1", csv),
            ("COPY (SELECT 1) TO STDOUT (FORMAT BINARY)", "SELECT 1", Form::Binary),
        ] {
            assert_eq!(copy(sql), Ok(Copy { sql: query.into(), form }), "{sql}");
        }
        assert_eq!(
            copy("COPY spans (name, kind) TO STDOUT").unwrap().sql,
            "SELECT name, kind FROM spans "
        );
        assert_eq!(copy("COPY spans FROM STDIN"), Err("25006"));
        assert_eq!(copy("COPY (SELECT 1) TO '/etc/passwd'"), Err("42501"));
        assert_eq!(copy("COPY (SELECT 1) TO PROGRAM 'sh'"), Err("42501"));
        assert_eq!(copy("COPY (SELECT 1) TO STDOUT (FORMAT parquet)"), Err("22023"));
    }

    /// Scenario: cells with delimiters, quotes, line ends, and the text of NULL.
    /// Guarantees: none can be taken for another cell, row or NULL.
    #[test]
    fn cells_are_escaped() {
        let cell = |sql: &str, cell: Option<&str>| {
            let mut out = BytesMut::new();
            copy(sql).unwrap().form.cell(cell.map(str::as_bytes), &mut out);
            String::from_utf8(out.to_vec()).unwrap()
        };
        let (text, csv) = ("COPY t TO STDOUT", "COPY t TO STDOUT CSV");
        assert_eq!(cell(text, Some("a\tb\\N\n")), "a\\tb\\\\N\\n");
        assert_eq!(cell(text, None), "\\N");
        assert_eq!(cell(csv, Some("a,\"b\"\n")), "\"a,\"\"b\"\"\n\"");
        assert_eq!(cell(csv, Some("")), "\"\"");
        assert_eq!(cell(csv, None), "");
    }
}
