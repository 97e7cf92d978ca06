//! What this machine offers and what this process uses of it: cores, memory, names.
//!
//! Plain reads of `/proc` and `/sys` below a root folder that tests replace. Limits of the container count, not only those
//! of the hardware. What cannot be read is `None` or a fallback, never an error: nothing here decides whether a run may start.

mod allocator;
mod cgroup;

use std::fs;
use std::path::PathBuf;

use rustix::fs::Mode;
use rustix::process::umask;
use serde::Serialize;

pub use self::allocator::keep_freed_memory;
use self::cgroup::Cgroup;

/// Processor features that change how fast a model runs, in the spelling of `/proc/cpuinfo`.
pub const CPU_FLAGS: [&str; 4] = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"];

/// Where the facts about a machine are read.
#[derive(Debug, Clone)]
pub struct Machine {
    root: PathBuf,
}

/// The processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// The maker's name for it, where it says one.
    pub model: Option<String>,
    /// Those of [`CPU_FLAGS`] that it has.
    pub flags: Vec<&'static str>,
}

/// From now on what this process makes is for its user and group alone: files 0640, folders 0750, and less where the system says so already.
pub fn keep_to_group() {
    const OTHERS: Mode = Mode::from_raw_mode(0o027);
    let before = umask(OTHERS);
    umask(before | OTHERS);
}

impl Machine {
    /// The machine that this process runs on.
    pub fn here() -> Self {
        Self::at("/")
    }

    /// A machine whose `proc` and `sys` lie below a folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Cores that this process may use: the smaller of its affinity mask and its CPU quota, at least 1.
    ///
    /// A part of a core in the quota counts as one more: threads that are held back at times still use the whole quota,
    /// and one thread less would leave a part of it idle.
    pub fn cores(&self) -> usize {
        let allowed = self
            .process_field("Cpus_allowed_list")
            .map(|list| cores_in(&list))
            .filter(|cores| *cores > 0);
        let allowed = allowed.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let quota = Cgroup::find(&self.root, "cpu").and_then(|group| group.cores());
        quota.map_or(allowed, |quota| quota.min(allowed)).max(1)
    }

    /// Bytes that this process may use before it is killed: the smallest limit of its cgroups, else all memory.
    pub fn memory_limit(&self) -> Option<u64> {
        let limit = Cgroup::find(&self.root, "memory").and_then(|group| group.memory_limit());
        limit.into_iter().chain(self.memory_total()).min()
    }

    /// Bytes that can still be taken: what the kernel says is available, or what is left below a cgroup's limit.
    pub fn memory_available(&self) -> Option<u64> {
        let left = Cgroup::find(&self.root, "memory").and_then(|group| group.memory_left());
        let available = self.field("proc/meminfo", "MemAvailable").and_then(|text| bytes(&text));
        left.into_iter().chain(available).min()
    }

    /// The most bytes that this process has held in memory so far.
    pub fn peak_resident(&self) -> Option<u64> {
        self.process_field("VmHWM").and_then(|text| bytes(&text))
    }

    /// Bytes that this process holds in memory now.
    pub fn resident(&self) -> Option<u64> {
        self.process_field("VmRSS").and_then(|text| bytes(&text))
    }

    /// The machine's name; in Kubernetes the pod's.
    pub fn host_name(&self) -> Option<String> {
        self.line("proc/sys/kernel/hostname")
    }

    /// The kernel's release.
    pub fn kernel(&self) -> Option<String> {
        self.line("proc/sys/kernel/osrelease")
    }

    /// The processor's name and features.
    pub fn cpu(&self) -> Cpu {
        let found = self.field("proc/cpuinfo", "flags").unwrap_or_default();
        let found: Vec<&str> = found.split_ascii_whitespace().collect();
        Cpu {
            model: self.field("proc/cpuinfo", "model name"),
            flags: CPU_FLAGS.into_iter().filter(|flag| found.contains(flag)).collect(),
        }
    }

    fn memory_total(&self) -> Option<u64> {
        self.field("proc/meminfo", "MemTotal").and_then(|text| bytes(&text))
    }

    fn process_field(&self, name: &str) -> Option<String> {
        self.field("proc/self/status", name)
    }

    /// The first `name: value` line of a file.
    fn field(&self, file: &str, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(file)).ok()?;
        text.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.trim_end() == name).then(|| value.trim().to_owned())
        })
    }

    fn line(&self, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(file)).ok()?;
        let line = text.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }
}

/// Counts the cores of a list such as `0-3,8`.
fn cores_in(list: &str) -> usize {
    let ranges = list.split(',').filter_map(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (usize, usize) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        (from <= to).then(|| to - from + 1)
    });
    ranges.sum()
}

/// Reads `123 kB` as bytes.
fn bytes(text: &str) -> Option<u64> {
    let kibibytes: u64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests;
