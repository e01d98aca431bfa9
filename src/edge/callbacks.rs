//! The user's functions, on the JS thread: held weakly, so that a publisher which only its own logger,
//! partitioner or redirection can reach is collected.
//!
//! The object of them (`lib/callbacks.js`) is kept alive by the publisher in JavaScript; and from here
//! while there are messages in memory, which may still need the partitioner. No function of it throws.

use std::cell::Cell;
use std::ffi::CStr;
use std::ptr;

use napi::bindgen_prelude::*;
use napi::{Env, JsValue, check_status, sys};
use tracing::Level;

use super::text::append_utf8;
use crate::fates::Fate;
use crate::logging::level_name;
use crate::message::Waiter;
use crate::news::Item;
use crate::options::Address;

/// Numbers that a message's fate is told with; `lib/deliveries.js` has the same.
const FATE: usize = 6;
const DELIVERED: f64 = 0.0;
const FILED: f64 = 1.0;
const DISCARDED: f64 = 2.0;

pub struct Callbacks {
    env: sys::napi_env,
    /// Counts 0 or 1: weak, or held.
    all: sys::napi_ref,
    is_held: Cell<bool>,
    /// Beside `all`, because the user's logger may live longer than the publisher.
    logger: Option<sys::napi_ref>,
    deliver: Option<sys::napi_ref>,
    partition: Option<sys::napi_ref>,
    redirect: Option<sys::napi_ref>,
    settle: Option<sys::napi_ref>,
    news: Option<sys::napi_ref>,
    token: Option<sys::napi_ref>,
    client_id: String,
}

impl Callbacks {
    pub fn new(env: &Env, callbacks: &Object<'_>, client_id: String) -> Result<Self> {
        let raw = env.raw();
        let named = |name: &CStr| {
            let mut value = ptr::null_mut();
            // SAFETY: on the JS thread, with a live object.
            unsafe {
                check_status!(sys::napi_get_named_property(
                    raw,
                    callbacks.raw(),
                    name.as_ptr(),
                    &mut value
                ))?;
                match type_of(raw, value) {
                    sys::ValueType::napi_object | sys::ValueType::napi_function => {
                        weak(raw, value).map(Some)
                    }
                    _ => Ok(None),
                }
            }
        };
        Ok(Callbacks {
            env: raw,
            // SAFETY: as above.
            all: unsafe { weak(raw, callbacks.raw()) }?,
            is_held: Cell::new(false),
            logger: named(c"logger")?,
            deliver: named(c"deliver")?,
            partition: named(c"partition")?,
            redirect: named(c"redirect")?,
            settle: named(c"settle")?,
            news: named(c"news")?,
            token: named(c"token")?,
            client_id,
        })
    }

    pub fn has_logger(&self) -> bool {
        self.logger.is_some()
    }

    pub fn has_partitioner(&self) -> bool {
        self.partition.is_some()
    }

    /// Keeps the functions alive until [`Callbacks::release`].
    pub fn hold(&self) {
        if !self.is_held.replace(true) {
            let mut count = 0;
            // SAFETY: on the JS thread; the reference is ours.
            unsafe { sys::napi_reference_ref(self.env, self.all, &mut count) };
        }
    }

    pub fn release(&self) {
        if self.is_held.replace(false) {
            let mut count = 0;
            // SAFETY: as for `hold`, which counted it up.
            unsafe { sys::napi_reference_unref(self.env, self.all, &mut count) };
        }
    }

    /// Hands a line to the user's logger.
    ///
    /// # Errors
    /// What the logger threw, or nothing if there is no logger any more.
    pub fn log(&self, level: Level, text: &str) -> std::result::Result<(), Option<String>> {
        let logger = self.value(self.logger).ok_or(None)?;
        let deliver = self.value(self.deliver).ok_or(None)?;
        let level = self.string(level_name(level)).ok_or(None)?;
        let client_id = self.string(&self.client_id).ok_or(None)?;
        let text = self.string(text).ok_or(None)?;
        let failure = self
            .call(deliver, &[logger, level, client_id, text])
            .ok_or(None)?;
        match self.text_of(failure) {
            Some(failure) => Err(Some(failure)),
            None => Ok(()),
        }
    }

