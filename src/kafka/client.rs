//! A librdkafka client. Not rust-rdkafka's `Client`: its `new` (0.39) leaks a handle of the main queue,
//! and the queue with it, 216 bytes each time.

use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::config::{NativeClientConfig, RDKafkaLogLevel};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr, RDKafkaType};

use super::Context;

pub struct Client {
    handle: NonNull<rd::rd_kafka_t>,
    /// Pointed to by the callbacks.
    _context: Box<Context>,
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
            return Err(String::from_utf8_lossy(&text[..length.unwrap_or(0)]).into_owned());
        };
        // The client owns it now.
        std::mem::forget(conf);
        let client = Client {
            handle,
            _context: context,
        };
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

    /// Asks the cluster for its metadata, and the topic's if there is one: a forced round trip. Blocks
    /// for up to `timeout`: never on the worker's thread.
    pub fn metadata(
        &self,
        topic: Option<&CStr>,
        timeout: Duration,
    ) -> Result<Metadata, RDKafkaErrorCode> {
        let mut metadata = ptr::null();
        // SAFETY: client and name are valid. The topic's handle is null or ours and destroyed once; on
        // success `metadata` is ours, too.
        unsafe {
            let topic = match topic {
                Some(name) => {
                    let topic =
                        rd::rd_kafka_topic_new(self.native_ptr(), name.as_ptr(), ptr::null_mut());
                    if topic.is_null() {
                        return Err(rd::rd_kafka_last_error().into());
                    }
                    topic
                }
                None => ptr::null_mut(),
            };
            let ms = timeout.as_millis().min(i32::MAX as u128) as c_int;
            let code = rd::rd_kafka_metadata(self.native_ptr(), 0, topic, &raw mut metadata, ms);
            if !topic.is_null() {
                rd::rd_kafka_topic_destroy(topic);
            }
            no_error(code)?;
        }
        Ok(Metadata(metadata))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and destroyed once; the context is freed after this.
        unsafe { rd::rd_kafka_destroy(self.native_ptr()) };
    }
}

/// What a cluster said of itself.
pub struct Metadata(*const rd::rd_kafka_metadata);

impl Metadata {
    /// None if the cluster does not know the topic.
    pub fn partitions_of(&self, topic: &CStr) -> &[rd::rd_kafka_metadata_partition] {
        // SAFETY: valid until `drop`, as all that it points to.
        unsafe {
            list((*self.0).topics, (*self.0).topic_cnt)
                .iter()
                .find(|found| CStr::from_ptr(found.topic) == topic)
                .map_or(&[], |found| list(found.partitions, found.partition_cnt))
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
