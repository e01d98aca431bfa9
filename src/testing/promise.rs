//! The promises of what is read from a topic, kept by threads of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi::{Env, JsValue, sys};

use super::CLOSED;
use super::reader::{Message, Reader};
use crate::edge::deferred::Deferred;

/// What to find out about a topic.
pub struct Question {
    pub topic: String,
    pub timeout: Duration,
    pub ask: fn(&Reader) -> std::result::Result<Answer, String>,
}

pub enum Answer {
    /// What the topic with this name holds.
    Messages(String, Vec<Message>),
    Count(i64),
}

/// A promise that its reader, or the end of the cluster, settles: whichever is first. Until then it
/// keeps the event loop alive.
#[derive(Clone)]
pub struct Pending(Arc<Mutex<Option<Deferred<Answer>>>>);

impl Pending {
    /// The second is the promise.
    pub fn new(env: &Env) -> Result<(Self, Object<'_>)> {
        let (deferred, promise) = Deferred::new(env, || ())?;
        Ok((Pending(Arc::new(Mutex::new(Some(deferred)))), promise))
    }

    pub fn settle(&self, result: Result<Answer>) {
        let deferred = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(deferred) = deferred {
            deferred.settle(result);
        }
    }

    fn is_settled(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }
}

/// The promises that the end of the cluster rejects: it comes when this is dropped.
#[derive(Default)]
pub struct Reads {
    pending: Vec<Pending>,
    stop: Arc<AtomicBool>,
}

impl Reads {
    pub fn start(
        &mut self,
        bootstrap: String,
        question: Question,
        pending: &Pending,
    ) -> Result<()> {
        let Question {
            topic,
            timeout,
            ask,
        } = question;
        let (stop, answer) = (Arc::clone(&self.stop), pending.clone());
        thread::Builder::new()
            .name("mock-reader".into())
            .spawn(
                move || match Reader::new(&bootstrap, topic, timeout, stop) {
                    // Settled before the reader is dropped, which takes a moment.
                    Ok(reader) => answer.settle(ask(&reader).map_err(Error::from_reason)),
                    Err(error) => answer.settle(Err(Error::from_reason(error))),
                },
            )
            .map_err(|error| Error::from_reason(error.to_string()))?;
        self.pending.retain(|pending| !pending.is_settled());
        self.pending.push(pending.clone());
        Ok(())
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for pending in &self.pending {
            pending.settle(Err(Error::from_reason(CLOSED)));
        }
    }
}

impl ToNapiValue for Answer {
    unsafe fn to_napi_value(raw: sys::napi_env, answer: Self) -> Result<sys::napi_value> {
        let env = Env::from_raw(raw);
        match answer {
            Answer::Messages(topic, messages) => {
                let mut array = env.create_array(messages.len() as u32)?;
                for (index, message) in messages.iter().enumerate() {
                    array.set(index as u32, to_js(&env, &topic, message)?)?;
                }
                Ok(array.raw())
            }
            Answer::Count(count) => Ok(env.create_int64(count)?.raw()),
        }
    }
}

fn to_js<'env>(env: &'env Env, topic: &str, message: &Message) -> Result<Object<'env>> {
    let buffer = |bytes: &Option<Vec<u8>>| {
        let copy = |bytes| BufferSlice::copy_from(env, bytes);
        bytes.as_ref().map(copy).transpose()
    };
    let mut headers = Object::new(env)?;
    for (name, value) in &message.headers {
        let same = message.headers.iter().filter(|(other, _)| other == name);
        let values = same
            .map(|(_, value)| buffer(value))
            .collect::<Result<Vec<_>>>()?;
        if values.len() > 1 {
            headers.set(name, values)?;
        } else {
            headers.set(name, buffer(value)?)?;
        }
    }
    let mut list = env.create_array(message.headers.len() as u32)?;
    for (index, (name, value)) in message.headers.iter().enumerate() {
        let mut pair = env.create_array(2)?;
        pair.set(0, name)?;
        pair.set(1, buffer(value)?)?;
        list.set(index as u32, pair)?;
    }
    let mut object = Object::new(env)?;
    object.set("topic", topic)?;
    object.set("partition", message.partition)?;
    object.set("offset", message.offset)?;
    object.set("key", buffer(&message.key)?)?;
    object.set("value", buffer(&message.value)?)?;
    object.set("timestamp", message.timestamp)?;
    object.set("headers", headers)?;
    object.set("headerList", list)?;
    Ok(object)
}
