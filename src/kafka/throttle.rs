//! A broker's word that a quota of this client is used up: it takes the next request only after a while.

use std::ffi::{c_char, c_int, c_void};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::bindings as rd;

use super::Context;
use crate::guard::guarded;

/// What a client's brokers have said of it.
#[derive(Default)]
pub struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    /// Until when the broker that holds this client up for longest does so, if any has.
    pub fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lasts(&self, time: Duration) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(Some(Instant::now() + time));
    }
}

pub fn install(conf: *mut rd::rd_kafka_conf_t) {
    // SAFETY: the caller's configuration is valid, and `Client::new` makes its opaque the context.
    unsafe { rd::rd_kafka_conf_set_throttle_cb(conf, Some(throttled)) };
}

/// Called where the client's events are polled.
unsafe extern "C" fn throttled(
    _client: *mut rd::rd_kafka_t,
    _name: *const c_char,
    _broker: i32,
    milliseconds: c_int,
    context: *mut c_void,
) {
    let Ok(time @ 1..) = u64::try_from(milliseconds) else {
        return;
    };
    // SAFETY: the context that `Client` keeps alive.
    let throttle = unsafe { &(*context.cast::<Context>()).throttle };
    guarded(|| throttle.lasts(Duration::from_millis(time)), |_| ());
}
