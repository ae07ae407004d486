use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::engine::core::Config;
use crate::error::{Error, SNAPSHOT_VERSION};
use crate::names::ids::Ids;
use crate::snapshot::writing::{BEGIN, END};

const CONFIG: Config =
    Config { flush_interval: 0, flush_events: 1, max_batch: 1 << 20, cache_users: 2, cache_ttl: 100, seed: None };

/// A folder that is deleted at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let unique = crate::sync::random();
        let folder = std::env::temp_dir().join(format!("fanout-snapshot-{unique:x}"));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("table.snapshot")
    }

    fn names(&self) -> BTreeSet<String> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn restore(&self, bytes: &[u8]) -> Result<Engine> {
        fs::write(self.file(), bytes).unwrap();
        restore(&self.file(), at(0))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn at(time: u64) -> Moment {
    Moment { now: time, unix: 1_000 + time }
}

fn restore(path: &Path, moment: Moment) -> Result<Engine> {
    Engine::restore(path, CONFIG, moment)
}

fn ids<const N: usize>(names: [&str; N]) -> Ids {
    Ids::of(names, "channel").unwrap()
}

/// Ann on two instances, Ben cached, Cat online and cached no more.
fn small_engine() -> Engine {
    let engine = Engine::new(CONFIG).unwrap();
    engine.user_online("cat", "i2", Some(ids(["a", "a-channel-with-a-long-name"])), 0).unwrap();
    engine.user_online("ann", "i1", Some(ids(["a", "b"])), 1).unwrap();
    engine.user_online("ann", "i2", None, 2).unwrap();
    engine.user_online("ben", "i1", Some(ids(["b", "c"])), 3).unwrap();
    engine.user_offline("ben", "i1").unwrap();
    engine
}

/// The kind and bytes of a section.
type Section<'a> = (u8, &'a [u8]);

/// A file of version 1 around some sections.
fn file_of(sections: &[Section]) -> Vec<u8> {
    let mut bytes = [&BEGIN[..], &SNAPSHOT_VERSION.to_le_bytes()].concat();
    for (kind, section) in sections {
        bytes.push(*kind);
        bytes.extend((section.len() as u64).to_le_bytes());
        bytes.extend_from_slice(section);
    }
    bytes.extend(END);
    bytes.extend((bytes.len() as u64 + 16).to_le_bytes());
    bytes.extend(xxh3_64(&bytes).to_le_bytes());
    bytes
}

fn reason(result: Result<Engine>) -> String {
    match result.err() {
        Some(Error::SnapshotRefused(refusal)) => refusal.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

fn channels(engine: &Engine, user: &str) -> BTreeSet<String> {
    engine.channels(user).unwrap().into_iter().map(String::from).collect()
}

#[test]
fn what_was_written_is_read() {
    let folder = Folder::new();
    let written = small_engine().snapshot(&folder.file(), b"note", at(10)).unwrap();
    assert_eq!(written, fs::metadata(folder.file()).unwrap().len());
    let engine = restore(&folder.file(), at(10)).unwrap();
    assert_eq!(engine.snapshot_note(), b"note");
    assert_eq!(channels(&engine, "cat"), ["a", "a-channel-with-a-long-name"].map(String::from).into());
    assert_eq!(engine.locations("ann").unwrap().len(), 2);
    assert_eq!(engine.instances("c").unwrap(), [""; 0]);
    assert_eq!(engine.user_online("ben", "i3", None, 10), Ok(2));
    assert_eq!(engine.digest("i2"), small_engine().digest("i2"));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let folder = Folder::new();
    small_engine().snapshot(&folder.file(), b"note", at(10)).unwrap();
    let whole = fs::read(folder.file()).unwrap();
    for length in 0..whole.len() {
        assert_eq!(reason(folder.restore(&whole[..length])), "cut", "at {length}");
    }
    assert_eq!(reason(folder.restore(&[&whole[..], b"\n"].concat())), "cut");
    assert!(folder.restore(&whole).is_ok());
}

#[test]
fn a_file_with_another_byte_is_refused() {
    let folder = Folder::new();
    small_engine().snapshot(&folder.file(), b"note", at(10)).unwrap();
    let whole = fs::read(folder.file()).unwrap();
    for position in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut other = whole.clone();
            other[position] ^= flip;
            reason(folder.restore(&other));
        }
    }
}

