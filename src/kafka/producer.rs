//! A client that sends messages.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

use rdkafka::bindings as rd;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::events::{Reports, serve_error, serve_log};
use super::ticket::{Opaque, Ticket};
use super::{Client, ConfigError, Context, Hooks, Tuning, config};
use crate::guard::guarded;
use crate::inbox::Inbox;
use crate::message::{ById, Content, Headers, Record, TopicId};
use crate::options::KafkaConfig;

/// A librdkafka producer.
pub struct Producer {
    client: Arc<Client>,
    queue: *mut rd::rd_kafka_queue_t,
    topics: ById<Topic>,
    ids: HashMap<*mut rd::rd_kafka_topic_t, TopicId>,
    /// Pointed to by the queue's callback.
    _inbox: Arc<Inbox>,
}

struct Topic {
    handle: *mut rd::rd_kafka_topic_t,
}

// SAFETY: librdkafka's handles may be used from any thread; the pointers are owned by this value.
unsafe impl Send for Producer {}

impl Producer {
    /// # Errors
    /// Names the property that librdkafka refuses.
    pub fn new(
        config: &KafkaConfig,
        tuning: Tuning,
        hooks: Hooks,
        inbox: Arc<Inbox>,
    ) -> Result<Self, ConfigError> {
        let context = Context::new(hooks);
        let client = Arc::new(config::client(config, tuning, context)?);
        // SAFETY: the client is valid; the queue handle is destroyed in `drop`. The callback's
        // opaque is kept alive by `_inbox` until the callback is taken out there.
        let queue = unsafe {
            let queue = rd::rd_kafka_queue_get_main(client.native_ptr());
            rd::rd_kafka_queue_cb_event_enable(
                queue,
                Some(wake),
                Arc::as_ptr(&inbox).cast_mut().cast(),
            );
            queue
        };
        Ok(Producer {
            client,
            queue,
            topics: ById::default(),
            ids: HashMap::new(),
            _inbox: inbox,
        })
    }

