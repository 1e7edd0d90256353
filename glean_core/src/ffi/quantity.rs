//! The C form of quantities.

use super::{guard, record};
use crate::metrics::Recording;

/// Sets the number; a negative one is recorded as an invalid value.
#[unsafe(no_mangle)]
pub extern "C" fn glean_quantity_set(handle: u64, value: i64) -> i32 {
    guard("glean_quantity_set", || record(handle, |_| Some(Recording::QuantitySet(value))))
}
