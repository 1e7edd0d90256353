//! Booleans: the last value wins.

use super::scope::Scope;
use crate::store::Value;

pub(super) fn set(scope: &mut Scope<'_>, value: bool) {
    scope.set(&Value::Boolean(value));
}
