//! From an open socket to a session: what comes before anybody is known.

use std::collections::BTreeMap;

use bytes::BufMut;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::startup::NegotiateProtocolVersion;

use super::frontend::Body;
use super::status::Refusal;
use super::wire::{Broken, Reader, Writer};

const CANCEL: i32 = 80_877_102;
const TLS: i32 = 80_877_103;
const GSS: i32 = 80_877_104;

pub(super) enum Opened {
    Session(Wishes),
    Cancel { pid: i32, secret: u32 },
}

/// What a client says of itself.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub user: String,
    /// Settings by name, those in `options` first.
    pub settings: Vec<(String, String)>,
}

/// Reads until a session is asked for, or a cancel.
pub(super) async fn open(reader: &mut Reader, writer: &mut Writer) -> Result<Opened, Broken> {
    // One try for each kind of encryption, then it has to say what it wants.
    for _ in 0..3 {
        let mut body = Body::new(reader.startup().await?);
        let code = body.int().map_err(Broken::Refused)?;
        match code {
            // Neither is there; a client that insists on it goes away now, and
            // one that does not goes on in the clear and knows it.
            TLS | GSS => {
                writer.output().put_u8(b'N');
                writer.flush().await?;
            }
            CANCEL => {
                let pid = body.int().map_err(Broken::Refused)?;
                let secret = body.int().map_err(Broken::Refused)?.cast_unsigned();
                return Ok(Opened::Cancel { pid, secret });
            }
            version if version >> 16 == 3 => return wishes(body, version & 0xffff, writer),
            version => {
                let message = format!(
                    "protocol {}.{} is not spoken, 3.0 is",
                    version >> 16,
                    version & 0xffff
                );
                return Err(Broken::Refused(Refusal::fatal("0A000", message)));
            }
        }
    }
    Err(Broken::Refused(Refusal::fatal("08P01", "a startup message was expected")))
}

fn wishes(mut body: Body, minor: i32, writer: &mut Writer) -> Result<Opened, Broken> {
    let mut said = BTreeMap::new();
    loop {
        let name = body.text().map_err(Broken::Refused)?;
        if name.is_empty() {
            break;
        }
        said.insert(name, body.text().map_err(Broken::Refused)?);
    }
    let extensions: Vec<String> =
        said.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
    if minor > 0 || !extensions.is_empty() {
        said.retain(|name, _| !name.starts_with("_pq_."));
        let answer = NegotiateProtocolVersion::new(3 << 16, extensions);
        writer
            .push(PgWireBackendMessage::NegotiateProtocolVersion(answer))
            .map_err(Broken::Refused)?;
    }
    let refuse = |code, message: &str| Err(Broken::Refused(Refusal::fatal(code, message)));
    let Some(user) = said.remove("user").filter(|user| !user.is_empty()) else {
        return refuse("28000", "no user is named in the startup message");
    };
    if said
        .remove("replication")
        .is_some_and(|wish| !matches!(wish.as_str(), "false" | "off" | "0" | "no"))
    {
        return refuse("0A000", "there is no replication; the tables lie open in the store");
    }
    // There is one data base, under whatever name.
    said.remove("database");
    let mut settings = options(&said.remove("options").unwrap_or_default());
    settings.extend(said);
    Ok(Opened::Session(Wishes { user, settings }))
}

/// `-c name=value --name=value`, as libpq's `options` has it.
fn options(text: &str) -> Vec<(String, String)> {
    let mut words = Vec::new();
    let (mut word, mut escaped) = (String::new(), false);
    for c in text.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            c if c.is_whitespace() && !escaped => words.push(std::mem::take(&mut word)),
            c => {
                word.push(c);
                escaped = false;
            }
        }
    }
    words.push(word);
    let pair = |word: &str| {
        let (name, value) = word.split_once('=')?;
        Some((name.replace('-', "_"), value.to_owned()))
    };
    let mut settings = Vec::new();
    let mut words = words.iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let setting = match word.as_str() {
            "-c" => words.next().and_then(|word| pair(word)),
            word => word.strip_prefix("--").or(word.strip_prefix("-c")).and_then(pair),
        };
        settings.extend(setting);
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: options as drivers and people write them.
    /// Guarantees: each setting comes out, with its spaces.
    #[test]
    fn options_are_settings() {
        let read =
            options(r"-c statement_timeout=5s -csearch_path=a,b  --application-name=my\ app -c");
        let said: Vec<_> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected =
            [("statement_timeout", "5s"), ("search_path", "a,b"), ("application_name", "my app")];
        assert_eq!(said, expected);
    }
}
