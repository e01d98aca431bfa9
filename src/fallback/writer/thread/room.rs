//! Room in the directory, and what becomes of messages that there is none for.

use std::collections::HashMap;
use std::time::Duration;

use tracing::{error, warn};

use super::{WriterThread, cannot};
use crate::fallback::clock::now;
use crate::fallback::text::{Line, Text};
use crate::fates::Fate;
use crate::message::{Amount, Reason, TopicId};
use crate::options::WhenFull;
use crate::statistics::Place;

/// How long the replayer may take to discard its oldest file.
const ROOM_PATIENCE: Duration = Duration::from_secs(5);
/// If it could not, it is not asked again before this.
const ROOM_PAUSE: Duration = Duration::from_secs(1);

impl WriterThread {
    /// Bytes that may be written. A directory that can't be measured is tried again as one that can't be
    /// written to.
    pub(super) fn room(&mut self) -> u64 {
        let mut attempt = 0;
        loop {
            match self.cap.room() {
                Ok(room) => return room,
                Err(error) => {
                    let error = cannot("measure", &self.config.directory, &error);
                    if !self.may_try_again(&error, attempt) {
                        return 0;
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// With `fallback.whenFull: 'discardOldest'`: the oldest file goes. What is gathered is written first:
    /// it may be all that there is.
    pub(super) fn make_room(&mut self, text: &mut Text) -> bool {
        let was_tried = self.full_until.is_some_and(|until| now() < until);
        if self.config.when_full == WhenFull::DiscardNewest || was_tried {
            return false;
        }
        self.write(text);
        self.seal();
        let has = if self.config.replay.enabled {
            self.instance.ask_for_room(ROOM_PATIENCE)
        } else {
            self.discard_oldest()
        };
        self.cap.refresh();
        self.full_until = (!has).then(|| now() + ROOM_PAUSE);
        has
    }

    /// Without a replayer, sealed files are the writer's, too.
    fn discard_oldest(&mut self) -> bool {
        let Some(oldest) = self.instance.oldest_sealed() else {
            return false;
        };
        let directory = self.instance.open_directory();
        if let Err(error) = directory.and_then(|directory| directory.remove(&oldest.name)) {
            warn!(name = oldest.name, %error, "a fallback file could not be discarded");
            self.instance.still_sealed(oldest);
            return false;
        }
        self.instance.removed();
        self.statistics.subtract_backlog(1, oldest.bytes);
        let amount = Amount {
            messages: oldest.messages,
            bytes: 0,
        };
        self.discard_from(Place::Disk, amount, Reason::FallbackFull);
        true
    }

    /// Messages that were not written are no more.
    pub(super) fn discard<'a>(&self, lost: impl IntoIterator<Item = &'a Line>, reason: Reason) {
        let mut amounts: HashMap<TopicId, Amount> = HashMap::new();
        for line in lost {
            let fate = || Fate::Discarded(reason, reason.sentence().to_owned());
            self.fates.tell(line.waiter, fate);
            let amount = amounts.entry(line.topic).or_default();
            amount.add(Amount::of_one(line.size));
        }
        for (topic, amount) in amounts {
            self.log_discarded(amount, reason);
            let topic = self.topics.name(topic);
            self.statistics
                .discard(Place::Writer, reason, amount, &topic);
        }
    }

    pub(super) fn discard_from(&self, place: Place, amount: Amount, reason: Reason) {
        if amount.is_zero() {
            return;
        }
        self.log_discarded(amount, reason);
        self.statistics
            .transfer(place, Place::Discarded(reason), amount);
    }

    fn log_discarded(&self, amount: Amount, reason: Reason) {
        let why = reason.sentence();
        error!(messages = amount.messages, directory = %self.config.directory.display(), "messages discarded: {why}");
        self.statistics
            .errors(format!("discarded: {why}"), amount.messages);
    }
}
