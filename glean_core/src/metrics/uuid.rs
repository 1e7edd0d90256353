//! UUIDs: the last one wins.

use super::scope::Scope;
use crate::error_recording::ErrorType;
use crate::store::Value;

/// No spelling is longer, and what is none need not fill the journal.
pub(crate) const MAX_BYTES: usize = 64;

/// Sets a UUID from any of its spellings. Anything else is [`ErrorType::InvalidValue`].
pub(super) fn set(scope: &mut Scope<'_>, text: &str) {
    match ::uuid::Uuid::parse_str(text) {
        Ok(uuid) => scope.set(&Value::Uuid(uuid)),
        Err(error) => scope.record_error(ErrorType::InvalidValue, 1, &format!("no UUID: {error}")),
    }
}