    /// Asks the partitioner, which calls `reply` with `id`. Returns whether it could be asked.
    pub fn partition(&self, id: u32, jobs: &str, reply: sys::napi_value) -> bool {
        let called = || {
            let partition = self.value(self.partition)?;
            let id = self.number(id)?;
            let jobs = self.string(jobs)?;
            self.call(partition, &[id, jobs, reply])
        };
        called().is_some()
    }

    /// # Errors
    /// Why the broker is not redirected.
    pub fn redirect(&self, from: &Address) -> std::result::Result<Address, String> {
        #[derive(serde::Deserialize)]
        struct Answer {
            host: Option<String>,
            port: Option<f64>,
            failure: Option<String>,
        }
        let answer = || {
            let redirect = self.value(self.redirect)?;
            let host = self.string(&from.host)?;
            let port = self.number(u32::from(from.port))?;
            self.text_of(self.call(redirect, &[host, port])?)
        };
        let wrong = || "it returned no { host, port }".to_owned();
        let answer: Answer = answer()
            .and_then(|text| serde_json::from_str(&text).ok())
            .ok_or_else(wrong)?;
        if let Some(failure) = answer.failure {
            return Err(failure);
        }
        let (host, port) = answer.host.zip(answer.port).ok_or_else(wrong)?;
        let is_port = port.fract() == 0.0 && (1.0..=65535.0).contains(&port);
        if host.is_empty() || !is_port {
            return Err(wrong());
        }
        Ok(Address {
            host,
            port: port as u16,
        })
    }

    /// Tells what became of messages, all in one call.
    pub fn settle(&self, told: &[(Waiter, Fate)]) {
        let mut numbers = Vec::with_capacity(told.len() * FATE);
        let mut reasons: Vec<[&str; 2]> = Vec::new();
        for (waiter, fate) in told {
            let mut row = [f64::from(waiter.number()), FILED, 0.0, 0.0, 0.0, 0.0];
            match fate {
                Fate::Delivered(receipt) => {
                    row[1] = DELIVERED;
                    row[2] = f64::from(receipt.partition);
                    row[3] = receipt.offset as f64;
                    row[4] = receipt.timestamp as f64;
                    row[5] = receipt.size as f64;
                }
                Fate::Filed => {}
                Fate::Discarded(reason, why) => {
                    row[1] = DISCARDED;
                    row[2] = reasons.len() as f64;
                    reasons.push([reason.name(), why]);
                }
            }
            numbers.extend_from_slice(&row);
        }
        let called = || {
            let settle = self.value(self.settle)?;
            let numbers = self.numbers(&numbers)?;
            let reasons = self.string(&serde_json::to_string(&reasons).ok()?)?;
            self.call(settle, &[numbers, reasons])
        };
        // Without one nobody is left who waits.
        let _ = called();
    }

    /// Tells what has happened.
    pub fn tell(&self, news: &[Item]) {
        let called = || {
            let tell = self.value(self.news)?;
            let text = self.string(&serde_json::to_string(news).ok()?)?;
            self.call(tell, &[text])
        };
        // Without one nobody listens any more.
        let _ = called();
    }

    /// Asks for a token; `tokenCame` has the answer.
    pub fn ask_for_token(&self) {
        let _ = self
            .value(self.token)
            .and_then(|token| self.call(token, &[]));
    }

    fn value(&self, reference: Option<sys::napi_ref>) -> Option<sys::napi_value> {
        let mut value = ptr::null_mut();
        // SAFETY: on the JS thread; of a collected value there is null.
        let status = unsafe { sys::napi_get_reference_value(self.env, reference?, &mut value) };
        (status == sys::Status::napi_ok && !value.is_null()).then_some(value)
    }

