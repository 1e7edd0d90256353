//! Strings of at most 255 bytes: the last one wins.

use super::scope::Scope;
use crate::error_recording::ErrorType;
use crate::store::Value;

/// Longer strings are cut.
pub(crate) const MAX_BYTES: usize = 255;

/// Sets a string that was cut to [`MAX_BYTES`]; that it was is [`ErrorType::InvalidOverflow`].
pub(super) fn set(scope: &mut Scope<'_>, text: &str, is_cut: bool) {
    note_cut(scope, u32::from(is_cut), MAX_BYTES);
    scope.set(&Value::String(text.to_owned()));
}

/// Counts strings that were too long.
pub(super) fn note_cut(scope: &mut Scope<'_>, count: u32, limit_bytes: usize) {
    for _ in 0..count {
        scope.record_error(ErrorType::InvalidOverflow, 1, &format!("cut to {limit_bytes} bytes"));
    }
}
