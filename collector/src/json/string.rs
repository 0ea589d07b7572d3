//! JSON strings: borrowed as they stand, or unescaped into a copy.

use std::borrow::Cow;

/// A string literal at the start of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted<'a> {
    /// Between the quotes.
    inner: &'a str,
    escaped: bool,
    /// With the quotes.
    pub len: usize,
}

/// What is wrong with a literal, and where from its opening quote.
#[derive(Debug)]
pub(super) struct Fault {
    pub at: usize,
    pub cause: &'static str,
}

/// Finds the end of the literal that `text` starts with.
pub(super) fn scan(text: &str) -> Result<Quoted<'_>, Fault> {
    let bytes = text.as_bytes();
    let (mut at, mut escaped) = (1, false);
    loop {
        match bytes.get(at) {
            Some(b'"') => break,
            Some(b'\\') => {
                escaped = true;
                at += 2;
            }
            Some(0..0x20) => return Err(Fault { at, cause: "a control character is not escaped" }),
            Some(_) => at += 1,
            None => return Err(Fault { at: 0, cause: "a string does not end" }),
        }
    }
    // Both quotes are ASCII, so the cut lies between characters.
    Ok(Quoted { inner: &text[1..at], escaped, len: at + 1 })
}

pub(super) fn unescape(quoted: Quoted<'_>) -> Result<Cow<'_, str>, Fault> {
    let Quoted { inner, escaped, .. } = quoted;
    if !escaped {
        return Ok(Cow::Borrowed(inner));
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let fault = |cause| Fault { at: inner.len() - rest.len() + at + 1, cause };
        let escape = &rest[at + 1..];
        let kind = escape.bytes().next();
        let simple = match kind {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let (unit, len) = code_point(escape).map_err(fault)?;
                text.push(unit);
                rest = &escape[len..];
                continue;
            }
            _ => return Err(fault("an escape does not exist")),
        };
        text.push(simple);
        rest = &escape[1..];
    }
    text.push_str(rest);
    Ok(Cow::Owned(text))
}

/// Reads `uXXXX`, or two of them that are a surrogate pair; a lone surrogate is
/// no character (J11).
fn code_point(escape: &str) -> Result<(char, usize), &'static str> {
    let unit = |text: Option<&str>| {
        let digits = text?.strip_prefix('u')?;
        let hex = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if hex { u32::from_str_radix(digits, 16).ok() } else { None }
    };
    let first = unit(escape.get(..5)).ok_or("an escape needs four hex digits")?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 5));
    }
    let second = escape.get(5..11).and_then(|text| unit(text.strip_prefix('\\')));
    let pair = match (first, second) {
        (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
            char::from_u32(0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00))
        }
        _ => None,
    };
    pair.map(|character| (character, 11)).ok_or("a surrogate stands alone")
}
