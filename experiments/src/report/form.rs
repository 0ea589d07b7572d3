//! The form of a report as a JSON Schema, made from the types themselves.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};

use super::{Report, SCHEMA};
use crate::Error;

/// The numbers of a finding. What is infinite or unknown is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Numbers {
    pub value: Estimate,
    /// The tolerance; an end that is missing is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// What the indicator was in the baseline, where it was compared with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// A12 of the phase against the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a12: Option<f64>,
    pub n: u64,
    #[serde(default)]
    pub n_effective: Option<f64>,
    /// The smallest move that these samples show in four of five runs.
    #[serde(default)]
    pub mde: Option<f64>,
    #[serde(default)]
    pub p: Option<f64>,
    #[serde(default)]
    pub p_adjusted: Option<f64>,
    #[serde(default)]
    pub widened: Option<f64>,
    pub method: String,
}

/// With its interval of 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    #[serde(default)]
    pub estimate: Option<f64>,
    #[serde(default)]
    pub low: Option<f64>,
    #[serde(default)]
    pub high: Option<f64>,
}

/// The JSON Schema of a report of this version, as text.
pub fn schema() -> Result<String, Error> {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Report>();
    schema.insert("title".into(), SCHEMA.into());
    if let Some(named) = schema.pointer_mut("/properties/schema").and_then(|s| s.as_object_mut()) {
        named.insert("const".into(), SCHEMA.into());
    }
    let text = serde_json::to_string_pretty(&schema).map_err(super::unwritable)?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::report::tests::report;

    /// What of a value is not as its schema says, by the words that ours use.
    fn misfits(value: &Value, schema: &Value, root: &Value, at: &str, found: &mut Vec<String>) {
        for (word, said) in schema.as_object().into_iter().flatten() {
            let fits = match word.as_str() {
                "$ref" => {
                    let place = said.as_str().and_then(|place| place.strip_prefix('#')).unwrap();
                    misfits(value, root.pointer(place).unwrap(), root, at, found);
                    true
                }
                "type" => match said {
                    Value::Array(any) => any.iter().any(|one| is(value, one)),
                    one => is(value, one),
                },
                "required" => said
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|key| value.get(key.as_str().unwrap()).is_some() || !value.is_object()),
                "properties" => {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        let at = format!("{at}/{key}");
                        match said.get(key) {
                            Some(schema) => misfits(value, schema, root, &at, found),
                            None => found.push(format!("{at} is not in the schema")),
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let all = value.as_object().into_iter().flatten();
                    all.for_each(|(key, value)| {
                        misfits(value, said, root, &format!("{at}/{key}"), found);
                    });
                    true
                }
                "items" => {
                    let all = value.as_array().into_iter().flatten();
                    all.for_each(|value| misfits(value, said, root, at, found));
                    true
                }
                "anyOf" | "oneOf" => said.as_array().unwrap().iter().any(|one| {
                    let mut found = Vec::new();
                    misfits(value, one, root, at, &mut found);
                    found.is_empty()
                }),
                "const" => value == said,
                "enum" => said.as_array().unwrap().contains(value),
                "minimum" => value.as_f64().is_none_or(|n| n >= said.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|n| n <= said.as_f64().unwrap()),
                "$schema" | "$defs" | "title" | "description" | "format" | "default" => true,
                other => panic!("{other} is a word that this test does not know"),
            };
            if !fits {
                found.push(format!("{at} is {value}, and {word} is {said}"));
            }
        }
    }

    fn is(value: &Value, kind: &Value) -> bool {
        match kind.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("{other}"),
        }
    }

    /// Scenario: the schema that is written down beside the code.
    /// Guarantees: it is the one that the types give; `CLOUDSAIL_WRITE=1` writes it.
    #[test]
    fn the_schema_is_written_down() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/report.schema.json");
        let schema = schema().unwrap();
        if std::env::var_os("CLOUDSAIL_WRITE").is_some() {
            std::fs::write(path, &schema).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, schema, "run it again with CLOUDSAIL_WRITE=1");
    }

    /// Scenario: a judged run of the shop as JSON against the schema; the same
    /// with a number of a finding made a text, and with a key too many.
    /// Guarantees: the first fits, and neither of the others does.
    #[test]
    fn a_report_fits_its_schema() {
        use crate::verdict::tests::shop::{DOCUMENT, Harm, run};
        let run = run(DOCUMENT, 1, Harm { errors: 0.1, delay_ms: 0.0 });
        let judgement = crate::verdict::judge(&run.experiment, &run.window, &run.evidence);
        let judged =
            Report::new(&run.experiment, &run.window, 0, &run.evidence, judgement, None).unwrap();
        let schema: Value = serde_json::from_str(&schema().unwrap()).unwrap();
        let fit = |value: &Value| {
            let mut found = Vec::new();
            misfits(value, &schema, &schema, "", &mut found);
            found
        };
        for report in [report(), judged.clone()] {
            let value: Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
            assert_eq!(fit(&value), Vec::<String>::new());
        }
        let value: Value = serde_json::from_str(&judged.to_json().unwrap()).unwrap();
        let at =
            value["findings"].as_array().unwrap().iter().position(|f| f["numbers"].is_object());
        let mut wrong = value.clone();
        wrong["findings"][at.unwrap()]["numbers"]["n"] = json!("many");
        assert_eq!(fit(&wrong).len(), 1, "{:?}", fit(&wrong));
        let mut more = value;
        more["more"] = json!(1);
        assert_eq!(fit(&more), ["/more is not in the schema"]);
    }
}
