use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn directory_and_file_are_the_owners_only() {
    let top = tempfile::tempdir().unwrap();
    let path = top.path().join("a/b");
    let directory = Directory::make(&path, 0o700).unwrap();
    directory.create("x", 0o600).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path.join("x")), 0o600);
    assert_eq!(mode(&path), 0o700);
    assert!(directory.create("x", 0o600).is_err());
    assert!(!directory.is_open_to_others().unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
    assert!(directory.is_open_to_others().unwrap());
}

#[test]
fn no_link_is_followed_and_nothing_but_a_plain_file_is_opened() {
    let top = tempfile::tempdir().unwrap();
    let directory = Directory::open(top.path()).unwrap();
    let outside = top.path().join("outside");
    fs::write(&outside, "secret").unwrap();
    std::os::unix::fs::symlink(&outside, top.path().join("link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        top.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    fs::create_dir(top.path().join("folder")).unwrap();
    for name in ["link", "pipe", "folder"] {
        assert!(directory.read(name).is_err(), "{name}");
        assert!(directory.modify(name).is_err(), "{name}");
        assert!(directory.append(name, 0o600).is_err(), "{name}");
    }
    directory.replace("link", b"new", 0o600, true).unwrap();
    assert_eq!(fs::read(&outside).unwrap(), b"secret");
    assert_eq!(fs::read(top.path().join("link")).unwrap(), b"new");
    let plain = directory.entries().unwrap();
    let plain = plain.filter(|entry| entry.as_ref().unwrap().is_plain_file);
    assert_eq!(plain.count(), 2);
}

#[test]
fn a_renamed_file_is_told_from_a_removed_one() {
    let top = tempfile::tempdir().unwrap();
    let directory = Directory::open(top.path()).unwrap();
    let file = directory.create("x", 0o600).unwrap();
    let path = directory.path_of("x");
    assert_eq!(presence(&file, &path).unwrap(), Presence::Here);
    directory.rename("x", &directory, "y").unwrap();
    assert_eq!(presence(&file, &path).unwrap(), Presence::Elsewhere);
    fs::write(&path, "another").unwrap();
    assert_eq!(presence(&file, &path).unwrap(), Presence::Elsewhere);
    directory.remove("y").unwrap();
    assert_eq!(presence(&file, &path).unwrap(), Presence::Removed);
}
