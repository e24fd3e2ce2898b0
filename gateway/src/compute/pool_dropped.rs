//! Values that are dropped on the pool.

use std::fmt;
use std::ops::Deref;

use parking_lot::Mutex;

use super::{Pool, Run};

/// A value that may be large. Dropping a large tree takes as long as building it, so the pool drops
/// it.
#[derive(Debug)]
pub struct PoolDropped<T: Send + 'static> {
    /// None after the value was taken.
    value: Option<T>,
    /// None for small values, which are dropped inline.
    pool: Option<Pool>,
}

/// A value that one job of a request computes and a later job consumes without a copy. If another
/// write intervenes, the next attempt computes the value again.
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

    /// The value, for a job that drops it itself.
    #[must_use]
    pub fn into_inner(mut self) -> T {
        self.value.take().expect("taken only here, which ends it")
    }
}

impl<T: Send + 'static, E> Recomputable<T, E> {
    /// Stores a value that `make` computed in this run, for the next job.
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

    /// The value; computed again if it was taken before.
    ///
    /// # Errors
    /// Those of computing it.
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
