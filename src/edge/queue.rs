//! `queue()`: what is done for each message, on the JS thread. `callback.rs` is how it is called.

use std::cell::RefCell;
use std::sync::Arc;

use napi::{Env, sys};

use super::bridge::{Bridge, Holds};
use super::callback::{Arguments, Form};
use super::json::{Json, append_text, append_utf8};
use crate::inbox::Pushed;
use crate::message::{
    ANY_PARTITION, KeyEncoding, MAX_TOPIC_LENGTH, Reason, Record, TopicId, is_topic_name, now_ms,
};
use crate::worker::Shared;

/// Why a message was not accepted, and a detail for the log.
type Refusal = (Reason, Option<String>);

/// What `queue()` needs, on the JS thread only.
pub struct Queue {
    shared: Arc<Shared>,
    bridge: Arc<Bridge>,
    holds: Holds,
    json: Json,
    encoding: KeyEncoding,
    default_topic: Option<TopicId>,
    scratch: RefCell<Scratch>,
}

#[derive(Default)]
struct Scratch {
    key: Vec<u8>,
    topic: Vec<u8>,
    /// The name in `last_topic` and its id: most calls in a row are for one topic.
    last_topic: Vec<u8>,
    last_topic_id: Option<TopicId>,
}

impl Queue {
    pub fn new(
        shared: Arc<Shared>,
        (bridge, holds): (Arc<Bridge>, Holds),
        json: Json,
        encoding: KeyEncoding,
        default_topic: Option<TopicId>,
    ) -> Self {
        Queue {
            shared,
            bridge,
            holds,
            json,
            encoding,
            default_topic,
            scratch: RefCell::default(),
        }
    }

    /// Accepts a message. Returns whether there is room for more.
    ///
    /// # Safety
    /// On the JS thread, with the values alive.
    pub unsafe fn push(&self, env: sys::napi_env, arguments: &Arguments, form: Form) -> bool {
        let newly_held = !self.holds.get();
        self.bridge.hold_loop(env, &self.shared, &self.holds);
        let room = unsafe { self.push_held(env, arguments, form) };
        if newly_held {
            // Refused, it has nothing to wait for.
            self.bridge
                .release_if_idle(&Env::from_raw(env), &self.shared, &self.holds);
        }
        room
    }

    unsafe fn push_held(&self, env: sys::napi_env, arguments: &Arguments, form: Form) -> bool {
        let Arguments {
            values: [key, value, topic],
            count,
            ..
        } = *arguments;
        // The user's `toJSON` may call `queue()` again: nothing is borrowed or locked until the
        // text is there.
        let pushed = unsafe {
            let topic = if count < 3 {
                self.default_topic.ok_or((Reason::NoTopic, None))
            } else {
                self.topic(env, topic)
            };
            topic.and_then(|topic| {
                let mut key_bytes = std::mem::take(&mut self.scratch.borrow_mut().key);
                key_bytes.clear();
                let pushed = self.key(env, key, &mut key_bytes).and_then(|()| {
                    let text = match form {
                        Form::Value => self.value(env, value)?,
                        Form::Text => value,
                    };
                    self.accept(env, topic, &key_bytes, text)
                });
                self.scratch.borrow_mut().key = key_bytes;
                pushed
            })
        };
        match pushed {
            Ok(pushed) => pushed == Pushed::Room,
            Err((reason, detail)) => {
                self.refuse(reason, detail.as_deref());
                // Full memory is the one reason that goes away by waiting.
                reason != Reason::BufferFull
            }
        }
    }

    unsafe fn accept(
        &self,
        env: sys::napi_env,
        topic: TopicId,
        key: &[u8],
        text: sys::napi_value,
    ) -> Result<Pushed, Refusal> {
        let pushed = self.shared.inbox.push(|arena| {
            arena.extend_from_slice(key);
            let value_length = unsafe { append_text(env, text, arena) }.ok_or(Reason::BadValue)?;
            Ok(Record {
                topic,
                partition: ANY_PARTITION,
                keyless: false,
                key_length: u32::try_from(key.len()).map_err(|_| Reason::TooLarge)?,
                value_length: u32::try_from(value_length).map_err(|_| Reason::TooLarge)?,
                timestamp: now_ms(),
            })
        });
        pushed.map_err(|reason| (reason, None))
    }

