//! A trial has shown that a topic or partition takes messages again. Before all of them follow, the main
//! client is to know it, too: it may think that there is no such topic, or wait in a back-off before it
//! connects to the leader.

use std::ffi::CString;
use std::time::{Duration, Instant};

use super::Worker;
use super::signals::Signal;
use super::troubles::Target;
use crate::kafka::{Ticket, describe_topics};
use crate::message::ANY_PARTITION;

/// How long the main client's question for a topic may take.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(1);
/// How long its question to a leader may take, beside the way there and back.
const LEADER_TIMEOUT: Duration = Duration::from_millis(300);
const TRIPS: u32 = 4;

impl Worker {
    /// The trial of this ticket has succeeded.
    pub(super) fn reach(&mut self, target: Target, ticket: Ticket) {
        let name = self.shared.topics.name(target.topic);
        if target.partition == ANY_PARTITION {
            let Some(client) = self.producers.main_client() else {
                return self.trial_is_over(ticket);
            };
            return self.signals.ask(move || {
                // Without an answer it finds out by itself.
                let _ = describe_topics(&client, vec![(target.topic, name)], TOPIC_TIMEOUT);
                Signal::Reached {
                    ticket,
                    by_main: true,
                }
            });
        }
        let main = self.producers.open_main();
        let client = main.map(|main| main.client_for(target.topic, target.partition));
        let (Some(client), Ok(topic)) = (client, CString::new(name.as_bytes())) else {
            // A new client has no back-off.
            return self.trial_is_over(ticket);
        };
        if self.cluster.is_throttled(Instant::now()) || self.is_far() {
            // Its answer would wait, too; or a new client would connect for longer than this one.
            return self.trial_is_over(ticket);
        }
        let trips = self.cluster.round_trip().unwrap_or_default() * TRIPS;
        self.signals.ask(move || Signal::Reached {
            ticket,
            by_main: client.reaches(&topic, target.partition, LEADER_TIMEOUT + trips),
        });
    }

    /// What the main client can't reach, the next one can, which is connected before it is used.
    pub(super) fn was_reached(&mut self, ticket: Ticket, by_main: bool) {
        let target = self.troubles.trial_of(ticket);
        let Some(target) = target.filter(|_| !by_main && self.phase.is_publishing()) else {
            return self.trial_is_over(ticket);
        };
        self.waiting_for_successor.push(ticket);
        if self.waiting_for_successor.len() == 1 {
            let size = self.producers.fleet_size();
            self.prepare_fleet(&[target.topic], size);
        }
    }

    /// The next main client is used from here on, or there is none.
    pub(super) fn successor_is_there(&mut self) {
        for ticket in std::mem::take(&mut self.waiting_for_successor) {
            self.trial_is_over(ticket);
        }
    }
}
