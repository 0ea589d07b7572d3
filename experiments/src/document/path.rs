//! The part of JSONPath that a tolerance can say: `$`, names, indices, `[*]`.

use serde_json::Value;

use super::units::Said;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
    All,
}

/// A path into a JSON answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

impl Path {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Every value at the path.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        self.steps.iter().fold(vec![value], |found, step| {
            let below = found.into_iter().flat_map(|value| -> Vec<&Value> {
                match step {
                    Step::Name(name) => value.get(name).into_iter().collect(),
                    Step::Index(index) => value.get(*index).into_iter().collect(),
                    Step::All => match value {
                        Value::Array(items) => items.iter().collect(),
                        Value::Object(entries) => entries.values().collect(),
                        _ => Vec::new(),
                    },
                }
            });
            below.collect()
        })
    }
}

impl Said for Path {
    const REMEDY: &'static str =
        "write a path of names, indices and [*], like $[0].status; filters are not known here";

    fn said(value: &Value) -> Result<Path, String> {
        let no = || format!("is {value}; {}", Path::REMEDY);
        let text = value.as_str().ok_or_else(no)?;
        let mut rest = text.strip_prefix('$').ok_or_else(no)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(named) = rest.strip_prefix('.') {
                let end = named.find(['.', '[']).unwrap_or(named.len());
                let (name, left) = named.split_at(end);
                steps.push(match name {
                    "" => return Err(no()),
                    "*" => Step::All,
                    name => Step::Name(name.to_owned()),
                });
                rest = left;
                continue;
            }
            let (inside, left) =
                rest.strip_prefix('[').and_then(|r| r.split_once(']')).ok_or_else(no)?;
            let quoted = inside.strip_prefix(['\'', '"']).and_then(|r| r.strip_suffix(['\'', '"']));
            steps.push(match (inside, quoted) {
                ("*", _) => Step::All,
                (_, Some(name)) => Step::Name(name.to_owned()),
                (index, None) => Step::Index(index.parse().map_err(|_| no())?),
            });
            rest = left;
        }
        Ok(Path { text: text.to_owned(), steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: paths into rows, and paths with what is not known here.
    /// Guarantees: the first find their values, the others are refused with a remedy.
    #[test]
    fn a_path_finds_or_is_refused() {
        let rows = serde_json::json!([{"a": {"b": 1}}, {"a": {"b": 2}}, {"c": 3}]);
        let find = |path: &str| Path::said(&path.into()).map(|p| p.find(&rows).len());
        assert_eq!(find("$[*].a.b"), Ok(2));
        assert_eq!(find("$[0]['a'][\"b\"]"), Ok(1));
        assert_eq!(find("$[7]"), Ok(0));
        assert_eq!(find("$"), Ok(1));
        for bad in ["a", "$..a", "$[?(@.a)]", "$[0", "$x"] {
            assert!(find(bad).unwrap_err().contains("write a path"), "{bad}");
        }
    }
}
