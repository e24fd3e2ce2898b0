//! A server shortly before its transaction numbers wrap around.

use crate::error::Result;
use crate::run::run;
use crate::server::{Server, Stop};

/// Number of the next transaction: some 17 million before the server stops assigning numbers, and
/// within the 40 million in which it warns. The first of a segment of `pg_xact`, which the server
/// therefore creates.
const NEXT: u32 = 2029 << 20;

impl Server {
    /// Restarts the server near a wraparound: it warns in every transaction that writes. Vacuum
    /// would end that, so start the server with a long `autovacuum_naptime`.
    ///
    /// # Errors
    /// If the server does not stop or start, or `pg_resetwal` fails.
    pub async fn near_wraparound(&mut self) -> Result<()> {
        let program = self.programs().path("pg_resetwal")?;
        self.stop(Stop::Fast).await?;
        let mut command = self.scratch().account().command(program);
        command.arg("-x").arg(NEXT.to_string());
        command.arg("-D").arg(self.data());
        run(command, "pg_resetwal").await?;
        self.start_again().await
    }
}
