//! The names of files in a fallback directory. No topic is ever part of one.
//!
//! A file is named after who has it, and, once it was taken over, also after who has written it:
//! `fallback-<owner>-<sequence>.log`, `fallback-<owner>-<writer>-<sequence>.log`. Writer and sequence
//! stay the same as long as the file exists; its owner changes by a rename.

use uuid::Uuid;

/// Who has written a file, and its number there: the same as long as it exists.
pub type SegmentId = (Uuid, u32);

/// What a name says its file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Messages.
    Segment {
        owner: Uuid,
        id: SegmentId,
    },
    /// Of an instance that has files: `fallback-<uuid>.lock`.
    Lock {
        instance: Uuid,
    },
    /// Beside a segment: how far it was replayed.
    Progress {
        owner: Uuid,
        id: SegmentId,
    },
    /// Beside a segment: what of it could not be replayed.
    Rejected {
        owner: Uuid,
        id: SegmentId,
    },
    /// A segment that is done, of which parts could not be read.
    Damaged,
    /// A file before it gets its name; left there by a process that died.
    Unfinished,
    /// Messages of 0.1.3 (`fallback.log`) or 0.1.4 (`fallback-<uuid>.log`).
    Legacy,
    Other,
}

pub fn segment(owner: Uuid, (writer, sequence): SegmentId) -> String {
    if owner == writer {
        format!("fallback-{owner}-{sequence:06}.log")
    } else {
        format!("fallback-{owner}-{writer}-{sequence:06}.log")
    }
}

pub fn lock(instance: Uuid) -> String {
    format!("fallback-{instance}.lock")
}

pub fn progress(segment: &str) -> String {
    format!("{segment}.progress")
}

pub fn rejected(segment: &str) -> String {
    format!("{segment}.rejected")
}

pub fn damaged(segment: &str) -> String {
    format!("{segment}.damaged")
}

/// Of a file that is being made.
pub fn unfinished(name: &str) -> String {
    format!("{name}.new")
}

pub fn kind(name: &str) -> FileKind {
    if name == "fallback.log" {
        return FileKind::Legacy;
    }
    let Some((owner, rest)) = name.strip_prefix("fallback-").and_then(uuid) else {
        return FileKind::Other;
    };
    match rest {
        ".lock" => return FileKind::Lock { instance: owner },
        ".lock.new" => return FileKind::Unfinished,
        ".log" => return FileKind::Legacy,
        _ => {}
    }
    let Some(rest) = rest.strip_prefix('-') else {
        return FileKind::Other;
    };
    let (writer, rest) = match uuid(rest) {
        Some((writer, rest)) if rest.starts_with('-') => (writer, &rest[1..]),
        _ => (owner, rest),
    };
    let Some((number, suffix)) = rest.split_once(".log") else {
        return FileKind::Other;
    };
    let Ok(sequence) = number.parse() else {
        return FileKind::Other;
    };
    let id = (writer, sequence);
    match suffix {
        "" => FileKind::Segment { owner, id },
        ".progress" => FileKind::Progress { owner, id },
        ".rejected" => FileKind::Rejected { owner, id },
        ".damaged" => FileKind::Damaged,
        ".progress.new" | ".new" => FileKind::Unfinished,
        _ => FileKind::Other,
    }
}

/// The uuid at the beginning, and what follows.
fn uuid(text: &str) -> Option<(Uuid, &str)> {
    let (uuid, rest) = text.split_at_checked(36)?;
    Some((Uuid::try_parse(uuid).ok()?, rest))
}

/// A daily folder of 3.x: `<yyyymmdd>`.
pub fn is_daily_folder(name: &str) -> bool {
    name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// A file of messages of 3.x in its daily folder. Its files of acknowledgements have none.
pub fn is_daily_file(name: &str) -> bool {
    name.ends_with(".fallback.log") && !name.ends_with(".orphanedAck.fallback.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_files_are() {
        let (owner, writer) = (Uuid::new_v4(), Uuid::new_v4());
        for id in [(owner, 7), (writer, 7), (writer, 1_234_567)] {
            let name = segment(owner, id);
            assert_eq!(kind(&name), FileKind::Segment { owner, id });
            assert_eq!(kind(&progress(&name)), FileKind::Progress { owner, id });
            assert_eq!(kind(&rejected(&name)), FileKind::Rejected { owner, id });
            assert_eq!(kind(&damaged(&name)), FileKind::Damaged);
            assert_eq!(kind(&unfinished(&name)), FileKind::Unfinished);
            assert_eq!(kind(&unfinished(&progress(&name))), FileKind::Unfinished);
        }
        assert_eq!(kind(&lock(owner)), FileKind::Lock { instance: owner });
        assert_eq!(kind(&unfinished(&lock(owner))), FileKind::Unfinished);
        assert_eq!(kind("fallback.log"), FileKind::Legacy);
        assert_eq!(kind(&format!("fallback-{owner}.log")), FileKind::Legacy);
        for other in [
            "orders.log",
            "fallback-",
            "fallback-x-000001.log",
            &format!("fallback-{owner}-x.log"),
            &format!("fallback-{owner}-{writer}.log"),
            &format!("fallback-{owner}-000001.log.bak"),
            &format!("fallback-{owner}.lock.bak"),
            "fallback-üüüüüüüüüüüüüüüüüüüüüü-000001.log",
        ] {
            assert_eq!(kind(other), FileKind::Other, "{other}");
        }
        assert!(is_daily_folder("20240131") && !is_daily_folder("2024013x"));
        assert!(is_daily_file("t~2024013107~x~3.fallback.log"));
        assert!(is_daily_file("t~2024013107~x~3.largeMesg.fallback.log"));
        assert!(!is_daily_file("t~2024013107~x~3.orphanedAck.fallback.log"));
    }
}
