//! What is the same for metrics of all types: making them, letting them go, reading them in tests.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::buffers::GleanBuffer;
use super::{Failure, GLEAN_TOO_MANY_HANDLES, error_type, found, guard, invalid_handle, json, out, strings};
use crate::common_metric_data::CommonMetricData;
use crate::events::{self, WALL_CLOCK_EXTRA};
use crate::handles::{Labeled, Metric, Object};
use crate::metrics::dual_labeled_counter::split;
use crate::metrics::labeled::{MAX_BYTES, MAX_LABELS, OTHER, SEPARATOR};
use crate::metrics::scope;
use crate::metrics::{Kind, Label, MetricDefinition};
use crate::ping::dual_json;
use crate::process;
use crate::sort;
use crate::store::{Entry, State, Value};

/// The description of a metric.
#[derive(Deserialize)]
struct Description {
    #[serde(flatten)]
    common: CommonMetricData,
    #[serde(rename = "type")]
    kind: Kind,
    label: Option<String>,
    #[serde(default)]
    is_labeled: bool,
    labels: Option<Vec<String>>,
}

impl From<Description> for Object {
    fn from(description: Description) -> Object {
        let Description { common, kind, label, is_labeled, labels } = description;
        let is_labeled = is_labeled || matches!(kind, Kind::DualLabeledCounter { .. });
        let label = label.map_or(Label::None, Label::Dynamic);
        let definition = Arc::new(MetricDefinition { common, kind, label });
        match is_labeled {
            true => Object::Labeled(Labeled { definition, labels: labels.map(Arc::new) }),
            false => Object::Metric(Metric::new(definition)),
        }
    }
}

/// Makes a metric from its JSON description and writes its handle.
///
/// That is an object with `category`, `name`, `send_in_pings`, `lifetime` (`"ping"`, `"application"`, `"user"`),
/// `disabled`, `in_session`, and `type`: a word such as `"counter"`, or an object of the word and the parameters of the
/// type, `{"timespan": "second"}`. `is_labeled` makes one that has metrics by label, with `labels` only for those. `label`
/// is the label of a metric that belongs to one.
///
/// # Safety
///
/// `definition` is NULL or valid for reads of `len` bytes, `out_handle` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_metric_new(definition: *const u8, len: u64, out_handle: *mut u64) -> i32 {
    guard("glean_metric_new", || {
        // SAFETY: promised by the caller, here and below.
        let out_handle = unsafe { out(out_handle, "out_handle") }?;
        // SAFETY: as above.
        let description: Description = unsafe { json(definition, len, "definition") }?;
        process::prepare_process();
        *out_handle = insert(description.into())?;
        Ok(())
    })
}

pub(super) fn insert(object: Object) -> Result<u64, Failure> {
    process::shared()
        .handles
        .insert(object)
        .ok_or_else(|| Failure::new(GLEAN_TOO_MANY_HANDLES, "16777216 metrics and pings exist"))
}

/// Gives the handle of a metric back. What was recorded stays.
#[unsafe(no_mangle)]
pub extern "C" fn glean_metric_destroy(handle: u64) -> i32 {
    guard("glean_metric_destroy", || {
        let mut shared = process::shared();
        match shared.handles.get(handle) {
            Some(Object::Metric(_) | Object::Labeled(_)) => {
                shared.handles.remove(handle);
                Ok(())
            }
            _ => Err(invalid_handle()),
        }
    })
}

/// Writes what is stored for a metric in a ping, as JSON; the first ping of the metric if `ping` is NULL.
///
/// # Safety
///
/// `ping` is NULL or valid for reads of `len` bytes, `out_value` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_metric_test_get_value(
    handle: u64,
    ping: *const u8,
    len: u64,
    out_value: *mut GleanBuffer,
) -> i32 {
    guard("glean_metric_test_get_value", || {
        // SAFETY: promised by the caller, here and below.
        let out_value = unsafe { out(out_value, "out_value") }?;
        // SAFETY: as above.
        let ping = unsafe { strings::read_optional(ping, len, "ping") }?;
        let (definition, is_parent) = describe(handle)?;
        let common = &definition.common;
        let Some(ping) = ping.or_else(|| common.send_in_pings.first().map(String::as_str)) else {
            return found(None::<()>);
        };
        let value = process::ask(|state, _| read(state, &definition, is_parent, ping))?;
        *out_value = GleanBuffer::from(found(value)?.to_string());
        Ok(())
    })
}

