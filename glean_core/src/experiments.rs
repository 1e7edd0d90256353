//! Experiments: what a ping says about one, and the limits of its texts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error_recording::ErrorType;
use crate::text::truncate;

/// The longest id, branch, key or value of an experiment.
pub(crate) const MAX_EXPERIMENT_TEXT_BYTES: usize = 100;
/// The most extra values of an experiment.
pub(crate) const MAX_EXPERIMENT_EXTRAS: usize = 20;

/// An experiment that the application takes part in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// The branch that this client was put into.
    pub branch: String,
    /// Further values; never an empty map.
    pub extra: Option<BTreeMap<String, String>>,
}

/// An experiment within the limits, and what it took to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sanitized {
    /// The id; errors are counted for its [`key`].
    pub id: String,
    /// The branch.
    pub branch: String,
    /// Further values; never an empty map.
    pub extra: Option<BTreeMap<String, String>>,
    /// One entry per error to count, with its reason.
    pub errors: Vec<(ErrorType, String)>,
}

impl Sanitized {
    /// Returns what is stored.
    pub fn into_experiment(self) -> Experiment {
        Experiment { branch: self.branch, extra: self.extra }
    }
}

/// Ends the keys of experiments.
pub(crate) const KEY_SUFFIX: &str = "#experiment";

/// Returns the key that an experiment is stored with and whose errors are counted.
pub fn key(id: &str) -> String {
    format!("{id}{KEY_SUFFIX}")
}

/// Cuts the texts of an experiment and keeps the first extra values in the order of their keys.
///
/// A cut id is an invalid value rather than an overflow. Of keys that become equal when cut, the last one wins. An empty
/// map becomes none. Every call that names an experiment does this, so that long ids are found again.
pub fn sanitize(id: &str, branch: &str, extra: BTreeMap<String, String>) -> Sanitized {
    let mut errors = Vec::new();
    let id = cut(id, "the id", ErrorType::InvalidValue, &mut errors);
    let branch = cut(branch, "the branch", ErrorType::InvalidOverflow, &mut errors);
    let extra = Some(sanitize_extra(&extra, &mut errors)).filter(|extra| !extra.is_empty());
    Sanitized { id, branch, extra, errors }
}

fn sanitize_extra(extra: &BTreeMap<String, String>, errors: &mut Vec<(ErrorType, String)>) -> BTreeMap<String, String> {
    if extra.len() > MAX_EXPERIMENT_EXTRAS {
        let why = format!("{} extra values are more than {MAX_EXPERIMENT_EXTRAS}", extra.len());
        errors.push((ErrorType::InvalidValue, why));
    }
    let mut kept = BTreeMap::new();
    for (key, value) in extra.iter().take(MAX_EXPERIMENT_EXTRAS) {
        kept.insert(cut_extra(key, "an extra key", errors), cut_extra(value, "an extra value", errors));
    }
    kept
}

fn cut_extra(text: &str, what: &str, errors: &mut Vec<(ErrorType, String)>) -> String {
    cut(text, what, ErrorType::InvalidOverflow, errors)
}

/// Cuts one text; `what` names it in the error.
fn cut(text: &str, what: &str, error: ErrorType, errors: &mut Vec<(ErrorType, String)>) -> String {
    let (cut, was_cut) = truncate(text, MAX_EXPERIMENT_TEXT_BYTES);
    if was_cut {
        errors.push((error, format!("{} bytes of {what} were cut to {MAX_EXPERIMENT_TEXT_BYTES}", text.len())));
    }
    cut.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_recording::ErrorType::{InvalidOverflow, InvalidValue};

    fn extras<const N: usize>(entries: [(String, String); N]) -> BTreeMap<String, String> {
        entries.into()
    }

    fn kinds(sanitized: &Sanitized) -> Vec<ErrorType> {
        sanitized.errors.iter().map(|(kind, _)| *kind).collect()
    }

    #[test]
    fn texts_within_the_limits_stay() {
        let extra = extras([("k".repeat(100), "v".repeat(100)), (String::new(), String::new())]);
        let sanitized = sanitize(&"i".repeat(100), &"b".repeat(100), extra.clone());
        assert_eq!(sanitized.id, "i".repeat(100));
        assert_eq!(sanitized.errors, []);
        assert_eq!(sanitized.into_experiment(), Experiment { branch: "b".repeat(100), extra: Some(extra) });
    }

    #[test]
    fn long_texts_are_cut_and_counted() {
        let extra = extras([("k".repeat(101), "v".repeat(101))]);
        let sanitized = sanitize(&"é".repeat(60), &"b".repeat(101), extra);
        assert_eq!(sanitized.id, "é".repeat(50));
        assert_eq!(sanitized.branch, "b".repeat(100));
        assert_eq!(sanitized.extra, Some(extras([("k".repeat(100), "v".repeat(100))])));
        assert_eq!(kinds(&sanitized), [InvalidValue, InvalidOverflow, InvalidOverflow, InvalidOverflow]);
        assert_eq!(sanitized.errors[0].1, "120 bytes of the id were cut to 100");
        assert_eq!(sanitized.errors[3].1, "101 bytes of an extra value were cut to 100");
    }

    #[test]
    fn twenty_extras_stay_and_the_dropped_ones_count_once() {
        let all: BTreeMap<_, _> = (0..25).map(|i| (format!("{i:02}{}", "z".repeat(200)), "v".repeat(200))).collect();
        let sanitized = sanitize("many", "b", all);
        let kept = sanitized.extra.as_ref().unwrap();
        assert_eq!(kept.len(), 20);
        assert!(kept.keys().next_back().unwrap().starts_with("19z"));
        let errors = kinds(&sanitized);
        assert_eq!(errors.iter().filter(|kind| **kind == InvalidValue).count(), 1);
        assert_eq!(errors.iter().filter(|kind| **kind == InvalidOverflow).count(), 40);
    }

    #[test]
    fn keys_that_become_equal_are_one() {
        let all: BTreeMap<_, _> = (0..5).map(|i| (format!("{}{i}", "k".repeat(100)), i.to_string())).collect();
        let sanitized = sanitize("same", "b", all);
        assert_eq!(sanitized.extra, Some(extras([("k".repeat(100), "4".to_owned())])));
        assert_eq!(kinds(&sanitized), [InvalidOverflow; 5]);
    }

    #[test]
    fn an_empty_map_is_none() {
        let sanitized = sanitize("", "", BTreeMap::new());
        assert_eq!(sanitized.errors, []);
        assert_eq!(sanitized.into_experiment(), Experiment { branch: String::new(), extra: None });
    }

    #[test]
    fn keys_hold_the_id() {
        assert_eq!(key("a b"), "a b#experiment");
    }
}
