//! An in-memory view of a revisioned store: the current items of every collection, the changes
//! that led there, and cursors that follow them.
//!
//! One writer applies changes in revision order ([`Cache::apply`]), any number of readers look:
//!
//! * [`Cache::snapshot`] and [`Cache::at`] give the items at the newest or at a retained revision.
//!   A snapshot is a persistent ordered set: taking it copies nothing and it never changes.
//! * [`Cache::follow`] gives a [`Cursor`] into the one ring of changes. There is no queue per
//!   watcher: a slow one costs its cursor, and is cut when the ring has moved past it.
//! * An [`Interest`] index wakes only those cursors that a change may concern; an idle cursor never
//!   falls behind, however far the ring moves on changes that do not concern it.
//! * [`Group`] ties the collections of one store together: one [`Frontier`] tells up to which
//!   revision all of them are complete, one byte budget bounds their history. History goes first,
//!   current items never.
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
pub use cursor::{Cursor, Cut};
pub use event::{Delivery, Event, Kind};
pub use frontier::{Frontier, FrontierClosed};
pub use group::{Group, Limits, Usage};
pub use interest::Interest;
pub use item::{Attribute, Item, Scope, Select};
pub use snapshot::{Snapshot, Walk};