    fn call(
        &self,
        function: sys::napi_value,
        arguments: &[sys::napi_value],
    ) -> Option<sys::napi_value> {
        let env = self.env;
        let (mut this, mut result) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: on the JS thread, with live values. An exception (the environment is ending, or the
        // stack is at its end) does not stay behind.
        unsafe {
            sys::napi_get_undefined(env, &mut this);
            let count = arguments.len();
            let status = sys::napi_call_function(
                env,
                this,
                function,
                count,
                arguments.as_ptr(),
                &mut result,
            );
            if status == sys::Status::napi_ok {
                return Some(result);
            }
            let mut exception = ptr::null_mut();
            sys::napi_get_and_clear_last_exception(env, &mut exception);
        }
        None
    }

    fn string(&self, text: &str) -> Option<sys::napi_value> {
        let mut value = ptr::null_mut();
        // SAFETY: on the JS thread; the text is copied.
        let status = unsafe {
            let length = text.len() as isize;
            sys::napi_create_string_utf8(self.env, text.as_ptr().cast(), length, &mut value)
        };
        (status == sys::Status::napi_ok).then_some(value)
    }

    fn number(&self, number: u32) -> Option<sys::napi_value> {
        let mut value = ptr::null_mut();
        // SAFETY: on the JS thread.
        let status = unsafe { sys::napi_create_uint32(self.env, number, &mut value) };
        (status == sys::Status::napi_ok).then_some(value)
    }

    /// A `Float64Array`.
    fn numbers(&self, numbers: &[f64]) -> Option<sys::napi_value> {
        let (mut buffer, mut array, mut data) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let bytes = size_of_val(numbers);
        // SAFETY: on the JS thread; the buffer has so many bytes, and is nobody else's yet.
        unsafe {
            let made =
                sys::napi_create_arraybuffer(self.env, bytes, &raw mut data, &raw mut buffer);
            if made != sys::Status::napi_ok || data.is_null() {
                return None;
            }
            ptr::copy_nonoverlapping(numbers.as_ptr().cast::<u8>(), data.cast::<u8>(), bytes);
            let kind = sys::TypedarrayType::float64_array;
            let made = sys::napi_create_typedarray(
                self.env,
                kind,
                numbers.len(),
                buffer,
                0,
                &raw mut array,
            );
            (made == sys::Status::napi_ok).then_some(array)
        }
    }

    fn text_of(&self, value: sys::napi_value) -> Option<String> {
        let mut bytes = Vec::new();
        // SAFETY: on the JS thread, with a live value; what is no string is none.
        unsafe { append_utf8(self.env, value, &mut bytes) }?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        let weak = [
            self.logger,
            self.deliver,
            self.partition,
            self.redirect,
            self.settle,
            self.news,
            self.token,
        ];
        // SAFETY: dropped on the JS thread, where the references were made.
        unsafe {
            sys::napi_delete_reference(self.env, self.all);
            for reference in weak.into_iter().flatten() {
                sys::napi_delete_reference(self.env, reference);
            }
        }
    }
}

/// Keeps an object of JavaScript alive.
pub struct Kept {
    env: sys::napi_env,
    reference: sys::napi_ref,
}

impl Kept {
    pub fn new(env: &Env, object: &Object<'_>) -> Result<Self> {
        let (env, mut reference) = (env.raw(), ptr::null_mut());
        // SAFETY: on the JS thread, with a live object.
        check_status!(unsafe { sys::napi_create_reference(env, object.raw(), 1, &mut reference) })?;
        Ok(Kept { env, reference })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: dropped on the JS thread, where it was made.
        unsafe { sys::napi_delete_reference(self.env, self.reference) };
    }
}

unsafe fn type_of(env: sys::napi_env, value: sys::napi_value) -> sys::napi_valuetype {
    let mut kind = sys::ValueType::napi_undefined;
    // SAFETY: the caller's value is alive; on failure the value counts as undefined.
    unsafe { sys::napi_typeof(env, value, &mut kind) };
    kind
}

unsafe fn weak(env: sys::napi_env, value: sys::napi_value) -> Result<sys::napi_ref> {
    let mut reference = ptr::null_mut();
    // SAFETY: the caller's value is a live object or function.
    check_status!(unsafe { sys::napi_create_reference(env, value, 0, &mut reference) })?;
    Ok(reference)
}
