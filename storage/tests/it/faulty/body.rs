//! Answers that are not what was stored.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use object_store::{GetResult, GetResultPayload, ObjectMeta, Result};

use super::dice::Dice;
use super::rules::{Answer, Fault, Op};

pub const OTHER_TAG: &str = "another-objects-tag";

/// What S3 puts into a 200 when it finds out too late that it cannot serve.
const ERROR_INSIDE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message></Error>"#;

/// An object as a faulty store gives it.
pub async fn bent(mut found: GetResult, fault: Fault, op: Op, seed: u64) -> Result<GetResult> {
    if fault == Fault::WrongTag {
        found.meta.e_tag = Some(OTHER_TAG.into());
    }
    let bends = matches!(fault, Fault::Lies | Fault::Cut | Fault::Short | Fault::Flips);
    if !bends || op == Op::Head {
        return Ok(found);
    }
    let (meta, range, attributes) =
        (found.meta.clone(), found.range.clone(), found.attributes.clone());
    let whole = found.bytes().await?;
    let half = whole.slice(..whole.len() / 2);
    let chunks: Vec<Result<Bytes>> = match fault {
        Fault::Cut => vec![Ok(half), Err(Answer::Reset.error(&meta.location))],
        Fault::Short => vec![Ok(half)],
        Fault::Flips => vec![Ok(flipped(&whole, seed))],
        _ => vec![Ok(Bytes::from_static(ERROR_INSIDE.as_bytes()))],
    };
    let payload = GetResultPayload::Stream(stream::iter(chunks).boxed());
    Ok(GetResult { payload, meta, range, attributes })
}

fn flipped(whole: &Bytes, seed: u64) -> Bytes {
    let mut bytes = whole.to_vec();
    let mut dice = Dice(seed ^ u64::from(crc32fast::hash(whole)));
    if !bytes.is_empty() {
        let at = dice.below(bytes.len());
        bytes[at] ^= 1 << dice.below(8);
    }
    bytes.into()
}

/// Leaves out what was put last.
pub fn forget_newest(listed: &mut Vec<ObjectMeta>, missing: usize) {
    let mut newest: Vec<_> =
        listed.iter().map(|object| (object.last_modified, object.location.clone())).collect();
    newest.sort();
    let gone: Vec<_> = newest.iter().rev().take(missing).map(|(_, at)| at.clone()).collect();
    listed.retain(|object| !gone.contains(&object.location));
}
