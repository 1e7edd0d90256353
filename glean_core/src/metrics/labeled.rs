//! Labels: which ones a labeled metric accepts, decided when a value is recorded.

use super::Label;
use super::scope::Scope;
use crate::error_recording::ErrorType;

/// The label of everything that has no label of its own.
pub(crate) const OTHER: &str = "__other__";
/// How many different labels a metric without a list of labels may have.
pub(crate) const MAX_LABELS: usize = 16;
/// Longer labels aren't accepted.
pub(crate) const MAX_BYTES: usize = 111;
/// Stands between the key and the category of a dual labeled metric in storage, and so in no label.
pub(crate) const SEPARATOR: char = '\u{1e}';

/// Returns the label under which a value of this metric is stored now.
pub(crate) fn resolve(scope: &mut Scope<'_>) -> Option<String> {
    let known = scope.known();
    match &known.definition.label {
        Label::None => None,
        Label::Static(label, is_listed) => Some(if *is_listed { label.clone() } else { OTHER.to_owned() }),
        Label::Dynamic(label) => {
            let common = &known.definition.common;
            let stored = scope.state.labels(&common.send_in_pings, common.lifetime, &known.identifier);
            if stored.contains(label.as_str()) {
                return Some(label.clone());
            }
            if stored.len() >= MAX_LABELS {
                return Some(OTHER.to_owned());
            }
            if label.len() > MAX_BYTES || label.contains(SEPARATOR) {
                scope.record_error(ErrorType::InvalidLabel, 1, "a label is longer than 111 bytes or has U+001E");
                return Some(OTHER.to_owned());
            }
            Some(label.clone())
        }
        Label::Dual(key, category) => Some(super::dual_labeled_counter::resolve(scope, key, category)),
    }
}
