//! Cores and memory as `/proc` and control groups state them, read from folders made here.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{Cpu, Machine};

const GIB: u64 = 1 << 30;

/// A machine with 8 allowed cores and 16 GiB, outside any container.
fn machine() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let status =
        "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nCpus_allowed:\tff\nCpus_allowed_list:\t0-5,8,10\n";
    write(root.path(), "proc/self/status", status);
    write(
        root.path(),
        "proc/meminfo",
        "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 8388608 kB\n",
    );
    root
}

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn version_two(root: &Path, group: &str, mounted: &str) {
    write(root, "proc/self/cgroup", &format!("0::{group}\n"));
    let mount = format!("31 23 0:28 {mounted} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
    write(root, "proc/self/mountinfo", &mount);
}

fn version_one(root: &Path, group: &str, mounted: &str) {
    let groups = format!("5:memory:{group}\n4:cpu,cpuacct:{group}\n0::/\n");
    write(root, "proc/self/cgroup", &groups);
    let mounts = format!(
        "30 23 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
         31 30 0:28 {mounted} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
         32 30 0:29 {mounted} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
         33 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    );
    write(root, "proc/self/mountinfo", &mounts);
}

#[test]
fn machine_without_limits_offers_its_mask_and_all_memory() {
    let root = machine();
    let machine = Machine::at(root.path());
    assert_eq!(machine.cores(), 8);
    assert_eq!(machine.memory_limit(), Some(16 * GIB));
    assert_eq!(machine.memory_available(), Some(8 * GIB));
    assert_eq!(machine.peak_resident(), Some(2 << 20));
    assert_eq!(machine.resident(), Some(1 << 20));
}

#[test]
fn smallest_limit_on_the_way_up_holds_in_version_two() {
    let root = machine();
    version_two(root.path(), "/pods/pod1/box", "/");
    let group = "sys/fs/cgroup/pods/pod1";
    write(root.path(), &format!("{group}/box/memory.max"), "max\n");
    write(root.path(), &format!("{group}/box/cpu.max"), "400000 100000\n");
    write(root.path(), &format!("{group}/memory.max"), "4294967296\n");
    write(root.path(), &format!("{group}/cpu.max"), "150000 100000\n");
    write(root.path(), "sys/fs/cgroup/pods/cpu.max", "max 100000\n");
    let machine = Machine::at(root.path());
    assert_eq!(machine.memory_limit(), Some(4 * GIB));
    assert_eq!(machine.cores(), 2, "one and a half cores keep two threads busy");
}

#[test]
fn limits_hold_in_version_one_beside_an_empty_version_two() {
    let root = machine();
    version_one(root.path(), "/docker/abc", "/docker/abc");
    write(
        root.path(),
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "2147483648\n",
    );
    write(root.path(), "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");
    write(root.path(), "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    let machine = Machine::at(root.path());
    assert_eq!(machine.memory_limit(), Some(2 * GIB));
    assert_eq!(machine.cores(), 3);
}

#[test]
fn unlimited_group_of_version_one_offers_all_memory() {
    let root = machine();
    version_one(root.path(), "/", "/");
    write(
        root.path(),
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "9223372036854771712\n",
    );
    write(root.path(), "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    write(root.path(), "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    let machine = Machine::at(root.path());
    assert_eq!(machine.memory_limit(), Some(16 * GIB));
    assert_eq!(machine.cores(), 8);
}

#[test]
fn group_outside_the_mount_is_read_at_the_mount() {
    for group in ["/../../other", "/elsewhere"] {
        let root = machine();
        version_two(root.path(), group, "/pods/pod1");
        write(root.path(), "sys/fs/cgroup/memory.max", "1073741824\n");
        assert_eq!(Machine::at(root.path()).memory_limit(), Some(GIB), "{group}");
    }
}

#[test]
fn droppable_file_pages_count_as_available() {
    let root = machine();
    version_two(root.path(), "/", "/");
    write(root.path(), "sys/fs/cgroup/memory.max", "4294967296\n");
    write(root.path(), "sys/fs/cgroup/memory.current", "3221225472\n");
    write(
        root.path(),
        "sys/fs/cgroup/memory.stat",
        "anon 1\ninactive_file 2147483648\nactive_file 9\n",
    );
    assert_eq!(Machine::at(root.path()).memory_available(), Some(3 * GIB));
}

#[test]
fn tiny_quota_leaves_one_core() {
    let root = machine();
    version_two(root.path(), "/", "/");
    for quota in ["1000 100000", "0 100000"] {
        write(root.path(), "sys/fs/cgroup/cpu.max", quota);
        assert_eq!(Machine::at(root.path()).cores(), 1, "{quota}");
    }
}

#[test]
fn processor_lists_only_the_flags_that_matter() {
    let root = machine();
    let cpuinfo = "processor\t: 0\nmodel name\t: A Processor @ 2.0GHz\nflags\t\t: fpu sse avx2 avx512f avx512_bf16x\n\n\
                   processor\t: 1\nmodel name\t: Another\nflags\t\t: amx_bf16\n";
    write(root.path(), "proc/cpuinfo", cpuinfo);
    write(root.path(), "proc/sys/kernel/hostname", "scorer-0\n");
    write(root.path(), "proc/sys/kernel/osrelease", "6.1.0\n");
    let machine = Machine::at(root.path());
    let expected = Cpu {
        model: Some("A Processor @ 2.0GHz".to_owned()),
        flags: vec!["avx2", "avx512f"],
    };
    assert_eq!(machine.cpu(), expected);
    assert_eq!(machine.host_name().as_deref(), Some("scorer-0"));
    assert_eq!(machine.kernel().as_deref(), Some("6.1.0"));
}

#[test]
fn machine_that_tells_nothing_still_has_a_core() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::at(root.path());
    assert!(machine.cores() >= 1);
    assert_eq!(machine.memory_limit(), None);
    assert_eq!(machine.memory_available(), None);
    assert_eq!(machine.peak_resident(), None);
    assert_eq!(machine.host_name(), None);
    assert_eq!(
        machine.cpu(),
        Cpu {
            model: None,
            flags: Vec::new()
        }
    );
}

#[cfg(target_os = "linux")]
#[test]
fn this_machine_answers() {
    let machine = Machine::here();
    assert!(machine.cores() <= std::thread::available_parallelism().unwrap().get() + 1);
    assert!(machine.memory_available() <= machine.memory_limit());
    assert!(machine.resident() <= machine.peak_resident());
    assert!(machine.host_name().is_some() && machine.kernel().is_some());
}
