//! What the worker is about, as one value: what can't be together can't be written.
//!
//! | Phase              | State         | Live messages                 | Files                         |
//! |--------------------|---------------|-------------------------------|-------------------------------|
//! | `Created`          | `created`     | none has come                 | stay                          |
//! | `Up`, not answered | `connecting`  | to Kafka, by [`HandOver`]     | stay                          |
//! | `Up`, answered     | `publishing`  | the same                      | go to Kafka                   |
//! | `Away`             | `fallingBack` | to file, by [`Away`]          | stay, but for a [`Trial`]     |
//! | `Ended`            | `ended`       | none is left                  | stay                          |
//!
//! While something is taken back ([`Taking`]), live messages wait in the inbox. An inquiry decides about
//! overdue messages only while `Up`, and not about what goes to file anyway. An end
//! ([`super::ending::Ending`]) may begin in any phase but the last, which it leads to.

use std::time::Instant;

use super::taking::Taking;
use super::troubles::Target;
use crate::statistics::State;

#[derive(Debug)]
pub(super) enum Phase {
    Created,
    /// Messages are handed to librdkafka.
    Up(Up),
    Away(Away),
    Ended,
}

#[derive(Debug)]
pub(super) struct Up {
    /// Kafka has answered: it is publishing, no longer connecting.
    has_answered: bool,
    hand_over: HandOver,
    /// An inquiry is under way, and decides what becomes of overdue messages.
    is_deciding: bool,
}

#[derive(Debug)]
enum HandOver {
    Open,
    /// Librdkafka's own queue is full (`queue.buffering.max.messages`), until reports come.
    Full,
    /// Waits until all is acknowledged: then the producer is replaced by one with smaller batches, or
    /// without the topics that were forgotten.
    Renewing {
        since: Instant,
    },
    Taking(Taking),
}

/// Kafka is away.
#[derive(Debug)]
pub(super) enum Away {
    /// What librdkafka holds comes back first.
    Taking(Taking),
    /// For a probe to be answered.
    Probing {
        /// The cluster has answered before, and a message was not delivered: next time the answer will do.
        answer_is_enough: bool,
    },
    Trial(Trial),
}

/// The oldest message on disk is on its way, to find out whether Kafka takes it.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) until: Instant,
    pub(super) of: Option<Target>,
}

const OPEN: Up = Up {
    has_answered: false,
    hand_over: HandOver::Open,
    is_deciding: false,
};

