//! Booleans: the last value wins.

use crate::machine::scope::Scope;
use crate::store::Value;

pub(super) fn set(scope: &mut Scope<'_, '_>, value: bool) {
    scope.set(&Value::Boolean(value));
}
