//! Tasks with names, for the report of one that ends too early.

/// A task that returns its name when it ends.
pub(super) async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}
