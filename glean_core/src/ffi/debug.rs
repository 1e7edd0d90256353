//! The C form of what helps to see pings while an application is developed.

use super::buffers::GleanBuffer;
use super::{found, guard, json, out, strings};
use crate::logging::log_at;
use crate::process;
use crate::text::{are_source_tags, is_debug_view_tag};

/// Sets the tag sent as `X-Debug-ID`; writes whether it is one: 1 to 20 of `A`–`Z`, `a`–`z`, `0`–`9`, `-`.
///
/// # Safety
///
/// `tag` is NULL or valid for reads of `len` bytes, `out_accepted` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_set_debug_view_tag(tag: *const u8, len: u64, out_accepted: *mut u8) -> i32 {
    guard("glean_set_debug_view_tag", || {
        // SAFETY: promised by the caller, here and below.
        let out_accepted = unsafe { out(out_accepted, "out_accepted") }?;
        // SAFETY: as above.
        let tag = unsafe { strings::read(tag, len, "tag") }?;
        let is_accepted = is_debug_view_tag(tag);
        if is_accepted {
            process::shared().log.set_tags(|tags| tags.view_tag = Some(tag.to_owned()));
        } else {
            log_at!(Error, "{tag:?} is no debug view tag: it is 1 to 20 letters, digits or hyphens");
        }
        *out_accepted = u8::from(is_accepted);
        Ok(())
    })
}

/// Writes that tag; `GLEAN_NO_VALUE` if there is none.
///
/// # Safety
///
/// `out_tag` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_get_debug_view_tag(out_tag: *mut GleanBuffer) -> i32 {
    guard("glean_get_debug_view_tag", || {
        // SAFETY: promised by the caller.
        let out_tag = unsafe { out(out_tag, "out_tag") }?;
        let tag = process::shared().log.before_start.tags.view_tag.clone();
        *out_tag = GleanBuffer::from(found(tag)?);
        Ok(())
    })
}

/// Sets the tags sent as `X-Source-Tags` from a JSON array; writes whether all of them are tags.
///
/// # Safety
///
/// `tags` is NULL or valid for reads of `len` bytes, `out_accepted` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_set_source_tags(tags: *const u8, len: u64, out_accepted: *mut u8) -> i32 {
    guard("glean_set_source_tags", || {
        // SAFETY: promised by the caller, here and below.
        let out_accepted = unsafe { out(out_accepted, "out_accepted") }?;
        // SAFETY: as above.
        let list: Vec<String> = unsafe { json(tags, len, "tags") }?;
        let is_accepted = are_source_tags(&list);
        if is_accepted {
            process::shared().log.set_tags(|tags| tags.source_tags = Some(list));
        } else {
            log_at!(Error, "{list:?} are no source tags: 1 to 5 tags that don't begin with \"glean\"");
        }
        *out_accepted = u8::from(is_accepted);
        Ok(())
    })
}

/// Sets whether pings are logged when they are uploaded.
#[unsafe(no_mangle)]
pub extern "C" fn glean_set_log_pings(enabled: u8) -> i32 {
    guard("glean_set_log_pings", || {
        process::shared().log_pings = Some(enabled != 0);
        Ok(())
    })
}

/// Writes whether they are.
///
/// # Safety
///
/// `out_enabled` is NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_get_log_pings(out_enabled: *mut u8) -> i32 {
    guard("glean_get_log_pings", || {
        // SAFETY: promised by the caller.
        let out_enabled = unsafe { out(out_enabled, "out_enabled") }?;
        *out_enabled = u8::from(process::shared().log_pings.unwrap_or(false));
        Ok(())
    })
}
