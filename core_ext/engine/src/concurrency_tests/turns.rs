//! A user's turn: one thread has it at a time, turns of other users are independent, and a waiting thread is woken.

use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::thread;

use super::{explore, together};
use crate::names::hashed_name::NameHasher;
use crate::names::ids::Id;
use crate::table::membership_lists::MembershipList;
use crate::table::users::{Turn, Users};

const MANY: [&str; 6] = ["u0", "u1", "u2", "u3", "u4", "u5"];

fn id(name: &str) -> Id {
    Id::new(name, "user").unwrap()
}

/// Work that no thread may be doing while another has the turn.
fn alone(_turn: &Turn, busy: &AtomicBool) {
    assert!(!busy.swap(true, Ordering::SeqCst), "two have the turn at once");
    thread::yield_now();
    busy.store(false, Ordering::SeqCst);
}

#[test]
fn one_has_a_users_turn_at_a_time_however_it_was_asked_for() {
    explore(|| {
        let (users, busy) = (Users::new(NameHasher::random()), AtomicBool::new(false));
        let first = users.turn(&id("ann"));
        first.set_list(Some(MembershipList::of(&[1])));
        let number = first.user();
        drop(first);
        together(&[
            &|| alone(&users.turn(&id("ann")), &busy),
            &|| alone(&users.turn_of_known(&id("ann")).unwrap(), &busy),
            &|| alone(&users.turn_of_number(number).unwrap(), &busy),
        ]);
    });
}

#[test]
fn who_waits_for_a_user_who_is_forgotten_gets_the_turn_of_a_new_one() {
    explore(|| {
        let (users, busy, ended) = (Users::new(NameHasher::random()), AtomicBool::new(false), AtomicUsize::new(0));
        let come_and_go = || {
            for _ in 0..2 {
                let turn = users.turn(&id("ann"));
                assert!(turn.list().is_none() && turn.locations().is_empty(), "left by another");
                turn.set_list(Some(MembershipList::of(&[1])));
                alone(&turn, &busy);
                turn.set_list(None);
                ended.fetch_add(1, Ordering::SeqCst);
            }
        };
        together(&[&come_and_go, &come_and_go, &come_and_go]);
        assert_eq!((users.known(), ended.load(Ordering::SeqCst)), (0, 6));
    });
}

#[test]
fn a_turn_holds_nobody_up_but_who_wants_the_same_one() {
    explore(|| {
        let users = Users::new(NameHasher::random());
        let turn = users.turn(&id("ann"));
        let others = || MANY.iter().for_each(|other| drop(users.turn(&id(other))));
        together(&[&others, &others]);
        assert!(users.locations(&id("ann")).is_none(), "questions do not wait either");
        drop(turn);
    });
}
