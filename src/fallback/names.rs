//! The names of files in a fallback directory. No topic is ever part of one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// What a name says its file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Messages of this instance: `fallback-<uuid>-<sequence>.log`.
    Segment {
        instance: Uuid,
        sequence: u32,
    },
    /// Held by its instance as long as that lives: `fallback-<uuid>.lock`.
    Lock {
        instance: Uuid,
    },
    /// Beside a segment: how far it was replayed.
    Progress,
    /// Beside a segment: what of it could not be replayed.
    Rejected,
    /// A lock file before it gets its name; left there by a process that died.
    Unfinished,
    /// Messages of 0.1.3 (`fallback.log`) or 0.1.4 (`fallback-<uuid>.log`).
    Legacy,
    Other,
}

pub fn segment(directory: &Path, instance: Uuid, sequence: u32) -> PathBuf {
    directory.join(format!("fallback-{instance}-{sequence:06}.log"))
}

pub fn lock(directory: &Path, instance: Uuid) -> PathBuf {
    directory.join(format!("fallback-{instance}.lock"))
}

pub fn progress(segment: &Path) -> PathBuf {
    with_suffix(segment, ".progress")
}

/// The segment that a progress file is beside.
pub fn segment_of_progress(progress: &Path) -> PathBuf {
    let path = progress.with_extension("");
    if progress.extension().is_some_and(|end| end == "new") {
        path.with_extension("")
    } else {
        path
    }
}

pub fn rejected(segment: &Path) -> PathBuf {
    with_suffix(segment, ".rejected")
}

pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

pub fn kind(name: &str) -> FileKind {
    if name == "fallback.log" {
        return FileKind::Legacy;
    }
    let Some(rest) = name.strip_prefix("fallback-") else {
        return FileKind::Other;
    };
    let Some((uuid, rest)) = rest.split_at_checked(36) else {
        return FileKind::Other;
    };
    let Ok(instance) = Uuid::try_parse(uuid) else {
        return FileKind::Other;
    };
    match rest {
        ".lock" => return FileKind::Lock { instance },
        ".lock.new" => return FileKind::Unfinished,
        ".log" => return FileKind::Legacy,
        _ => {}
    }
    let Some((number, suffix)) = rest
        .strip_prefix('-')
        .and_then(|rest| rest.split_once(".log"))
    else {
        return FileKind::Other;
    };
    match (number.parse(), suffix) {
        (Ok(sequence), "") => FileKind::Segment { instance, sequence },
        (Ok(_), ".progress" | ".progress.new") => FileKind::Progress,
        (Ok(_), ".rejected") => FileKind::Rejected,
        _ => FileKind::Other,
    }
}

/// A daily folder of 3.x: `<yyyymmdd>`.
pub fn is_daily_folder(name: &str) -> bool {
    name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// A file of 3.x in its daily folder.
pub fn is_daily_file(name: &str) -> bool {
    name.ends_with(".fallback.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_files_are() {
        let instance = Uuid::new_v4();
        let path = segment(Path::new("d"), instance, 7);
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            kind(&name(&path)),
            FileKind::Segment {
                instance,
                sequence: 7
            }
        );
        let making = with_suffix(&progress(&path), ".new");
        for beside in [&progress(&path), &making] {
            assert_eq!(kind(&name(beside)), FileKind::Progress);
            assert_eq!(segment_of_progress(beside), path);
        }
        assert_eq!(kind(&name(&rejected(&path))), FileKind::Rejected);
        assert_eq!(
            kind(&name(&lock(Path::new("d"), instance))),
            FileKind::Lock { instance }
        );
        assert_eq!(kind("fallback.log"), FileKind::Legacy);
        assert_eq!(kind(&format!("fallback-{instance}.log")), FileKind::Legacy);
        let many = segment(Path::new("d"), instance, 1_234_567);
        assert_eq!(
            kind(&name(&many)),
            FileKind::Segment {
                instance,
                sequence: 1_234_567
            }
        );
        let lock = lock(Path::new("d"), instance);
        let unfinished = with_suffix(&lock, ".new");
        assert_eq!(kind(&name(&unfinished)), FileKind::Unfinished);
        for other in [
            "orders.log",
            "fallback-",
            "fallback-x-000001.log",
            &format!("fallback-{instance}-x.log"),
            &format!("fallback-{instance}-000001.log.bak"),
            &format!("fallback-{instance}.lock.bak"),
            "fallback-üüüüüüüüüüüüüüüüüüüüüü-000001.log",
        ] {
            assert_eq!(kind(other), FileKind::Other, "{other}");
        }
        assert!(is_daily_folder("20240131") && !is_daily_folder("2024013x"));
        assert!(is_daily_file("t~2024013107~x~3.fallback.log"));
    }
}
