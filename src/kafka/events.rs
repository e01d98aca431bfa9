//! What comes back from librdkafka: delivery reports, errors and log lines.

use std::ffi::{CStr, c_void};
use std::ptr;

use rdkafka::bindings as rd;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::Producer;
use super::ticket::{Opaque, Ticket};
use crate::fates::Receipt;
use crate::headers;
use crate::message::{Record, TopicId, Traits, now_ms};

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
    /// As far as librdkafka has kept it.
    pub record: Record,
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub headers: Vec<u8>,
    pub code: RDKafkaErrorCode,
}

/// What [`Producer::poll`] reports to.
pub trait Reports {
    /// `receipt` says where it is.
    fn delivered(&mut self, ticket: Ticket, bytes: usize, receipt: impl FnOnce() -> Receipt);
    /// The sum of what [`Reports::delivered`] told of, partition by partition.
    fn acknowledged(&mut self, what: Acknowledged);
    fn failed(&mut self, failure: Failure<'_>);
    /// The cluster, or a broker of it, is in trouble; librdkafka goes on trying.
    fn error(&mut self, code: RDKafkaErrorCode, text: &str);
}

impl Producer {
    pub(super) fn serve_reports(
        &self,
        event: *mut rd::rd_kafka_event_t,
        reports: &mut impl Reports,
    ) {
        let mut run: Option<(*mut rd::rd_kafka_topic_t, Acknowledged)> = None;
        // SAFETY: a non-null message lives as long as its event, which the caller destroys.
        while let Some(message) = unsafe { rd::rd_kafka_event_message_next(event).as_ref() } {
            let opaque = Opaque(message._private as u64);
            if message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                reports.failed(self.failure(message, opaque));
                continue;
            }
            let bytes = message.len + message.key_len + headers_length(message);
            reports.delivered(opaque.ticket(), bytes, || receipt_of(message));
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

    fn failure<'a>(&self, message: &'a rd::rd_kafka_message_t, opaque: Opaque) -> Failure<'a> {
        // SAFETY: the message is valid.
        let latency = unsafe { rd::rd_kafka_message_latency(message) }.max(0);
        // Librdkafka does not tell the timestamp of a message that failed.
        let timestamp = now_ms() - latency / 1000 - opaque.waited_ms();
        Failure {
            ticket: opaque.ticket(),
            record: Record {
                partition: message.partition,
                traits: Traits::default()
                    .with_if(Traits::KEYLESS, message.key.is_null())
                    .with_if(Traits::VALUELESS, message.payload.is_null()),
                ..Record::of(self.topic_of(message), timestamp)
            },
            key: bytes(message.key, message.key_len),
            value: bytes(message.payload, message.len),
            headers: headers_of(message),
            code: message.err.into(),
        }
    }
}

fn receipt_of(message: &rd::rd_kafka_message_t) -> Receipt {
    // SAFETY: the message is valid; what kind of time it is, is not asked for.
    let timestamp = unsafe { rd::rd_kafka_message_timestamp(message, ptr::null_mut()) };
    Receipt {
        partition: message.partition,
        offset: message.offset,
        timestamp,
        size: message.len,
    }
}

/// Bytes of [`headers_of`], without making them.
fn headers_length(message: &rd::rd_kafka_message_t) -> usize {
    let mut length = 0;
    each_header(message, |name, value| {
        length += headers::length(name, value);
    });
    length
}

/// A message's headers, as in an arena.
fn headers_of(message: &rd::rd_kafka_message_t) -> Vec<u8> {
    let mut bytes = Vec::new();
    each_header(message, |name, value| {
        headers::append(&mut bytes, name, value);
    });
    bytes
}

fn each_header(message: &rd::rd_kafka_message_t, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is valid; on success the headers are its own, and live as long. So do their names
    // and values.
    unsafe {
        let found = rd::rd_kafka_message_headers(message, &raw mut headers);
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for at in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            let found = rd::rd_kafka_header_get_all(
                headers,
                at,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            );
            if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            let value = (!value.is_null()).then(|| bytes(value.cast_mut(), size));
            each(CStr::from_ptr(name).to_bytes(), value);
        }
    }
}

fn bytes<'a>(pointer: *mut c_void, length: usize) -> &'a [u8] {
    if pointer.is_null() {
        return &[];
    }
    // SAFETY: librdkafka gives the pointer with the length of what it points to; the caller's
    // event outlives the slice.
    unsafe { std::slice::from_raw_parts(pointer.cast(), length) }
}

pub(super) fn serve_error(event: *mut rd::rd_kafka_event_t, reports: &mut impl Reports) {
    // SAFETY: the text lives as long as the event, which the caller destroys.
    let (code, text) = unsafe {
        (
            rd::rd_kafka_event_error(event),
            CStr::from_ptr(rd::rd_kafka_event_error_string(event)),
        )
    };
    reports.error(code.into(), text.to_string_lossy().trim());
}

pub(super) fn serve_log(event: *mut rd::rd_kafka_event_t) {
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
