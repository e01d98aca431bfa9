//! The loop of librdkafka's own benchmark: `rd_kafka_produce` by topic handle, and `rd_kafka_poll` for
//! the delivery reports on the same thread.

use std::ffi::{CString, c_int};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdkafka::ClientConfig;
use rdkafka::bindings as rd;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr, RDKafkaType};

use crate::options::{Message, Options};

/// Messages between two polls that do not wait.
const POLL_EVERY: usize = 1000;
const POLL_MS: c_int = 100;

static FAILED: AtomicUsize = AtomicUsize::new(0);

pub struct Producer {
    client: *mut rd::rd_kafka_t,
    topic: *mut rd::rd_kafka_topic_t,
}

impl Producer {
    pub fn new(options: &Options) -> Self {
        let mut config = ClientConfig::new();
        for (name, value) in &options.properties {
            config.set(name, value);
        }
        let config = config
            .create_native_config()
            .expect("a property that librdkafka knows");
        let topic = CString::new(options.topic.as_str()).expect("a topic's name");
        // SAFETY: librdkafka takes the configuration over when it makes the client, so it must not
        // be freed here then; handles live until the process ends.
        unsafe {
            rd::rd_kafka_conf_set_dr_msg_cb(config.ptr(), Some(report));
            let client = rd::rd_kafka_new(
                RDKafkaType::RD_KAFKA_PRODUCER,
                config.ptr(),
                ptr::null_mut(),
                0,
            );
            assert!(
                !client.is_null(),
                "librdkafka makes no client of these properties"
            );
            std::mem::forget(config);
            let topic = rd::rd_kafka_topic_new(client, topic.as_ptr(), ptr::null_mut());
            Producer { client, topic }
        }
    }

    pub fn publish(&self, messages: &[Message], count: usize) {
        for number in 0..count {
            let message = &messages[number % messages.len()];
            while !self.produce(message) {
                self.poll(POLL_MS);
            }
            if number % POLL_EVERY == 0 {
                self.poll(0);
            }
        }
    }

    /// Returns false when librdkafka's queue is full.
    fn produce(&self, Message { key, value }: &Message) -> bool {
        // SAFETY: both handles are valid; with F_COPY librdkafka copies the value, and it always
        // copies the key.
        let status = unsafe {
            rd::rd_kafka_produce(
                self.topic,
                -1,
                rd::RD_KAFKA_MSG_F_COPY as c_int,
                value.as_ptr().cast_mut().cast(),
                value.len(),
                key.as_ptr().cast(),
                key.len(),
                ptr::null_mut(),
            )
        };
        if status == 0 {
            return true;
        }
        // SAFETY: reads this thread's last error.
        let error = RDKafkaErrorCode::from(unsafe { rd::rd_kafka_last_error() });
        assert_eq!(error, RDKafkaErrorCode::QueueFull, "a message is refused");
        false
    }

    fn poll(&self, timeout_ms: c_int) {
        // SAFETY: the client is valid.
        unsafe { rd::rd_kafka_poll(self.client, timeout_ms) };
    }

    /// Waits for the last acknowledgement. Ends the process if a message was not acknowledged.
    pub fn flush(&self) {
        // SAFETY: the client is valid.
        while unsafe { rd::rd_kafka_outq_len(self.client) } > 0 {
            self.poll(POLL_MS);
        }
        let failed = FAILED.load(Ordering::Relaxed);
        if failed > 0 {
            eprintln!("floor: {failed} messages were not acknowledged");
            std::process::exit(1);
        }
    }
}

unsafe extern "C" fn report(
    _client: *mut rd::rd_kafka_t,
    message: *const rd::rd_kafka_message_t,
    _opaque: *mut std::ffi::c_void,
) {
    // SAFETY: librdkafka calls this with a message that is valid during the call.
    if unsafe { (*message).err } != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        FAILED.fetch_add(1, Ordering::Relaxed);
    }
}
