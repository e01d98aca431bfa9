//! All contact with librdkafka: configuration, produce, purge, and delivery reports as outcomes.
//!
//! rust-rdkafka's `BaseProducer` builds its native configuration in private and allocates for each
//! message; this calls `rdkafka-sys`, with a [`Client`] of its own. Every `unsafe` block of
//! the publishing path is in this folder. What makes them sound:
//! - a [`Producer`] owns its client, its main queue and its topic handles, and destroys them in the
//!   order that librdkafka asks for (topics, queue, client);
//! - librdkafka copies key and value in `rd_kafka_produce`, and what a delivery report points to
//!   lives until its event is destroyed, after the handler has returned;
//! - only the worker thread calls [`Producer::produce`] and [`Producer::poll`].

mod client;
mod config;
mod inquiry;
mod outcome;
mod partitioner;
mod partitions;
mod redirect;
mod ticket;

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

pub use client::Client;
pub use config::{ConfigError, Tuning};
pub use inquiry::{Findings, Inquirer};
pub use outcome::{Outcome, classify, describe};
pub use partitioner::Partitioner;
pub use partitions::{Described, PartitionInfo, describe_topics};
pub use redirect::Redirect;
use ticket::Opaque;
pub use ticket::{Origin, Ticket};

use crate::guard::guarded;
use crate::inbox::Inbox;
use crate::message::{ById, Record, TopicId, now_ms};
use crate::options::KafkaConfig;

/// A client's context: what its callbacks reach.
pub struct Context {
    redirect: Option<Arc<dyn Redirect>>,
}

/// Neighbouring reports of one partition: so many of its messages were acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub topic: TopicId,
    pub partition: i32,
    pub broker: i32,
    pub messages: u64,
}

/// A message that Kafka did not take, as librdkafka hands it back.
pub struct Failure<'a> {
    pub ticket: Ticket,
    pub topic: TopicId,
    pub partition: i32,
    pub timestamp: i64,
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub code: RDKafkaErrorCode,
}

