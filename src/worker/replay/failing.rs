//! What becomes of messages from files that were not delivered.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use rdkafka::types::RDKafkaErrorCode;
use tracing::warn;

use super::super::collected::Returned;
use super::super::troubles::Target;
use super::super::verdict::{Case, Extent, Verdict, decide, is_old};
use super::{Action, Context, Renewal, Replaying};
use crate::kafka::{Origin, Outcome, Ticket, classify, describe};
use crate::message::{Amount, Content, Record};

/// Of so many messages it is counted how often they were tried.
const MOST_TRIED: usize = 1000;

/// A message from a file that was not delivered.
pub(super) struct Fate {
    pub(super) id: u64,
    pub(super) record: Record,
    pub(super) code: RDKafkaErrorCode,
    pub(super) size: Amount,
    /// It was no part of a batch.
    pub(super) alone: bool,
    pub(super) fingerprint: u64,
}

/// What a message is known by from one reading of its file to the next.
pub(super) fn fingerprint(content: Content<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (content.key, content.value, content.headers).hash(&mut hasher);
    hasher.finish()
}

impl Replaying {
    /// A message that was not delivered. `alone`: it was no part of a batch.
    pub(in super::super) fn returned(
        &mut self,
        returned: &Returned,
        alone: bool,
        context: &Context<'_>,
    ) -> Action {
        let size = returned.amount();
        self.reported(size);
        let fate = Fate {
            id: returned.ticket.number,
            record: returned.record,
            code: returned.code,
            size,
            alone: alone || size.bytes > context.producers.config().batch_size,
            fingerprint: fingerprint(returned.content()),
        };
        self.failed(&fate, context)
    }

    pub(super) fn failed(&mut self, fate: &Fate, context: &Context<'_>) -> Action {
        let (id, code, topic) = (fate.id, fate.code, fate.record.topic);
        let ticket = Ticket::file(id);
        let outcome = classify(code);
        let is_trying = context.trial.is_some();
        let verdict = decide(Case {
            outcome,
            origin: Origin::File,
            alone: fate.alone,
            is_old: is_old(fate.record.timestamp),
            answered_lately: context.answered_lately && !is_trying,
            tries: self.count_try(outcome, fate.alone, fate.fingerprint),
        });
        if !matches!(verdict, Verdict::Reject | Verdict::Discard(_)) {
            self.return_one(id, topic);
        }
        let partition = fate.record.partition;
        match verdict {
            Verdict::Smaller if context.producers.can_be_smaller() => {
                self.renewal = Some(Renewal::SmallerBatches);
                Action::GoesAgain(ticket)
            }
            Verdict::Smaller | Verdict::Alone => {
                *self.alone.entry(topic).or_default() += 1;
                Action::GoesAgain(ticket)
            }
            Verdict::Reject | Verdict::Discard(_) => {
                self.verdicts.rejected.push((id, describe(code)));
                let is_too_large = outcome == Outcome::TooLarge;
                Action::Rejected {
                    ticket,
                    too_large: is_too_large.then_some((topic, fate.size.bytes)),
                }
            }
            Verdict::Retime => {
                if self.retimed.insert(topic, Instant::now()).is_none() {
                    warn!(topic = %context.shared.topics.name(topic), "the topic does not take the time at which messages were queued; they get the time of now");
                }
                Action::GoesAgain(ticket)
            }
            Verdict::Trouble(extent) => {
                // The time of now was not taken either, if it was that.
                self.retimed.remove(&topic);
                let target = match extent {
                    Extent::Partition => Target { topic, partition },
                    Extent::Topic => Target::topic(topic),
                };
                Action::Trouble(target, code)
            }
            Verdict::Inquire if is_trying => Action::TrialFailed(code),
            Verdict::Inquire => {
                self.suspects.push((Target { topic, partition }, code));
                Action::Inquire
            }
            Verdict::File | Verdict::Rebuild => Action::Stays(ticket),
        }
    }

    /// How often this message was refused alone, and not said why, this time included.
    fn count_try(&mut self, outcome: Outcome, alone: bool, fingerprint: u64) -> u32 {
        if outcome != Outcome::Unexplained || !alone {
            return 1;
        }
        if self.tries.len() >= MOST_TRIED {
            self.tries.clear();
        }
        let tries = self.tries.entry(fingerprint).or_default();
        *tries += 1;
        *tries
    }
}
