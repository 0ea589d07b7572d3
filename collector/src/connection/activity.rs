//! What is in flight on a connection: from the head of a request to the end of
//! its answer's body.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    in_flight: usize,
    /// When `in_flight` last became zero.
    quiet_since: Instant,
}

impl Activity {
    pub(super) fn new() -> Activity {
        Activity(Arc::new(Mutex::new(State { in_flight: 0, quiet_since: Instant::now() })))
    }

    pub(super) fn enter(&self) -> Busy {
        self.0.lock().in_flight += 1;
        Busy(self.clone())
    }

    /// Since when nothing is in flight; None while something is.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let state = self.0.lock();
        (state.in_flight == 0).then_some(state.quiet_since)
    }
}

/// One request in flight.
#[derive(Debug)]
pub(super) struct Busy(Activity);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.in_flight -= 1;
        state.quiet_since = Instant::now();
    }
}

/// A body that keeps its request in flight until it is sent or given up.
#[derive(Debug)]
pub(super) struct Held<B> {
    body: B,
    _busy: Busy,
}

impl<B> Held<B> {
    pub(super) fn new(body: B, busy: Busy) -> Held<B> {
        Held { body, _busy: busy }
    }
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