/// What [`Producer::poll`] reports to.
pub trait Reports {
    fn delivered(&mut self, ticket: Ticket, bytes: usize);
    /// The sum of what [`Reports::delivered`] told of, partition by partition.
    fn acknowledged(&mut self, what: Acknowledged);
    fn failed(&mut self, failure: Failure<'_>);
    /// The cluster, or a broker of it, is in trouble; librdkafka goes on trying.
    fn error(&mut self, code: RDKafkaErrorCode, text: &str);
}

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
        redirect: Option<Arc<dyn Redirect>>,
        inbox: Arc<Inbox>,
    ) -> Result<Self, ConfigError> {
        let context = Context { redirect };
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

    /// Hands over one message; a delivery report follows if and only if this succeeds. `now` is the
    /// time, in milliseconds since the Unix epoch.
    pub fn produce(
        &mut self,
        record: &Record,
        name: impl FnOnce() -> Arc<str>,
        key: &[u8],
        value: &[u8],
        ticket: Ticket,
        now: i64,
    ) -> Result<(), RDKafkaErrorCode> {
        let topic = self.topic(record.topic, name)?;
        // SAFETY: F_COPY makes librdkafka copy the value; it always copies the key.
        let status = unsafe {
            rd::rd_kafka_produce(
                topic,
                record.partition,
                rd::RD_KAFKA_MSG_F_COPY as c_int,
                value.as_ptr().cast_mut().cast(),
                value.len(),
                key.as_ptr().cast(),
                key.len(),
                Opaque::new(ticket, now - record.timestamp).0 as *mut c_void,
            )
        };
        if status == 0 {
            Ok(())
        } else {
            Err(unsafe { rd::rd_kafka_last_error() }.into())
        }
    }

    /// As [`Producer::produce`], with the message's own time, and without a key if it has none.
    pub fn produce_at(
        &mut self,
        record: &Record,
        name: impl FnOnce() -> Arc<str>,
        key: &[u8],
        value: &[u8],
        ticket: Ticket,
        now: i64,
    ) -> Result<(), RDKafkaErrorCode> {
        use rd::rd_kafka_vtype_t as v;
        let topic = self.topic(record.topic, name)?;
        let key_start = if record.keyless {
            ptr::null()
        } else {
            key.as_ptr()
        };
        let waited = now - record.timestamp;
        // SAFETY: each type is followed by the arguments that librdkafka documents for it, and the
        // list ends with RD_KAFKA_VTYPE_END. F_COPY makes it copy the value; it always copies the key.
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
                value.as_ptr().cast_mut().cast::<c_void>(),
                value.len(),
                v::RD_KAFKA_VTYPE_KEY,
                key_start.cast_mut().cast::<c_void>(),
                key.len(),
                v::RD_KAFKA_VTYPE_TIMESTAMP,
                record.timestamp,
                v::RD_KAFKA_VTYPE_OPAQUE,
                Opaque::new(ticket, waited).0 as *mut c_void,
                v::RD_KAFKA_VTYPE_END,
            )
        };
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            Ok(())
        } else {
            Err(code.into())
        }
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

    fn serve_reports(&self, event: *mut rd::rd_kafka_event_t, reports: &mut impl Reports) {
        let mut run: Option<(*mut rd::rd_kafka_topic_t, Acknowledged)> = None;
        // SAFETY: a non-null message lives as long as its event, which the caller destroys.
        while let Some(message) = unsafe { rd::rd_kafka_event_message_next(event).as_ref() } {
            let opaque = Opaque(message._private as u64);
            if message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                reports.failed(self.failure(message, opaque));
                continue;
            }
            reports.delivered(opaque.ticket(), message.len + message.key_len);
            match &mut run {
                Some((topic, sum))
                    if *topic == message.rkt && sum.partition == message.partition =>
                {
                    sum.messages += 1;
                }
                run => {
                    let next = Acknowledged {
                        topic: self.topic_of(message),
                        partition: message.partition,
                        // SAFETY: as above.
                        broker: unsafe { rd::rd_kafka_message_broker_id(message) },
                        messages: 1,
                    };
                    if let Some((_, sum)) = run.replace((message.rkt, next)) {
                        reports.acknowledged(sum);
                    }
                }
            }
        }
        if let Some((_, sum)) = run {
            reports.acknowledged(sum);
        }
    }

    #[allow(
        clippy::unreachable,
        reason = "librdkafka hands back what it was given"
    )]
    fn topic_of(&self, message: &rd::rd_kafka_message_t) -> TopicId {
        let Some(topic) = self.ids.get(&message.rkt) else {
            unreachable!("every message was produced to a topic of ours")
        };
        *topic
    }

    fn failure<'a>(&self, message: &'a rd::rd_kafka_message_t, opaque: Opaque) -> Failure<'a> {
        // SAFETY: the message is valid.
        let latency = unsafe { rd::rd_kafka_message_latency(message) }.max(0);
        Failure {
            ticket: opaque.ticket(),
            topic: self.topic_of(message),
            partition: message.partition,
            // Librdkafka does not tell the timestamp of a message that failed.
            timestamp: now_ms() - latency / 1000 - opaque.waited_ms(),
            key: bytes(message.key, message.key_len),
            value: bytes(message.payload, message.len),
            code: message.err.into(),
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

/// Sends what lingers, and returns when all is acknowledged or `timeout` is over. The reports still
/// have to be polled meanwhile. Blocks: never on the worker's thread.
pub fn flush(client: &Client, timeout: Duration) {
    let ms = timeout.as_millis().min(i32::MAX as u128) as c_int;
    // SAFETY: the client is valid. What was not flushed in time is seen by its missing reports.
    unsafe { rd::rd_kafka_flush(client.native_ptr(), ms) };
}

fn bytes<'a>(pointer: *mut c_void, length: usize) -> &'a [u8] {
    if pointer.is_null() {
        return &[];
    }
    // SAFETY: librdkafka gives the pointer with the length of what it points to; the caller's
    // event outlives the slice.
    unsafe { std::slice::from_raw_parts(pointer.cast(), length) }
}

fn serve_error(event: *mut rd::rd_kafka_event_t, reports: &mut impl Reports) {
    // SAFETY: the text lives as long as the event, which the caller destroys.
    let (code, text) = unsafe {
        (
            rd::rd_kafka_event_error(event),
            CStr::from_ptr(rd::rd_kafka_event_error_string(event)),
        )
    };
    reports.error(code.into(), text.to_string_lossy().trim());
}

fn serve_log(event: *mut rd::rd_kafka_event_t) {
    let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
    // SAFETY: on success both texts live as long as the event, which the caller destroys.
    let (facility, text) = unsafe {
        if rd::rd_kafka_event_log(event, &raw mut facility, &raw mut text, &raw mut level) != 0 {
            return;
        }
        (
            CStr::from_ptr(facility).to_string_lossy(),
            CStr::from_ptr(text).to_string_lossy(),
        )
    };
    // What matters of these also comes as an error event, a report or a change of state.
    tracing::debug!(level, "librdkafka {}: {}", facility.trim(), text.trim());
}

/// Called by librdkafka's threads when the main queue is no longer empty.
unsafe extern "C" fn wake(_: *mut rd::rd_kafka_t, inbox: *mut c_void) {
    // SAFETY: the producer keeps the inbox alive for as long as this is enabled.
    guarded(|| unsafe { &*inbox.cast::<Inbox>() }.wake(), |_| ());
}
