//! An in-memory view of a revisioned store: the current items of every collection, their recent
//! changes, and cursors that follow the changes.
//!
//! One writer applies changes in revision order ([`Cache::apply`]), with any number of readers:
//!
//! * [`Cache::snapshot`] and [`Cache::at`] return the items at the newest or at a retained
//!   revision. A snapshot is a persistent ordered set: taking it copies nothing, and it never
//!   changes.
//! * [`Cache::follow`] returns a [`Cursor`] into the one ring of changes. There is no queue per
//!   watcher: a slow one costs only its cursor, and ends when the ring has moved past it.
//! * An [`Interest`] index wakes only those cursors that a change may concern. An idle cursor never
//!   falls behind, however many changes that do not concern it pass.
//! * [`Group`] combines the collections of one store: one [`Frontier`] is the revision up to which
//!   all of them are complete, and one byte budget bounds their history. Only history is dropped,
//!   never current items.
//!
//! No gRPC, no HTTP, no tasks and no timers: the caller drives it and sets deadlines.

mod item;

mod event;
mod snapshot;

mod interest;
mod ring;

mod cache;
mod cursor;

mod frontier;
mod group;

pub use cache::{AtError, Cache, Change};
pub use cursor::{Cursor, CursorError};
pub use event::{Delivery, Event, Kind};
pub use frontier::{Frontier, FrontierClosed};
pub use group::{Group, Limits, Usage};
pub use interest::Interest;
pub use item::{Attribute, Item, Scope, Select};
pub use snapshot::{Iter, Snapshot};
