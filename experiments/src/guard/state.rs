//! One guard over time: how long its condition holds, how long it is blind.

use serde::Serialize;

use crate::document::guard::NoData;
use crate::document::units::Period;
use crate::verdict::finding::Reason;

/// What a guard sees at one moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Sight {
    /// Not its time yet.
    Waiting,
    Seen {
        /// The condition for stopping holds; why, when it is not its number.
        holds: bool,
        reason: Option<Reason>,
        detail: String,
    },
    Blind {
        reason: Reason,
        detail: String,
        /// Whether bearing it has an end.
        aborts: bool,
    },
}

impl Sight {
    pub fn blind(reason: Reason, detail: impl Into<String>) -> Sight {
        Sight::Blind { reason, detail: detail.into(), aborts: true }
    }
}

/// Where a guard stands after what it saw up to now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
pub enum Standing {
    Fine,
    /// The condition holds, and must for longer.
    Holding {
        detail: String,
    },
    Blind {
        reason: Reason,
        detail: String,
    },
    /// It stops the run; for good.
    Fired {
        reason: Option<Reason>,
        detail: String,
    },
}

#[derive(Debug, Clone)]
pub struct State {
    /// How long the condition must hold.
    lasting: Period,
    grace: Period,
    no_data: NoData,
    holding: Option<i64>,
    blind: Option<i64>,
    fired: Option<Standing>,
}

impl State {
    pub fn new(lasting: Period, grace: Period, no_data: NoData) -> State {
        State { lasting, grace, no_data, holding: None, blind: None, fired: None }
    }

    pub fn step(&mut self, sight: Sight, now: i64) -> Standing {
        if let Some(fired) = &self.fired {
            return fired.clone();
        }
        let lasted = |since: &mut Option<i64>| now.saturating_sub(*since.get_or_insert(now));
        let standing = match sight {
            Sight::Waiting => Standing::Fine,
            Sight::Seen { holds: false, .. } => {
                (self.holding, self.blind) = (None, None);
                Standing::Fine
            }
            Sight::Seen { holds: true, reason, detail } => {
                self.blind = None;
                match lasted(&mut self.holding) >= self.lasting.nanos() {
                    true => Standing::Fired { reason, detail },
                    false => Standing::Holding { detail },
                }
            }
            Sight::Blind { reason, detail, aborts: false } => {
                self.blind = None;
                Standing::Blind { reason, detail }
            }
            // What was held before stays held: only something seen to be fine ends it.
            Sight::Blind { reason, detail, aborts: true } => {
                let borne = lasted(&mut self.blind) < self.grace.nanos();
                match borne || self.no_data == NoData::Hold {
                    true => Standing::Blind { reason, detail },
                    false => {
                        let detail = format!("{detail}, for {} and longer", self.grace);
                        Standing::Fired { reason: Some(reason), detail }
                    }
                }
            }
        };
        if matches!(standing, Standing::Fired { .. }) {
            self.fired = Some(standing.clone());
        }
        standing
    }
}