    unsafe fn topic(&self, env: sys::napi_env, topic: sys::napi_value) -> Result<TopicId, Refusal> {
        match unsafe { type_of(env, topic) } {
            sys::ValueType::napi_undefined => self.default_topic.ok_or((Reason::NoTopic, None)),
            // As in 0.1.x, where only `undefined` stood for the default.
            sys::ValueType::napi_null => Err((Reason::NoTopic, None)),
            sys::ValueType::napi_string => {
                let mut scratch = self.scratch.borrow_mut();
                let scratch = &mut *scratch;
                scratch.topic.clear();
                unsafe { append_utf8(env, topic, &mut scratch.topic) };
                if let Some(id) = scratch
                    .last_topic_id
                    .filter(|_| scratch.topic == scratch.last_topic)
                {
                    return Ok(id);
                }
                let name = std::str::from_utf8(&scratch.topic)
                    .ok()
                    .filter(|name| is_topic_name(name));
                let Some(name) = name else {
                    let shown: String = String::from_utf8_lossy(&scratch.topic)
                        .chars()
                        .take(MAX_TOPIC_LENGTH)
                        .collect();
                    scratch.topic = Vec::new();
                    return Err((Reason::BadTopic, Some(format!("{shown:?}"))));
                };
                let id = self.shared.topics.intern(name);
                scratch.last_topic_id = Some(id);
                std::mem::swap(&mut scratch.topic, &mut scratch.last_topic);
                Ok(id)
            }
            _ => Err((Reason::BadTopic, Some("it is no string".into()))),
        }
    }

    /// The key's bytes as they will be on the wire.
    unsafe fn key(
        &self,
        env: sys::napi_env,
        key: sys::napi_value,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let bad = |detail: String| (Reason::BadKey, Some(detail));
        let quoted = self.encoding == KeyEncoding::Json;
        unsafe {
            if quoted {
                bytes.push(b'"');
            }
            // A string, nearly always: to try is cheaper than to ask for the type before.
            if append_utf8(env, key, bytes).is_some() {
                if !quoted {
                    return Ok(());
                }
                if is_plain(&bytes[1..]) {
                    bytes.push(b'"');
                    return Ok(());
                }
            } else {
                bytes.clear();
                match type_of(env, key) {
                    sys::ValueType::napi_number => {
                        let mut number = 0.0;
                        sys::napi_get_value_double(env, key, &mut number);
                        if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
                            bytes.extend_from_slice((number as i64).to_string().as_bytes());
                            return Ok(());
                        }
                    }
                    sys::ValueType::napi_object => {}
                    kind => return Err(bad(format!("it is {}", kind_name(kind)))),
                }
            }
            let text = self.json.text(key).map_err(bad)?;
            bytes.clear();
            append_utf8(env, text, bytes);
        }
        Ok(())
    }

    unsafe fn value(
        &self,
        env: sys::napi_env,
        value: sys::napi_value,
    ) -> Result<sys::napi_value, Refusal> {
        match unsafe { type_of(env, value) } {
            sys::ValueType::napi_object => {
                unsafe { self.json.text(value) }.map_err(|detail| (Reason::BadValue, Some(detail)))
            }
            kind => Err((Reason::BadValue, Some(format!("it is {}", kind_name(kind))))),
        }
    }

    fn refuse(&self, reason: Reason, detail: Option<&str>) {
        self.shared.statistics.refuse(reason);
        tracing::dispatcher::with_default(&self.shared.log, || match detail {
            Some(detail) => tracing::error!("message discarded: {} ({detail})", reason.sentence()),
            None => tracing::error!("message discarded: {}", reason.sentence()),
        });
    }
}

/// Whether JSON text of this string is the string in quotes: nothing to escape, and no replacement
/// character, which may stand for a lone surrogate that V8 escapes.
fn is_plain(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| *byte >= 0x20 && *byte != b'"' && *byte != b'\\' && *byte != 0xef)
}

unsafe fn type_of(env: sys::napi_env, value: sys::napi_value) -> sys::napi_valuetype {
    let mut kind = sys::ValueType::napi_undefined;
    // SAFETY: the caller's value is alive; on failure the value counts as undefined.
    unsafe { sys::napi_typeof(env, value, &mut kind) };
    kind
}

fn kind_name(kind: sys::napi_valuetype) -> &'static str {
    match kind {
        sys::ValueType::napi_undefined => "undefined",
        sys::ValueType::napi_null => "null",
        sys::ValueType::napi_boolean => "a boolean",
        sys::ValueType::napi_number => "a number",
        sys::ValueType::napi_string => "a string",
        sys::ValueType::napi_symbol => "a symbol",
        sys::ValueType::napi_function => "a function",
        _ => "of another type",
    }
}
