//! What the journal asks of C: syncs that are real, and freed memory back. The only file with `unsafe`.
//!
//! sled 0.34 ends every write on Linux with `sync_file_range`, which starts write-out and waits for it but never asks
//! the disk to empty its cache and never writes metadata: after a power cut, data it called flushed is gone. The
//! symbol is resolved when the program is linked, so defining it here replaces it for sled (nothing else in this
//! process uses it) with a true barrier, in the very places where sled relies on one: after each log buffer, and so
//! before any space is used again.

#![expect(
    unsafe_code,
    reason = "sled's own writes are reached only by replacing a C symbol; mallopt and malloc_trim have no safe wrappers"
)]

use std::sync::atomic::{AtomicU64, Ordering};

static SYNCS: AtomicU64 = AtomicU64::new(0);

/// How many real syncs sled has caused in this process. A store that sees no increase over a flush of new data is not
/// linked against this symbol and must not serve.
pub(super) fn syncs_so_far() -> u64 {
    SYNCS.load(Ordering::SeqCst)
}

/// What sled calls after writing a buffer: syncs the whole file, whatever range and flags are asked for.
///
/// # Safety
/// `fd` is a descriptor the caller owns; a bad one is answered with -1 and `EBADF`, as by the original.
#[unsafe(no_mangle)]
pub(super) extern "C" fn sync_file_range(
    fd: libc::c_int,
    _offset: libc::off64_t,
    _bytes: libc::off64_t,
    _flags: libc::c_uint,
) -> libc::c_int {
    // SAFETY: fdatasync takes no pointers; any descriptor value is allowed.
    let answer = unsafe { libc::fdatasync(fd) };
    if answer == 0 {
        SYNCS.fetch_add(1, Ordering::SeqCst);
    }
    answer
}

/// A buffer of this size or more goes back to the system as soon as it is freed. glibc raises its own mark to the largest
/// buffer ever freed, and from then on keeps sled's buffers of 8 MiB among all others.
const LARGE_BUFFER_BYTES: libc::c_int = 1 << 20;

/// Keeps large buffers out of the common heap. Called once, when a journal is opened.
pub(super) fn give_large_buffers_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes no pointers and may be called by any thread at any time.
    unsafe {
        // Without it everything works, with a few MiB more.
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BUFFER_BYTES);
    }
}

/// glibc keeps freed memory for itself unless it is asked; a closed volume's pages are megabytes.
pub(super) fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointers and may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