#[test]
fn what_is_no_snapshot_of_this_version_says_so() {
    let folder = Folder::new();
    assert_eq!(reason(folder.restore(b"SQLite format 3 and so on, and on")), "not a snapshot");
    let mut newer = file_of(&[]);
    newer[BEGIN.len()] = 7;
    assert_eq!(reason(folder.restore(&newer)), "version 7, this build reads 1");
    let mut other = file_of(&[(1, &[0, 0])]);
    other[BEGIN.len() + 4] = 2;
    assert_eq!(reason(folder.restore(&other)), "its checksum differs");
}

#[test]
fn a_whole_file_that_makes_no_sense_is_refused() {
    const HEAD: Section = (1, b"\xe8\x07\x00");
    const INSTANCE: Section = (2, b"\x01i");
    const CHANNELS: Section = (3, b"\x01a\x00\x01b");
    let cases: [(&[Section], &str); 17] = [
        (&[], "no head"),
        (&[(9, &[])], "a section of no kind"),
        (&[HEAD, HEAD], "sections out of order"),
        (&[INSTANCE], "sections out of order"),
        (&[HEAD, CHANNELS, INSTANCE], "sections out of order"),
        (&[(1, &[0])], "a section ends too early"),
        (&[(1, &[0xff; 12])], "a number without end"),
        (&[HEAD, (2, b"\x09i")], "a section ends too early"),
        (&[HEAD, (2, b"\x01.")], "a name that is no id"),
        (&[HEAD, (3, b"\x01a\x01a")], "a channel twice"),
        (&[HEAD, (3, b"\x02\xc3\xa4")], "a name that is no id"),
        (&[HEAD, (4, b"\x01u\x01\x00\x01\x00")], "no such channel"),
        (&[HEAD, CHANNELS, (4, b"\x01u\x01\x00\x01\x01")], "no such channel"),
        (&[HEAD, CHANNELS, (4, b"\x01u\x01\x00\xff\xff\xff\x7f\x00")], "a section ends too early"),
        (&[HEAD, CHANNELS, (4, b"\x01u\x01\x00\x00\x01u\x01\x00\x00")], "a user twice"),
        (&[HEAD, INSTANCE, (4, b"\x01u\x00\x01\x01\x00")], "no such instance"),
        (&[HEAD, INSTANCE, (4, b"\x01u\x00\x02\x00\x00\x00")], "a location twice"),
    ];
    let folder = Folder::new();
    for (sections, expected) in cases {
        assert_eq!(reason(folder.restore(&file_of(sections))), format!("inconsistent: {expected}"));
    }
    let mut long = file_of(&[HEAD]);
    let (checked, end) = (long.len() - 8, long.len());
    long[BEGIN.len() + 5] = 200;
    let checksum = xxh3_64(&long[..checked]).to_le_bytes();
    long[checked..end].copy_from_slice(&checksum);
    assert_eq!(reason(folder.restore(&long)), "inconsistent: a section longer than the file");
}

#[test]
fn a_count_in_the_file_claims_no_memory() {
    let folder = Folder::new();
    let head = [&[0][..], &[0xff; 9], &[1]].concat();
    let engine = folder.restore(&file_of(&[(1, &head)])).unwrap();
    assert!(engine.table.channels.bytes().0 < 1 << 20);
}

#[test]
fn channels_and_users_that_nobody_needs_leave_nothing_behind() {
    let folder = Folder::new();
    let mut sections = file_of(&[(1, &[0, 0]), (3, b"\x01a\x01b"), (4, b"\x01u\x00\x00\x01\x00\x01v\x01\x00\x01\x01")]);
    assert_eq!(restored_counts(&folder.restore(&sections).unwrap()), (0, 0));
    sections = file_of(&[(1, b"\xe8\x07\x00"), (3, b"\x01a\x01b"), (4, b"\x01u\x00\x00\x01\x00\x01v\x01\x00\x01\x01")]);
    assert_eq!(restored_counts(&folder.restore(&sections).unwrap()), (1, 1));
}

fn restored_counts(engine: &Engine) -> (usize, usize) {
    (engine.table.users.known(), engine.table.channels.referenced())
}

