//! What comes back to the worker from threads that may block.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::Shared;
use crate::fallback::Offer;
use crate::kafka::{Described, Findings, Ticket};

pub(super) enum Signal {
    /// Of a probe.
    Answer(Result<(), String>),
    /// Of an inquiry, which may decide what becomes of overdue messages.
    Found {
        findings: Result<Findings, String>,
        decides: bool,
        /// How long the way there and back took at most, if it was asked on an open connection.
        round_trip: Option<Duration>,
    },
    /// The way there and back, as far as it could be measured.
    Measured(Option<Duration>),
    Offer(Offer),
    /// After the trial of this ticket.
    Reached {
        ticket: Ticket,
        /// The main client has its answer, too.
        by_main: bool,
    },
    /// The clients of a fleet are connected, or do not get to it.
    FleetIsReady,
    /// For the batch of this ticket.
    Partitions {
        ticket: u64,
        described: Result<Described, String>,
    },
    Partitioned {
        ticket: u64,
        partitions: Vec<Option<i32>>,
        failure: Option<String>,
    },
}

pub(super) struct Signals {
    receiver: Receiver<Signal>,
    sender: Sender<Signal>,
    shared: Arc<Shared>,
}

impl Signals {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (sender, receiver) = channel();
        Signals {
            receiver,
            sender,
            shared,
        }
    }

    pub(super) fn next(&self) -> Option<Signal> {
        self.receiver.try_recv().ok()
    }

    /// Sends, and wakes the worker.
    pub(super) fn sender(&self) -> impl Fn(Signal) + Send + 'static {
        let (sender, inbox) = (self.sender.clone(), Arc::clone(&self.shared.inbox));
        move |signal| {
            // Nobody listens any more after the end.
            let _ = sender.send(signal);
            inbox.wake();
        }
    }

    /// Runs on a thread that may block; its result comes back as a signal.
    pub(super) fn ask(&self, work: impl FnOnce() -> Signal + Send + 'static) {
        let send = self.sender();
        let log = self.shared.log.clone();
        tokio::task::spawn_blocking(move || {
            let _log = tracing::dispatcher::set_default(&log);
            send(work());
        });
    }
}
