//! Rules of a driver's process: S restarts, flushes and space, C kills under load.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "S1",
        "The current revision survives a kill after compaction.",
        "The counter is read from the newest stored change; store it where compaction does not \
         touch it.",
    ),
    rule(
        "S2",
        "Compaction survives a kill.",
        "compact_revision is kept in memory.",
    ),
    rule(
        "S3",
        "A fence, and its end, survive a kill.",
        "The fence is kept in memory.",
    ),
    rule(
        "S4",
        "store_id and epoch survive a kill.",
        "They are made at each start instead of at the creation of the store.",
    ),
    rule(
        "S5",
        "An unfinished import survives a kill, and remains invisible.",
        "The content or its state is kept in memory.",
    ),
    rule(
        "S6",
        "A change is flushed between its request and its response.",
        "No fsync, or a flush in the background.",
    ),
    rule(
        "S7",
        "On a full disk creates and updates are NO_SPACE, reads and deletes are served.",
        "The error of the database is passed on as INTERNAL, or deletes have no reserve to write \
         to.",
    ),
    rule(
        "S8",
        "The driver drops old history by itself, but not the changes that it must keep.",
        "No task calls compaction, or only the age of changes is considered.",
    ),
    rule(
        "C1",
        "A driver that was killed serves again when it is started.",
        "A lock file or socket of the killed process prevents the start.",
    ),
    rule(
        "C2",
        "An acknowledged change survives SIGKILL.",
        "A response before the commit; see R5.",
    ),
    rule(
        "C3",
        "No revision is used for two changes over kills.",
        "See R4.",
    ),
    rule(
        "C4",
        "The current revision never decreases over kills.",
        "See R3.",
    ),
    rule(
        "C5",
        "Watchers resume after kills without a gap or a repetition.",
        "See V3 and V5.",
    ),
    rule(
        "C6",
        "An operation whose response was lost by a kill returns its result by its op_id.",
        "See W5.",
    ),
    rule(
        "C7",
        "A driver finishes calls on SIGTERM and exits with 0.",
        "No handler of SIGTERM, or a watch that keeps the process running.",
    ),
];
