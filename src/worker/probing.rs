//! Finding out whether Kafka is there: by a metadata request, never by a synthetic message.

use std::time::{Duration, Instant};

use tracing::debug;

use super::{Signal, Worker};
use crate::kafka::describe;
use crate::options::RetryPolicy;
use crate::statistics::State;

/// How long a background probe waits for an answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the inquiry waits that decides, when a message is overdue, between one topic's trouble
/// and an outage. With the retry window and the purge it stays below the 5 s that are promised.
const INQUIRY_TIMEOUT: Duration = Duration::from_secs(1);
/// Least time between two inquiries that were answered at once.
const INQUIRY_PAUSE: Duration = Duration::from_millis(200);

/// The schedule of the probes. At most one request is under way.
#[derive(Default)]
pub(super) struct Probing {
    next: Option<Instant>,
    /// Before the first answer: when messages stop waiting for it.
    give_up: Option<Instant>,
    attempt: u32,
    under_way: bool,
    /// The answer decides what becomes of overdue messages.
    deciding: bool,
    last_inquiry: Option<Instant>,
    /// The cluster has answered, and a message was not delivered: an answer is enough, next time.
    trial_failed: bool,
}

impl Probing {
    /// At once, for a publisher that has not been connected yet.
    pub(super) fn begin(&mut self, window: Option<Duration>) {
        self.next = Some(Instant::now());
        self.give_up = window.map(|window| Instant::now() + window);
    }

    /// After the next delay.
    pub(super) fn schedule(&mut self, policy: RetryPolicy) {
        self.next = Some(Instant::now() + policy.delay(self.attempt));
        self.attempt = self.attempt.saturating_add(1);
    }

    /// A message was delivered: the next outage begins with the shortest delay.
    pub(super) fn succeeded(&mut self) {
        self.attempt = 0;
    }

    /// The oldest message on disk was not delivered: does the cluster still answer?
    pub(super) fn trial_failed(&mut self) {
        self.trial_failed = true;
        self.next = Some(Instant::now());
    }

    pub(super) fn next_in(&self) -> Duration {
        let in_far_future = Duration::from_secs(3600);
        let until = |time: Option<Instant>| {
            time.map_or(in_far_future, |time| {
                time.saturating_duration_since(Instant::now())
            })
        };
        if self.under_way {
            until(self.give_up)
        } else {
            until(self.next).min(until(self.give_up))
        }
    }
}

impl Worker {
    pub(super) fn check_time(&mut self) {
        let now = Instant::now();
        self.check_purge();
        if self.probing.next.is_some_and(|next| next <= now) && !self.probing.under_way {
            let timeout = if self.state == State::FallingBack {
                PROBE_TIMEOUT
            } else {
                INQUIRY_TIMEOUT
            };
            self.probe(timeout);
        }
        if self.probing.give_up.is_some_and(|at| at <= now) {
            self.probing.give_up = None;
            // With messages on their way, those decide.
            if self.state == State::Connecting && self.in_flight.is_empty() {
                self.fall_back("no broker has answered yet");
            }
        }
        self.check_overdue(now);
        self.check_partitioning();
    }

    /// A message that has waited for nearly the whole retry window. The inquiry begins so early that
    /// its answer is there when the window ends.
    fn check_overdue(&mut self, now: Instant) {
        let Some(window) = self.config.retry_window else {
            return;
        };
        let early = window.saturating_sub(INQUIRY_TIMEOUT).max(window / 2);
        if self.purging.is_some() || self.oldest_age(now) < early {
            return;
        }
        if !self.was_answered_lately()
            && self
                .probing
                .last_inquiry
                .is_none_or(|last| now - last >= INQUIRY_PAUSE)
        {
            self.inquire();
        }
        // Else it is one topic's trouble: librdkafka times its messages out.
    }

    /// How long Kafka has owed an answer, for a live message or for those from files.
    fn oldest_age(&self, now: Instant) -> Duration {
        let oldest = self.in_flight.oldest();
        let live = oldest.map_or(Duration::ZERO, |oldest| now.duration_since(oldest));
        let replay = self.replay.as_ref().map(|replay| replay.silence(now));
        live.max(replay.unwrap_or_default())
    }

