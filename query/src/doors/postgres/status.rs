//! Errors as PostgreSQL says them: the only place that knows both kinds and
//! SQLSTATEs.

use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage;
use schema::ErrorKind;

use super::wire::Broken;
use crate::Error;
use crate::error::Place;

/// An error as it goes to the client.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    severity: &'static str,
    pub code: &'static str,
    message: String,
    hint: Option<String>,
    /// In the statement that ran, which may be a part of what was sent.
    place: Option<Place>,
    /// In characters of what was sent, from 1.
    position: Option<usize>,
}

/// The code of an error. What the engine calls invalid is told apart by the
/// words that its messages begin with.
fn code(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Invalid => {
            let message = error.to_string();
            let known = [
                ("syntax:", "42601"),
                ("there is no table", "42P01"),
                ("there is no column", "42703"),
                ("Invalid function", "42883"),
                ("Ambiguous reference", "42702"),
                ("not supported", "0A000"),
                ("division by zero", "22012"),
                ("Cannot cast", "22P02"),
                ("Error parsing", "22007"),
                ("the time zone", "22023"),
                ("the statement nests", "54001"),
                ("the statement is", "54000"),
                ("the statement has more than", "54000"),
            ];
            let found = known.iter().find(|(words, _)| message.starts_with(words));
            found.map_or("42000", |(_, code)| code)
        }
        // Its share of memory, spill space or rows is configured.
        ErrorKind::TooLarge => "53400",
        ErrorKind::Throttled => "53300",
        ErrorKind::Unavailable => "58030",
        ErrorKind::DeadlineExceeded | ErrorKind::Cancelled => "57014",
        ErrorKind::Unauthenticated => "28000",
        ErrorKind::Denied if error.to_string().ends_with("only reads") => "25006",
        ErrorKind::Denied => "42501",
        ErrorKind::NotFound => "42704",
        ErrorKind::Corrupt => "XX001",
        ErrorKind::Internal => "XX000",
    }
}

impl Refusal {
    pub fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        let (hint, place, position) = (None, None, None);
        Refusal { severity: "ERROR", code, message: message.into(), hint, place, position }
    }

    /// After it the connection is closed.
    pub fn fatal(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { severity: "FATAL", ..Refusal::new(code, message) }
    }

    pub fn cancelled() -> Refusal {
        Refusal::new("57014", "canceling statement due to user request")
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Refusal {
        self.hint = Some(hint.into());
        self
    }

    /// Turns a place in `statement`, a part of `sent`, into a place in `sent`.
    pub fn in_text(mut self, sent: &str, statement: &str) -> Refusal {
        let Some(place) = self.place.take() else { return self };
        let before = (statement.as_ptr() as usize).checked_sub(sent.as_ptr() as usize);
        let Some(before) = before.and_then(|bytes| sent.get(..bytes)) else { return self };
        let lines = statement.split_inclusive('\n').take(place.line.saturating_sub(1) as usize);
        let chars: usize = lines.map(|line| line.chars().count()).sum();
        self.position = Some(before.chars().count() + chars + place.column as usize);
        self
    }

    pub fn without_place(mut self) -> Refusal {
        self.place = None;
        self
    }

    pub fn into_fatal(mut self) -> Refusal {
        self.severity = "FATAL";
        self
    }

    pub fn is_fatal(&self) -> bool {
        self.severity == "FATAL"
    }

    pub fn message(self) -> PgWireBackendMessage {
        PgWireBackendMessage::ErrorResponse(self.info().into())
    }

    fn info(self) -> ErrorInfo {
        let mut info = ErrorInfo::new(self.severity.into(), self.code.into(), self.message);
        info.severity_nonlocalized = Some(self.severity.into());
        info.hint = self.hint;
        info.position = self.position.map(|position| position.to_string());
        info
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let mut refusal = Refusal::new(code(&error), error.to_string());
        refusal.hint = error.hint().map(str::to_owned);
        refusal.place = error.position();
        refusal
    }
}

/// Something that the client should know about an answer that it gets.
pub(super) fn warning(code: &str, message: String) -> PgWireBackendMessage {
    let mut info = ErrorInfo::new("WARNING".into(), code.into(), message);
    info.severity_nonlocalized = Some("WARNING".into());
    PgWireBackendMessage::NoticeResponse(info.into())
}

/// How answering a message fails.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client is told, and the connection goes on.
    Refused(Refusal),
    Broken(Broken),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Refused(error.into())
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Failure {
        Failure::Broken(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an error in the second line of the second statement, after
    /// letters of several bytes.
    /// Guarantees: the position counts characters of the whole text, from 1.
    #[test]
    fn a_position_counts_characters_of_what_was_sent() {
        let sent = "SELECT 'é';\nSELECT 1,\n  oops";
        let statement = &sent[sent.rfind("SELECT").unwrap()..];
        let error =
            Error::invalid("there is no column oops").at(Some(Place { line: 2, column: 3 }));
        let refusal = Refusal::from(error);
        assert_eq!(refusal.code, "42703");
        let told = refusal.clone().in_text(sent, statement);
        let position = told.position.unwrap();
        assert_eq!(sent.chars().skip(position - 1).collect::<String>(), "oops");
        assert_eq!(refusal.without_place().in_text(sent, statement).position, None);
    }
}
