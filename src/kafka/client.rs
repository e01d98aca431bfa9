//! A librdkafka client. Not rust-rdkafka's `Client`: its `new` (0.39) leaks a handle of the main queue,
//! and the queue with it, 216 bytes each time.

use std::ffi::{CStr, CString, c_int};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::{Duration, Instant};

use rdkafka::bindings as rd;
use rdkafka::config::{NativeClientConfig, RDKafkaLogLevel};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr, RDKafkaType};

use super::Context;
use crate::options::Address;

pub struct Client {
    handle: NonNull<rd::rd_kafka_t>,
    /// Pointed to by the callbacks.
    context: Box<Context>,
}

// SAFETY: librdkafka's functions may be called from any thread, and `Context` is `Send` and `Sync`.
unsafe impl Send for Client {}
unsafe impl Sync for Client {}

impl Client {
    /// A producer. Its log lines come as events of the main queue.
    ///
    /// # Errors
    /// Librdkafka's text.
    pub fn new(
        conf: NativeClientConfig,
        log_level: RDKafkaLogLevel,
        context: Context,
    ) -> Result<Self, String> {
        let context = Box::new(context);
        let mut text = [0_u8; 512];
        // SAFETY: the context outlives the client; at most `len` bytes are written, NUL included.
        let handle = unsafe {
            rd::rd_kafka_conf_set_opaque(conf.ptr(), (&raw const *context).cast_mut().cast());
            rd::rd_kafka_new(
                RDKafkaType::RD_KAFKA_PRODUCER,
                conf.ptr(),
                text.as_mut_ptr().cast(),
                text.len(),
            )
        };
        let Some(handle) = NonNull::new(handle) else {
            let length = text.iter().position(|&byte| byte == 0);
            let text = text.get(..length.unwrap_or(0)).unwrap_or_default();
            return Err(String::from_utf8_lossy(text).into_owned());
        };
        // The client owns it now.
        std::mem::forget(conf);
        let client = Client { handle, context };
        // SAFETY: the client is valid; the handle of its queue is destroyed once.
        let code = unsafe {
            let queue = rd::rd_kafka_queue_get_main(client.native_ptr());
            let code = rd::rd_kafka_set_log_queue(client.native_ptr(), queue);
            rd::rd_kafka_queue_destroy(queue);
            rd::rd_kafka_set_log_level(client.native_ptr(), log_level as i32);
            code
        };
        no_error(code).map_err(super::describe)?;
        Ok(client)
    }

    pub fn native_ptr(&self) -> *mut rd::rd_kafka_t {
        self.handle.as_ptr()
    }

    /// Until when a broker holds this client up, because of a quota, as far as events have told.
    pub fn throttled_until(&self) -> Option<Instant> {
        self.context.throttle.until()
    }

    /// Whether the cluster has said who it is. A new client asks that by itself, without asking for
    /// topics. Blocks for up to `timeout`: never on the worker's thread.
    pub fn is_answered(&self, timeout: Duration) -> bool {
        // SAFETY: the client is valid; the text, if any, is ours and freed once.
        unsafe {
            let id = rd::rd_kafka_clusterid(self.native_ptr(), milliseconds(timeout));
            if !id.is_null() {
                rd::rd_kafka_mem_free(self.native_ptr(), id.cast());
            }
            !id.is_null()
        }
    }

    /// What the cluster says of these topics, at least one, in one request: a forced round trip. A
    /// client that knows other topics asks for those, too. Blocks for up to `timeout`: never on the
    /// worker's thread.
    pub fn metadata(
        &self,
        topics: &[CString],
        timeout: Duration,
    ) -> Result<Metadata, RDKafkaErrorCode> {
        let mut metadata = ptr::null();
        // SAFETY: client and names are valid. Each topic's handle is null or ours and destroyed once;
        // on success `metadata` is ours, too.
        unsafe {
            let handles: Vec<_> = topics
                .iter()
                .map(|name| {
                    rd::rd_kafka_topic_new(self.native_ptr(), name.as_ptr(), ptr::null_mut())
                })
                .collect();
            // One topic alone is asked for alone.
            let only = match handles[..] {
                [topic] => topic,
                _ => ptr::null_mut(),
            };
            let code = if handles.iter().any(|topic| topic.is_null()) {
                rd::rd_kafka_last_error()
            } else {
                let ms = milliseconds(timeout);
                rd::rd_kafka_metadata(self.native_ptr(), 0, only, &raw mut metadata, ms)
            };
            for topic in handles.into_iter().filter(|topic| !topic.is_null()) {
                rd::rd_kafka_topic_destroy(topic);
            }
            no_error(code)?;
        }
        Ok(Metadata(metadata))
    }

    /// Whether the leader of this partition answers on this client's own connection, whatever it says.
    /// Blocks for up to `timeout`: never on the worker's thread.
    pub fn reaches(&self, topic: &CStr, partition: i32, timeout: Duration) -> bool {
        let (mut low, mut high) = (0, 0);
        // SAFETY: client, name and both numbers are valid for the call.
        let code = unsafe {
            rd::rd_kafka_query_watermark_offsets(
                self.native_ptr(),
                topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
                milliseconds(timeout),
            )
        };
        // Librdkafka's own codes are no answers.
        (code as i32) >= 0
    }
}

fn milliseconds(time: Duration) -> c_int {
    time.as_millis().min(i32::MAX as u128) as c_int
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(tokens) = &self.context.hooks.tokens {
            tokens.forget(self);
        }
        // SAFETY: the handle is ours and destroyed once; the context is freed after this.
        unsafe { rd::rd_kafka_destroy(self.native_ptr()) };
    }
}

/// What a cluster said of itself.
pub struct Metadata(*const rd::rd_kafka_metadata);

impl Metadata {
    /// Each topic that the cluster knows, and its partitions.
    pub fn topics(&self) -> impl Iterator<Item = (&CStr, &[rd::rd_kafka_metadata_partition])> {
        // SAFETY: valid until `drop`, as all that it points to.
        unsafe {
            list((*self.0).topics, (*self.0).topic_cnt)
                .iter()
                .map(|topic| {
                    (
                        CStr::from_ptr(topic.topic),
                        list(topic.partitions, topic.partition_cnt),
                    )
                })
        }
    }

    /// The ids of the brokers, and where they say they are.
    pub fn brokers(&self) -> Vec<(i32, Address)> {
        // SAFETY: as above.
        unsafe {
            list((*self.0).brokers, (*self.0).broker_cnt)
                .iter()
                .filter_map(|broker| {
                    let host = CStr::from_ptr(broker.host).to_str().ok()?.to_owned();
                    let port = u16::try_from(broker.port).ok()?;
                    Some((broker.id, Address { host, port }))
                })
                .collect()
        }
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: it is ours and destroyed once.
        unsafe { rd::rd_kafka_metadata_destroy(self.0) };
    }
}

/// # Safety
/// There are so many at the pointer, for as long as the slice is used.
pub unsafe fn list<'a, T>(pointer: *const T, count: c_int) -> &'a [T] {
    if pointer.is_null() {
        return &[];
    }
    unsafe { slice::from_raw_parts(pointer, count.max(0) as usize) }
}

fn no_error(code: RDKafkaRespErr) -> Result<(), RDKafkaErrorCode> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}
