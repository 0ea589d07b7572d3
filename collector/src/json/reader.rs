//! JSON's grammar over a borrowed text. Nothing here recurses, and what is
//! nested past [`DEPTH`] is refused before anyone descends into it (G28).

use std::borrow::Cow;

use super::number;
use super::string;
use crate::decode::{Encoding, Error, Malformed, Segment};

/// Arrays and objects inside each other, four for each level of attributes.
const DEPTH: usize = 1000;

/// The text of one value, whose grammar was checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    text: &'a str,
    offset: usize,
    snake_case: bool,
}

impl<'a> Raw<'a> {
    pub fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn reader(self) -> Reader<'a> {
        Reader { text: self.text, at: 0, offset: self.offset, snake_case: self.snake_case }
    }
}

#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Where `text` lies in the body.
    offset: usize,
    snake_case: bool,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str, snake_case: bool) -> Reader<'a> {
        Reader { text, at: 0, offset: 0, snake_case }
    }

    #[cold]
    pub fn fault(&self, cause: impl Into<Cow<'static, str>>) -> Error {
        Malformed::at(Encoding::Json, self.offset + self.at, cause)
    }

    /// An error about what stands here instead of what was wanted.
    #[cold]
    pub fn unexpected(&self, wanted: &str) -> Error {
        let found = match self.text[self.at..].chars().next() {
            None => "the end".into(),
            Some('{') => "an object".into(),
            Some('[') => "an array".into(),
            Some('"') => "a string".into(),
            Some('-' | '0'..='9') => "a number".into(),
            Some('t' | 'f') => "a boolean".into(),
            Some('n') => "null".into(),
            Some(other) => format!("{other:?}"),
        };
        self.fault(format!("expected {wanted}, found {found}"))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Checks that a request begins here: it must be an object (J11).
    pub fn begin(&mut self) -> Result<(), Error> {
        if self.text.starts_with('\u{feff}') {
            return Err(self.fault("the text starts with a byte order mark"));
        }
        match self.peek() {
            Some(b'{') => Ok(()),
            _ => Err(self.unexpected("an object")),
        }
    }

    /// Checks that nothing follows.
    pub fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("something follows the request's object")),
        }
    }

    fn expect(&mut self, byte: u8, wanted: &str) -> Result<(), Error> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.unexpected(wanted))
        }
    }

    fn literal(&mut self, word: &str) -> bool {
        let found = self.text[self.at..].starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Takes a `null`, which stands for an absent field everywhere (J9).
    pub fn null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.literal("null")
    }

    pub fn boolean(&mut self) -> Result<bool, Error> {
        match self.peek() {
            Some(b't') if self.literal("true") => Ok(true),
            Some(b'f') if self.literal("false") => Ok(false),
            _ => Err(self.unexpected("a boolean")),
        }
    }

    /// Calls `field` with the reader at the value of each known name, in order.
    /// Unknown names are passed over (J1), a name given twice is an error
    /// (J10), `null` is an empty object.
    pub fn object(
        &mut self,
        names: &'static [&'static str],
        mut field: impl FnMut(&mut Reader<'a>, &'static str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.null() {
            return Ok(());
        }
        self.expect(b'{', "an object")?;
        let mut seen = 0u64;
        let mut first = true;
        while self.more(b'}', &mut first)? {
            let key = self.string()?;
            self.expect(b':', "a colon")?;
            let known = names.iter().position(|name| self.means(&key, name));
            let Some(index) = known else {
                self.skip()?;
                continue;
            };
            let name = names[index];
            if seen & (1 << index) != 0 {
                return Err(self.fault(format!("the name {name:?} is given twice")));
            }
            seen |= 1 << index;
            let read = field(self, name);
            read.map_err(|error| error.within(Segment::Field(Cow::Borrowed(name))))?;
        }
        Ok(())
    }

    /// Calls `element` with the reader at each element. `null` is an empty
    /// array, but not an element (J9).
    pub fn array(
        &mut self,
        mut element: impl FnMut(&mut Reader<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.null() {
            return Ok(());
        }
        self.expect(b'[', "an array")?;
        let (mut first, mut index) = (true, 0);
        while self.more(b']', &mut first)? {
            let read = match self.peek() {
                Some(b'n') => Err(self.fault("null is not an element of a list")),
                _ => element(self),
            };
            read.map_err(|error| error.within(Segment::Index(index)))?;
            index += 1;
        }
        Ok(())
    }

    /// Steps to the next member, or over the closing bracket.
    fn more(&mut self, close: u8, first: &mut bool) -> Result<bool, Error> {
        match self.peek() {
            Some(byte) if byte == close => {
                // After a comma a member must follow; `skip` refuses such
                // values too, so both ways agree.
                self.at += 1;
                Ok(false)
            }
            Some(_) if std::mem::take(first) => Ok(true),
            Some(b',') => {
                self.at += 1;
                match self.peek() {
                    Some(byte) if byte == close => Err(self.unexpected("a value after the comma")),
                    _ => Ok(true),
                }
            }
            _ => Err(self.unexpected("a comma or a closing bracket")),
        }
    }

    fn means(&self, key: &str, name: &str) -> bool {
        key == name || (self.snake_case && is_snake_case_of(key, name))
    }

    pub fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a string"));
        }
        let quoted = string::scan(&self.text[self.at..]).map_err(|fault| self.in_string(fault))?;
        let text = string::unescape(quoted).map_err(|fault| self.in_string(fault))?;
        self.at += quoted.len;
        Ok(text)
    }

    #[cold]
    fn in_string(&mut self, fault: string::Fault) -> Error {
        self.at += fault.at;
        self.fault(fault.cause)
    }

    /// The token of a number.
    pub fn number(&mut self) -> Result<&'a str, Error> {
        let text: &'a str = self.text;
        match self.peek().map(|_| number::scan(&text[self.at..])) {
            Some(Some(token)) => {
                self.at += token.len();
                Ok(token)
            }
            _ => Err(self.unexpected("a number")),
        }
    }

    /// Passes over one value and checks its grammar.
    pub fn skip(&mut self) -> Result<(), Error> {
        // One byte for each bracket that is open.
        let mut open: Vec<u8> = Vec::new();
        loop {
            let opened = match self.peek() {
                Some(b'{') => Some(b'}'),
                Some(b'[') => Some(b']'),
                Some(b'"') => {
                    self.string()?;
                    None
                }
                Some(b't' | b'f') => {
                    self.boolean()?;
                    None
                }
                Some(b'n') if self.literal("null") => None,
                _ => {
                    self.number().map_err(|_| self.unexpected("a value"))?;
                    None
                }
            };
            let mut first = opened.is_some();
            if let Some(close) = opened {
                self.at += 1;
                open.push(close);
                if open.len() > DEPTH {
                    return Err(self.fault(format!("values are nested over {DEPTH} deep")));
                }
            }
            // Close what ends here; stop at the next member or at the end.
            loop {
                let Some(close) = open.last().copied() else { return Ok(()) };
                if self.more(close, &mut first)? {
                    if close == b'}' {
                        self.string()?;
                        self.expect(b':', "a colon")?;
                    }
                    break;
                }
                open.pop();
                first = false;
            }
        }
    }

    /// Passes over one value and keeps its text for later.
    pub fn raw(&mut self) -> Result<Raw<'a>, Error> {
        self.peek();
        let start = self.at;
        self.skip()?;
        let text: &'a str = self.text;
        let text = &text[start..self.at];
        Ok(Raw { text, offset: self.offset + start, snake_case: self.snake_case })
    }
}

/// Whether a key is the protobuf name behind a JSON name: `trace_id` for
/// `traceId` (J2).
fn is_snake_case_of(key: &str, name: &str) -> bool {
    let mut key = key.bytes();
    let spelled = name.bytes().all(|byte| {
        if byte.is_ascii_uppercase() {
            key.next() == Some(b'_') && key.next() == Some(byte.to_ascii_lowercase())
        } else {
            key.next() == Some(byte)
        }
    });
    spelled && key.next().is_none()
}
