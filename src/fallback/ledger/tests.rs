use super::*;

const A: TopicId = TopicId(0);
const B: TopicId = TopicId(1);

/// A file whose lines are ten bytes long and alternate between two topics.
fn pass(ledger: &mut Ledger, lines: u64, first_id: u64, halted: &Halted) -> Vec<(u64, u64)> {
    ledger.begin_pass(first_id, halted);
    let mut sent = Vec::new();
    for line in ledger.start(halted) / 10..lines {
        let (offset, topic) = (line * 10, if line % 2 == 0 { A } else { B });
        if ledger.is_due(offset, topic, halted) {
            sent.push((ledger.sent(offset, offset + 10, topic, 1), offset));
        }
        ledger.read_to(offset + 10);
    }
    sent
}

#[test]
fn the_base_is_what_is_settled_without_a_gap() {
    let (mut ledger, halted) = (Ledger::default(), Halted::new());
    let sent = pass(&mut ledger, 4, 100, &halted);
    assert_eq!(sent, [(100, 0), (101, 10), (102, 20), (103, 30)]);
    ledger.settled(101, &halted);
    assert_eq!(ledger.checkpoint(&halted).base, 0);
    ledger.settled(100, &halted);
    assert_eq!(ledger.checkpoint(&halted).base, 20);
    assert_eq!(ledger.cost(), 2);
    ledger.settled(103, &halted);
    ledger.settled(102, &halted);
    ledger.end_pass(&halted);
    assert!(ledger.is_complete(40));
    assert!(!ledger.is_complete(50));
}

#[test]
fn a_topic_in_trouble_is_left_behind_and_caught_up_with() {
    let (mut ledger, mut halted) = (Ledger::default(), Halted::new());
    pass(&mut ledger, 6, 0, &halted);
    // B's second comes back before its first is known; its third is delivered.
    for (id, is_settled) in [
        (3, false),
        (5, true),
        (0, true),
        (2, true),
        (1, true),
        (4, true),
    ] {
        if is_settled {
            ledger.settled(id, &halted);
        } else {
            halted.insert(B);
            ledger.halt(B);
            ledger.came_back(id, &halted);
            assert_eq!(ledger.checkpoint(&halted).base, 0);
            assert_eq!(ledger.checkpoint(&halted).floors, HashMap::new());
        }
    }
    ledger.end_pass(&halted);
    assert_eq!(
        ledger.checkpoint(&halted),
        Checkpoint {
            base: 60,
            floors: HashMap::from([(B, 30)]),
            held: BTreeMap::new(),
        }
    );
    assert!(!ledger.has_due(60, &halted) && !ledger.is_complete(60));

    // A further pass, while it is halted, over a file that has grown.
    let sent = pass(&mut ledger, 8, 10, &halted);
    assert_eq!(sent, [(10, 60)]);
    ledger.settled(10, &halted);
    ledger.end_pass(&halted);
    assert_eq!(ledger.checkpoint(&halted).floors, HashMap::from([(B, 30)]));

    halted.clear();
    assert_eq!(ledger.start(&halted), 30);
    // What was delivered above the floor is not sent again.
    let sent = pass(&mut ledger, 8, 20, &halted);
    assert_eq!(sent, [(20, 30), (21, 70)]);
    ledger.settled(20, &halted);
    assert_eq!(ledger.checkpoint(&halted).floors, HashMap::from([(B, 70)]));
    ledger.settled(21, &halted);
    ledger.end_pass(&halted);
    assert!(ledger.is_complete(80));
}

#[test]
fn a_line_that_can_not_be_read_may_be_one_that_was_left_behind() {
    let mut ledger = Ledger::new(Checkpoint {
        base: 100,
        floors: HashMap::from([(B, 30)]),
        ..Checkpoint::default()
    });
    let unread = |ledger: &Ledger| [10, 30, 60, 100].map(|offset| ledger.is_unread(offset));
    assert_eq!(unread(&ledger), [false, true, true, true]);
    // That of a topic in trouble is passed over, and read another time.
    ledger.begin_pass(0, &Halted::from([B]));
    ledger.read_to(120);
    ledger.end_pass(&Halted::from([B]));
    assert_eq!(unread(&ledger), [false, true, true, false]);
    ledger.begin_pass(0, &Halted::new());
    ledger.read_to(50);
    assert_eq!(unread(&ledger), [false, false, true, false]);
    ledger.read_to(120);
    assert_eq!(unread(&ledger), [false, false, false, false]);
}

