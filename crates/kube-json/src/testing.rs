//! Helpers for tests.

/// Runs `work` on a thread with a stack of `bytes` bytes.
pub(crate) fn on_stack(bytes: usize, work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(bytes)
        .spawn(work)
        .expect("a thread")
        .join()
        .expect("no panic");
}
