//! The C form of booleans.

use super::{guard, record};
use crate::metrics::Recording;

/// Sets the boolean; any number but 0 is true.
#[unsafe(no_mangle)]
pub extern "C" fn glean_boolean_set(handle: u64, value: u8) -> i32 {
    guard("glean_boolean_set", || record(handle, |_| Some(Recording::BooleanSet(value != 0))))
}