#[test]
fn what_a_halted_topic_still_has_on_its_way_holds_its_floor_down() {
    let (mut ledger, mut halted) = (Ledger::default(), Halted::new());
    pass(&mut ledger, 6, 0, &halted);
    ledger.settled(0, &halted);
    halted.insert(B);
    ledger.halt(B);
    ledger.came_back(3, &halted);
    // B at 10 is on its way: a crash now must not skip it.
    assert_eq!(ledger.checkpoint(&halted).base, 10);
    assert_eq!(ledger.checkpoint(&halted).floors, HashMap::new());
    ledger.came_back(1, &halted);
    assert_eq!(ledger.checkpoint(&halted).floors, HashMap::from([(B, 10)]));
    assert_eq!(ledger.checkpoint(&halted).base, 20);
}

#[test]
fn a_pass_that_is_broken_off_goes_on_where_it_was() {
    let (mut ledger, mut halted) = (Ledger::default(), Halted::new());
    pass(&mut ledger, 4, 0, &halted);
    halted.extend([A, B]);
    for id in 0..4 {
        ledger.came_back(id, &halted);
    }
    ledger.end_pass(&halted);
    halted.clear();
    assert_eq!(pass(&mut ledger, 6, 9, &halted).len(), 6);
}

#[test]
fn a_trouble_in_another_file_does_not_bring_back_what_was_settled() {
    let (mut ledger, mut halted) = (Ledger::default(), Halted::from([B]));
    pass(&mut ledger, 4, 0, &halted);
    assert!(ledger.settled(0, &halted) && ledger.settled(1, &halted));
    ledger.end_pass(&halted);
    assert_eq!(ledger.checkpoint(&halted).floors, HashMap::from([(B, 10)]));
    halted.clear();
    assert_eq!(pass(&mut ledger, 4, 10, &halted), [(10, 10), (11, 30)]);
    ledger.settled(10, &halted);
    // B is halted because of another file, then comes back here, too.
    halted.insert(B);
    ledger.halt(B);
    ledger.came_back(11, &halted);
    ledger.end_pass(&halted);
    halted.clear();
    assert_eq!(pass(&mut ledger, 4, 20, &halted), [(20, 30)]);
}

#[test]
fn held_lines_are_kept_until_somebody_knows_them() {
    let (mut ledger, halted) = (Ledger::default(), Halted::new());
    ledger.begin_pass(0, &halted);
    assert!(ledger.hold(0, 10) && ledger.hold(10, 20));
    ledger.sent(20, 30, A, 1);
    ledger.settled(0, &halted);
    assert!(ledger.hold(30, 40));
    ledger.read_to(40);
    ledger.end_pass(&halted);
    let checkpoint = ledger.checkpoint(&halted);
    assert_eq!((checkpoint.base, ledger.held_lines()), (40, 3));
    assert_eq!(checkpoint.held, BTreeMap::from([(0, 20), (30, 40)]));
    assert!(!ledger.has_due(40, &halted) && ledger.is_pinned(40));

    // The next version knows one of them.
    let mut ledger = Ledger::new(checkpoint);
    assert!(ledger.has_due(40, &halted));
    ledger.begin_pass(0, &halted);
    assert_eq!(ledger.position(), 0);
    assert!(ledger.hold(0, 10) && ledger.is_due(10, A, &halted));
    ledger.sent(10, 20, A, 1);
    assert!(!ledger.is_due(20, A, &halted));
    ledger.settled(0, &halted);
    assert!(ledger.hold(30, 40));
    ledger.read_to(40);
    ledger.end_pass(&halted);
    let held = ledger.checkpoint(&halted).held;
    assert_eq!(held, BTreeMap::from([(0, 10), (30, 40)]));
    assert_eq!(ledger.held_lines(), 2);
}

#[test]
fn more_held_lines_than_can_be_remembered_stop_the_file() {
    let (mut ledger, halted) = (Ledger::default(), Halted::new());
    ledger.begin_pass(0, &halted);
    for line in 0..MOST_HELD as u64 {
        assert!(ledger.hold(line * 20, line * 20 + 10));
    }
    let next = MOST_HELD as u64 * 20;
    ledger.read_to(next);
    assert!(!ledger.hold(next, next + 10));
    ledger.end_pass(&halted);
    assert_eq!(ledger.checkpoint(&halted).base, next);
    assert!(!ledger.has_due(next + 100, &halted));
}
