//! `queueRecord()` of the addon: messages with headers, a partition, a time, bytes, or without a key or a
//! value. `lib/record.js` has looked at all of it before.

use std::ptr;

use napi::sys;

use super::{Body, Queue, Refusal, Topic, is_undefined};
use crate::edge::callback::Arguments;
use crate::edge::text::append_utf8;
use crate::inbox::Pushed;
use crate::message::{ANY_PARTITION, Reason, Record, TopicId, Traits, Waiter, now_ms};

/// Bits of `flags`; `lib/record.js` has the same numbers.
const KEYLESS: u32 = 1;
const VALUELESS: u32 = 2;
/// The key is JSON text.
const KEY_IS_JSON: u32 = 4;
/// The key is text or bytes that are the key as they are, whatever `keyEncoding` says.
const RAW_KEY: u32 = 8;
/// The value is text or bytes, no JSON.
const RAW_VALUE: u32 = 16;
const HAS_PARTITION: u32 = 32;
const HAS_TIME: u32 = 64;
const HAS_HEADERS: u32 = 128;

/// Enough for most headers that come as text.
const HEADERS_ROOM: usize = 512;

impl Queue {
    /// `queueRecord(key, value, topic, flags, partition, timestamp, headers, waiter)`
    pub(super) unsafe fn push_parts(
        &self,
        env: sys::napi_env,
        arguments: &Arguments<8>,
        waiter: Waiter,
    ) -> Result<Pushed, Refusal> {
        let [key, value, topic, flags, partition, timestamp, headers, _] = arguments.values;
        let scratch = &mut *self.scratch();
        // SAFETY: the caller's promise; slices of arrays are used before JavaScript runs again.
        unsafe {
            let topic = if is_undefined(env, topic) {
                Topic::Default(self.default_topic.ok_or(Reason::NoTopic)?)
            } else {
                self.topic(env, topic, scratch)?
            };
            let mut bits = 0;
            sys::napi_get_value_uint32(env, flags, &raw mut bits);
            let has = |flag: u32| bits & flag != 0;
            scratch.key.clear();
            if has(KEYLESS) {
                // It stays empty.
            } else if has(RAW_KEY)
                && let Some(bytes) = bytes_of(env, key)
            {
                if bytes.len() as u64 > self.shared.inbox.limits().total {
                    return Err(Reason::TooLarge.into());
                }
                scratch.key.extend_from_slice(bytes);
            } else if has(KEY_IS_JSON) || has(RAW_KEY) {
                self.append_key(env, key, &mut scratch.key)?;
            } else {
                self.key(env, key, &mut scratch.key)?;
            }
            let empty: &[u8] = &[];
            let mut scratch_headers = Vec::new();
            if has(HAS_HEADERS) {
                scratch_headers.reserve(HEADERS_ROOM);
            }
            let body = Body {
                text: value,
                bytes: if has(VALUELESS) {
                    Some(empty)
                } else if has(RAW_VALUE) {
                    bytes_of(env, value)
                } else {
                    None
                },
                headers: if !has(HAS_HEADERS) {
                    empty
                } else if append_utf8(env, headers, &mut scratch_headers).is_none() {
                    bytes_of(env, headers).unwrap_or_default()
                } else if scratch_headers.is_ascii() {
                    &scratch_headers
                } else {
                    // Their lengths are of characters, not of bytes: nothing is done.
                    return Err(Refusal::EscapeKey);
                },
            };
            let (mut given, mut time) = (ANY_PARTITION, f64::NAN);
            if has(HAS_PARTITION) {
                sys::napi_get_value_int32(env, partition, &raw mut given);
            }
            if has(HAS_TIME) {
                sys::napi_get_value_double(env, timestamp, &raw mut time);
            }
            let record = Record {
                partition: given.max(ANY_PARTITION),
                waiter,
                traits: Traits::default()
                    .with_if(Traits::KEYLESS, has(KEYLESS))
                    .with_if(Traits::VALUELESS, has(VALUELESS))
                    .with_if(Traits::RAW_KEY, has(RAW_KEY))
                    .with_if(Traits::RAW_VALUE, has(RAW_VALUE))
                    .with_if(Traits::PARTITION_GIVEN, given >= 0)
                    .with_if(Traits::TIME_GIVEN, !time.is_nan()),
                ..Record::of(
                    TopicId(0),
                    if time.is_nan() { now_ms() } else { time as i64 },
                )
            };
            let pushed = self.accept(env, topic, scratch, body, record);
            scratch.shrink();
            pushed
        }
    }
}

/// The bytes of a `Uint8Array`; `None` for anything else.
///
/// # Safety
/// On the JS thread, with `value` alive. The slice is good until JavaScript runs.
unsafe fn bytes_of<'a>(env: sys::napi_env, value: sys::napi_value) -> Option<&'a [u8]> {
    let (mut is_array, mut kind, mut length, mut data) = (false, 0, 0, ptr::null_mut());
    // SAFETY: the caller's promise; what is not asked for is null.
    unsafe {
        let asked = sys::napi_is_typedarray(env, value, &raw mut is_array);
        if asked != sys::Status::napi_ok || !is_array {
            return None;
        }
        let told = sys::napi_get_typedarray_info(
            env,
            value,
            &raw mut kind,
            &raw mut length,
            &raw mut data,
            ptr::null_mut(),
            ptr::null_mut(),
        );
        if told != sys::Status::napi_ok || kind != sys::TypedarrayType::uint8_array {
            return None;
        }
        if data.is_null() {
            return Some(&[]);
        }
        Some(std::slice::from_raw_parts(data.cast::<u8>(), length))
    }
}
