//! The C form of denominators.

use super::{guard, record};
use crate::metrics::Recording;

/// Adds to the counter and to the rates that list it; an amount that isn't positive is recorded as an invalid value.
#[unsafe(no_mangle)]
pub extern "C" fn glean_denominator_add(handle: u64, amount: i32) -> i32 {
    guard("glean_denominator_add", || record(handle, |_| Some(Recording::CounterAdd(amount))))
}
