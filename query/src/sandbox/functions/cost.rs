//! What a row of a function makes and costs at most.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use super::pattern::{self, Class};
use super::text_of;
use crate::Error;
use crate::engine::size;

/// Of one row, or of several.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cost {
    /// Bytes of the result.
    pub makes: usize,
    /// Steps of a few nanoseconds.
    pub works: usize,
}

impl Cost {
    pub fn plus(self, other: Cost) -> Cost {
        Cost {
            makes: self.makes.saturating_add(other.makes),
            works: self.works.saturating_add(other.works),
        }
    }
}

/// How a function's result grows with its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// `repeat(text, times)`.
    Repeats,
    /// `lpad(text, length, fill)`: up to four bytes per character.
    Pads,
    /// `replace(text, from, to)`.
    Replaces,
    /// All arguments together: `concat`, `make_array`, `array_append`.
    Joins,
    /// About as much as it is given: `upper`, `array_sort`.
    Keeps,
    /// `concat_ws(separator, …)`.
    JoinsWith,
    /// `array_to_string(list, separator, null)`.
    Writes,
    /// `string_to_array(text, separator)`: an offset per character.
    Splits,
    /// `to_char(time, format)`: a letter of a format becomes a word.
    Formats,
    /// Every element or character of the first with every one of the second.
    Pairs,
    /// A regular expression: text, pattern, and what is put in its place.
    Matches,
    Substitutes,
    /// `text LIKE pattern`.
    Likes,
}

impl Rule {
    /// Whether a row makes just what its cost says, and not less.
    pub fn is_exact(self) -> bool {
        matches!(self, Rule::Repeats | Rule::Joins)
    }

    /// The rule for a function, if it has one.
    pub fn of(name: &str) -> Option<Rule> {
        Some(match name {
            "repeat" => Rule::Repeats,
            "lpad" | "rpad" => Rule::Pads,
            "replace" => Rule::Replaces,
            "concat" | "overlay" | "make_array" | "array_append" | "array_prepend"
            | "array_concat" | "array_union" | "arrays_zip" | "map" | "array_replace"
            | "array_replace_n" | "array_replace_all" | "array_insert" => Rule::Joins,
            "upper" | "lower" | "initcap" | "reverse" | "translate" | "encode" | "decode"
            | "array_reverse" | "array_sort" | "array_distinct" | "flatten" => Rule::Keeps,
            "concat_ws" => Rule::JoinsWith,
            "array_to_string" => Rule::Writes,
            "string_to_array" => Rule::Splits,
            "to_char" => Rule::Formats,
            "levenshtein" | "array_has" | "array_has_all" | "array_has_any" | "array_intersect"
            | "array_except" => Rule::Pairs,
            "regexp_like" | "regexp_match" | "regexp_count" | "regexp_instr" => Rule::Matches,
            "regexp_replace" => Rule::Substitutes,
            _ => return None,
        })
    }
}

/// What is the same for all rows, or known of each.
enum Each<T> {
    One(T),
    All(Vec<T>),
}

impl<T: Copy> Each<T> {
    fn at(&self, row: usize) -> T {
        match self {
            Each::One(value) => *value,
            Each::All(values) => values[row],
        }
    }
}

struct Argument {
    value: ColumnarValue,
    bytes: Each<usize>,
    /// Elements of a list, the value of a number, bytes of a text.
    count: Each<usize>,
}

/// The costs of a batch.
pub(super) struct Costs {
    rule: Rule,
    name: String,
    arguments: Vec<Argument>,
    class: Option<Class>,
    rows: usize,
}

impl Costs {
    pub fn of(
        rule: Rule,
        name: &str,
        args: &[ColumnarValue],
        rows: usize,
    ) -> Result<Costs, DataFusionError> {
        let arguments = args.iter().map(|arg| Argument::of(arg, rows));
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        let class = class(rule, name, &arguments)?;
        Ok(Costs { rule, name: name.to_owned(), arguments, class, rows })
    }

    /// Bytes of the arguments that differ by row.
    pub fn given(&self) -> usize {
        let all = self.arguments.iter().map(|argument| match &argument.bytes {
            Each::One(_) => 0,
            Each::All(bytes) => bytes.iter().sum::<usize>(),
        });
        all.sum::<usize>().max(self.rows)
    }

    pub fn at(&self, row: usize) -> Result<Cost, Error> {
        let bytes = |n: usize| self.arguments.get(n).map_or(0, |a| a.bytes.at(row));
        let count = |n: usize| self.arguments.get(n).map_or(0, |a| a.count.at(row));
        let all = || {
            let bytes = self.arguments.iter().map(|argument| argument.bytes.at(row));
            bytes.fold(0, usize::saturating_add)
        };
        let makes = match self.rule {
            Rule::Repeats => {
                let text = self.arguments.first().map_or(0, |a| a.length(row));
                text.saturating_mul(count(1))
            }
            Rule::Pads => bytes(0).saturating_add(count(1).saturating_mul(4)),
            Rule::Replaces => {
                let times = bytes(0) / bytes(1).max(1) + 1;
                bytes(0).saturating_add(times.saturating_mul(bytes(2)))
            }
            Rule::Joins | Rule::Keeps => all(),
            Rule::JoinsWith => all().saturating_add(bytes(0).saturating_mul(self.arguments.len())),
            Rule::Writes => {
                let between = bytes(1).saturating_add(bytes(2));
                // Numbers are longer written than held.
                bytes(0).saturating_mul(4).saturating_add(count(0).saturating_mul(between))
            }
            Rule::Splits => bytes(0).saturating_mul(17),
            Rule::Formats => bytes(1).saturating_mul(16),
            Rule::Pairs => bytes(0).saturating_add(bytes(1)),
            Rule::Matches | Rule::Likes => bytes(0),
            Rule::Substitutes => {
                // The whole match may come back for each `\1`, and with the
                // flag `g` the rest once per character.
                let once = bytes(0).saturating_mul(2 + bytes(2) / 2);
                let flags = self.arguments.get(3);
                let all = flags.is_some_and(|flags| flags.may_say('g'));
                let times = if all { bytes(0).saturating_add(1) } else { 1 };
                once.saturating_add(times.saturating_mul(bytes(2)))
            }
        };
        let works = match self.rule {
            Rule::Pairs => count(0).max(1).saturating_mul(count(1).max(1)),
            Rule::Matches | Rule::Substitutes => self.matching(row)?,
            Rule::Likes => self.liking(row)?,
            _ => makes,
        };
        Ok(Cost { makes, works })
    }

