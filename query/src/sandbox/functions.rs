//! Functions that a shared node cannot offer as they are (S20, S22).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::Error;

/// Absent: they show object paths, or build lists of any length out of two
/// numbers (as table functions `range` and `generate_series` stream and stay).
const ABSENT: [&str; 6] = [
    "input_file_name",
    "file_row_index",
    "range",
    "generate_series",
    "array_repeat",
    "array_resize",
];

/// Each makes text of a length that an argument says.
const GROWING: [&str; 3] = ["repeat", "lpad", "rpad"];

/// Bytes that one call over one batch may make.
const MAX_GROWN: i64 = 64 << 20;

/// The scalar functions of a session, out of the engine's own.
pub(crate) fn allowed(all: Vec<Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    all.into_iter()
        .filter(|f| !ABSENT.contains(&f.name()))
        .map(|f| match GROWING.contains(&f.name()) {
            true => Arc::new(ScalarUDF::new_from_impl(Bounded { inner: f })),
            false => f,
        })
        .collect()
}

/// A function that is asked how much it would make before it makes it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<(), DataFusionError> {
        let [text, times, ..] = args.args.as_slice() else { return Ok(()) };
        let rows = args.number_rows;
        let times = cast(&times.to_array(rows)?, &DataType::Int64)?;
        let times: &Int64Array = times.as_primitive::<Int64Type>();
        let text = text.to_array(rows)?;
        // `repeat` multiplies its text; a pad makes up to four bytes per character.
        let unit =
            |row: usize| if self.inner.name() == "repeat" { bytes_of(&text, row) } else { 4 };
        let made = (0..rows).filter(|row| times.is_valid(*row)).fold(0i64, |sum, row| {
            sum.saturating_add(times.value(row).max(0).saturating_mul(unit(row)))
        });
        if made > MAX_GROWN {
            let name = self.inner.name();
            return Err(
                Error::invalid(format!("{name} would make more than 64 MiB of text")).into()
            );
        }
        Ok(())
    }
}

fn bytes_of(text: &ArrayRef, row: usize) -> i64 {
    if text.is_null(row) {
        return 0;
    }
    let bytes = match text.data_type() {
        DataType::Utf8 => text.as_string::<i32>().value(row).len(),
        DataType::LargeUtf8 => text.as_string::<i64>().value(row).len(),
        DataType::Utf8View => text.as_string_view().value(row).len(),
        // Another type is refused by the function itself.
        _ => 0,
    };
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef, DataFusionError> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }
}
