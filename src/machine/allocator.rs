//! How the system's allocator, which libtorch and the libraries in C use, treats memory that is given back. What is written in Rust has
//! an allocator of its own (`main.rs`).

/// Blocks up to this size come from the heap, where they are used again: activations, and weights of most layers.
#[cfg(target_env = "gnu")]
const LARGEST_ON_HEAP: i32 = 32 << 20;

/// Free memory at the end of the heap that is kept.
#[cfg(target_env = "gnu")]
const KEPT: i32 = 512 << 20;

/// Cores that share an arena. What one arena keeps free, threads of another cannot use, so that each is memory lost; and a lock that few wait for.
#[cfg(target_env = "gnu")]
const CORES_OF_ARENA: usize = 4;

/// Lets the process keep what it frees. Activations are large and short-lived, one after the other: by default each is asked of the system
/// and given back, and the system clears its pages each time. To be called before other threads are started.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the settings of the allocator that libtorch and zstd share")]
pub fn keep_freed_memory(cores: usize) {
    let arenas = i32::try_from(cores.div_ceil(CORES_OF_ARENA)).unwrap_or(i32::MAX);
    // SAFETY: these calls only set limits; an allocator that does not know them answers 0 and goes on as before.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST_ON_HEAP);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_ARENA_MAX, arenas);
    }
}

/// Other allocators keep what is freed as they see fit.
#[cfg(not(target_env = "gnu"))]
pub fn keep_freed_memory(_cores: usize) {}