    fn matching(&self, row: usize) -> Result<usize, Error> {
        let [text, pattern, ..] = self.arguments.as_slice() else { return Ok(0) };
        let text = text.bytes.at(row);
        if let Some(class) = self.class {
            return class.cost(text, &self.name);
        }
        let Some(expression) = pattern.text(row) else { return Ok(0) };
        // A pattern of each row's own is compiled for each.
        Ok(Class::of(&expression, &self.name)?.cost(text, &self.name)?.saturating_add(256 << 10))
    }

    fn liking(&self, row: usize) -> Result<usize, Error> {
        let [text, pattern, ..] = self.arguments.as_slice() else { return Ok(0) };
        let text = text.bytes.at(row).saturating_mul(8);
        if let Each::One(_) = pattern.bytes {
            return Ok(text);
        }
        let Some(expression) = pattern.text(row) else { return Ok(0) };
        pattern::like(&expression)?;
        Ok(text.saturating_add(expression.len().saturating_mul(64)))
    }
}

/// The class of a pattern that is the same for all rows.
fn class(rule: Rule, name: &str, arguments: &[Argument]) -> Result<Option<Class>, Error> {
    let Some(pattern) = arguments.get(1) else { return Ok(None) };
    let ColumnarValue::Scalar(scalar) = &pattern.value else { return Ok(None) };
    let Some(text) = text_of(scalar) else { return Ok(None) };
    match rule {
        Rule::Matches | Rule::Substitutes => Class::of(text, name).map(Some),
        Rule::Likes => pattern::like(text).map(|()| None),
        _ => Ok(None),
    }
}

impl Argument {
    fn of(value: &ColumnarValue, rows: usize) -> Result<Argument, DataFusionError> {
        let value = value.clone();
        Ok(match &value {
            ColumnarValue::Scalar(scalar) => {
                let array = scalar.to_array()?;
                let (bytes, count) = (size::total(&array), counts(&array, 1)?[0]);
                Argument { value, bytes: Each::One(bytes), count: Each::One(count) }
            }
            ColumnarValue::Array(array) => {
                let bytes = size::of_rows(std::iter::once(array), rows);
                let count = counts(array, rows)?;
                Argument { bytes: Each::All(bytes), count: Each::All(count), value }
            }
        })
    }

    fn text(&self, row: usize) -> Option<String> {
        match &self.value {
            ColumnarValue::Scalar(scalar) => text_of(scalar).map(str::to_owned),
            ColumnarValue::Array(array) if array.is_null(row) => None,
            ColumnarValue::Array(array) => Some(match array.data_type() {
                DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
                DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
                DataType::Utf8View => array.as_string_view().value(row).to_owned(),
                // Another type is refused by the function itself.
                _ => return None,
            }),
        }
    }

    /// Bytes of a text itself, without what points to it.
    fn length(&self, row: usize) -> usize {
        match &self.value {
            ColumnarValue::Scalar(scalar) => text_of(scalar).map(str::len),
            ColumnarValue::Array(array) => {
                let views = array.as_string_view_opt();
                views.map(|views| if views.is_null(row) { 0 } else { views.value(row).len() })
            }
        }
        .unwrap_or_else(|| self.bytes.at(row))
    }

    fn may_say(&self, flag: char) -> bool {
        match &self.value {
            ColumnarValue::Scalar(scalar) => text_of(scalar).is_some_and(|f| f.contains(flag)),
            ColumnarValue::Array(_) => true,
        }
    }
}

fn counts(array: &ArrayRef, rows: usize) -> Result<Vec<usize>, DataFusionError> {
    fn spans<O: OffsetSizeTrait>(offsets: &[O]) -> Vec<usize> {
        offsets.windows(2).map(|pair| pair[1].as_usize() - pair[0].as_usize()).collect()
    }
    Ok(match array.data_type() {
        DataType::List(_) => spans(array.as_list::<i32>().value_offsets()),
        DataType::LargeList(_) => spans(array.as_list::<i64>().value_offsets()),
        DataType::FixedSizeList(_, length) => {
            vec![usize::try_from(*length).unwrap_or(0); rows]
        }
        integer if integer.is_integer() => {
            let numbers = cast(array, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            let count = |n: Option<i64>| usize::try_from(n.unwrap_or(0)).unwrap_or(0);
            numbers.iter().map(count).collect()
        }
        _ => size::of_rows(std::iter::once(array), rows),
    })
}
