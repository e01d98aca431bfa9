//! The key of a message.

use napi::sys;

use super::*;

impl Queue {
    /// The bytes on the wire of a key that is a string.
    pub(super) unsafe fn key(
        &self,
        env: sys::napi_env,
        key: sys::napi_value,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        bytes.clear();
        if self.encoding == KeyEncoding::Raw {
            // SAFETY: the caller's promise.
            return unsafe { self.append_key(env, key, bytes) };
        }
        bytes.push(b'"');
        // SAFETY: the caller's promise.
        unsafe { self.append_key(env, key, bytes) }?;
        if !bytes.get(1..).is_some_and(is_plain) {
            return Err(Refusal::EscapeKey);
        }
        bytes.push(b'"');
        Ok(())
    }

    pub(super) unsafe fn append_key(
        &self,
        env: sys::napi_env,
        key: sys::napi_value,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        // SAFETY: the caller's promise.
        unsafe {
            if bytes.capacity() == 0 {
                bytes.reserve(64);
            }
            match append_within(env, key, bytes) {
                Ok(_) => return Ok(()),
                Err(NoText::NoString) => return Err(Reason::BadKey.into()),
                Err(NoText::NeedsRoom(_)) => {}
            }
            let length = utf8_length(env, key).ok_or(Reason::BadKey)?;
            if length as u64 > self.shared.inbox.limits().total {
                return Err(Reason::TooLarge.into());
            }
            append_utf8(env, key, bytes).ok_or(Reason::TooLarge)?;
        }
        Ok(())
    }
}

/// Whether JSON text of this string is the string in quotes: nothing to escape, and no replacement
/// character, which may stand for a lone surrogate that V8 escapes.
fn is_plain(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\' && *byte != 0xef)
}
