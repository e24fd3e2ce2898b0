//! Values that are dropped elsewhere.

use std::fmt;
use std::ops::Deref;

use parking_lot::Mutex;

use super::{Pool, Run};

/// A value that may be large: dropping the tree of a large object takes as long as making it, so it
/// is dropped by the pool.
#[derive(Debug)]
pub struct PoolDropped<T: Send + 'static> {
    /// None once it was taken.
    value: Option<T>,
    /// None for what is small.
    pool: Option<Pool>,
}

/// A value that one job of a request makes and a later one uses up, so that there is never a copy of it.
/// A third job, which runs when another write came between, makes it again.
pub struct Recomputable<T: Send + 'static, E> {
    made: Mutex<Option<PoolDropped<T>>>,
    make: Make<T, E>,
}

type Make<T, E> = Box<dyn Fn(&Run) -> Result<T, E> + Send + Sync>;

impl<T: Send + 'static> PoolDropped<T> {
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

impl<T: Send + 'static, E> Recomputable<T, E> {
    /// Keeps a value that `make` has made in this run for the next one.
    #[must_use]
    pub fn new(
        run: &Run,
        value: T,
        make: impl Fn(&Run) -> Result<T, E> + Send + Sync + 'static,
    ) -> Self {
        Self {
            made: Mutex::new(Some(run.drop_on_pool(value))),
            make: Box::new(make),
        }
    }

    /// The value, which is made again when it was taken before.
    ///
    /// # Errors
    /// Those of making it.
    pub fn take(&self, run: &Run) -> Result<T, E> {
        let made = self.made.lock().take();
        made.map_or_else(|| (self.make)(run), |made| Ok(made.into_inner()))
    }
}

impl<T: Send + 'static, E> fmt::Debug for Recomputable<T, E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Recomputable").finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Deref for PoolDropped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("taken only with its owner")
    }
}

impl<T: Send + 'static> Drop for PoolDropped<T> {
    fn drop(&mut self) {
        if let (Some(value), Some(pool)) = (self.value.take(), &self.pool) {
            pool.discard(Box::new(value));
        }
    }
}
