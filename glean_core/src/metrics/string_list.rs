//! Lists of at most 100 strings of at most 100 bytes.

use std::cell::Cell;

use super::scope::Scope;
use super::string::note_cut;
use crate::error_recording::ErrorType;
use crate::store::Value;

/// Longer strings are cut.
pub(crate) const MAX_BYTES: usize = 100;
/// Further strings are dropped.
pub(crate) const MAX_STRINGS: usize = 100;

/// Adds a string that was cut to [`MAX_BYTES`]. A full list is [`ErrorType::InvalidValue`].
pub(super) fn add(scope: &mut Scope<'_>, text: &str, is_cut: bool) {
    note_cut(scope, u32::from(is_cut), MAX_BYTES);
    let is_full = Cell::new(false);
    scope.change(
        || Value::StringList(Vec::new()),
        |value| match value {
            Value::StringList(list) if list.len() < MAX_STRINGS => list.push(text.to_owned()),
            Value::StringList(_) => is_full.set(true),
            other => *other = Value::StringList(vec![text.to_owned()]),
        },
    );
    if is_full.get() {
        scope.record_error(ErrorType::InvalidValue, 1, "the list is full: 100 strings");
    }
}

/// Sets the list; `is_cut` tells that it had more than [`MAX_STRINGS`], which is [`ErrorType::InvalidValue`].
pub(super) fn set(scope: &mut Scope<'_>, list: &[String], cut: u32, is_cut: bool) {
    if is_cut {
        scope.record_error(ErrorType::InvalidValue, 1, "the list was cut to 100 strings");
    }
    note_cut(scope, cut, MAX_BYTES);
    scope.set(&Value::StringList(list.to_vec()));
}
