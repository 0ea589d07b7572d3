//! Nodes over a store that fails for an hour or lies for a while. Each is a
//! scripted simulation: all that [`crate::sim`] checks is checked after every
//! step, and the end judges what is stored.

use std::time::Duration;

use schema::Catalog;

use crate::faulty::{Answer, Fault, Op, Rule};
use crate::sim::step::Step;
use crate::sim::world::World;

const MINUTE: Duration = Duration::from_secs(60);

/// A node with committed rows of every table.
fn settled(seed: u64, nodes: usize) -> World {
    let mut world = World::new(seed, nodes);
    for node in 0..nodes {
        world.acks(node, 20);
        world.play(Step::Flush { node });
    }
    world
}

/// Rows come in every minute of so many, and all are acked.
fn live(world: &mut World, minutes: usize) {
    for _ in 0..minutes {
        for node in 0..world.nodes.len() {
            world.acks(node, 5);
            world.play(Step::Wait { node, time: MINUTE });
        }
    }
}

/// Why the view of spans may be behind.
fn behind(world: &World, node: usize) -> Option<String> {
    let status = world.life(node).storage.status();
    status.tables.into_iter().find(|table| table.table == "spans")?.incomplete
}

/// Attempts that a node has counted as failed since it was started.
fn failures(world: &World, node: usize) -> u64 {
    world.life(node).counted("cloudsail_commit_failures_total")
}

/// Scenario: for an hour all requests are answered 503 SlowDown, or a third of
/// them for a quarter, while rows come in every minute.
/// Guarantees: F22: every row is acked, requests stay few all the while, failures are
/// counted, and everything is caught up with and there once.
#[test]
fn fault_f22_an_hour_of_503_is_sat_out() {
    for (chance, minutes) in [(0.3, 15), (1.0, 60)] {
        let mut world = settled(22, 1);
        let store = world.nodes[0].store.clone();
        store.rule(Rule::new(Fault::Before(Answer::SlowDown503)).chance(chance));
        let before = store.requests(Op::ALL);
        live(&mut world, minutes);
        let told = behind(&world, 0).is_some_and(|why| why.contains("SlowDown"));
        assert!(told || chance < 1.0, "answers say that they are behind");
        let counted = failures(&world, 0);
        assert!(counted >= minutes as u64, "{counted} failures in {minutes} minutes");
        assert!(world.life(0).storage.ready().is_ok(), "an absent store is no reason to be red");
        let asked = store.requests(Op::ALL) - before;
        // Of five committers that refresh every ten seconds, and the lease every five,
        // three a second is what that takes; a backlog sent at every attempt would
        // be ten.
        let committers = Catalog::default().tables().len();
        assert!(asked < committers * 60 * minutes, "{asked} requests in {minutes} minutes");
        // A join reads and writes while paused time stands still.
        let busiest = store.busiest(Duration::from_secs(1));
        assert!(busiest < 500, "{busiest} requests within a second");
        assert!(store.did("throttled") > 50);
        world.judged();
    }
}

/// Scenario: for a quarter of an hour no request is ever answered; then every
/// request takes 25 seconds.
/// Guarantees: F23: rows are acked all the while, no committer waits for ever,
/// and everything is caught up with.
#[test]
fn fault_f23_a_black_hole_is_left_in_time() {
    let mut world = settled(23, 1);
    let store = world.nodes[0].store.clone();
    store.rule(Rule::new(Fault::Swallowed));
    live(&mut world, 15);
    assert!(behind(&world, 0).is_some(), "answers say that they are behind");
    assert!(store.did("swallowed") > 4, "it is tried again");
    assert!(failures(&world, 0) > 0, "and counted");
    store.heal();
    store.rule(Rule::new(Fault::Slow(Duration::from_secs(25))));
    live(&mut world, 6);
    world.judged();
}

/// Scenario: the credentials expire, or permissions are taken away, for ten
/// minutes, with a crash among them.
/// Guarantees: F24: no row is dropped, the reason is told, requests stay few,
/// and everything is caught up with.
#[test]
fn fault_f24_a_store_that_denies_costs_no_row() {
    for (answer, says) in
        [(Answer::Expired401, "ExpiredToken"), (Answer::Denied403, "AccessDenied")]
    {
        let mut world = settled(24, 1);
        let store = world.nodes[0].store.clone();
        store.rule(Rule::new(Fault::Before(answer)));
        let before = store.requests(Op::ALL);
        live(&mut world, 6);
        assert!(behind(&world, 0).is_some_and(|why| why.contains(says)), "{says}");
        assert!(failures(&world, 0) >= 6, "a failure a minute at least");
        world.play(Step::Crash { node: 0, power: None });
        live(&mut world, 4);
        let asked = store.requests(Op::ALL) - before;
        assert!(asked < 1200, "{asked} requests in ten minutes");
        world.judged();
    }
}

/// Scenario: after a restart every body that is read breaks off, ends early or
/// is an error's document; the tables have entries and a checkpoint.
/// Guarantees: F25: no view ever has a row wrong, twice or missing for good;
/// the node says that it is behind, and goes on when bodies are whole.
#[test]
fn fault_f25_a_body_that_is_not_whole_is_not_believed() {
    for (seed, fault) in
        [Fault::Cut, Fault::Short, Fault::Lies, Fault::WrongTag].into_iter().enumerate()
    {
        let mut world = settled(25 + seed as u64, 1);
        let store = world.nodes[0].store.clone();
        store.rule(Rule::new(fault).on(&[Op::Get]));
        live(&mut world, 2);
        world.play(Step::Crash { node: 0, power: None });
        live(&mut world, 2);
        assert!(store.did(fault.name()) > 0);
        // An ETag is not what bodies are known by.
        assert!(fault == Fault::WrongTag || failures(&world, 0) > 0, "{fault:?} is counted");
        world.judged();
    }
}

