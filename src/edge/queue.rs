//! `queue()`: what is done for each message, on the JS thread. `callback.rs` is how it is called;
//! `index.js` turns values into text.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;

use napi::{Env, sys};

use super::bridge::{Bridge, Shore};
use super::callback::{Arguments, Queued};
use super::text::{NoText, append_text_within, append_utf8, append_within, utf8_length};
use crate::fates::Fate;
use crate::inbox::{MIN_ROOM, Pushed};
use crate::message::{
    Amount, KeyEncoding, MAX_TOPIC_LENGTH, Reason, Record, TopicId, Waiter, is_topic_name, now_ms,
};
use crate::worker::Shared;

mod key;
mod record;
mod topic;

/// The scratch buffer of keys is not kept when it was larger.
const MAX_SCRATCH: usize = 64 * 1024;
/// Of a topic's name so much is looked at, in bytes: more than any that Kafka takes.
const TOPIC_ROOM: usize = 4 * MAX_TOPIC_LENGTH;

/// What key and text are; `index.js` has the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The key as a string, and the message's JSON text.
    Plain = 0,
    /// Both as JSON text.
    KeyIsJson = 1,
    /// The text says what is wrong with the key.
    BadKey = 2,
    /// The text says what is wrong with the message.
    BadValue = 3,
    /// The text says what is wrong with the options.
    BadOptions = 4,
}

/// Why a message was not accepted.
pub(super) enum Refusal {
    /// A reason, and a detail for the log.
    Reason(Reason, Option<String>),
    EscapeKey,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Refusal::Reason(reason, None)
    }
}

/// What `queue()` needs, on the JS thread only.
pub struct Queue {
    shared: Arc<Shared>,
    bridge: Arc<Bridge>,
    shore: Rc<Shore>,
    encoding: KeyEncoding,
    pub(super) default_topic: Option<TopicId>,
    scratch: RefCell<Scratch>,
}

#[derive(Default)]
pub(super) struct Scratch {
    pub(super) key: Vec<u8>,
    topic: Vec<u8>,
    /// The name in `last_topic` and its id: most calls in a row are for one topic.
    last_topic: Vec<u8>,
    last_topic_id: Option<TopicId>,
    /// Of `shared.topics`, when that id was good.
    generation: u32,
}

impl Scratch {
    /// The next key needs less.
    pub(super) fn shrink(&mut self) {
        if self.key.capacity() > MAX_SCRATCH {
            self.key = Vec::new();
        }
    }
}

/// A topic whose name was looked at.
pub(super) enum Topic {
    Default(TopicId),
    /// Its name, which can be a topic's, is in `scratch.topic`.
    Named,
}

impl Queue {
    pub fn new(
        shared: Arc<Shared>,
        (bridge, shore): (Arc<Bridge>, Rc<Shore>),
        encoding: KeyEncoding,
        default_topic: Option<TopicId>,
    ) -> Self {
        Queue {
            shared,
            bridge,
            shore,
            encoding,
            default_topic,
            scratch: RefCell::default(),
        }
    }

    /// Accepts a message.
    ///
    /// # Safety
    /// On the JS thread, with the values alive.
    pub unsafe fn push(&self, env: sys::napi_env, arguments: &Arguments<4>) -> Queued {
        // SAFETY: the caller's promise.
        let call = Call {
            topic: arguments.values[2],
            waiter: Waiter::NOBODY,
        };
        // SAFETY: the caller's promise.
        self.accepting(env, call, || unsafe { self.push_text(env, arguments) })
    }

    /// Accepts a message of any kind.
    ///
    /// # Safety
    /// On the JS thread, with the values alive.
    pub unsafe fn push_record(&self, env: sys::napi_env, arguments: &Arguments<8>) -> Queued {
        let [_, _, topic, .., number] = arguments.values;
        // SAFETY: the caller's promise.
        let waiter = unsafe { waiter_of(env, number) };
        self.accepting(env, Call { topic, waiter }, || unsafe {
            self.push_parts(env, arguments, waiter)
        })
    }