/// Writes how many errors of a kind (0 to 3) a metric has in the ping `metrics`.
///
/// # Safety
///
/// `out_count` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_metric_test_get_num_recorded_errors(
    handle: u64,
    error: i32,
    out_count: *mut i32,
) -> i32 {
    guard("glean_metric_test_get_num_recorded_errors", || {
        // SAFETY: promised by the caller.
        let out_count = unsafe { out(out_count, "out_count") }?;
        let error = error_type(error)?;
        let (definition, _) = describe(handle)?;
        let identifier = definition.common.identifier();
        *out_count = process::ask(|state, _| scope::count_errors(state, &identifier, error))?;
        Ok(())
    })
}

/// Returns the description of a metric, and whether it is a labeled one.
fn describe(handle: u64) -> Result<(Arc<MetricDefinition>, bool), Failure> {
    match process::shared().handles.get(handle) {
        Some(Object::Metric(metric)) => Ok((Arc::clone(&metric.definition), false)),
        Some(Object::Labeled(labeled)) => Ok((Arc::clone(&labeled.definition), true)),
        _ => Err(invalid_handle()),
    }
}

fn read(state: &State, definition: &MetricDefinition, is_parent: bool, ping: &str) -> Option<Json> {
    if let Kind::Event(_) = definition.kind {
        return read_events(state, definition, ping);
    }
    let identifier = definition.common.identifier();
    let entry = state.entry(ping, definition.common.lifetime, &identifier);
    if is_parent {
        return Some(match entry {
            Some(Entry::Labeled(values)) if !matches!(definition.kind, Kind::DualLabeledCounter { .. }) => {
                sort::collect::<Map<_, _>, _>(values.iter().map(|(label, value)| (label.clone(), value.to_test_json())))
                    .into()
            }
            Some(entry) => dual_json(entry),
            None => Json::Object(Map::new()),
        });
    }
    match (entry?, &definition.label) {
        (Entry::Plain(value), Label::None) => Some(value.to_test_json()),
        (Entry::Labeled(values), Label::Dual(key, category)) => {
            let stored = |part: fn((&str, &str)) -> String| -> BTreeSet<String> {
                sort::collect(values.keys().filter_map(|label| split(label)).map(part))
            };
            let Kind::DualLabeledCounter { keys, categories } = &definition.kind else { return None };
            let key = shown(key, keys.as_deref(), &stored(|(key, _)| key.to_owned()));
            let category = shown(category, categories.as_deref(), &stored(|(_, category)| category.to_owned()));
            values.get(&format!("{key}{SEPARATOR}{category}")).map(Value::to_test_json)
        }
        (Entry::Labeled(values), Label::Dynamic(label)) => {
            let stored = sort::collect(values.keys().cloned());
            values.get(shown(label, None, &stored)).map(Value::to_test_json)
        }
        (Entry::Labeled(values), Label::Static(label, is_listed)) => {
            values.get(if *is_listed { label.as_str() } else { OTHER }).map(Value::to_test_json)
        }
        _ => None,
    }
}

/// Returns the label under which a value with this one would be stored now.
fn shown<'a>(label: &'a str, listed: Option<&[String]>, stored: &BTreeSet<String>) -> &'a str {
    let is_kept = match listed {
        Some(listed) => listed.iter().any(|listed| listed == label),
        None => {
            stored.contains(label)
                || stored.len() < MAX_LABELS && label.len() <= MAX_BYTES && !label.contains(SEPARATOR)
        }
    };
    if is_kept { label } else { OTHER }
}

fn read_events(state: &State, definition: &MetricDefinition, ping: &str) -> Option<Json> {
    let common = &definition.common;
    let events: Vec<Json> = state
        .events
        .get(ping)?
        .iter()
        .filter(|event| event.category == common.category && event.name == common.name)
        .map(|event| {
            let mut event = event.clone();
            if let Some(extra) = &mut event.extra {
                extra.remove(WALL_CLOCK_EXTRA);
            }
            let mut json = events::to_json(&event);
            if let Some(json) = json.as_object_mut() {
                json.entry("extra").or_insert_with(|| Json::Object(Map::new()));
            }
            json
        })
        .collect();
    (!events.is_empty()).then_some(Json::Array(events))
}
