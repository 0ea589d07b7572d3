//! Stand-ins beside which services are compared.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::provider::{Edge, Measure, Subject};
use super::reader::Reader;
use super::tree::Node;
use super::units::shown;

/// Services that the fault leaves alone and that are asked as the others are:
/// what moves both is not the fault's doing (as ChAP does it).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ControlGroup {
    /// Each service's stand-in.
    pub services: BTreeMap<String, String>,
}

impl ControlGroup {
    pub(super) fn read(map: &mut Reader<'_>) -> Option<ControlGroup> {
        let mut services = BTreeMap::new();
        let place = map.place;
        match map.node("services").map(Node::plain) {
            Some(Value::Object(entries)) if !entries.is_empty() => {
                for (service, name) in entries {
                    match name.as_str() {
                        Some(name) if !name.is_empty() && *name != service => {
                            services.insert(service, name.to_owned());
                        }
                        _ => map.problems.add(
                            place,
                            format!(
                                "the control of {service} is {}; name another service",
                                shown(&name)
                            ),
                        ),
                    }
                }
            }
            _ => map.missing(
                "services",
                "name each service's stand-in, like services: {checkout: checkout-control}",
            ),
        }
        (!services.is_empty()).then_some(ControlGroup { services })
    }

    /// The same of the stand-ins; `None` where none is named.
    pub fn of(&self, measure: &Measure) -> Option<Measure> {
        let other = |name: &String| self.services.get(name);
        let subject = match &measure.subject {
            Subject::Service { service, endpoint } => {
                Subject::Service { service: other(service)?.clone(), endpoint: endpoint.clone() }
            }
            Subject::Edge { edge, operation } => {
                let (from, to) = (other(&edge.from), other(&edge.to));
                from.or(to)?;
                let end = |other: Option<&String>, own: &String| other.unwrap_or(own).clone();
                let edge = Edge { from: end(from, &edge.from), to: end(to, &edge.to) };
                Subject::Edge { edge, operation: operation.clone() }
            }
        };
        Some(Measure { subject, ..measure.clone() })
    }
}
