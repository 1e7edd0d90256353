//! The C form of counters, and of the counters of dual labeled ones.

use super::{guard, logged, record};
use crate::metrics::Recording;
use crate::process;

/// Adds to the counter. Zero does nothing; a negative amount is recorded as an invalid value.
#[unsafe(no_mangle)]
pub extern "C" fn glean_counter_add(handle: u64, amount: i32) -> i32 {
    if process::count(handle, amount) {
        return logged();
    }
    guard("glean_counter_add", || record(handle, |_| Some(Recording::CounterAdd(amount))))
}

/// Adds 1 to the counter: `glean_counter_add` with one argument less to convert.
#[unsafe(no_mangle)]
pub extern "C" fn glean_counter_increment(handle: u64) -> i32 {
    glean_counter_add(handle, 1)
}
