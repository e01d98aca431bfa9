//! `JSON.stringify`, V8's own, called from native code; and text as bytes.

use std::ptr;

use napi::sys;
use napi::{Env, Error, Result};

/// The functions that turn values into text, held for the life of a publisher.
pub struct Json {
    env: sys::napi_env,
    stringify: sys::napi_ref,
    stringify_safely: sys::napi_ref,
}

/// Text that JavaScript made of a value, or what it threw.
pub type Text = std::result::Result<sys::napi_value, String>;

impl Json {
    /// `safely` is `host.js`'s function for values that refer to themselves.
    ///
    /// # Safety
    /// On the JS thread, with `safely` alive.
    pub unsafe fn new(env: &Env, safely: sys::napi_value) -> Result<Self> {
        let raw = env.raw();
        // SAFETY: called on the JS thread; each handle is used in the scope that made it.
        unsafe {
            let mut global = ptr::null_mut();
            check(sys::napi_get_global(raw, &mut global))?;
            let mut json = ptr::null_mut();
            check(sys::napi_get_named_property(
                raw,
                global,
                c"JSON".as_ptr(),
                &mut json,
            ))?;
            let mut stringify = ptr::null_mut();
            check(sys::napi_get_named_property(
                raw,
                json,
                c"stringify".as_ptr(),
                &mut stringify,
            ))?;
            Ok(Json {
                env: raw,
                stringify: reference(raw, stringify)?,
                stringify_safely: reference(raw, safely)?,
            })
        }
    }

    /// The JSON text of a value. A circular one costs a second pass.
    ///
    /// # Safety
    /// On the JS thread, with `value` alive. Runs the user's code (`toJSON`, getters).
    pub unsafe fn text(&self, value: sys::napi_value) -> Text {
        unsafe {
            self.call(self.stringify, value)
                .or_else(|_| self.call(self.stringify_safely, value))
        }
    }

    unsafe fn call(&self, function: sys::napi_ref, value: sys::napi_value) -> Text {
        let env = self.env;
        let mut callee = ptr::null_mut();
        let mut text = ptr::null_mut();
        let mut kind = sys::ValueType::napi_undefined;
        // SAFETY: as for `text`; nothing is used after a status that is not ok.
        unsafe {
            if sys::napi_get_reference_value(env, function, &mut callee) != sys::Status::napi_ok {
                return Err("JSON.stringify is gone".into());
            }
            // JSON.stringify does not look at `this`; the callee is a value at hand.
            if sys::napi_call_function(env, callee, callee, 1, &value, &mut text)
                != sys::Status::napi_ok
            {
                return Err(take_exception(env));
            }
            if sys::napi_typeof(env, text, &mut kind) != sys::Status::napi_ok
                || kind != sys::ValueType::napi_string
            {
                return Err("it has no JSON text".into());
            }
        }
        Ok(text)
    }
}

impl Drop for Json {
    fn drop(&mut self) {
        // SAFETY: dropped on the JS thread, with the class instance that holds it.
        unsafe {
            sys::napi_delete_reference(self.env, self.stringify);
            sys::napi_delete_reference(self.env, self.stringify_safely);
        }
    }
}

unsafe fn reference(env: sys::napi_env, value: sys::napi_value) -> Result<sys::napi_ref> {
    let mut reference = ptr::null_mut();
    check(unsafe { sys::napi_create_reference(env, value, 1, &mut reference) })?;
    Ok(reference)
}

fn check(status: sys::napi_status) -> Result<()> {
    if status == sys::Status::napi_ok {
        Ok(())
    } else {
        Err(Error::from_reason(format!(
            "JSON.stringify could not be had (Node-API status {status})"
        )))
    }
}

/// Clears a pending exception and says what it was.
unsafe fn take_exception(env: sys::napi_env) -> String {
    let unknown = || "JSON.stringify failed".to_owned();
    let mut exception = ptr::null_mut();
    let mut message = ptr::null_mut();
    let mut text = Vec::new();
    // SAFETY: on the JS thread; a getter of the exception that throws in its turn is cleared, too.
    unsafe {
        if sys::napi_get_and_clear_last_exception(env, &mut exception) != sys::Status::napi_ok {
            return unknown();
        }
        let found = sys::napi_get_named_property(env, exception, c"message".as_ptr(), &mut message);
        if found != sys::Status::napi_ok {
            sys::napi_get_and_clear_last_exception(env, &mut exception);
            return unknown();
        }
        if append_utf8(env, message, &mut text).is_none() {
            return unknown();
        }
    }
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .map_or_else(unknown, str::to_owned)
}

/// Appends a JS string's UTF-8 bytes. Returns how many, or `None` when it is no string.
///
/// # Safety
/// On the JS thread, with `string` alive.
pub unsafe fn append_utf8(
    env: sys::napi_env,
    string: sys::napi_value,
    bytes: &mut Vec<u8>,
) -> Option<usize> {
    /// A character that did not fit whole leaves up to 3 bytes and the NUL free.
    const SLACK: usize = 5;
    if bytes.capacity() - bytes.len() < 64 {
        bytes.reserve(64);
    }
    let start = bytes.len();
    let mut room = bytes.capacity() - start;
    let mut written = 0;
    // SAFETY: at most `room` bytes, NUL included, are written behind the vector's length.
    unsafe {
        let to = bytes.as_mut_ptr().add(start).cast();
        if sys::napi_get_value_string_utf8(env, string, to, room, &mut written)
            != sys::Status::napi_ok
        {
            return None;
        }
        if written + SLACK > room {
            let mut length = 0;
            sys::napi_get_value_string_utf8(env, string, ptr::null_mut(), 0, &mut length);
            bytes.reserve(length + 1);
            room = bytes.capacity() - start;
            let to = bytes.as_mut_ptr().add(start).cast();
            if sys::napi_get_value_string_utf8(env, string, to, room, &mut written)
                != sys::Status::napi_ok
            {
                return None;
            }
        }
        bytes.set_len(start + written);
    }
    Some(written)
}

/// As [`append_utf8`], faster for text that is all ASCII, as JSON mostly is, and long.
///
/// V8 copies Latin-1 as it is, but encodes UTF-8 character by character. Characters outside of Latin-1
/// come out maimed; then, as with any that is not ASCII, the UTF-8 has another length.
///
/// # Safety
/// As for [`append_utf8`].
pub unsafe fn append_text(
    env: sys::napi_env,
    string: sys::napi_value,
    bytes: &mut Vec<u8>,
) -> Option<usize> {
    let start = bytes.len();
    let room = bytes.capacity() - start;
    let (mut written, mut length) = (0, 0);
    // SAFETY: at most `room` bytes, NUL included, are written behind the vector's length, which
    // grows only over what was written.
    unsafe {
        let to = bytes.as_mut_ptr().add(start).cast();
        let copied = sys::napi_get_value_string_latin1(env, string, to, room, &mut written);
        if copied == sys::Status::napi_ok
            && written + 1 < room
            && sys::napi_get_value_string_utf8(env, string, ptr::null_mut(), 0, &mut length)
                == sys::Status::napi_ok
            && length == written
        {
            bytes.set_len(start + written);
            return Some(written);
        }
        append_utf8(env, string, bytes)
    }
}
