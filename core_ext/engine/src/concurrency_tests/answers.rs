//! Answers of reads while users come and go: every user who is there all the time, and none who never was there.
//!
//! Each user has an instance and channels of the same letter, so that a wrong name in an answer is detected, although
//! the numbers of all three are given to others. Eve is there all the time.

use super::recount::{Set, set};
use super::{EVENT, choose, engine, explore, ids, login, together};
use crate::engine::core::Engine;
use crate::table::presence_sets::Digest;

const COMMON: &str = "common";
const LETTERS: [char; 3] = ['a', 'b', 'e'];

fn own(kind: &str, letter: char) -> String {
    format!("{kind}-{letter}")
}

/// Come online with two channels, change them, and go offline; twice, so that numbers are used again.
fn come_and_go(engine: &Engine, letter: char) {
    let (user, instance, channel) = (own("user", letter), own("instance", letter), own("channel", letter));
    for _ in 0..2 {
        login(engine, &user, &instance, &[COMMON, &channel]);
        engine.leave(&user, &channel).unwrap();
        engine.join(&user, &channel).unwrap();
        engine.user_offline(&user, &instance).unwrap();
        engine.drop_instance(&instance).unwrap();
    }
}

/// The names of one letter.
struct Own {
    user: String,
    instance: String,
    channel: String,
    all_along: bool,
}

impl Own {
    fn of(letter: char) -> Self {
        let [user, instance, channel] = ["user", "instance", "channel"].map(|kind| own(kind, letter));
        Self { user, instance, channel, all_along: letter == 'e' }
    }

    /// Check that an answer names no other user, and that it names the user if it must.
    fn check(&self, answer: impl IntoIterator<Item = impl Into<String>>, most: &[&str]) {
        let (answer, most) = (set(answer), set(most.iter().copied()));
        assert!(answer.is_subset(&most), "{answer:?} beyond {most:?}");
        assert!(!self.all_along || answer == most, "{answer:?} instead of {most:?}");
    }
}

const QUESTIONS: [fn(&Engine, &Own); 7] = [
    |engine, own| own.check(engine.channels(&own.user).unwrap(), &[COMMON, &own.channel]),
    |engine, own| own.check(engine.users(&own.instance).unwrap(), &[&own.user]),
    |engine, own| own.check(engine.locations(&own.user).unwrap(), &[&own.instance]),
    |engine, own| own.check(engine.instances(&own.channel).unwrap(), &[&own.instance]),
    |engine, own| own.check(engine.members(&own.channel).unwrap().into_keys(), &[&own.instance]),
    |engine, own| own.check(engine.members(&own.channel).unwrap().into_values().flatten(), &[&own.user]),
    |engine, own| {
        let possible = [Digest::default(), Digest::of([own.user.as_str()])];
        assert!(possible[usize::from(own.all_along)..].contains(&engine.digest(&own.instance).unwrap()));
    },
];

/// Ask some questions about the names of one letter.
fn ask(engine: &Engine, letter: char, questions: usize) {
    let own = Own::of(letter);
    for _ in 0..questions {
        choose(&QUESTIONS)(engine, &own);
    }
}

/// Check the answers about the channel that all share.
fn ask_of_all(engine: &Engine) {
    for (instance, users) in engine.members(COMMON).unwrap() {
        assert_eq!(set(users), set([instance.replace("instance", "user")]));
    }
    let instances = set(engine.instances(COMMON).unwrap());
    assert!(
        instances.contains("instance-e") && instances.is_subset(&set(LETTERS.map(|letter| own("instance", letter))))
    );
    assert!((1..=3).contains(&engine.widths(ids(&[COMMON]))[0]));
    assert!(engine.is_member("user-e", COMMON).unwrap() && !engine.is_member("user-a", "channel-b").unwrap());
}

fn ask_while_others_come_and_go(question: fn(&Engine)) {
    explore(move || {
        let engine = engine(0);
        login(&engine, "user-e", "instance-e", &[COMMON, "channel-e"]);
        together(&[&|| come_and_go(&engine, 'a'), &|| come_and_go(&engine, 'b'), &|| question(&engine)]);
    });
}

#[test]
fn nobody_is_named_who_never_was_there() {
    ask_while_others_come_and_go(|engine| ask(engine, 'a', 3));
}

/// Ask one question, while all numbers of one letter are given to another.
#[test]
fn nobody_is_named_who_took_the_numbers_of_another() {
    explore(|| {
        let engine = engine(0);
        login(&engine, "user-a", "instance-a", &[COMMON, "channel-a"]);
        let change_hands = || {
            engine.user_offline("user-a", "instance-a").unwrap();
            engine.drop_instance("instance-a").unwrap();
            login(&engine, "user-b", "instance-b", &["channel-b"]);
        };
        together(&[&change_hands, &|| ask(&engine, 'a', 1)]);
    });
}