    /// Whether Kafka gave an answer so lately that it is not the cluster that is away.
    pub(super) fn was_answered_lately(&self) -> bool {
        let window = self.config.retry_window.unwrap_or(Duration::from_secs(60));
        self.last_answer
            .is_some_and(|last| last.elapsed() < window / 2)
    }

    /// Asks the cluster, to tell an outage from one topic's trouble.
    pub(super) fn inquire(&mut self) {
        if self.probing.deciding || !matches!(self.state, State::Connecting | State::Publishing) {
            return;
        }
        self.probing.deciding = true;
        self.probing.last_inquiry = Some(Instant::now());
        if !self.probing.under_way {
            self.probe(INQUIRY_TIMEOUT);
        }
    }

    /// Everything is being taken back: there is nothing to decide any more.
    pub(super) fn stop_deciding(&mut self) {
        self.probing.deciding = false;
    }

    /// No probe is begun any more.
    pub(super) fn stop_probing(&mut self) {
        self.probing.next = None;
        self.probing.give_up = None;
    }

    pub(super) fn is_deciding(&self) -> bool {
        self.probing.deciding
    }

    fn probe(&mut self, timeout: Duration) {
        self.probing.under_way = true;
        if self.state == State::FallingBack {
            self.shared.statistics.background_retry();
        }
        let client = self.producer.client();
        self.ask(move || {
            Signal::Answer(client.metadata(None, timeout).map(drop).map_err(describe))
        });
    }

    pub(super) fn cluster_answered(&mut self, answer: Result<(), String>) {
        self.probing.under_way = false;
        self.probing.next = None;
        let deciding = std::mem::take(&mut self.probing.deciding);
        let trial_failed = std::mem::take(&mut self.probing.trial_failed);
        match answer {
            Ok(()) => {
                self.last_answer = Some(Instant::now());
                match self.state {
                    State::Created | State::Connecting => {
                        self.recover();
                        if deciding {
                            self.blame_topics();
                        }
                    }
                    State::FallingBack if self.purging.is_none() => {
                        if trial_failed {
                            self.recover();
                        } else {
                            self.begin_trial();
                        }
                    }
                    State::FallingBack => self.probing.next = Some(Instant::now()),
                    State::Publishing if deciding => self.blame_topics(),
                    State::Publishing | State::Ended => {}
                }
            }
            Err(why) => {
                debug!("no answer from Kafka: {why}");
                self.shared
                    .statistics
                    .error(format!("no answer from Kafka: {why}"));
                let now = Instant::now();
                let overdue = self
                    .config
                    .retry_window
                    .is_some_and(|window| self.oldest_age(now) + INQUIRY_PAUSE >= window);
                let suspects = self
                    .replay
                    .as_mut()
                    .is_some_and(|replay| !replay.take_suspects().is_empty());
                if deciding && (overdue || suspects || !self.returned.is_empty()) {
                    self.fall_back(&why);
                } else if matches!(self.state, State::Connecting | State::FallingBack) {
                    self.give_up_init(&why);
                    self.probing.schedule(self.config.probe);
                }
            }
        }
    }

    /// The cluster answers, so what is overdue is its topics' trouble.
    fn blame_topics(&mut self) {
        let mut topics = self.returned_topics();
        topics.extend(
            self.replay
                .iter_mut()
                .flat_map(|replay| replay.take_suspects()),
        );
        for (topic, code) in topics {
            self.topic_is_troubled(topic, code);
        }
    }

    /// `retryOptions.retries`, if they are not for ever, end the waiting of `init()` only.
    fn give_up_init(&mut self, why: &str) {
        if self
            .config
            .probe
            .retries
            .is_none_or(|retries| self.probing.attempt < retries)
        {
            return;
        }
        for settle in self.init_waiters.drain(..) {
            settle(Err(format!(
                "Kafka did not answer within retryOptions.retries ({why}); messages go to the fallback file, and Kafka is probed on"
            )));
        }
    }
}
