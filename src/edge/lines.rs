//! Log lines on their way to the user's logger.
//!
//! They wait here, not in Node.js's queue of calls: whoever is on the JS thread can hand them over (a
//! promise is settled after the lines that came before), and what the environment's end leaves goes
//! to stderr.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::Level;

use crate::logging::Stderr;

/// Lines that may wait for a JS thread that is busy.
const CAPACITY: usize = 1000;

#[derive(Default)]
struct State {
    waiting: VecDeque<(Level, String)>,
    /// Lines for which there was no room.
    dropped: u64,
    /// The JS thread is called already.
    is_called: bool,
    /// The environment is ending: nothing is handed over any more.
    is_closed: bool,
}

#[derive(Default)]
pub struct Lines(Mutex<State>);

impl Lines {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `call` calls the JS thread, and says whether that will come.
    pub fn push(&self, level: Level, text: &str, call: impl FnOnce() -> bool) {
        let mut state = self.lock();
        if state.is_closed {
            drop(state);
            return Stderr::new("").write(level, text);
        }
        if state.waiting.len() >= CAPACITY {
            state.dropped += 1;
            return;
        }
        state.waiting.push_back((level, text.to_owned()));
        let is_called = std::mem::replace(&mut state.is_called, true);
        drop(state);
        if !is_called && !call() {
            self.close();
        }
    }

    /// The oldest line that waits, for the JS thread to hand over. One at a time: the user's logger may
    /// end the process at any of them.
    pub fn take(&self) -> Option<(Level, String)> {
        self.lock().take()
    }

    /// There is no JS thread to hand lines to any more: those that wait go to stderr, as all that follow.
    pub fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        while let Some((level, text)) = state.take() {
            Stderr::new("").write(level, &text);
        }
    }
}

impl State {
    fn take(&mut self) -> Option<(Level, String)> {
        self.is_called = false;
        self.waiting.pop_front().or_else(|| {
            let dropped = std::mem::take(&mut self.dropped);
            let note = format!("{dropped} log lines were dropped, because the JS thread was busy");
            (dropped > 0).then_some((Level::WARN, note))
        })
    }
}
