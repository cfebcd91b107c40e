//! What the journal asks of C: syncs that are real, freed memory back, and two calls that have no other way. The only file
//! with `unsafe`.
//!
//! sled 0.34 ends every write on Linux with `sync_file_range`, which starts write-out and waits for it but never asks
//! the disk to empty its cache and never writes metadata: after a power cut, data it called flushed is gone. The
//! symbol is resolved when the program is linked, so defining it here replaces it for sled (nothing else in this
//! process uses it) with a true barrier, in the very places where sled relies on one: after each log buffer, and so
//! before any space is used again.

#![expect(
    unsafe_code,
    reason = "sled's own writes are reached only by replacing a C symbol; the other calls have no safe wrappers here"
)]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
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

/// A buffer of this size or more goes back to the system as soon as it is freed: the bodies of requests, and whatever sled
/// reads and writes at once. Blocks are smaller: they come and go too fast for that. glibc raises its own mark to the
/// largest buffer ever freed, and from then on keeps sled's buffers of megabytes among all others.
const LARGE_BUFFER_BYTES: libc::c_int = 128 << 10;

/// Keeps large buffers out of the common heap. Called once, when a journal is opened.
pub(in crate::journal) fn give_large_buffers_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes no pointers and may be called by any thread at any time.
    unsafe {
        // Without it everything works, with a few MiB more.
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BUFFER_BYTES);
    }
}

/// glibc keeps freed memory for itself unless it is asked; a closed volume's pages are megabytes.
pub(in crate::journal) fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointers and may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets two files or folders change places, in one step.
///
/// # Errors
/// When one of them is not there, or the file system can't do it.
pub(in crate::journal) fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    let (one, other) =
        (CString::new(one.as_os_str().as_bytes())?, CString::new(other.as_os_str().as_bytes())?);
    let (here, flags) = (libc::AT_FDCWD, libc::RENAME_EXCHANGE);
    // SAFETY: both names end in a zero and live until the call is over.
    let answer = unsafe { libc::renameat2(here, one.as_ptr(), here, other.as_ptr(), flags) };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// From now on the calling thread gets a processor only when nobody else wants it. Any thread may ask for that, and none
/// gets back from it.
///
/// # Errors
/// When the system, or a filter of system calls, does not allow it.
pub(in crate::journal) fn only_when_idle() -> std::io::Result<()> {
    let this_thread: libc::pid_t = 0;
    // All that the kernel knows of `sched_param`; musl's own call refuses to do anything.
    let priority: libc::c_int = 0;
    // SAFETY: the pointer is to a live integer, which the call only reads.
    let answer = unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, this_thread, libc::SCHED_IDLE, &raw const priority)
    };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
