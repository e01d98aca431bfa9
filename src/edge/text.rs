//! JavaScript's strings as bytes.

use std::ptr;

use napi::sys;

/// A character that did not fit whole leaves up to 3 bytes and the NUL free.
const SLACK: usize = 5;
/// Text up to this is copied before its size in UTF-8 is known.
const AT_ONCE: usize = 16 * 1024;

/// Why text was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoText {
    /// The value is no string.
    NoString,
    /// So many bytes of room are needed, the NUL included.
    NeedsRoom(usize),
}

/// The bytes that a string has as UTF-8, found without copying it.
///
/// # Safety
/// On the JS thread, with `string` alive.
pub unsafe fn utf8_length(env: sys::napi_env, string: sys::napi_value) -> Option<usize> {
    let mut length = 0;
    // SAFETY: without a buffer, only the length is written.
    let status =
        unsafe { sys::napi_get_value_string_utf8(env, string, ptr::null_mut(), 0, &mut length) };
    (status == sys::Status::napi_ok).then_some(length)
}

/// Appends a JS string's UTF-8 bytes, if the vector has room for them: it does not grow.
///
/// # Safety
/// On the JS thread, with `string` alive.
pub unsafe fn append_within(
    env: sys::napi_env,
    string: sys::napi_value,
    bytes: &mut Vec<u8>,
) -> Result<usize, NoText> {
    let start = bytes.len();
    let room = bytes.capacity() - start;
    let mut written = 0;
    // SAFETY: at most `room` bytes, NUL included, are written behind the vector's length, which
    // grows only over what was written.
    unsafe {
        let to = bytes.as_mut_ptr().add(start).cast();
        let status = sys::napi_get_value_string_utf8(env, string, to, room, &mut written);
        if status != sys::Status::napi_ok {
            return Err(NoText::NoString);
        }
        if written + SLACK > room {
            let length = utf8_length(env, string).ok_or(NoText::NoString)?;
            if length != written {
                return Err(NoText::NeedsRoom(length + SLACK));
            }
        }
        bytes.set_len(start + written);
    }
    Ok(written)
}

/// Appends a JS string's UTF-8 bytes. Returns how many, or `None` when it is no string, or there is no
/// memory for it.
///
/// # Safety
/// On the JS thread, with `string` alive.
pub unsafe fn append_utf8(
    env: sys::napi_env,
    string: sys::napi_value,
    bytes: &mut Vec<u8>,
) -> Option<usize> {
    bytes.try_reserve(64).ok()?;
    // SAFETY: the caller's promise.
    unsafe {
        match append_within(env, string, bytes) {
            Ok(written) => Some(written),
            Err(NoText::NoString) => None,
            Err(NoText::NeedsRoom(room)) => {
                bytes.try_reserve_exact(room).ok()?;
                append_within(env, string, bytes).ok()
            }
        }
    }
}

/// As [`append_within`], faster for text that is all ASCII, as JSON mostly is.
///
/// V8 copies Latin-1 as it is, but encodes UTF-8 character by character. Characters outside of Latin-1
/// come out maimed; then, as with any that is not ASCII, the UTF-8 has another length.
///
/// # Safety
/// As for [`append_within`].
pub unsafe fn append_text_within(
    env: sys::napi_env,
    string: sys::napi_value,
    bytes: &mut Vec<u8>,
) -> Result<usize, NoText> {
    let start = bytes.len();
    let room = bytes.capacity() - start;
    let mut written = 0;
    // SAFETY: at most `room` bytes, NUL included, are written behind the vector's length, which
    // grows only over what was written.
    unsafe {
        let to = bytes.as_mut_ptr().add(start).cast();
        let tried = room.min(AT_ONCE);
        let status = sys::napi_get_value_string_latin1(env, string, to, tried, &mut written);
        if status != sys::Status::napi_ok {
            return Err(NoText::NoString);
        }
        if written + 1 < tried {
            // All of it was copied.
            let length = utf8_length(env, string).ok_or(NoText::NoString)?;
            if length == written {
                bytes.set_len(start + written);
                return Ok(written);
            }
            return append_within(env, string, bytes);
        }
        let length = utf8_length(env, string).ok_or(NoText::NoString)?;
        if length + SLACK > room {
            return Err(NoText::NeedsRoom(length + SLACK));
        }
        sys::napi_get_value_string_latin1(env, string, to, room, &mut written);
        if written == length {
            bytes.set_len(start + written);
            return Ok(written);
        }
        append_within(env, string, bytes)
    }
}
