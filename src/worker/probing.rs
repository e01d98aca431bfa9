//! Finding out whether Kafka is there: by questions, never by a synthetic message.

use std::time::{Duration, Instant};

use rand::Rng;
use tracing::debug;

use super::Worker;
use super::inquiry::INQUIRY_TIMEOUT;
use super::phase::AfterAnswer;
use super::signals::Signal;
use crate::options::RetryPolicy;

/// How long a background probe waits for an answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest time between two of them: Kafka is found again within a second.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// So many may wait for their answers at the same time.
const MOST_PROBES: u32 = 3;
/// How long a probe waits for its connection to be accepted.
const KNOCK_TIMEOUT: Duration = Duration::from_millis(700);

/// The schedule of the probes.
#[derive(Default)]
pub(super) struct Probing {
    next: Option<Instant>,
    /// Before the first answer: when messages stop waiting for it.
    give_up: Option<Instant>,
    /// So many delays of the policy are over.
    attempt: u32,
    next_attempt: Option<Instant>,
    under_way: u32,
}

impl Probing {
    /// At once, for a publisher that has not been connected yet.
    pub(super) fn begin(&mut self, window: Option<Duration>) {
        self.next = Some(Instant::now());
        self.give_up = window.map(|window| Instant::now() + window);
    }

    /// After the next delay, at most [`PROBE_INTERVAL`].
    pub(super) fn schedule(&mut self, policy: RetryPolicy) {
        let now = Instant::now();
        if self.next_attempt.is_none_or(|at| at <= now) {
            let delay = policy.delay(self.attempt);
            self.next_attempt = Some(now + delay);
            self.attempt = self.attempt.saturating_add(1);
        }
        // Not all processes at the same time.
        let spread = rand::rng().random_range(0.7..1.0);
        let longest = now + PROBE_INTERVAL.mul_f64(spread);
        self.next = self.next_attempt.map(|next| next.min(longest));
    }

    /// A message was delivered: the next outage begins with the shortest delay.
    pub(super) fn succeeded(&mut self) {
        self.attempt = 0;
        self.next_attempt = None;
    }

    /// The oldest message on disk was not delivered: does the cluster still answer?
    pub(super) fn is_to_look_again(&mut self) {
        self.next = Some(Instant::now());
    }

    pub(super) fn next_in(&self) -> Duration {
        let in_far_future = Duration::from_secs(3600);
        [self.next, self.give_up]
            .into_iter()
            .flatten()
            .min()
            .map_or(in_far_future, |time| {
                time.saturating_duration_since(Instant::now())
            })
    }
}

impl Worker {
    pub(super) fn check_probes(&mut self, now: Instant) {
        if self.probing.next.is_some_and(|next| next <= now) {
            self.probe();
        }
        if self.probing.give_up.is_some_and(|at| at <= now) {
            self.probing.give_up = None;
            // With messages on their way, those decide.
            if self.phase.is_connecting() && self.flight.is_empty() {
                self.fall_back("no broker has answered yet");
            }
        }
    }

    /// No probe is begun any more.
    pub(super) fn stop_probing(&mut self) {
        self.probing.next = None;
        self.probing.give_up = None;
    }

    fn probe(&mut self) {
        self.probing.next = None;
        if !self.phase.is_away() {
            // The main client connects anyway.
            let Some(client) = self.producers.main_client() else {
                return;
            };
            self.probing.under_way += 1;
            return self.signals.ask(move || {
                let answered = client.is_answered(INQUIRY_TIMEOUT);
                Signal::Answer(
                    answered
                        .then_some(())
                        .ok_or("no broker has answered".into()),
                )
            });
        }
        self.probing.schedule(self.config.probe);
        if self.probing.under_way >= MOST_PROBES {
            return;
        }
        self.probing.under_way += 1;
        self.shared.statistics.background_retry();
        let inquirer = self.producers.inquirer();
        self.signals.ask(move || {
            // A client, with its threads, is made only for somebody who opens.
            Signal::Answer(if inquirer.knock(KNOCK_TIMEOUT) {
                inquirer.is_there(PROBE_TIMEOUT)
            } else {
                Err("no broker accepts a connection".into())
            })
        });
    }

    /// A probe's answer.
    pub(super) fn cluster_answered(&mut self, answer: Result<(), String>) {
        self.probing.under_way = self.probing.under_way.saturating_sub(1);
        if let Err(why) = answer {
            debug!("no answer from Kafka: {why}");
            self.shared
                .statistics
                .error(format!("no answer from Kafka: {why}"));
            if self.phase.is_connecting() || self.phase.is_away() {
                self.give_up_init(&why);
            }
            if self.phase.is_connecting() {
                self.probing.schedule(self.config.probe);
            }
            return;
        }
        self.cluster.has_answered();
        match self.phase.after_answer() {
            AfterAnswer::Recover => self.recover(),
            AfterAnswer::Try => self.begin_trial(),
            AfterAnswer::Nothing => {}
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
        self.waiters.refuse_init(&format!(
            "Kafka did not answer within retryOptions.retries ({why}); messages go to the fallback file, and Kafka is probed on"
        ));
    }
}
