//! What every [`Files`] promises, run by each of them.

use super::disk::Disk;
use super::files::{File, Files, QUARANTINE};
use super::memory::{Fault, Faults, Memory, Survives};

fn read(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    let read = file.read_at(0, &mut bytes).unwrap();
    bytes.truncate(read);
    bytes
}

fn listed(files: &dyn Files) -> Vec<(String, u64)> {
    let mut listed = files.list().unwrap();
    listed.sort();
    listed
}

/// The obligations that can be seen without a power loss.
fn conforms(files: &dyn Files) {
    assert!(files.open("a").is_err());
    let mut a = files.create("a").unwrap();
    a.write_at(0, b"hello").unwrap();
    a.write_at(8, b"x").unwrap();
    a.sync().unwrap();
    files.sync_dir("a").unwrap();
    assert_eq!(read(&*a), b"hello\0\0\0x");
    assert_eq!(read(&*files.open("a").unwrap()), b"hello\0\0\0x");
    let mut tail = [0; 8];
    assert_eq!(a.read_at(7, &mut tail).unwrap(), 2);
    assert_eq!(a.read_at(100, &mut tail).unwrap(), 0);
    a.truncate(2).unwrap();
    a.sync().unwrap();
    assert_eq!(read(&*a), b"he");
    a.write_at(2, b"y").unwrap();
    assert_eq!(read(&*a), b"hey");

    let kept = format!("{QUARANTINE}/b");
    files.create(&kept).unwrap().write_at(0, b"bad").unwrap();
    files.sync_dir(&kept).unwrap();
    assert_eq!(listed(files), [("a".into(), 3), (kept.clone(), 3)]);

    let mut new = files.create("a.new").unwrap();
    new.write_at(0, b"second").unwrap();
    files.rename("a.new", "a").unwrap();
    assert_eq!(read(&*files.open("a").unwrap()), b"second");
    new.write_at(0, b"S").unwrap();
    assert_eq!(read(&*files.open("a").unwrap()), b"Second", "a handle follows its file");

    let again = files.create("a").unwrap();
    assert_eq!(read(&*again), b"", "create starts anew");
    files.remove("a").unwrap();
    files.remove(&kept).unwrap();
    assert!(files.remove("a").is_err());
    assert_eq!(listed(files), []);
}

/// Scenario: the suite runs on a real folder.
/// Guarantees: `Disk` meets the obligations of `Files` and `File`.
#[test]
fn a_disk_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conforms(&Disk::open(dir.path().join("wal")).unwrap());
}

/// Scenario: the suite runs on the folder in memory.
/// Guarantees: `Memory` meets the same obligations.
#[test]
fn a_memory_conforms() {
    conforms(&Memory::new());
}

/// Scenario: power is cut before and after each kind of sync, with every choice
/// of what survives.
/// Guarantees: F12's model: what was synced survives, and only that must.
#[test]
fn fault_f12_memory_keeps_what_was_synced_and_may_lose_the_rest() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let files = Memory::new();
        let mut file = files.create("a").unwrap();
        file.write_at(0, &[1; 600]).unwrap();
        file.sync().unwrap();
        files.sync_dir("a").unwrap();
        file.write_at(600, &[2; 600]).unwrap();
        files.create("b").unwrap();
        files.rename("b", "c").unwrap();
        files.crash(Survives::Chance(seed));
        assert!(file.sync().is_err(), "a handle does not outlive the power");
        let bytes = files.content("a").unwrap();
        assert_eq!(bytes[..600], [1; 600]);
        assert!(bytes[600..].iter().all(|byte| [0, 2].contains(byte)));
        let names: Vec<_> = listed(&files).into_iter().map(|(name, _)| name).collect();
        assert!(!(names.contains(&"b".into()) && names.contains(&"c".into())));
        outcomes.insert((bytes.len() == 1200, bytes.contains(&2), names));
    }
    assert!(outcomes.len() >= 6, "the model must explore: {outcomes:?}");

    let files = Memory::new();
    files.create("a").unwrap();
    files.crash(Survives::Nothing);
    assert_eq!(listed(&files), []);
}

/// Scenario: an fsync fails, and a later one of the same file says Ok.
/// Guarantees: F15's model: the bytes of the failed fsync are not on the disk.
#[test]
fn fault_f15_memory_forgets_what_a_failed_sync_was_given() {
    let files = Memory::new();
    let mut file = files.create("a").unwrap();
    files.sync_dir("a").unwrap();
    file.write_at(0, b"lost").unwrap();
    files.set_faults(Faults { syncs: Fault { after: 0, times: 1 }, ..Faults::default() });
    assert!(file.sync().is_err());
    file.sync().unwrap();
    files.crash(Survives::Nothing);
    assert_eq!(files.content("a").unwrap(), [0; 4]);
}

/// Scenario: a symbolic link lies where the log opens or creates a file.
/// Guarantees: nothing outside the folder is read or written; files are 0600
/// in a folder of 0700.
#[test]
fn a_disk_follows_no_links_and_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    std::fs::write(&outside, b"mine").unwrap();
    let wal = dir.path().join("wal");
    let disk = Disk::open(&wal).unwrap();
    std::os::unix::fs::symlink(&outside, wal.join("a")).unwrap();
    assert!(disk.open("a").is_err());
    disk.create("a").unwrap().write_at(0, b"ours").unwrap();
    assert_eq!(std::fs::read(&outside).unwrap(), b"mine");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(wal.clone()), mode(wal.join("a"))), (0o700, 0o600));
}
