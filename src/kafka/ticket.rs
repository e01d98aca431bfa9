//! What a message is known by while librdkafka has it.

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    Live,
    /// A fallback file, in which it still is.
    File,
}

/// What a message is known by until its report: its number among those of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub origin: Origin,
    pub number: u64,
}

impl Ticket {
    pub fn live(number: u64) -> Self {
        Ticket {
            origin: Origin::Live,
            number,
        }
    }

    pub fn file(number: u64) -> Self {
        Ticket {
            origin: Origin::File,
            number,
        }
    }
}

/// What librdkafka keeps for each message: where it comes from, its number, and for how long it had
/// been queued when it was handed over.
#[derive(Clone, Copy)]
pub struct Opaque(pub u64);

impl Opaque {
    const WAITED_BITS: u32 = 16;
    const MAX_WAITED: i64 = (1 << Self::WAITED_BITS) - 1;
    /// In milliseconds: up to 4 minutes fit.
    const WAITED_UNIT: i64 = 4;
    const FROM_FILE: u64 = 1 << 63;

    /// Numbers up to 2^47 fit: 4 years at a million a second.
    pub fn new(ticket: Ticket, waited_ms: i64) -> Self {
        let waited = (waited_ms / Self::WAITED_UNIT).clamp(0, Self::MAX_WAITED) as u64;
        let from_file = match ticket.origin {
            Origin::Live => 0,
            Origin::File => Self::FROM_FILE,
        };
        Opaque(from_file | (ticket.number << Self::WAITED_BITS & !Self::FROM_FILE) | waited)
    }

    pub fn ticket(self) -> Ticket {
        let number = (self.0 & !Self::FROM_FILE) >> Self::WAITED_BITS;
        if self.0 & Self::FROM_FILE == 0 {
            Ticket::live(number)
        } else {
            Ticket::file(number)
        }
    }

    pub fn waited_ms(self) -> i64 {
        (self.0 as i64 & Self::MAX_WAITED) * Self::WAITED_UNIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_survives_librdkafka_whatever_its_number() {
        for number in [0, 1, 1 << 43, (1 << 47) - 1] {
            for ticket in [Ticket::live(number), Ticket::file(number)] {
                let opaque = Opaque::new(ticket, 2801);
                assert_eq!((opaque.ticket(), opaque.waited_ms()), (ticket, 2800));
                assert_eq!(Opaque::new(ticket, i64::MAX).ticket(), ticket);
                assert_eq!(Opaque::new(ticket, -1).waited_ms(), 0);
            }
        }
    }
}
