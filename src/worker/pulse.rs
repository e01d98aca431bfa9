//! Slow is told from dead by acknowledgements: how long they took lately says how long a message may
//! be waited for.

use std::time::{Duration, Instant};

/// A message is waited for so many times as long as acknowledgements took lately.
const TIMES: u32 = 5;

const LEAST_GRACE: Duration = Duration::from_millis(500);

/// What was acknowledged within one retry window.
#[derive(Clone, Copy, Default)]
struct Span {
    messages: u64,
    total: Duration,
    /// The shortest: the way there and back.
    least: Option<Duration>,
}

#[derive(Default)]
pub(super) struct Pulse {
    current: Span,
    previous: Span,
    began: Option<Instant>,
    last: Option<Instant>,
    /// The way there and back, as another question's answer has told.
    measured: Option<Duration>,
    /// Whether acknowledgements flow after a pause shows from then on.
    resumed: Option<Instant>,
}

impl Pulse {
    /// So many messages were acknowledged, after this time.
    pub(super) fn took(&mut self, time: Duration, messages: u64) {
        let span = &mut self.current;
        span.messages += messages;
        span.total += time.saturating_mul(u32::try_from(messages).unwrap_or(u32::MAX));
        span.least = Some(span.least.map_or(time, |least| least.min(time)));
    }

    /// The same messages were acknowledged now.
    pub(super) fn beat(&mut self, now: Instant, window: Duration) {
        self.last = Some(now);
        let began = *self.began.get_or_insert(now);
        if now.duration_since(began) >= window {
            self.previous = std::mem::take(&mut self.current);
            self.began = Some(now);
        }
    }

    /// There was a pause, which ends now. One after the other, without an acknowledgement between, they
    /// are no excuse.
    pub(super) fn goes_on(&mut self, now: Instant) {
        if self.last >= self.resumed {
            self.resumed = Some(now);
        }
    }

    pub(super) fn was_measured(&mut self, time: Duration) {
        self.measured = Some(time);
    }

    /// About the way there and back. Acknowledgements may take long for other reasons (a quota, a full disk).
    pub(super) fn round_trip(&self) -> Option<Duration> {
        let acknowledged = self.current.least.or(self.previous.least);
        acknowledged.into_iter().chain(self.measured).min()
    }

    /// How long what is on its way may still take, when only what is overdue is wanted back.
    /// The oldest has waited for so long already.
    pub(super) fn grace(&self, window: Duration, age: Duration) -> Duration {
        let trips = self.round_trip().unwrap_or_default() * 5 / 2;
        let left = longest(window).saturating_sub(age);
        trips.min(window / 2).min(left).max(LEAST_GRACE)
    }

    /// How long a message is waited for: the retry window, or about half as long again while acknowledgements
    /// flow and take long. More would not keep the promise that a message is in Kafka or in a file within 5 s.
    pub(super) fn patience(&self, now: Instant, window: Duration) -> Duration {
        let lately = |at: Instant| now.duration_since(at) < window / 2;
        let flows = self
            .last
            .is_some_and(|last| lately(last.max(self.resumed.unwrap_or(last))));
        let spans = [self.current, self.previous];
        let messages = spans.iter().map(|span| span.messages).sum::<u64>();
        if !flows || messages == 0 {
            return window;
        }
        let total = spans.iter().map(|span| span.total).sum::<Duration>();
        let mean = total.div_f64(messages as f64);
        let most = longest(window).saturating_sub(self.grace(window, window));
        (mean * TIMES).clamp(window, most.max(window))
    }
}

/// How old a message is at most when it is taken back, so that it is in a file within 5 s where the retry
/// window is the default one.
fn longest(window: Duration) -> Duration {
    window * 17 / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(2);

    fn after(latencies: &[u64]) -> (Pulse, Instant) {
        let (mut pulse, now) = (Pulse::default(), Instant::now());
        for ms in latencies {
            pulse.took(Duration::from_millis(*ms), 1);
        }
        pulse.beat(now, WINDOW);
        (pulse, now)
    }

    #[test]
    fn fast_or_silent_means_the_retry_window() {
        assert_eq!(Pulse::default().patience(Instant::now(), WINDOW), WINDOW);
        let (fast, now) = after(&[5, 10, 20]);
        assert_eq!(fast.patience(now, WINDOW), WINDOW);
        let (slow, now) = after(&[200, 4000]);
        assert_eq!(slow.patience(now + WINDOW / 2, WINDOW), WINDOW);
    }

    #[test]
    fn slow_and_flowing_means_longer() {
        let (slow, now) = after(&[200, 2000, 4000]);
        assert_eq!(slow.patience(now, WINDOW), longest(WINDOW) - LEAST_GRACE);
        // One message in a hundred was late.
        let mut latencies = [10; 100];
        latencies[0] = 1900;
        let (well, now) = after(&latencies);
        assert_eq!(well.patience(now, WINDOW), WINDOW);
    }

    #[test]
    fn a_pause_is_no_silence_but_two_are() {
        let (mut slow, now) = after(&[200, 4000]);
        let later = now + WINDOW / 2;
        slow.goes_on(later);
        assert!(slow.patience(later, WINDOW) > WINDOW);
        let later = later + WINDOW / 2;
        slow.goes_on(later);
        assert_eq!(slow.patience(later, WINDOW), WINDOW);
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let (mut pulse, now) = after(&[4000]);
        for windows in [1, 2] {
            pulse.beat(now + WINDOW * windows, WINDOW);
            pulse.took(Duration::from_millis(5), 1000);
        }
        assert_eq!(pulse.patience(now + WINDOW * 2, WINDOW), WINDOW);
    }
}
