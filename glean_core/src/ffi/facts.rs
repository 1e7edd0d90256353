//! The C form of attribution and distribution: how the application came to the user.

use super::buffers::GleanBuffer;
use super::{Outcome, guard, json, out};
use crate::common_metric_data::Lifetime;
use crate::machine::op::Facts;
use crate::process::{self, Fields};
use crate::sort;
use crate::store::{Address, CLIENT_INFO_STORE, Value};

fn clear(facts: Facts) -> Outcome {
    Ok(process::append_with(|shared| shared.log.clear_facts(facts))?)
}

fn update(facts: Facts, fields: std::collections::BTreeMap<String, Option<String>>) -> Outcome {
    let fields: Fields = sort::collect(fields.into_iter().filter_map(|(name, text)| Some((name, text?))));
    Ok(process::append_with(|shared| shared.log.update_facts(facts, fields))?)
}

fn read(facts: Facts, out_fields: &mut GleanBuffer) -> Outcome {
    let (category, names) = facts.fields();
    let fields = process::ask(|state, _| {
        let read = |name: &&str| {
            let identifier = format!("{category}.{name}");
            match state.get(CLIENT_INFO_STORE, Address::plain(Lifetime::User, &identifier)) {
                Some(Value::String(text)) => Some(((*name).to_owned(), text.as_str().into())),
                _ => None,
            }
        };
        sort::collect::<serde_json::Map<_, _>, _>(names.iter().filter_map(read))
    })?;
    *out_fields = GleanBuffer::from(serde_json::Value::Object(fields).to_string());
    Ok(())
}

/// Sets those fields of attribution that are given, from a JSON object.
///
/// # Safety
///
/// `fields` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_update_attribution(fields: *const u8, len: u64) -> i32 {
    guard("glean_update_attribution", || {
        // SAFETY: promised by the caller.
        update(Facts::Attribution, unsafe { json(fields, len, "fields") }?)
    })
}

/// Removes all fields of attribution.
#[unsafe(no_mangle)]
pub extern "C" fn glean_clear_attribution() -> i32 {
    guard("glean_clear_attribution", || clear(Facts::Attribution))
}

/// Writes the fields of attribution that are set, as a JSON object.
///
/// # Safety
///
/// `out_fields` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_test_get_attribution(out_fields: *mut GleanBuffer) -> i32 {
    guard("glean_test_get_attribution", || {
        // SAFETY: promised by the caller.
        read(Facts::Attribution, unsafe { out(out_fields, "out_fields") }?)
    })
}

/// Sets those fields of distribution that are given, from a JSON object.
///
/// # Safety
///
/// `fields` is NULL or valid for reads of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_update_distribution(fields: *const u8, len: u64) -> i32 {
    guard("glean_update_distribution", || {
        // SAFETY: promised by the caller.
        update(Facts::Distribution, unsafe { json(fields, len, "fields") }?)
    })
}

/// Removes all fields of distribution.
#[unsafe(no_mangle)]
pub extern "C" fn glean_clear_distribution() -> i32 {
    guard("glean_clear_distribution", || clear(Facts::Distribution))
}

/// Writes the fields of distribution that are set, as a JSON object.
///
/// # Safety
///
/// `out_fields` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_test_get_distribution(out_fields: *mut GleanBuffer) -> i32 {
    guard("glean_test_get_distribution", || {
        // SAFETY: promised by the caller.
        read(Facts::Distribution, unsafe { out(out_fields, "out_fields") }?)
    })
}
