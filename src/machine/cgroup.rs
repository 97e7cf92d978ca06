//! The control groups of this process, version 1 and 2: its CPU quota and its memory limit.
//!
//! A limit may stand on any level, so every level from the process's own folder up to the mount is asked and the smallest
//! answer holds. It reads limits only and never changes one.

use std::fs;
use std::path::{Path, PathBuf};

/// The levels of one controller that hold this process.
pub(super) struct Cgroup {
    version: Version,
    /// From the process's own folder up to the mount.
    levels: Vec<PathBuf>,
}

/// The two layouts that kernels offer. They name their files differently.
#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

impl Cgroup {
    /// Finds the levels of a controller, `cpu` or `memory`. A machine may have version 1 for one and version 2 for the other.
    pub(super) fn find(root: &Path, controller: &str) -> Option<Self> {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
        let (version, path) = match group(&groups, |names| names.split(',').any(|name| name == controller)) {
            Some(path) => (Version::One, path),
            None => (Version::Two, group(&groups, str::is_empty)?),
        };
        let mount = mounts
            .lines()
            .find_map(|line| Mount::parse(line).filter(|mount| mount.holds(version, controller)))?;
        let levels = mount.levels(root, Path::new(path));
        Some(Self { version, levels })
    }

    /// The CPU quota in cores, a part of a core counted as one.
    pub(super) fn cores(&self) -> Option<usize> {
        let quotas = self.levels.iter().filter_map(|level| {
            let (quota, period) = match self.version {
                Version::One => (number(level, "cpu.cfs_quota_us")?, number(level, "cpu.cfs_period_us")?),
                Version::Two => {
                    let text = fs::read_to_string(level.join("cpu.max")).ok()?;
                    let (quota, period) = text.trim().split_once(' ')?;
                    (quota.parse().ok()?, period.parse().ok()?)
                }
            };
            (period > 0).then(|| quota.div_ceil(period))
        });
        quotas.min().and_then(|cores| usize::try_from(cores).ok())
    }

    /// The memory limit in bytes.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        self.levels.iter().filter_map(|level| self.limit_at(level)).min()
    }

    /// Bytes left below the limit. Pages of files that the kernel can drop at once do not count as used.
    pub(super) fn memory_left(&self) -> Option<u64> {
        let left = self.levels.iter().filter_map(|level| {
            let (usage, droppable) = match self.version {
                Version::One => ("memory.usage_in_bytes", "total_inactive_file"),
                Version::Two => ("memory.current", "inactive_file"),
            };
            let used = number(level, usage)?.saturating_sub(statistic(level, droppable).unwrap_or(0));
            Some(self.limit_at(level)?.saturating_sub(used))
        });
        left.min()
    }

    fn limit_at(&self, level: &Path) -> Option<u64> {
        match self.version {
            Version::One => number(level, "memory.limit_in_bytes"),
            Version::Two => number(level, "memory.max"),
        }
    }
}

/// One line of `mountinfo`.
struct Mount<'l> {
    /// The part of the hierarchy that is mounted.
    root: &'l Path,
    point: &'l str,
    kind: &'l str,
    options: &'l str,
}

impl<'l> Mount<'l> {
    /// The fields stand at fixed places before and after a lone dash.
    fn parse(line: &'l str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let mut after = after.split(' ');
        Some(Self {
            root: Path::new(before.next()?),
            point: before.next()?,
            kind: after.next()?,
            options: after.nth(1)?,
        })
    }

    fn holds(&self, version: Version, controller: &str) -> bool {
        match version {
            Version::One => self.kind == "cgroup" && self.options.split(',').any(|option| option == controller),
            Version::Two => self.kind == "cgroup2",
        }
    }

    /// The folders from a group up to the mount point. In a container the mount may begin below the group's root, or the
    /// group may lie outside of what is mounted; then the mount point is all that can be seen.
    fn levels(&self, root: &Path, group: &Path) -> Vec<PathBuf> {
        let point = root.join(self.point.trim_start_matches('/'));
        let below = group.strip_prefix(self.root).unwrap_or(Path::new(""));
        let seen = below
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        let below = if seen { below } else { Path::new("") };
        below.ancestors().map(|level| point.join(level)).collect()
    }
}

/// The path in a line `number:controllers:path` of a process's groups. Version 2 has no controllers there.
fn group(groups: &str, is_wanted: impl Fn(&str) -> bool) -> Option<&str> {
    groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        is_wanted(controllers).then_some(path)
    })
}

/// A file that holds one number; `max` and `-1` mean that there is no limit.
fn number(level: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(level.join(file)).ok()?.trim().parse().ok()
}

fn statistic(level: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(level.join("memory.stat")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
