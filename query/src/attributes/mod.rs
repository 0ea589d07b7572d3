//! `attributes['k']`, whether `k` has a column or not.
//!
//! Storage keeps a promoted key in a typed column and leaves it out of the
//! map, unless its value did not fit the type. A user asks the map; before
//! types are settled, [`Rewrite`] turns the access into
//! `coalesce(CAST("k" AS text), attributes['k'])`. The text of a number is the
//! text that the map would hold, because both are Arrow's.
//!
//! A comparison in a filter also becomes prunable: `attributes['k'] = 'v'` is
//! `("k" = 'v' OR "k" IS NULL) AND coalesce("k", attributes['k']) = 'v'`, where
//! the first half can be settled by statistics and pushed into the file. The
//! two forms agree for every value of both columns, NULL included.
//!
//! Against a number, an access is compared as a number; text that is none is
//! NULL then, never an error.
//!
//! | file | what |
//! | --- | --- |
//! | this | the planner's part of the syntax, [`Uses`] |
//! | [`rewrite`] | the analyzer rule: which expressions, in which plan nodes |
//! | [`access`] | one access: its expression as text, as a number, as a filter |
//! | [`lineage`] | from a map column, wherever it has been carried, to its table |

mod access;
mod lineage;
mod rewrite;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use parking_lot::Mutex;
use schema::Tenant;
use schema::table::Scope;

pub(crate) use rewrite::{Promoted, Rewrite, accessed, is_access};

use crate::functions;

/// `map->>'k'` and `map->'k'` are `map['k']`, but for the name of the column:
/// both can be selected side by side.
#[derive(Debug)]
pub(crate) struct MapAccess;

impl ExprPlanner for MapAccess {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>, DataFusionError> {
        let arrow = matches!(expr.op, BinaryOperator::LongArrow | BinaryOperator::Arrow);
        if arrow && matches!(expr.left.get_type(schema)?, DataType::Map(_, _)) {
            let access =
                ScalarFunction::new_udf(functions::map_text(), vec![expr.left, expr.right]);
            return Ok(PlannerResult::Planned(Expr::ScalarFunction(access)));
        }
        Ok(PlannerResult::Original(expr))
    }
}

/// Keys that are remembered; past it new ones are not.
const REMEMBERED: usize = 10_000;

type Key = (Tenant, Scope, String);

/// When each key was last asked for; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uses(Arc<Mutex<HashMap<Key, i64>>>);

impl Uses {
    fn note(&self, tenant: &Tenant, scope: Scope, key: &str, at_unix_nano: i64) {
        let mut uses = self.0.lock();
        let key = (tenant.clone(), scope, key.to_owned());
        if uses.len() < REMEMBERED || uses.contains_key(&key) {
            uses.insert(key, at_unix_nano);
        }
    }

    pub fn all(&self, tenant: &Tenant) -> Vec<(Scope, String, i64)> {
        let uses = self.0.lock();
        let own = uses.iter().filter(|((owner, ..), _)| owner == tenant);
        own.map(|((_, scope, key), at)| (*scope, key.clone(), *at)).collect()
    }
}
