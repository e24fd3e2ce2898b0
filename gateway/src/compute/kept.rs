//! Values that are dropped elsewhere.

use std::ops::{Deref, DerefMut};

use super::Pool;

/// A value that may be large: dropping the tree of a large object takes as long as making it, so it
/// is dropped by the pool.
#[derive(Debug)]
pub struct Kept<T: Send + 'static> {
    /// None once it was taken.
    value: Option<T>,
    /// None for what is small.
    pool: Option<Pool>,
}

impl<T: Send + 'static> Kept<T> {
    pub(super) const fn new(value: T, pool: Option<Pool>) -> Self {
        Self {
            value: Some(value),
            pool,
        }
    }

    /// The value itself, for a job that drops it.
    #[must_use]
    pub fn into_inner(mut self) -> T {
        self.value.take().expect("taken only here, which ends it")
    }
}

impl<T: Send + 'static> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("taken only with its owner")
    }
}

impl<T: Send + 'static> DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("taken only with its owner")
    }
}

impl<T: Send + 'static> Drop for Kept<T> {
    fn drop(&mut self) {
        if let (Some(value), Some(pool)) = (self.value.take(), &self.pool) {
            pool.discard(Box::new(value));
        }
    }
}
