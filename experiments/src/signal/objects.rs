//! Objects as the Collector's `k8sobjects` receiver sends them, whole, in the body
//! of a log record: Events, and Chaos Mesh' own objects with their conditions.

use std::time::UNIX_EPOCH;

use serde_json::Value;

use super::Event;
use super::kubernetes::{Said, told};
use super::reader::Reader;

/// The attribute that names what kind of objects a record is of.
pub const RESOURCE: &str = "k8s.resource.name";

/// Bytes of an object that is read: the API server takes one and a half million.
const MOST: usize = 2 << 20;

pub fn event(reader: &Reader<'_>, row: usize) -> Option<Event> {
    let resource = reader.record(RESOURCE, row)?;
    if resource != "events" && !resource.ends_with("chaos") {
        return None;
    }
    let body = reader.text("body", row).filter(|body| body.len() <= MOST)?;
    let body: Value = serde_json::from_str(&body).ok()?;
    // Watched, it comes with what was done to it; pulled, it is all there is.
    let object = if body["object"].is_object() { &body["object"] } else { &body };
    let deleted = body["type"] == "DELETED";
    let at = reader.time(row);
    let raw_ref = super::raw_ref("logs", at, reader.text("service_name", row).as_deref());
    match object["kind"].as_str()? {
        "Event" => told(of_event(object, at, raw_ref)?),
        kind => told(of_fault(kind, object, deleted, at, raw_ref)?),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn instant(value: &Value) -> Option<i64> {
    let time = humantime::parse_rfc3339(value.as_str()?).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

fn of_event(object: &Value, at: i64, raw_ref: String) -> Option<Said> {
    // `events.k8s.io` has other words for the same.
    let about = [&object["involvedObject"], &object["regarding"]];
    let about = about.into_iter().find(|about| about.is_object())?;
    let last = [&object["lastTimestamp"], &object["deprecatedLastTimestamp"], &object["eventTime"]];
    let count = [&object["count"], &object["deprecatedCount"]].into_iter().find_map(Value::as_u64);
    Some(Said {
        kind: text(&about["kind"])?,
        name: text(&about["name"])?,
        namespace: text(&about["namespace"]).unwrap_or_default(),
        group: text(&about["apiVersion"]),
        reason: text(&object["reason"])?,
        message: text(&object["message"]).or_else(|| text(&object["note"])),
        at: last.into_iter().find_map(instant).unwrap_or(at),
        uid: text(&object["metadata"]["uid"]),
        count: count.unwrap_or(1).to_string(),
        raw_ref,
    })
}

/// A fault's own object: its conditions say that it is in place everywhere, or
/// nowhere any more.
fn of_fault(kind: &str, object: &Value, deleted: bool, at: i64, raw_ref: String) -> Option<Said> {
    let conditions = object["status"]["conditions"].as_array();
    let is = |name: &str| {
        let mut all = conditions.into_iter().flatten();
        all.any(|one| one["type"] == name && one["status"] == "True")
    };
    let reason = match (deleted, is("AllInjected"), is("AllRecovered")) {
        (true, ..) => "Deleted",
        (_, true, false) => "Applied",
        (_, false, true) => "Recovered",
        _ => return None,
    };
    let meta = &object["metadata"];
    let records = object["status"]["experiment"]["containerRecords"].as_array();
    let pod = records.and_then(|records| text(&records.first()?["id"]));
    Some(Said {
        kind: kind.to_owned(),
        name: text(&meta["name"])?,
        namespace: text(&meta["namespace"]).unwrap_or_default(),
        group: text(&object["apiVersion"]),
        reason: reason.to_owned(),
        message: pod.map(|pod| format!("{reason}: chaos for {pod}")),
        at,
        // One object says so again with each of its versions.
        uid: text(&meta["uid"]).map(|uid| format!("{uid}/{reason}")),
        count: meta["generation"].as_u64().unwrap_or(1).to_string(),
        raw_ref,
    })
}
