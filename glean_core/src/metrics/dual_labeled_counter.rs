//! Dual labeled counters: sums with a key and a category, stored under both, joined.

use std::collections::BTreeSet;

use super::Kind;
use super::labeled::{MAX_BYTES, MAX_LABELS, OTHER, SEPARATOR};
use super::scope::Scope;
use crate::error_recording::ErrorType;
use crate::sort;
use crate::store::Value;

/// Adds a positive amount. Zero does nothing, a negative amount is [`ErrorType::InvalidValue`].
pub(super) fn add(scope: &mut Scope<'_>, amount: i32) {
    match amount {
        1.. => scope.change(|| Value::DualLabeledCounter(0), |value| value.add(amount)),
        0 => (),
        _ => scope.record_error(ErrorType::InvalidValue, 1, "a negative amount was added"),
    }
}

/// Returns key and category as stored, joined by [`SEPARATOR`].
pub(super) fn resolve(scope: &mut Scope<'_>, key: &str, category: &str) -> String {
    let known = scope.known();
    let Kind::DualLabeledCounter { keys, categories } = &known.definition.kind else {
        return join(OTHER, OTHER);
    };
    // A part that has to be listed is only looked for in its list.
    let has_separator = |part: &str, listed: &Option<Vec<String>>| listed.is_none() && part.contains(SEPARATOR);
    if has_separator(key, keys) || has_separator(category, categories) {
        scope.record_error(ErrorType::InvalidLabel, 1, "a key or a category has U+001E");
        return join(OTHER, OTHER);
    }
    let common = &known.definition.common;
    let stored = scope.state.labels(&common.send_in_pings, common.lifetime, &known.identifier);
    let stored: Vec<(String, String)> =
        stored.iter().filter_map(|label| split(label)).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    let key = resolve_part(scope, key, keys.as_deref(), sort::collect(stored.iter().map(|(key, _)| key.as_str())));
    let category = resolve_part(
        scope,
        category,
        categories.as_deref(),
        sort::collect(stored.iter().map(|(_, name)| name.as_str())),
    );
    join(&key, &category)
}

fn resolve_part(scope: &mut Scope<'_>, part: &str, listed: Option<&[String]>, stored: BTreeSet<&str>) -> String {
    if let Some(listed) = listed {
        let is_listed = !part.contains(SEPARATOR) && listed.iter().any(|name| name == part);
        return if is_listed { part.to_owned() } else { OTHER.to_owned() };
    }
    if stored.contains(part) {
        return part.to_owned();
    }
    // As for one label: too many is no error.
    if stored.len() >= MAX_LABELS {
        return OTHER.to_owned();
    }
    if part.len() > MAX_BYTES {
        scope.record_error(ErrorType::InvalidLabel, 1, "a key or a category is longer than 111 bytes");
        return OTHER.to_owned();
    }
    part.to_owned()
}

/// Returns key and category as one label.
fn join(key: &str, category: &str) -> String {
    format!("{key}{SEPARATOR}{category}")
}

/// Returns key and category of a stored label.
pub(crate) fn split(label: &str) -> Option<(&str, &str)> {
    label.split_once(SEPARATOR)
}
