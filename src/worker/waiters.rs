//! Who waits for the worker: promises, and the event loop of JavaScript.

use super::{EventLoop, Settle, Shared};
use std::sync::atomic::Ordering;

pub(super) struct Waiters {
    /// For Kafka to answer.
    init: Vec<(Settle, u32)>,
    /// For room in memory.
    drained: Vec<(Settle, u32)>,
    event_loop: Box<dyn EventLoop>,
    /// Nothing has come since the event loop was last told that it may end.
    told_idle: bool,
}

impl Waiters {
    pub(super) fn new(event_loop: Box<dyn EventLoop>) -> Self {
        Waiters {
            init: Vec::new(),
            drained: Vec::new(),
            event_loop,
            told_idle: true,
        }
    }

    /// `number`: what it may be forgotten by; 0 if it will not be.
    pub(super) fn for_kafka(&mut self, settle: Settle, number: u32) {
        self.init.push((settle, number));
    }

    pub(super) fn for_room(&mut self, settle: Settle, number: u32) {
        self.drained.push((settle, number));
    }

    /// Whoever has this number waits no more. What is dropped is settled by that.
    pub(super) fn forget(&mut self, number: u32) {
        for waiting in [&mut self.init, &mut self.drained] {
            waiting.retain(|(_, known)| *known != number);
        }
    }

    pub(super) fn anybody_for_room(&self) -> bool {
        !self.drained.is_empty()
    }

    /// There is nothing to wait for any more: Kafka has answered, or the end has begun.
    pub(super) fn settle_init(&mut self) {
        for (settle, _) in self.init.drain(..) {
            settle(Ok(()));
        }
    }

    pub(super) fn refuse_init(&mut self, why: &str) {
        for (settle, _) in self.init.drain(..) {
            settle(Err(why.to_owned()));
        }
    }

    pub(super) fn settle_drained(&mut self) {
        for (settle, _) in self.drained.drain(..) {
            settle(Ok(()));
        }
    }

    /// A message has come.
    pub(super) fn has_work(&mut self) {
        self.told_idle = false;
    }

    /// Tells those whose time has come.
    pub(super) fn tell(&mut self, shared: &Shared, is_ended: bool) {
        if self.anybody_for_room() && (is_ended || shared.inbox.is_drained()) {
            self.settle_drained();
        }
        if !self.told_idle && shared.holds_loop.load(Ordering::Acquire) && shared.in_memory() == 0 {
            self.told_idle = true;
            self.event_loop.may_end();
        }
    }

    /// The worker has failed: nobody waits for ever.
    pub(super) fn dismiss(&mut self) {
        self.settle_init();
        self.settle_drained();
        self.event_loop.may_end();
    }
}