#[test]
fn a_restart_does_not_prolong_the_life_of_a_list() {
    let folder = Folder::new();
    small_engine().snapshot(&folder.file(), b"", at(50)).unwrap();
    let later = |unix| restore(&folder.file(), Moment { now: 7, unix }).unwrap();
    assert_eq!(later(1_102).user_online("ben", "i3", None, 7), Ok(2), "99 of 100 have passed");
    assert!(later(1_102).user_online("ben", "i1", None, 8).is_err());
    assert!(later(1_103).user_online("ben", "i1", None, 7).is_err());
    assert!(later(1_000).user_online("ben", "i1", None, 7).is_err(), "the clock went back: nobody knows how old it is");
    assert_eq!(channels(&later(u64::MAX), "ann").len(), 2, "who is online needs no cache");
}

#[test]
fn a_smaller_cache_keeps_the_lists_used_last() {
    let folder = Folder::new();
    small_engine().snapshot(&folder.file(), b"", at(10)).unwrap();
    for (cache_users, cached) in [(0, 0), (1, 1), (2, 2), (5, 2)] {
        let engine = Engine::restore(&folder.file(), Config { cache_users, ..CONFIG }, at(10)).unwrap();
        assert_eq!(engine.table.cache.lock().len(), cached);
        let counts = if cached == 0 { (2, 3) } else { (3, 4) };
        assert_eq!(restored_counts(&engine), counts, "of {cache_users}, with ben's channel c");
    }
}

#[test]
fn a_number_stays_its_channels_while_a_snapshot_is_written() {
    let engine = Engine::new(Config { cache_users: 0, ..CONFIG }).unwrap();
    let channels = &engine.table.channels;
    engine.user_online("ann", "i1", Some(ids(["a", "b"])), 0).unwrap();
    let pin = channels.pin();
    let number = channels.find(ids(["a"]).get(0)).unwrap();
    engine.user_offline("ann", "i1").unwrap();
    assert_eq!(channels.names(&[number]), ["a"]);
    engine.user_online("ben", "i1", Some(ids(["b"])), 0).unwrap();
    engine.leave("ben", "b").unwrap();
    engine.join("ben", "b").unwrap();
    drop(pin);
    assert_eq!((channels.referenced(), channels.names(&[number]).len()), (1, 0));
    assert_eq!(engine.instances("b").unwrap(), ["i1"]);
}

#[test]
fn what_a_killed_writer_left_behind_is_removed() {
    let folder = Folder::new();
    let keep = ["table.snapshot", ".table.snapshot.part", ".table.snapshot.0123.part", ".other.0123456789abcdef.part"];
    for name in keep.into_iter().chain([".table.snapshot.0123456789abcdef.part"]) {
        fs::write(folder.0.join(name), b"torn").unwrap();
    }
    small_engine().snapshot(&folder.file(), b"", at(0)).unwrap();
    assert_eq!(folder.names(), keep.map(String::from).into());
    assert!(restore(&folder.file(), at(0)).is_ok());
}

#[test]
fn a_write_that_fails_leaves_the_former_file() {
    let folder = Folder::new();
    small_engine().snapshot(&folder.file(), b"first", at(0)).unwrap();
    let mut writer = Writer::create(&folder.file()).unwrap();
    writer.section(SectionKind::Head, b"half").unwrap();
    assert_eq!(folder.names().len(), 2);
    drop(writer);
    assert_eq!(folder.names().len(), 1);
    assert_eq!(restore(&folder.file(), at(0)).unwrap().snapshot_note(), b"first");
}

#[test]
fn what_the_system_says_of_a_file_comes_through() {
    let folder = Folder::new();
    let code = |result: Result<u64>| match result {
        Err(Error::File { code, .. }) => code,
        other => panic!("no error of a file: {other:?}"),
    };
    let missing = folder.0.join("no-folder").join("table");
    assert_eq!(code(small_engine().snapshot(&missing, b"", at(0))), 2);
    assert_eq!(code(restore(&folder.file(), at(0)).map(|_| 0)), 2);
    fs::create_dir(folder.file()).unwrap();
    assert_eq!(code(restore(&folder.file(), at(0)).map(|_| 0)), 21);
    assert_eq!(code(small_engine().snapshot(&folder.file(), b"", at(0))), 21);
    assert_eq!(folder.names().len(), 1, "no temporary file is left");
    assert!(matches!(small_engine().snapshot(Path::new("/"), b"", at(0)), Err(Error::InvalidArgument(_))));
}
