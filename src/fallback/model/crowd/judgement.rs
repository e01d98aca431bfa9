//! The end of a crowd: all is well from then on, and everything must be where it belongs.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::super::clock::pass;
use super::super::super::names::{self, FileKind};
use super::super::super::replayer::Permission;
use super::super::super::rivals::SILENCE;
use super::{Crowd, LONG, discarded, numbers};

impl Crowd {
    /// All is well from now on.
    pub fn finish(mut self) {
        self.strangers.clear();
        for member in &mut self.members {
            member.process.writer.seal();
        }
        self.begin();
        self.go_on();
        self.end_all();
        // What is nobody's, whoever comes next tidies up.
        self.begin();
        self.go_on();
        self.end_all();
        self.judge();
    }

    fn go_on(&mut self) {
        for turn in 0..200 {
            pass(LONG);
            for at in 0..self.members.len() {
                self.members[at].process.writer.beat();
                let replay = &mut self.members[at].process.replay;
                replay.grant(Permission::Flow);
                (0..4).for_each(|_| self.step(at));
                self.decide_all(at);
                (0..4).for_each(|_| self.step(at));
            }
            // A lock that tells nothing is looked at for long.
            if self.is_done() && turn * LONG > SILENCE {
                break;
            }
        }
    }

    fn end_all(&mut self) {
        // Of held ones, owners who were taken for dead may not know that they are another's.
        let most = self.held() * self.members.len() as u64;
        assert!(self.on_disk() <= most, "{} of {most}", self.on_disk());
        for member in self.members.drain(..) {
            member.process.check_law();
            let statistics = Arc::clone(&member.process.statistics);
            member.process.end();
            self.discarded += discarded(&statistics);
        }
    }

    fn is_done(&self) -> bool {
        self.on_disk() <= self.held() && self.staying().is_empty()
    }

    fn held(&self) -> u64 {
        self.messages.values().filter(|fates| fates.is_held).count() as u64
    }

    fn on_disk(&self) -> u64 {
        let counts = self.members.iter().map(|m| m.process.statistics.counts());
        counts.map(|counts| counts.disk.messages).sum()
    }

    /// Files that no held line keeps.
    fn staying(&self) -> Vec<PathBuf> {
        let mut segments = self.paths(|kind| matches!(kind, FileKind::Segment { .. }));
        segments.retain(|path| {
            let numbers = numbers(&fs::read(path).unwrap());
            !numbers.iter().any(|number| self.messages[number].is_held)
        });
        segments
    }

    fn numbers_in_files(&self) -> BTreeSet<u64> {
        self.paths(|kind| matches!(kind, FileKind::Segment { .. }))
            .iter()
            .flat_map(|path| numbers(&fs::read(path).unwrap()))
            .collect()
    }

    fn judge(self) {
        let in_files = self.numbers_in_files();
        let rejects =
            self.paths(|kind| matches!(kind, FileKind::Rejected { .. } | FileKind::Damaged));
        let kept: BTreeSet<u64> = rejects
            .iter()
            .flat_map(|path| {
                numbers(
                    fs::read_to_string(path)
                        .unwrap()
                        .replace('\\', "")
                        .as_bytes(),
                )
            })
            .collect();
        let lost: Vec<u64> = self
            .messages
            .iter()
            .filter(|(number, fates)| {
                let is_there = if fates.is_held {
                    in_files.contains(number)
                } else {
                    fates.delivered.is_some() || kept.contains(number)
                };
                !is_there
            })
            .map(|(number, _)| *number)
            .collect();
        assert!(
            lost.len() as u64 <= self.discarded,
            "{lost:?} lost, {} discarded",
            self.discarded
        );
        let stays = self.staying();
        assert!(stays.is_empty(), "{stays:?} are not removed");
        let segments = self.paths(|kind| matches!(kind, FileKind::Segment { .. }));
        let locks = self.paths(|kind| matches!(kind, FileKind::Lock { .. }));
        assert!(
            segments.len() >= locks.len(),
            "locks of nobody: {locks:?} for {segments:?}"
        );
    }

    /// Locks in this directory that are open.
    pub(super) fn open_locks(&self) -> usize {
        let Ok(descriptors) = fs::read_dir("/proc/self/fd") else {
            return 0;
        };
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        targets
            .filter(|target| {
                target.starts_with(self.directory.path())
                    && target.to_string_lossy().contains(".lock")
            })
            .count()
    }

    pub(super) fn paths(&self, is_wanted: impl Fn(FileKind) -> bool) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| is_wanted(names::kind(path.file_name().unwrap().to_str().unwrap())))
            .collect();
        paths.sort();
        paths
    }
}
