//! `text_code` and `code_text`. Neither is registered: no statement can name
//! them.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::{DataFusionError, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExpressionPlacement, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::Codes;

type Result<T> = std::result::Result<T, DataFusionError>;

const TEXT_CODE: &str = "text_code";

/// Whether a function takes the codes of texts, and so a dictionary as well.
pub(crate) fn is_text_code(func: &ScalarUDF) -> bool {
    func.name() == TEXT_CODE
}

pub(super) fn text_code(codes: &Arc<Codes>, text: Expr) -> Expr {
    call(codes, Way::Code, text)
}

pub(super) fn code_text(codes: &Arc<Codes>, code: Expr) -> Expr {
    call(codes, Way::Text, code)
}

fn call(codes: &Arc<Codes>, way: Way, of: Expr) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::new_from_impl(Coded { codes: codes.clone(), way, signature }).call(vec![of])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Code,
    Text,
}

#[derive(Debug)]
struct Coded {
    codes: Arc<Codes>,
    way: Way,
    signature: Signature,
}

impl PartialEq for Coded {
    fn eq(&self, other: &Coded) -> bool {
        Arc::ptr_eq(&self.codes, &other.codes) && self.way == other.way
    }
}

impl Eq for Coded {}

impl Hash for Coded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.way.hash(state);
    }
}

impl ScalarUDFImpl for Coded {
    fn name(&self) -> &str {
        match self.way {
            Way::Code => TEXT_CODE,
            Way::Text => "code_text",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.way {
            Way::Code => DataType::Int32,
            Way::Text => DataType::Utf8,
        })
    }

    /// A column's code is taken where the column is read.
    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        match (self.way, args) {
            (Way::Code, [ExpressionPlacement::Column]) => ExpressionPlacement::MoveTowardsLeafNodes,
            _ => ExpressionPlacement::KeepInPlace,
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [of] = &args.args[..] else { return internal_err!("{} takes one value", self.name()) };
        let array = of.to_array(args.number_rows)?;
        let done: ArrayRef = match self.way {
            Way::Code => Arc::new(self.codes_of(&array)?),
            Way::Text => Arc::new(self.texts_of(array.as_primitive::<Int32Type>())),
        };
        Ok(ColumnarValue::Array(done))
    }
}

impl Coded {
    fn codes_of(&self, array: &ArrayRef) -> Result<Int32Array> {
        match array.data_type() {
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_dictionary::<Int32Type>();
                let codes = self.codes.codes(dictionary.values().as_string::<i32>().iter())?;
                let keys = dictionary.keys();
                let plain: Option<Vec<i32>> = codes.iter().copied().collect();
                Ok(match plain {
                    // What stands where a key is NULL may be no key at all.
                    Some(plain) => keys.unary(|key| plain.get(key as usize).copied().unwrap_or(0)),
                    None => {
                        let keys = keys.iter();
                        keys.map(|key| key.and_then(|key| codes[key as usize])).collect()
                    }
                })
            }
            DataType::Utf8 => self.codes_of_runs(array.as_string::<i32>().iter()),
            DataType::Utf8View => self.codes_of_runs(array.as_string_view().iter()),
            other => internal_err!("{TEXT_CODE} of {other}"),
        }
    }

    /// Text comes sorted or nearly so: only where it changes is it looked up.
    fn codes_of_runs<'a>(
        &self,
        texts: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<Int32Array> {
        let mut starts: Vec<Option<&str>> = Vec::new();
        let runs = texts.map(|text| {
            if starts.last() != Some(&text) {
                starts.push(text);
            }
            starts.len() - 1
        });
        let runs: Vec<usize> = runs.collect();
        let codes = self.codes.codes(starts.into_iter())?;
        Ok(runs.into_iter().map(|run| codes[run]).collect())
    }

    fn texts_of(&self, codes: &Int32Array) -> StringArray {
        let texts = self.codes.texts();
        codes.iter().map(|code| code.and_then(|code| texts.get(code as usize))).collect()
    }
}
