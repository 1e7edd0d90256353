//! The C form of numerators.

use super::{guard, record};
use crate::metrics::Recording;

/// Adds to the numerator; a negative amount is recorded as an invalid value.
#[unsafe(no_mangle)]
pub extern "C" fn glean_numerator_add_to_numerator(handle: u64, amount: i32) -> i32 {
    guard("glean_numerator_add_to_numerator", || record(handle, |_| Some(Recording::NumeratorAdd(amount))))
}
