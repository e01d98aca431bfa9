//! Writer, files and replayer, driven by random actions in one thread, against what a list of messages
//! and a few sets say must be so.
//!
//! - No message that is in a file is lost: it is delivered, or kept in a `.rejected` file if it was
//!   refused, whatever crashes in between.
//! - A message is not offered while an earlier one of its topic and file is neither settled nor on its
//!   way.
//! - In one process's life, a message is settled once. A crash repeats no more than the share that may
//!   be on its way.
//! - The statistics' law holds after each action.
//! - At the end, nothing but `.rejected` files is left.

mod ahead;
mod messages;
mod process;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;

use self::world::World;
use super::replayer::Permission;

#[derive(Clone, Debug)]
enum Action {
    /// The writer is given a batch of messages, of these topics.
    Append(Vec<u8>),
    Seal,
    Grant(Permission),
    /// The replayer does so many pieces of work.
    Step(u8),
    /// Messages on their way, chosen by these numbers, have their fates.
    Verdicts(Vec<(u16, Fate)>),
    Resume(u8),
    /// The process ends as it should, and another one begins.
    Restart,
    /// The process dies, and another one begins.
    Crash(Crash),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Delivered,
    Rejected,
    Returned,
}

#[derive(Clone, Debug)]
struct Crash {
    /// Kafka had taken what was on its way.
    delivered: bool,
    /// The file that was being written lacks its last bytes, so many.
    cut: Option<u16>,
    damage: Option<Damage>,
}

/// What becomes of a progress file.
#[derive(Clone, Debug)]
enum Damage {
    Flip(u16),
    Cut(u16),
    Zeros,
    Lost,
    /// An older one of the same file is back.
    Stale,
    /// Another file's.
    Swapped,
}

fn permission() -> impl Strategy<Value = Permission> {
    prop_oneof![
        1 => Just(Permission::Hold),
        1 => Just(Permission::One),
        3 => Just(Permission::Flow),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Delivered),
        1 => Just(Fate::Rejected),
        2 => Just(Fate::Returned),
    ]
}

fn crash() -> impl Strategy<Value = Crash> {
    let damage = prop_oneof![
        any::<u16>().prop_map(Damage::Flip),
        any::<u16>().prop_map(Damage::Cut),
        Just(Damage::Zeros),
        Just(Damage::Lost),
        Just(Damage::Stale),
        Just(Damage::Swapped),
    ];
    let parts = (
        any::<bool>(),
        prop::option::of(0..200_u16),
        prop::option::weighted(0.3, damage),
    );
    parts.prop_map(|(delivered, cut, damage)| Crash {
        delivered,
        cut,
        damage,
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => vec(0..3_u8, 1..8).prop_map(Action::Append),
        2 => Just(Action::Seal),
        3 => permission().prop_map(Action::Grant),
        8 => (1..8_u8).prop_map(Action::Step),
        8 => vec((any::<u16>(), fate()), 1..8).prop_map(Action::Verdicts),
        2 => (0..3_u8).prop_map(Action::Resume),
        1 => Just(Action::Restart),
        1 => crash().prop_map(Action::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(
            proptest::test_runner::FileFailurePersistence::SourceParallel("proptest-regressions"),
        )),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_no_message_is_lost(actions in vec(action(), 1..80)) {
        let mut world = World::new();
        for action in &actions {
            world.act(action);
            world.check();
        }
        world.finish();
    }
}
