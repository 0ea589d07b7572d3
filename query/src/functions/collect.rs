//! `array_agg` that counts the texts it keeps: the engine's own counts the views of
//! them alone, and so no bound of memory would end it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator,
    ReversedUDAF, Signature,
};

use crate::engine::size;

type Result<T> = std::result::Result<T, DataFusionError>;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Collect {
    inner: Arc<AggregateUDF>,
}

pub(super) fn array_agg() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Collect { inner: array_agg_udaf() }))
}

impl AggregateUDFImpl for Collect {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        // The others keep copies, and count them.
        let plain = !args.is_distinct && args.order_bys.is_empty();
        let inner = self.inner.accumulator(args)?;
        Ok(if plain { Box::new(Counted { inner, bytes: 0 }) } else { inner })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Counted { inner: self.inner.create_groups_accumulator(args)?, bytes: 0 }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        beneficial: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let ordered = self.inner.as_ref().clone().with_beneficial_ordering(beneficial)?;
        Ok(ordered.map(|ordered| Arc::new(Collect { inner: Arc::new(ordered) }) as _))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_udf()
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Knows what it was given beyond what its inner counts.
#[derive(Debug)]
struct Counted<T: ?Sized> {
    bytes: usize,
    inner: Box<T>,
}

impl<T: ?Sized> Counted<T> {
    fn count(&mut self, given: &[ArrayRef]) {
        for array in given {
            let counted = array.to_data().get_slice_memory_size().unwrap_or(0);
            self.bytes += size::total(array).saturating_sub(counted);
        }
    }
}

impl Accumulator for Counted<dyn Accumulator> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count(values);
        self.inner.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.count(states);
        self.inner.merge_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn size(&self) -> usize {
        self.inner.size() + self.bytes
    }
}

impl GroupsAccumulator for Counted<dyn GroupsAccumulator> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.count(values);
        self.inner.update_batch(values, groups, filter, total)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.count(values);
        self.inner.merge_batch(values, groups, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        self.emitted(emit);
        self.inner.evaluate(emit)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.emitted(emit);
        self.inner.state(emit)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.inner.size() + self.bytes
    }
}

impl Counted<dyn GroupsAccumulator> {
    /// Batches are kept until none of their rows is.
    fn emitted(&mut self, emit: EmitTo) {
        if matches!(emit, EmitTo::All) {
            self.bytes = 0;
        }
    }
}
