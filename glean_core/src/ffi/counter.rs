//! The C form of counters, and of the counters of dual labeled ones.

use super::{guard, record};
use crate::metrics::Recording;

/// Adds to the counter. Zero does nothing; a negative amount is recorded as an invalid value.
#[unsafe(no_mangle)]
pub extern "C" fn glean_counter_add(handle: u64, amount: i32) -> i32 {
    guard("glean_counter_add", || record(handle, |_| Some(Recording::CounterAdd(amount))))
}
