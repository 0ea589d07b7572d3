//! Starting, serving, draining: one state for both doors and the health service.

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Recovery still runs; requests are refused retryably.
    Starting,
    Serving,
    /// Draining or shutting down; what was admitted is answered, nothing else. Final.
    Draining,
}

#[derive(Debug)]
pub(crate) struct Gate(watch::Sender<State>);

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate(watch::Sender::new(State::Starting))
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        let next = if ready { State::Serving } else { State::Starting };
        self.0.send_if_modified(|state| {
            let change = *state != State::Draining && *state != next;
            if change {
                *state = next;
            }
            change
        });
    }

    pub(crate) fn drain(&self) {
        self.0.send_replace(State::Draining);
    }

    pub(crate) fn state(&self) -> State {
        *self.0.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: readiness is set back and forth, then the daemon drains.
    /// Guarantees: G24, nothing makes a draining door serve again.
    #[test]
    fn otlp_g24_draining_is_final() {
        let gate = Gate::new();
        assert_eq!(gate.state(), State::Starting);
        gate.set_ready(true);
        assert_eq!(gate.state(), State::Serving);
        gate.set_ready(false);
        assert_eq!(gate.state(), State::Starting);
        gate.drain();
        gate.set_ready(true);
        assert_eq!(gate.state(), State::Draining);
    }
}
