//! Numerators: rates whose denominator is recorded by a metric of its own.

use super::rate;
use crate::machine::scope::Scope;

/// Adds to the numerator; zero makes the rate. A negative amount is an error.
pub(super) fn add(scope: &mut Scope<'_, '_>, amount: i32) {
    rate::add(scope, amount, 0);
}
