//! For tests.

/// Does something on a stack of so many bytes.
pub(crate) fn on_stack(bytes: usize, work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(bytes)
        .spawn(work)
        .expect("a thread")
        .join()
        .expect("no panic");
}