    pub(super) fn scratch(&self) -> RefMut<'_, Scratch> {
        let mut scratch = self.scratch.borrow_mut();
        // Should the last one have been refused.
        scratch.shrink();
        scratch
    }

    fn accepting(
        &self,
        env: sys::napi_env,
        Call { topic, waiter }: Call,
        push: impl FnOnce() -> Result<Pushed, Refusal>,
    ) -> Queued {
        let newly_held = !self.shore.holds();
        self.bridge.hold_loop(env, &self.shared, &self.shore);
        let pushed = push();
        if newly_held {
            // Refused, it has nothing to wait for.
            self.bridge
                .release_if_idle(&Env::from_raw(env), &self.shared, &self.shore);
        }
        match pushed {
            Ok(Pushed::Room) => Queued::Room,
            Ok(Pushed::NearlyFull) => Queued::NoRoom,
            Err(Refusal::EscapeKey) => Queued::EscapeKey,
            Err(Refusal::Reason(reason, detail)) => {
                // SAFETY: the caller's promise.
                let topic = unsafe { self.named(env, topic) };
                self.refuse(reason, detail.as_deref(), topic.as_deref());
                if !waiter.is_nobody() {
                    let sentence = reason.sentence();
                    let why = detail.map_or_else(
                        || sentence.to_owned(),
                        |detail| format!("{sentence} ({detail})"),
                    );
                    let fate = || Fate::Discarded(reason, why);
                    self.shared.fates.tell(waiter, fate);
                    // There may be nothing that keeps the event loop alive until they are fetched.
                    self.shore.deliver_fates();
                }
                // Full memory is the one reason that goes away by waiting.
                if reason == Reason::BufferFull {
                    Queued::NoRoom
                } else {
                    Queued::Room
                }
            }
        }
    }

    /// A bug has kept a message from being taken.
    pub fn failed(&self, env: sys::napi_env, why: &str) {
        self.refuse(Reason::InternalError, Some(why), None);
        self.bridge
            .release_if_idle(&Env::from_raw(env), &self.shared, &self.shore);
    }

    unsafe fn push_text(
        &self,
        env: sys::napi_env,
        arguments: &Arguments<4>,
    ) -> Result<Pushed, Refusal> {
        let Arguments {
            values: [key, text, topic, form],
            count,
        } = *arguments;
        let scratch = &mut *self.scratch();
        // SAFETY: the caller's promise.
        unsafe {
            if count == 4 && form_of(env, form) == Form::BadOptions {
                return Err(refusal(env, Reason::BadOptions, text));
            }
            let topic = if count < 3 {
                Topic::Default(self.default_topic.ok_or(Reason::NoTopic)?)
            } else {
                self.topic(env, topic, scratch)?
            };
            let form = if count < 4 {
                Form::Plain
            } else {
                form_of(env, form)
            };
            match form {
                Form::Plain => self.key(env, key, &mut scratch.key)?,
                Form::KeyIsJson => {
                    scratch.key.clear();
                    self.append_key(env, key, &mut scratch.key)?;
                }
                Form::BadKey => return Err(refusal(env, Reason::BadKey, text)),
                Form::BadValue => return Err(refusal(env, Reason::BadValue, text)),
                Form::BadOptions => return Err(refusal(env, Reason::BadOptions, text)),
            }
            let record = Record::of(TopicId(0), now_ms());
            let pushed = self.accept(
                env,
                topic,
                scratch,
                Body {
                    text,
                    bytes: None,
                    headers: &[],
                },
                record,
            );
            scratch.shrink();
            pushed
        }
    }

    /// Copies the message. Its topic is remembered only now that nothing else can be wrong with it: a
    /// caller that makes up names must not fill the memory.
    pub(super) unsafe fn accept(
        &self,
        env: sys::napi_env,
        topic: Topic,
        scratch: &mut Scratch,
        body: Body<'_>,
        record: Record,
    ) -> Result<Pushed, Refusal> {
        let inbox = &self.shared.inbox;
        let known = scratch.key.len() + body.headers.len() + body.bytes.map_or(0, <[u8]>::len);
        if known as u64 > inbox.limits().total {
            return Err(Reason::TooLarge.into());
        }
        let mut room = MIN_ROOM;
        if known + MIN_ROOM / 2 > MIN_ROOM {
            room += known;
        }
        loop {
            let mut missing = None;
            let pushed = inbox.push(room, |arena| {
                arena.extend_from_slice(&scratch.key);
                let value_length = match body.bytes {
                    Some(bytes) => {
                        arena.extend_from_slice(bytes);
                        bytes.len()
                    }
                    // SAFETY: the caller's promise.
                    None => {
                        unsafe { append_text_within(env, body.text, arena) }.map_err(|why| {
                            match why {
                                NoText::NoString => Reason::BadValue,
                                NoText::NeedsRoom(room) => {
                                    missing = Some(room);
                                    Reason::TooLarge
                                }
                            }
                        })?
                    }
                };
                if arena.capacity() - arena.len() < body.headers.len() {
                    missing = Some(value_length);
                    return Err(Reason::TooLarge);
                }
                arena.extend_from_slice(body.headers);
                let length = |bytes| u32::try_from(bytes).map_err(|_| Reason::TooLarge);
                let record = Record {
                    key_length: length(scratch.key.len())?,
                    value_length: length(value_length)?,
                    headers_length: length(body.headers.len())?,
                    ..record
                };
                if Amount::of_one(record.length()).cost() > inbox.limits().total {
                    return Err(Reason::TooLarge);
                }
                let topic = self.topic_id(&topic, scratch)?;
                Ok(Record { topic, ..record })
            });
            match missing {
                // Its size is known now; the next try has the room, or the message is refused.
                Some(missing) if (known + missing) as u64 > inbox.limits().total => {
                    return Err(Reason::TooLarge.into());
                }
                Some(missing) => room = known + missing,
                None => return Ok(pushed?),
            }
        }
    }

    fn refuse(&self, reason: Reason, detail: Option<&str>, topic: Option<&str>) {
        self.shared.statistics.refuse(reason, topic);
        let kind = reason.name();
        tracing::dispatcher::with_default(&self.shared.log, || match detail {
            Some(detail) => {
                tracing::error!(kind, "message discarded: {} ({detail})", reason.sentence());
            }
            None => tracing::error!(kind, "message discarded: {}", reason.sentence()),
        });
    }
}

