//! Numerators: rates whose denominator is recorded by a metric of its own.

use super::rate;
use super::scope::Scope;

/// Adds to the numerator; zero makes the rate. A negative amount is an error.
pub(super) fn add(scope: &mut Scope<'_>, amount: i32) {
    rate::add(scope, amount, 0);
}
