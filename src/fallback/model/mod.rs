//! Writer, files and replayer, driven by random actions in one thread, against what a list of messages
//! and a few sets say must be so.
//!
//! One process after the other ([`world`]):
//! - No message that is in a file is lost: it is delivered, or kept in a `.rejected` file if it was
//!   refused, whatever crashes in between.
//! - A message is not offered while an earlier one of its topic and file is neither settled nor on its
//!   way.
//! - In one process's life, a message is settled once. A crash repeats no more than the share that may
//!   be on its way.
//! - The statistics' law holds after each action.
//! - At the end, nothing but `.rejected` files is left.
//!
//! Several at a time ([`crowd`]), which die after any call of the system, lose their locks while they
//! live, and meet with failing calls of every kind, power cuts, flipped bits, lines of later versions,
//! owners who write on, full directories and old messages:
//! - What is not delivered, kept apart, held or counted as discarded is lost, and nothing is.
//! - Nothing is delivered twice but for a crash, within the share, or for what could not be written down.
//! - Nothing counts as removed by somebody else.
//! - No lock but one's own is open; at the end, no file and no lock is left that nothing needs.
//!
//! `npm run test:planted` shows that these find what they are for: it plants bugs in a copy of the store
//! and runs them. Planted are: progress that goes before its file; removal without a second look; what
//! can't be removed not marked as done; a dead instance's lock left there, or left open; a failed sync
//! ignored; an error of `stat` taken for gone, by the writer and by the replayer; what is counted ahead
//! taken for read; whoever was taken over twice taken for certainly dead; checksums not looked at; lines of
//! later versions taken for garbage; rejected lines kept nowhere; what is handed over, or discarded for the
//! newest, not counted; the progress of a file that is taken over left behind.

mod ahead;
#[cfg(unix)]
mod crowd;
mod messages;
mod process;
mod world;

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use self::process::Settings;
use self::world::World;
use super::faults::Call;
use super::replayer::Permission;
use crate::options::Fsync;

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

/// What one of several processes is about to do.
#[derive(Clone, Debug)]
enum Task {
    /// Messages of these topics; old ones, by `maxAge`.
    Append(Vec<u8>, bool),
    Seal,
    Step(u8),
    Decide(Vec<(u16, Fate)>),
    /// All that is there arrives, and what comes of that is done.
    Finish,
}

/// What it meets with.
#[derive(Clone, Debug)]
#[cfg_attr(not(unix), allow(dead_code, reason = "the crowd needs inodes"))]
enum Plight {
    None(Task),
    /// All calls of this kind fail.
    Failing(Call, Task),
    /// It dies after so many calls.
    Dies(u8, Task),
    /// It dies between two tasks; whether Kafka had taken what was on its way.
    Crash(bool),
    /// With it all that was not synced is gone.
    PowerCut,
    Ends,
    /// Its lock is removed: others take it for dead.
    Deposed,
    /// A file appears whose owner may live; with a line of a later version.
    Stranger(bool),
    /// Its owner writes one line more, not knowing better.
    LateLine,
    /// In a line of some file.
    BitFlips(u16),
    /// Seconds pass.
    Time(u8),
}

fn task() -> impl Strategy<Value = Task> {
    prop_oneof![
        4 => (vec(0..3_u8, 1..12), prop::bool::weighted(0.2))
            .prop_map(|(topics, is_old)| Task::Append(topics, is_old)),
        1 => Just(Task::Seal),
        4 => (1..8_u8).prop_map(Task::Step),
        4 => vec((any::<u16>(), crowd_fate()), 1..8).prop_map(Task::Decide),
        4 => Just(Task::Finish),
    ]
}

fn crowd_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        20 => Just(Fate::Delivered),
        2 => Just(Fate::Rejected),
        1 => Just(Fate::Returned),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    use Call::{Archive, List, Make, Read, Remove, Rename, Status, Sync, Tidy, Write};
    prop::sample::select(vec![
        List, Status, Read, Make, Rename, Archive, Remove, Remove, Tidy, Sync, Sync, Write,
    ])
}

fn plight() -> impl Strategy<Value = Plight> {
    prop_oneof![
        12 => task().prop_map(Plight::None),
        3 => (call(), task()).prop_map(|(call, task)| Plight::Failing(call, task)),
        2 => (0..40_u8, task()).prop_map(|(calls, task)| Plight::Dies(calls, task)),
        1 => any::<bool>().prop_map(Plight::Crash),
        3 => Just(Plight::PowerCut),
        1 => Just(Plight::Ends),
        3 => Just(Plight::Deposed),
        1 => any::<bool>().prop_map(Plight::Stranger),
        2 => Just(Plight::LateLine),
        1 => any::<u16>().prop_map(Plight::BitFlips),
        3 => (1..12_u8).prop_map(Plight::Time),
    ]
}

/// After these nothing may be published again but for a crash, within the share.
fn strict_plight() -> impl Strategy<Value = Plight> {
    let task = || {
        prop_oneof![
            3 => vec(0..3_u8, 8..16).prop_map(|topics| Task::Append(topics, false)),
            1 => Just(Task::Seal),
            2 => (1..4_u8).prop_map(Task::Step),
            6 => Just(Task::Finish),
        ]
    };
    let call = prop::sample::select(vec![Call::Remove, Call::Archive, Call::Sync, Call::List]);
    prop_oneof![
        8 => task().prop_map(Plight::None),
        3 => (call, task()).prop_map(|(call, task)| Plight::Failing(call, task)),
        3 => Just(Plight::Failing(Call::Remove, Task::Finish)),
        6 => (0..120_u8).prop_map(|calls| Plight::Dies(calls, Task::Finish)),
        1 => any::<bool>().prop_map(Plight::Crash),
        4 => Just(Plight::Ends),
        1 => any::<bool>().prop_map(Plight::Stranger),
        1 => Just(Plight::LateLine),
        2 => (1..12_u8).prop_map(Plight::Time),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let fsync = prop_oneof![
        1 => Just(Fsync::Never),
        1 => Just(Fsync::Interval),
        2 => Just(Fsync::Always),
    ];
    let max_bytes = prop::option::weighted(0.2, Just(6000));
    let max_age = prop::option::weighted(0.3, Just(Duration::from_secs(3600)));
    (fsync, prop::bool::weighted(0.2), max_bytes, max_age).prop_map(
        |(fsync, archive, max_bytes, max_age)| Settings {
            fsync,
            archive,
            max_bytes,
            max_age,
            segment_bytes: 2000,
            share: 500,
        },
    )
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

    #[cfg(unix)]
    #[test]
    fn nothing_is_published_again_but_for_a_crash(
        settings in settings(),
        plights in vec((any::<u8>(), strict_plight()), 1..40),
    ) {
        let settings = Settings { max_age: None, max_bytes: None, share: 300, ..settings };
        let mut crowd = crowd::Crowd::new(settings);
        for (who, plight) in &plights {
            crowd.meet(*who, plight);
        }
        crowd.finish();
    }

    #[cfg(unix)]
    #[test]
    fn whoever_dies_or_lives_no_message_is_lost(
        settings in settings(),
        plights in vec((any::<u8>(), plight()), 1..40),
    ) {
        let mut crowd = crowd::Crowd::new(settings);
        for (who, plight) in &plights {
            crowd.meet(*who, plight);
        }
        crowd.finish();
    }
}