/// Scenario: puts are acknowledged and not done, done twice so that the node
/// meets its own object, answered "taken" though nothing is there, or land
/// long after they failed.
/// Guarantees: F26, C3: what was not done is done again, what was done is not
/// done twice, and nothing is taken for committed that is not.
#[test]
fn fault_f26_an_answer_is_not_taken_for_the_truth() {
    let faults = [
        Fault::Lies,
        Fault::Twice,
        Fault::Before(Answer::Taken412),
        Fault::After(Answer::Internal500),
        Fault::Lands(9),
    ];
    for (seed, fault) in faults.into_iter().enumerate() {
        let mut world = World::new(26 + seed as u64, 2);
        for node in &world.nodes {
            node.store.rule(Rule::new(fault).on(&[Op::Put]).chance(0.6));
        }
        live(&mut world, 5);
        let did: u64 = world.nodes.iter().map(|node| node.store.did(fault.name())).sum();
        assert!(did > 3, "{fault:?} struck {did} times");
        world.judged();
    }
}

/// Scenario: every list lacks the three objects that came last, while two
/// nodes commit, crash and start.
/// Guarantees: F27: entries exclude each other by the put and not by the list;
/// after a restart a node does not miss what it has committed itself.
#[test]
fn fault_f27_a_stale_list_hides_nothing() {
    let mut world = settled(27, 2);
    for node in &world.nodes {
        node.store.rule(Rule::new(Fault::Stale(3)).on(&[Op::List]));
    }
    for _ in 0..4 {
        live(&mut world, 2);
        for node in 0..2 {
            world.play(Step::Flush { node });
            world.play(Step::Crash { node, power: None });
            // The table is loaded, and not one tick older than it must be.
            world.play(Step::Wait { node, time: Duration::from_millis(100) });
            assert_eq!(behind(&world, node), None);
        }
    }
    assert!(world.nodes[0].store.did("stale") > 4);
    world.judged();
}

/// Scenario: every list lacks the newest object while the tables are made.
/// Guarantees: F27: making a table is tried with pauses until it is seen.
#[test]
fn fault_f27_a_table_that_is_not_listed_yet_is_waited_for() {
    let mut world = World::new(28, 1);
    let store = world.nodes[0].store.clone();
    store.rule(Rule::new(Fault::Stale(1)).on(&[Op::List]));
    live(&mut world, 5);
    // A load is up to thirty requests, and requests take no time here.
    let busiest = store.busiest(Duration::from_secs(1));
    assert!(busiest < 1_500, "{busiest} requests within a second");
    world.judged();
}

/// Scenario: of two nodes one is cut off in one direction: what it asks for is
/// done and never answered, or answered by a reset; it crashes meanwhile.
/// Guarantees: F46, F7: the other goes on; nothing is there twice, and nothing
/// is lost, when the partition ends.
#[test]
fn fault_f46_a_node_that_hears_no_answer_repeats_nothing() {
    for fault in [Fault::Silent, Fault::After(Answer::Reset)] {
        let mut world = settled(46, 2);
        world.nodes[0].store.rule(Rule::new(fault).on(Op::WRITES));
        live(&mut world, 8);
        world.play(Step::Crash { node: 0, power: Some(46) });
        live(&mut world, 8);
        assert_eq!(behind(&world, 1), None, "the other one goes on");
        assert!(world.nodes[0].store.did(fault.name()) > 3);
        world.judged();
    }
}

/// Scenario: of two nodes one is drained and its disk taken away, first while the
/// store refuses every other write, then while it is away; a new one comes.
/// Guarantees: F43: what is called drained is committed; while it cannot be, the node
/// does not say so, and keeps its rows.
#[test]
fn fault_f43_a_node_that_leaves_takes_no_row_along() {
    let mut world = settled(43, 2);
    let of = |world: &World| world.nodes[0].wal_id;
    let first = of(&world);
    let store = world.nodes[0].store.clone();
    let refused = Fault::Before(Answer::SlowDown503);
    store.rule(Rule::new(refused).on(Op::WRITES).chance(0.5));
    world.acks(0, 20);
    world.play(Step::Leaves { node: 0 });
    let second = of(&world);
    assert_ne!(first, second, "it is drained and gone");
    store.heal();
    world.acks(0, 20);
    store.rule(Rule::new(refused));
    world.play(Step::Leaves { node: 0 });
    assert_eq!(second, of(&world), "it stays with what it has");
    store.heal();
    world.acks(0, 20);
    world.judged();
}

/// Scenario: full partitions of both nodes, one after the other and together,
/// with requests that arrive late and twice in between.
/// Guarantees: F46: L = 0 and D = 0.
#[test]
fn fault_f46_partitions_that_come_and_go_lose_nothing() {
    let mut world = settled(47, 2);
    for round in 0..4 {
        for node in 0..2 {
            let store = &world.nodes[node].store;
            store.heal();
            match (round + node) % 3 {
                0 => store.rule(Rule::new(Fault::Before(Answer::Reset))),
                1 => store.rule(Rule::new(Fault::Twice).on(&[Op::Put]).chance(0.5)),
                _ => store.rule(Rule::new(Fault::Lands(20)).on(&[Op::Put]).chance(0.5)),
            };
        }
        live(&mut world, 4);
    }
    world.judged();
}