    pub fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }

    /// How many topics it knows, which is for life.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    pub fn any_topic(&self) -> Option<TopicId> {
        self.topics.keys().next().copied()
    }

    /// Hands over one message, with its own time if it has one; a delivery report follows if and only if
    /// this succeeds. `now` is the time, in milliseconds since the Unix epoch.
    pub fn produce(
        &mut self,
        record: &Record,
        name: impl FnOnce() -> Arc<str>,
        content: Content<'_>,
        ticket: Ticket,
        now: i64,
    ) -> Result<(), RDKafkaErrorCode> {
        use rd::rd_kafka_vtype_t as v;
        let topic = self.topic(record.topic, name)?;
        let Content {
            key,
            value,
            headers,
        } = content;
        let key_start = unless(record.is_keyless(), key);
        let value_start = unless(record.is_valueless(), value);
        let waited = now - record.timestamp;
        let headers = native_headers(headers);
        // SAFETY: each type is followed by the arguments that librdkafka documents for it, and the
        // list ends with RD_KAFKA_VTYPE_END. F_COPY makes it copy the value; it always copies the key. The
        // headers, if not null, are its own when it succeeds.
        let code = unsafe {
            rd::rd_kafka_producev(
                self.client.native_ptr(),
                v::RD_KAFKA_VTYPE_RKT,
                topic,
                v::RD_KAFKA_VTYPE_PARTITION,
                record.partition,
                v::RD_KAFKA_VTYPE_MSGFLAGS,
                rd::RD_KAFKA_MSG_F_COPY as c_int,
                v::RD_KAFKA_VTYPE_VALUE,
                value_start.cast_mut().cast::<c_void>(),
                value.len(),
                v::RD_KAFKA_VTYPE_KEY,
                key_start.cast_mut().cast::<c_void>(),
                key.len(),
                v::RD_KAFKA_VTYPE_TIMESTAMP,
                record.timestamp,
                v::RD_KAFKA_VTYPE_OPAQUE,
                Opaque::new(ticket, waited).0 as *mut c_void,
                v::RD_KAFKA_VTYPE_HEADERS,
                headers,
                v::RD_KAFKA_VTYPE_END,
            )
        };
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        if !headers.is_null() {
            // SAFETY: they are still ours.
            unsafe { rd::rd_kafka_headers_destroy(headers) };
        }
        Err(code.into())
    }

    fn topic(
        &mut self,
        id: TopicId,
        name: impl FnOnce() -> Arc<str>,
    ) -> Result<*mut rd::rd_kafka_topic_t, RDKafkaErrorCode> {
        if let Some(topic) = self.topics.get(&id) {
            return Ok(topic.handle);
        }
        let name =
            CString::new(name().as_bytes()).map_err(|_| RDKafkaErrorCode::InvalidArgument)?;
        // SAFETY: the client and the name are valid; the handle is destroyed in `drop`.
        let handle = unsafe {
            rd::rd_kafka_topic_new(self.client.native_ptr(), name.as_ptr(), ptr::null_mut())
        };
        if handle.is_null() {
            return Err(unsafe { rd::rd_kafka_last_error() }.into());
        }
        self.topics.insert(id, Topic { handle });
        self.ids.insert(handle, id);
        Ok(handle)
    }

    #[allow(
        clippy::unreachable,
        reason = "librdkafka hands back what it was given"
    )]
    pub(super) fn topic_of(&self, message: &rd::rd_kafka_message_t) -> TopicId {
        let Some(topic) = self.ids.get(&message.rkt) else {
            unreachable!("every message was produced to a topic of ours")
        };
        *topic
    }

    /// Serves all events that are waiting. Returns whether there were any.
    pub fn poll(&self, reports: &mut impl Reports) -> bool {
        let mut any = false;
        loop {
            // SAFETY: the queue is valid; a non-null event is destroyed below.
            let event = unsafe { rd::rd_kafka_queue_poll(self.queue, 0) };
            if event.is_null() {
                return any;
            }
            any = true;
            match unsafe { rd::rd_kafka_event_type(event) } {
                rd::RD_KAFKA_EVENT_DR => self.serve_reports(event, reports),
                rd::RD_KAFKA_EVENT_ERROR => serve_error(event, reports),
                rd::RD_KAFKA_EVENT_LOG => serve_log(event),
                _ => {}
            }
            unsafe { rd::rd_kafka_event_destroy(event) };
        }
    }

    /// Makes librdkafka hand back, as delivery reports, what it has not sent yet. An idempotent producer
    /// is of no use for anything new after that: its numbers have a gap.
    pub fn purge_queue(&self) {
        self.purge_with(rd::RD_KAFKA_PURGE_F_QUEUE);
    }

    /// Makes librdkafka hand back all that it holds, queued or in flight.
    pub fn purge(&self) {
        self.purge_with(rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_INFLIGHT);
    }

    /// Makes librdkafka look for messages that have timed out. A broker's thread that waits to connect
    /// again looks neither by itself, nor for what came in meanwhile; any command wakes it, also one to
    /// purge nothing.
    pub fn nudge(&self) {
        self.purge_with(0);
    }

    fn purge_with(&self, what: c_int) {
        let flags = what | rd::RD_KAFKA_PURGE_F_NON_BLOCKING;
        // SAFETY: the client is valid. It can only refuse the flags, which are constant.
        unsafe { rd::rd_kafka_purge(self.client.native_ptr(), flags) };
    }

    /// The text of the fatal error after which this producer is of no use, if there was one.
    pub fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let mut text = [0 as c_char; 512];
        // SAFETY: librdkafka writes at most `len` bytes, NUL included.
        let code = unsafe {
            rd::rd_kafka_fatal_error(self.client.native_ptr(), text.as_mut_ptr(), text.len())
        };
        (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| {
            let text = unsafe { CStr::from_ptr(text.as_ptr()) };
            (code.into(), text.to_string_lossy().into_owned())
        })
    }
}

/// Where the bytes are; null if they are none.
fn unless(is_null: bool, bytes: &[u8]) -> *const u8 {
    if is_null { ptr::null() } else { bytes.as_ptr() }
}

/// Null if there are none.
fn native_headers(bytes: &[u8]) -> *mut rd::rd_kafka_headers_t {
    if bytes.is_empty() {
        return ptr::null_mut();
    }
    let headers = Headers(bytes);
    // SAFETY: librdkafka copies name and value, whose lengths are given.
    unsafe {
        let native = rd::rd_kafka_headers_new(headers.count());
        for (name, value) in headers {
            rd::rd_kafka_header_add(
                native,
                name.as_ptr().cast(),
                name.len() as isize,
                value.map_or(ptr::null(), <[u8]>::as_ptr).cast(),
                value.map_or(0, <[u8]>::len) as isize,
            );
        }
        native
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // SAFETY: each handle is ours and destroyed once; the client goes last, with its `Arc`.
        unsafe {
            rd::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            for (_, topic) in self.topics.drain() {
                rd::rd_kafka_topic_destroy(topic.handle);
            }
            rd::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// Called by librdkafka's threads when the main queue is no longer empty.
unsafe extern "C" fn wake(_: *mut rd::rd_kafka_t, inbox: *mut c_void) {
    // SAFETY: the producer keeps the inbox alive for as long as this is enabled.
    guarded(|| unsafe { &*inbox.cast::<Inbox>() }.wake(), |_| ());
}
