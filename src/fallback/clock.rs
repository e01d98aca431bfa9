//! The clock of the store: what is waited for is waited for by it, and tests set it ahead.

#[cfg(not(test))]
pub fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
pub use tests::{ahead, now, pass};

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    thread_local! {
        static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    pub fn now() -> Instant {
        Instant::now() + AHEAD.get()
    }

    pub fn ahead() -> Duration {
        AHEAD.get()
    }

    /// For this thread.
    pub fn pass(time: Duration) {
        AHEAD.set(AHEAD.get() + time);
    }
}
