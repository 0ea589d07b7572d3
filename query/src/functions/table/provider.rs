//! A table that a function computes out of a stored one.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, DataFusionError};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, TableProviderFilterPushDown,
};
use datafusion::physical_plan::ExecutionPlan;

use super::operator::{Begin, Operator};

/// From the columns that are shown to those of the input.
pub(super) type Needs = Box<dyn Fn(&[&str]) -> Vec<Expr> + Send + Sync>;

/// Rows of `input`, in `order`, worked on one after another.
pub(super) struct Computed {
    pub name: &'static str,
    pub schema: SchemaRef,
    pub input: LogicalPlan,
    pub order: Vec<SortExpr>,
    /// Columns that pass from the input as they are, and of which rows with
    /// different values never meet: a filter on them alone reaches the scan.
    pub apart: &'static [&'static str],
    /// The input's columns that are needed for these columns.
    pub needs: Needs,
    pub begin: Begin,
}

impl fmt::Debug for Computed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Computed").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for Computed {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let verdict = |filter: &&Expr| {
            let columns = filter.column_refs();
            let apart = |column: &&Column| self.apart.contains(&column.name.as_str());
            match !columns.is_empty() && columns.iter().all(apart) {
                true => TableProviderFilterPushDown::Inexact,
                false => TableProviderFilterPushDown::Unsupported,
            }
        };
        Ok(filters.iter().map(verdict).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let shown = projection.unwrap_or(&all).iter();
        let shown: Vec<&str> =
            shown.map(|index| self.schema.field(*index).name().as_str()).collect();
        let mut plan = LogicalPlanBuilder::from(self.input.clone());
        for filter in filters {
            plan = plan.filter(filter.clone())?;
        }
        plan = plan.project((self.needs)(&shown))?;
        if !self.order.is_empty() {
            plan = plan.sort(self.order.clone())?;
        }
        let input = state.create_physical_plan(&plan.build()?).await?;
        let begin = self.begin.clone();
        Ok(Arc::new(Operator::new(self.name, input, &self.schema, projection, begin)?))
    }
}