/// The same, but the new users come while the old ones go.
#[test]
fn no_channel_is_named_that_took_the_number_of_another() {
    explore(|| {
        let (engine, own) = (engine(0), Own::of('a'));
        login(&engine, "user-a", "instance-a", &["channel-a"]);
        let go = || assert_eq!(engine.user_offline("user-a", "instance-a"), Ok(1));
        let come = || login(&engine, "user-b", "instance-b", &["b0", "b1", "b2", "b3"]);
        together(&[&go, &come, &|| own.check(engine.channels(&own.user).unwrap(), &["channel-a"])]);
    });
}

#[test]
fn a_user_who_is_there_all_the_time_is_named() {
    ask_while_others_come_and_go(|engine| ask(engine, 'e', 3));
}

#[test]
fn a_channel_that_all_share_has_each_on_the_own_instance() {
    ask_while_others_come_and_go(ask_of_all);
}

#[test]
fn a_user_who_joins_and_leaves_has_the_other_channels_all_the_while() {
    explore(|| {
        let engine = engine(0);
        login(&engine, "user-e", "instance-e", &["c0", "c1", "c2"]);
        let join_and_leave = || {
            assert_eq!(engine.join("user-e", "c3"), Ok(true));
            assert_eq!(engine.leave("user-e", "c1"), Ok(true));
        };
        let others = || login(&engine, "user-b", "instance-b", &["b0", "b1"]);
        together(&[&join_and_leave, &others, &|| {
            let channels = set(engine.channels("user-e").unwrap());
            assert!(channels.is_superset(&set(["c0", "c2"])), "{channels:?}");
            assert!(channels.is_subset(&set(["c0", "c1", "c2", "c3"])), "{channels:?}");
        }]);
    });
}

#[test]
fn members_of_a_large_channel_are_named_while_others_come_and_go() {
    const BITMAP: [&str; 9] = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"];
    explore(|| {
        let engine = engine(0);
        for user in BITMAP {
            login(&engine, user, "instance-e", &[COMMON]);
        }
        let stay: Set = set(BITMAP[2..].iter().copied());
        let go = || assert!(BITMAP[..2].iter().all(|user| engine.user_offline(user, "instance-e") == Ok(0)));
        together(&[&go, &|| come_and_go(&engine, 'a'), &|| {
            let members = engine.members(COMMON).unwrap();
            let there = set(members["instance-e"].iter().cloned());
            assert!(there.is_superset(&stay) && there.is_subset(&set(BITMAP)), "{there:?}");
            assert!(members.get("instance-a").is_none_or(|users| set(users.iter().cloned()) == set(["user-a"])));
        }]);
    });
}

/// After a drop has returned, the instance has no user, as long as no user comes back.
#[test]
fn a_dropped_instance_is_named_no_more_and_gets_nothing() {
    explore(|| {
        let engine = engine(1);
        login(&engine, "ann", "i0", &["c0", "c1"]);
        login(&engine, "ben", "i0", &["c0", "c2"]);
        login(&engine, "ben", "i1", &["c0", "c2"]);
        let drop_it = || {
            engine.drop_instance("i0").unwrap();
            assert_eq!(engine.users("i0").unwrap().len(), 0);
            assert_eq!(engine.locations("ann").unwrap().len(), 0);
            for channel in ["c0", "c1", "c2", "c3"] {
                assert!(!engine.instances(channel).unwrap().contains(&"i0".into()));
                assert!(!engine.members(channel).unwrap().contains_key("i0"));
                engine.route(channel, EVENT, None, None, 0).unwrap();
            }
            assert!(engine.drain(0, true).iter().all(|(instance, _)| instance == "i1"));
        };
        let change = || {
            engine.join("ann", "c3").unwrap();
            login(&engine, "cat", "i1", &["c1"]);
            engine.route("c0", EVENT, None, None, 0).unwrap();
            engine.leave("ben", "c2").unwrap();
        };
        together(&[&drop_it, &drop_it, &change]);
        assert!(engine.drain(0, true).iter().all(|(instance, _)| instance == "i1"));
    });
}

#[test]
fn who_takes_the_number_of_a_dropped_instance_does_not_take_its_inbox() {
    explore(|| {
        let engine = engine(0);
        login(&engine, "ann", "i0", &["c0"]);
        let visit = || {
            login(&engine, "ben", "i0", &["c0"]);
            engine.route("c0", EVENT, None, None, 0).unwrap();
            engine.user_offline("ben", "i0").unwrap();
        };
        together(&[&visit, &|| assert!(engine.drop_instance("i0").is_ok())]);
        engine.drain(0, true);
        login(&engine, "cat", "i1", &["c1"]);
        assert_eq!(engine.route("c1", EVENT, None, None, 0), Ok(1));
        assert!(engine.drain(0, true).iter().map(|(instance, _)| instance).eq(["i1"]));
    });
}
