//! A reader of one server: the newest revision, and an object that always exists.

use std::sync::Arc;
use std::time::Duration;

use crate::call::Call;
use crate::change::Key;
use crate::client::{Action, CallError, Write};
use crate::fault::Fault;
use crate::script::Progress;
use crate::shared::{Route, Shared};

/// Number of the first reader as a writer of its object, above those of all writers.
const FIRST: usize = 100_000;

pub(crate) struct Reader {
    shared: Arc<Shared>,
    route: Route,
    pause: Duration,
    number: usize,
    /// Its object; none if the store may lose it.
    witness: Option<Key>,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(shared: &Arc<Shared>, number: usize, pause: Duration) -> Self {
        let witness = Key::from(format!("witness/{number}"));
        Self {
            shared: Arc::clone(shared),
            route: Route::new(shared, number),
            pause,
            number,
            witness: (!shared.tolerance.expired).then_some(witness),
        }
    }

    /// Reads until the run stops.
    pub(crate) async fn run(mut self) {
        let mut open = self.witness.clone().map(|key| self.create(key));
        while !self.shared.stop.is_cancelled() || open.is_some() {
            if let Err(error) = self.look(&mut open).await {
                let justified = self.shared.justifies(Call::Read, &error);
                if !justified && self.shared.stop.is_cancelled() {
                    break;
                }
                self.route.after(&error).await;
            }
            self.shared.rest(self.pause).await;
        }
        if let Some(write) = open {
            self.shared.ledger.unknown(&write);
        }
    }

    fn create(&self, key: Key) -> Write {
        let number = FIRST + self.number;
        let mut write = Progress::new(number, crate::Script::own("", number, 0, &[])).write(key);
        write.action = Action::Create;
        write
    }

    async fn look(&mut self, open: &mut Option<Write>) -> Result<(), CallError> {
        let (server, client) = self.route.client().await;
        if let Some(write) = open.take() {
            let result = client.write(std::slice::from_ref(&write)).await;
            let result = result.and_then(|results| {
                let none = CallError::Violation("a write without a result".to_owned());
                results.into_iter().next().unwrap_or(Err(none))
            });
            match result {
                Ok(applied) => self.shared.ledger.acknowledged(&write, &applied, server),
                Err(error) => {
                    *open = Some(write);
                    return Err(error);
                }
            }
            return Ok(());
        }
        let tolerant = self.shared.tolerance.expired;
        let observed = self.shared.ledger.newest();
        let head = client.head().await?;
        // Before a server finds a new epoch, its storage may be older than what was observed.
        let observed = if tolerant {
            Default::default()
        } else {
            observed
        };
        self.shared.ledger.head(observed, &head);
        if let Some(key) = &self.witness
            && client.read(key).await?.is_none()
        {
            self.shared.ledger.fault(Fault::StaleRead {
                key: key.clone(),
                acknowledged: observed,
                found: "nothing".to_owned(),
            });
        }
        Ok(())
    }
}