impl Phase {
    /// As users see it.
    pub(super) fn state(&self) -> State {
        match self {
            Phase::Created => State::Created,
            Phase::Up(up) if up.has_answered => State::Publishing,
            Phase::Up(_) => State::Connecting,
            Phase::Away(_) => State::FallingBack,
            Phase::Ended => State::Ended,
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.state() == State::Connecting
    }

    pub(super) fn is_publishing(&self) -> bool {
        self.state() == State::Publishing
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self, Phase::Up(_))
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self, Phase::Away(_))
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self, Phase::Ended)
    }

    /// The first message, or somebody who waits for Kafka, has come. Returns whether that is news.
    pub(super) fn connect(&mut self) -> bool {
        let is_news = matches!(self, Phase::Created);
        if is_news {
            *self = Phase::Up(OPEN);
        }
        is_news
    }

    /// Kafka takes messages.
    pub(super) fn recover(&mut self) {
        match self {
            Phase::Up(up) => up.has_answered = true,
            _ => {
                *self = Phase::Up(Up {
                    has_answered: true,
                    ..OPEN
                });
            }
        }
    }

    /// Kafka is away.
    pub(super) fn fall_back(&mut self) {
        *self = Phase::Away(Away::probing(false));
    }

    pub(super) fn end(&mut self) {
        *self = Phase::Ended;
    }

    /// Librdkafka has to give back what it holds. The producer that it comes from is closed after that:
    /// what else was waited for to replace it, is waited for no more.
    pub(super) fn begin_taking(&mut self, taking: Taking) {
        match self {
            Phase::Up(up) => {
                up.is_deciding &= taking.sorts();
                up.hand_over = HandOver::Taking(taking);
            }
            Phase::Away(away) => *away = Away::Taking(taking),
            Phase::Created | Phase::Ended => {}
        }
    }

    pub(super) fn taking(&mut self) -> Option<&mut Taking> {
        match self {
            Phase::Up(Up {
                hand_over: HandOver::Taking(taking),
                ..
            })
            | Phase::Away(Away::Taking(taking)) => Some(taking),
            _ => None,
        }
    }

    pub(super) fn is_taking(&self) -> bool {
        matches!(
            self,
            Phase::Up(Up {
                hand_over: HandOver::Taking(_),
                ..
            }) | Phase::Away(Away::Taking(_))
        )
    }

    pub(super) fn end_taking(&mut self) {
        match self {
            Phase::Up(Up { hand_over, .. }) if matches!(hand_over, HandOver::Taking(_)) => {
                *hand_over = HandOver::Open;
            }
            Phase::Away(away) if matches!(away, Away::Taking(_)) => *away = Away::probing(false),
            _ => {}
        }
    }

    /// Whether librdkafka may be given more, as far as it is not for its share of the memory.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Phase::Created => true,
            Phase::Up(up) => matches!(up.hand_over, HandOver::Open),
            Phase::Away(_) | Phase::Ended => false,
        }
    }

    /// Librdkafka's queue is full.
    pub(super) fn becomes_full(&mut self) {
        if let Phase::Up(Up { hand_over, .. }) = self
            && matches!(hand_over, HandOver::Open)
        {
            *hand_over = HandOver::Full;
        }
    }

    /// Reports have come: there is room in librdkafka's queue.
    pub(super) fn has_room_again(&mut self) {
        if let Phase::Up(Up { hand_over, .. }) = self
            && matches!(hand_over, HandOver::Full)
        {
            *hand_over = HandOver::Open;
        }
    }

    /// The producer has to be a new one. While something is taken back it will be anyway.
    pub(super) fn begin_renewing(&mut self, now: Instant) {
        if let Phase::Up(Up { hand_over, .. }) = self
            && matches!(hand_over, HandOver::Open | HandOver::Full)
        {
            *hand_over = HandOver::Renewing { since: now };
        }
    }

    /// Since when a new producer has been waited for.
    pub(super) fn renewing_since(&self) -> Option<Instant> {
        match self {
            Phase::Up(Up {
                hand_over: HandOver::Renewing { since },
                ..
            }) => Some(*since),
            _ => None,
        }
    }

    pub(super) fn end_renewing(&mut self) {
        if let Phase::Up(Up { hand_over, .. }) = self
            && matches!(hand_over, HandOver::Renewing { .. })
        {
            *hand_over = HandOver::Open;
        }
    }

    /// An inquiry may begin that decides about overdue messages. Returns whether it may.
    pub(super) fn begin_deciding(&mut self) -> bool {
        match self {
            Phase::Up(up) => !std::mem::replace(&mut up.is_deciding, true),
            _ => false,
        }
    }

    pub(super) fn is_deciding(&self) -> bool {
        matches!(self, Phase::Up(up) if up.is_deciding)
    }

    /// There is nothing to decide any more. Returns whether there was.
    pub(super) fn end_deciding(&mut self) -> bool {
        match self {
            Phase::Up(up) => std::mem::take(&mut up.is_deciding),
            _ => false,
        }
    }

    /// Nothing is left to do but to wait for Kafka.
    pub(super) fn is_probing(&self) -> bool {
        matches!(self, Phase::Away(Away::Probing { .. }))
    }

    /// Kafka answers a probe: what follows?
    pub(super) fn after_answer(&self) -> AfterAnswer {
        match self {
            Phase::Created
            | Phase::Up(Up {
                has_answered: false,
                ..
            })
            | Phase::Away(Away::Probing {
                answer_is_enough: true,
            }) => AfterAnswer::Recover,
            Phase::Away(Away::Probing { .. }) => AfterAnswer::Try,
            Phase::Up(_) | Phase::Away(_) | Phase::Ended => AfterAnswer::Nothing,
        }
    }

    pub(super) fn begin_trial(&mut self, until: Instant) {
        if let Phase::Away(away @ Away::Probing { .. }) = self {
            *away = Away::Trial(Trial { until, of: None });
        }
    }

    pub(super) fn trial(&mut self) -> Option<&mut Trial> {
        match self {
            Phase::Away(Away::Trial(trial)) => Some(trial),
            _ => None,
        }
    }

    pub(super) fn is_trying(&self) -> bool {
        matches!(self, Phase::Away(Away::Trial(_)))
    }

    /// The trial has failed: the next answer of the cluster will do. Returns what it was about, if there
    /// was one.
    pub(super) fn end_trial(&mut self) -> Option<Trial> {
        let Phase::Away(away @ Away::Trial(_)) = self else {
            return None;
        };
        match std::mem::replace(away, Away::probing(true)) {
            Away::Trial(trial) => Some(trial),
            Away::Taking(_) | Away::Probing { .. } => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterAnswer {
    Nothing,
    /// Messages go to Kafka.
    Recover,
    /// Whether it takes messages, the oldest one on disk has to tell.
    Try,
}

impl Away {
    fn probing(answer_is_enough: bool) -> Self {
        Away::Probing { answer_is_enough }
    }
}

#[cfg(test)]
mod tests {
    use super::super::taking::AfterTaking;
    use super::*;

    fn taking(then: AfterTaking) -> Taking {
        Taking::new(then, std::time::Duration::ZERO, Instant::now())
    }

    fn publishing() -> Phase {
        let mut phase = Phase::Created;
        assert!(phase.connect() && !phase.connect());
        assert_eq!(phase.state(), State::Connecting);
        phase.recover();
        assert_eq!(phase.state(), State::Publishing);
        phase
    }

    #[test]
    fn an_outage_ends_with_a_trial() {
        let mut phase = publishing();
        phase.fall_back();
        phase.begin_taking(taking(AfterTaking::WriteToFile));
        assert_eq!(phase.state(), State::FallingBack);
        // The oldest message may still be on its way to the file.
        assert_eq!(phase.after_answer(), AfterAnswer::Nothing);
        phase.begin_trial(Instant::now());
        assert!(!phase.is_trying() && phase.is_taking());
        phase.end_taking();
        assert_eq!(phase.after_answer(), AfterAnswer::Try);
        phase.begin_trial(Instant::now());
        assert!(phase.is_trying());
        assert_eq!(phase.after_answer(), AfterAnswer::Nothing);
        assert!(phase.end_trial().is_some() && phase.end_trial().is_none());
        assert_eq!(phase.after_answer(), AfterAnswer::Recover);
        phase.recover();
        assert!(phase.is_publishing() && phase.is_open());
    }

    #[test]
    fn nothing_is_handed_over_while_librdkafka_is_full_renewed_or_gives_back() {
        let mut phase = publishing();
        phase.becomes_full();
        assert!(!phase.is_open());
        phase.begin_renewing(Instant::now());
        phase.has_room_again();
        assert!(!phase.is_open() && phase.renewing_since().is_some());
        phase.begin_taking(taking(AfterTaking::Sort));
        phase.begin_renewing(Instant::now());
        phase.becomes_full();
        assert!(phase.is_taking() && phase.renewing_since().is_none());
        phase.end_taking();
        assert!(phase.is_open());
    }

    #[test]
    fn what_goes_to_file_needs_no_decision() {
        let mut phase = publishing();
        assert!(phase.begin_deciding() && !phase.begin_deciding());
        phase.begin_taking(taking(AfterTaking::Sort));
        assert!(phase.is_deciding());
        phase.begin_taking(taking(AfterTaking::Rebuild));
        assert!(!phase.is_deciding() && !phase.end_deciding());
        phase.fall_back();
        assert!(!phase.begin_deciding());
    }
}
