//! Bytes that go out: owned by the caller until it gives them back.

use super::{GLEAN_OK, guard};

/// Bytes that the library allocated for the caller, to be freed once with `glean_buffer_free`.
#[repr(C)]
#[derive(Debug)]
pub struct GleanBuffer {
    /// Address of the first byte; NULL if there are none.
    pub data: *mut u8,
    /// Number of bytes.
    pub len: u64,
}

impl From<String> for GleanBuffer {
    fn from(text: String) -> GleanBuffer {
        GleanBuffer::from(text.into_bytes())
    }
}

impl From<Vec<u8>> for GleanBuffer {
    fn from(bytes: Vec<u8>) -> GleanBuffer {
        if bytes.is_empty() {
            return GleanBuffer { data: std::ptr::null_mut(), len: 0 };
        }
        let bytes = bytes.into_boxed_slice();
        let len = bytes.len() as u64;
        GleanBuffer { data: Box::into_raw(bytes).cast(), len }
    }
}

/// Frees the bytes of a buffer and empties it, so that a second call does nothing. NULL is allowed.
///
/// # Safety
///
/// `buffer` is NULL or points to a buffer that this library filled, or that is all zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn glean_buffer_free(buffer: *mut GleanBuffer) -> i32 {
    guard("glean_buffer_free", || {
        // SAFETY: promised by the caller.
        if let Some(buffer) = unsafe { buffer.as_mut() } {
            let data = std::mem::replace(&mut buffer.data, std::ptr::null_mut());
            let len = std::mem::take(&mut buffer.len);
            if !data.is_null() {
                // SAFETY: `data` and `len` came from a boxed slice, and were forgotten above.
                drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, len as usize)) });
            }
        }
        Ok(())
    })
}

const _: () = assert!(GLEAN_OK == 0, "bindings test for zero");
