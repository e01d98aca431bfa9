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
mod events;
mod fleet;
mod inquirer;
mod outcome;
mod partitioner;
mod partitions;
mod producer;
mod redirect;
mod throttle;
mod ticket;
mod tokens;

use std::ffi::c_int;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;

pub use client::Client;
pub use config::{ConfigError, Tuning};
pub use events::{Acknowledged, Failure, Reports};
pub use fleet::Fleet;
pub use inquirer::{Findings, Inquirer};
pub use outcome::{Outcome, classify, describe};
pub use partitioner::Partitioner;
pub use partitions::{Described, PartitionInfo, describe_topics};
pub use producer::Producer;
pub use redirect::Redirect;
use throttle::Throttle;
pub use ticket::{Origin, Ticket};
pub use tokens::{Token, Tokens};

/// The user's functions that clients need.
#[derive(Clone, Default)]
pub struct Hooks {
    pub redirect: Option<Arc<dyn Redirect>>,
    pub tokens: Option<Arc<Tokens>>,
}

/// A client's context: what its callbacks reach.
pub struct Context {
    hooks: Hooks,
    throttle: Throttle,
}

impl Context {
    fn new(hooks: Hooks) -> Self {
        Context {
            hooks,
            throttle: Throttle::default(),
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
