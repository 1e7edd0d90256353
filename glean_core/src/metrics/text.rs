//! Texts of at most 200 KiB: the last one wins.

use super::scope::Scope;
use super::string::note_cut;
use crate::store::Value;

/// Longer texts are cut.
pub(crate) const MAX_BYTES: usize = 200 * 1024;

/// Sets a text that was cut to [`MAX_BYTES`]; that it was is an overflow.
pub(super) fn set(scope: &mut Scope<'_>, text: &str, is_cut: bool) {
    note_cut(scope, u32::from(is_cut), MAX_BYTES);
    scope.set(&Value::Text(text.to_owned()));
}
