//! Objects: JSON values; the last one wins.

use super::scope::Scope;
use crate::store::Value;

/// Sets an object from JSON text that was checked before.
pub(super) fn set(scope: &mut Scope<'_>, text: &str) {
    scope.set(&Value::Object(text.to_owned()));
}
