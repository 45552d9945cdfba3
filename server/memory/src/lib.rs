//! The allocator of the broker's process, and the one thing that it has to be told.
//!
//! Messages are made by one thread and freed by others. The C library's allocator grows the heap of a thread that is not
//! the first by a few pages at a time, each time by a call to the system. Without huge pages: with them most of the time
//! went into clearing memory.

/// What a program names as its global allocator.
pub use mimalloc::MiMalloc as Allocator;

/// Looks through the memory of the calling thread: what others have freed of it goes back to the process, and to the
/// system about a second later, when some thread calls this again. Without it that waits until the thread needs memory of
/// the same size, which one without work never does. Takes some ten microseconds, and more the more there is.
///
/// Where another allocator is used, nothing happens.
pub fn give_back() {
    // SAFETY: it takes no pointers, and may be called at any time, by any thread, also by one that has nothing.
    #[expect(unsafe_code, reason = "the allocator is written in C")]
    unsafe {
        libmimalloc_sys::mi_collect(false);
    }
}
