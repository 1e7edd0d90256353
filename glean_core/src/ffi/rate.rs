//! The C form of rates.

use super::{guard, record};
use crate::metrics::Recording;

/// Adds to the numerator; a negative amount is recorded as an invalid value.
#[unsafe(no_mangle)]
pub extern "C" fn glean_rate_add_to_numerator(handle: u64, amount: i32) -> i32 {
    guard("glean_rate_add_to_numerator", || record(handle, |_| Some(Recording::NumeratorAdd(amount))))
}

/// Adds to the denominator; a negative amount is recorded as an invalid value.
#[unsafe(no_mangle)]
pub extern "C" fn glean_rate_add_to_denominator(handle: u64, amount: i32) -> i32 {
    guard("glean_rate_add_to_denominator", || record(handle, |_| Some(Recording::DenominatorAdd(amount))))
}
