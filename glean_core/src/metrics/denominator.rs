//! Denominators: counters that are the lower half of the rates they list.

use super::scope::Scope;
use super::{Kind, Label, MetricDefinition, Recording};
use crate::error_recording::ErrorType;
use crate::store::Value;

/// Adds a positive amount to the counter. Anything else is [`ErrorType::InvalidValue`].
pub(super) fn add(scope: &mut Scope<'_>, amount: i32) {
    if amount <= 0 {
        return scope.record_error(ErrorType::InvalidValue, 1, "an amount that isn't positive was added");
    }
    scope.change(|| Value::Counter(0), |value| value.add(amount));
}

/// Returns the rates that a recording adds to as well, and what it adds.
pub(crate) fn rates(
    definition: &MetricDefinition,
    recording: &Recording<'_>,
) -> Option<(impl Iterator<Item = MetricDefinition>, Recording<'static>)> {
    let (Kind::Denominator(numerators), Recording::CounterAdd(amount @ 1..)) = (&definition.kind, recording) else {
        return None;
    };
    let rate = |common| MetricDefinition { common, kind: Kind::Rate, label: Label::None };
    Some((numerators.clone().into_iter().map(rate), Recording::DenominatorAdd(*amount)))
}
