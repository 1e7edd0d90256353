//! URLs of at most 8 KiB: the last one wins; only the scheme is looked at.

use super::scope::Scope;
use super::string::note_cut;
use crate::error_recording::ErrorType;
use crate::store::Value;
use crate::text::is_url_acceptable;

/// Longer URLs are cut.
pub(crate) const MAX_BYTES: usize = 8192;

/// Sets a URL that was cut to [`MAX_BYTES`]. One without a scheme, or a `data:` URL, is [`ErrorType::InvalidValue`].
pub(super) fn set(scope: &mut Scope<'_>, text: &str, is_cut: bool) {
    note_cut(scope, u32::from(is_cut), MAX_BYTES);
    if !is_url_acceptable(text) {
        return scope.record_error(ErrorType::InvalidValue, 1, "no URL with a scheme other than data");
    }
    scope.set(&Value::Url(text.to_owned()));
}