/// What is to be known of a call, whatever its message is.
#[derive(Clone, Copy)]
struct Call {
    topic: sys::napi_value,
    waiter: Waiter,
}

/// What a message has beside its key.
pub(super) struct Body<'a> {
    /// The value as a string, unless it is bytes.
    pub(super) text: sys::napi_value,
    pub(super) bytes: Option<&'a [u8]>,
    pub(super) headers: &'a [u8],
}

/// A refusal with the text that says what is wrong.
unsafe fn refusal(env: sys::napi_env, reason: Reason, text: sys::napi_value) -> Refusal {
    let mut bytes = Vec::new();
    // SAFETY: the caller's promise. The text is ours, and short.
    unsafe { append_utf8(env, text, &mut bytes) };
    let detail = String::from_utf8_lossy(&bytes).into_owned();
    Refusal::Reason(reason, Some(detail).filter(|detail| !detail.is_empty()))
}

unsafe fn waiter_of(env: sys::napi_env, number: sys::napi_value) -> Waiter {
    let mut waiter = 0;
    // SAFETY: the caller's promise; on failure the number stays 0.
    unsafe { sys::napi_get_value_uint32(env, number, &raw mut waiter) };
    Waiter::new(waiter)
}

unsafe fn form_of(env: sys::napi_env, form: sys::napi_value) -> Form {
    let mut number = 0;
    // SAFETY: the caller's promise; on failure the number stays 0.
    unsafe { sys::napi_get_value_uint32(env, form, &mut number) };
    [
        Form::KeyIsJson,
        Form::BadKey,
        Form::BadValue,
        Form::BadOptions,
    ]
    .into_iter()
    .find(|form| *form as u32 == number)
    .unwrap_or(Form::Plain)
}

/// # Safety
/// On the JS thread, with `value` alive.
pub(super) unsafe fn is_undefined(env: sys::napi_env, value: sys::napi_value) -> bool {
    // SAFETY: the caller's promise.
    unsafe { type_of(env, value) == sys::ValueType::napi_undefined }
}

unsafe fn type_of(env: sys::napi_env, value: sys::napi_value) -> sys::napi_valuetype {
    let mut kind = sys::ValueType::napi_undefined;
    // SAFETY: the caller's value is alive; on failure the value counts as undefined.
    unsafe { sys::napi_typeof(env, value, &mut kind) };
    kind
}
