//! Denominators: counters that are the lower half of the rates they list.

use std::sync::Arc;

use super::{Kind, Label, MetricDefinition, rate};
use crate::common_metric_data::CommonMetricData;
use crate::error_recording::ErrorType;
use crate::machine::context::KnownMetric;
use crate::machine::scope::{Scope, add_to_counter};
use crate::store::Value;

/// Adds a positive amount to the counter and to each numerator. Anything else is [`ErrorType::InvalidValue`].
pub(super) fn add(scope: &mut Scope<'_, '_>, amount: i32, numerators: &[CommonMetricData]) {
    if amount <= 0 {
        return scope.record_error(ErrorType::InvalidValue, 1, "an amount that isn't positive was added");
    }
    for common in numerators {
        let definition = MetricDefinition { common: common.clone(), kind: Kind::Numerator, label: Label::None };
        if let Some(mut numerator) = Scope::open(scope.machine, Arc::new(KnownMetric::new(definition))) {
            rate::add_to_denominator(&mut numerator, amount);
        }
    }
    scope.change(|| Value::Counter(0), |value| add_to_counter(value, amount));
}
