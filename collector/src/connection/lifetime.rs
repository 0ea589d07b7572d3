//! When a connection is asked to leave, and when it is made to: idleness, age,
//! drain (G23, G24, H20).

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use schema::Door;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use crate::Settings;
use crate::admission::scramble;

/// Time for the last answer to leave the socket once nothing is in flight.
const FLUSH: Duration = Duration::from_millis(500);

/// A connection as its lifetime sees it.
pub(super) trait Connection {
    /// Drives it; ready when it is over.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;
    /// Finishes what is in flight, and takes nothing new.
    fn leave(&mut self);
}

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, or after it was asked.
    Over,
    /// It was given up: the peer did not let go.
    Abandoned,
}

#[derive(Debug)]
pub(super) struct Lifetime {
    activity: Activity,
    idle: Duration,
    until: Instant,
    grace: Duration,
    drain: Duration,
}

impl Lifetime {
    /// The age is spread by a tenth around its setting, by the connection's
    /// number, so that connections opened together do not leave together.
    pub(super) fn new(settings: &Settings, door: Door, nth: u64, activity: Activity) -> Lifetime {
        let idle = match door {
            Door::OtlpHttp => settings.http_idle_timeout,
            Door::OtlpGrpc | Door::Internal => settings.grpc_idle_timeout,
        };
        let share = 0.9 + 0.2 * (scramble(nth) % 1000) as f64 / 1000.0;
        let until = Instant::now() + settings.connection_age.mul_f64(share);
        let (grace, drain) = (settings.connection_grace, settings.drain_timeout);
        Lifetime { activity, idle, until, grace, drain }
    }

    pub(super) async fn watch(
        &self,
        connection: &mut impl Connection,
        leaving: &CancellationToken,
    ) -> hyper::Result<End> {
        loop {
            let idle_until = self.activity.quiet_since().map(|since| since + self.idle);
            // Busy: look again later, for quietness has no waker.
            let look = idle_until.unwrap_or_else(|| Instant::now() + self.idle).min(self.until);
            tokio::select! {
                over = poll_fn(|cx| connection.poll_over(cx)) => return over.map(|()| End::Over),
                () = leaving.cancelled() => break,
                () = sleep_until(look) => {}
            }
            let now = Instant::now();
            let idle = self.activity.quiet_since().is_some_and(|since| since + self.idle <= now);
            if idle || now >= self.until {
                break;
            }
        }
        connection.leave();
        let mut last = Instant::now() + self.grace;
        let mut draining = false;
        loop {
            if !draining && leaving.is_cancelled() {
                draining = true;
                last = last.min(Instant::now() + self.drain);
            }
            // A peer that answers nothing after the last answer is not waited for.
            let look = (Instant::now() + FLUSH).min(last);
            tokio::select! {
                over = poll_fn(|cx| connection.poll_over(cx)) => return over.map(|()| End::Over),
                () = sleep_until(look) => {}
            }
            let now = Instant::now();
            let quiet = self.activity.quiet_since().is_some_and(|since| since + FLUSH <= now);
            if quiet || now >= last {
                return Ok(End::Abandoned);
            }
        }
    }
}
