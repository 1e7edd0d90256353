//! Objects: JSON values; the last one wins.

use crate::machine::scope::Scope;
use crate::store::Value;

/// Sets an object from JSON text that was checked before.
pub(super) fn set(scope: &mut Scope<'_, '_>, text: &str) {
    scope.set(&Value::Object(text.to_owned()));
}
