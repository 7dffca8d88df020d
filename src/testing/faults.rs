//! Requests that fail on purpose, and the count of all.

use std::time::Duration;

use tokio::sync::watch;

use super::objects::Refusal;
use super::request::Request;

/// What becomes of a chosen request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not applied; answered with this HTTP status.
    Status(u16),
    /// Not applied; answered as the API server's limit on requests does, with Retry-After in seconds.
    Throttled(u32),
    /// Not applied; answered as an admission webhook does that has too much to do, with Retry-After in seconds.
    WebhookThrottled(u32),
    /// Not applied; the connection breaks.
    ResetBefore,
    /// Applied; the connection breaks before the answer.
    ResetAfter,
    /// Not applied and never answered.
    Hang,
    /// Applied and never answered.
    HangAfter,
    /// Applied and answered after this time.
    Slow(Duration),
}

impl Fault {
    pub(super) const fn is_applied(self) -> bool {
        matches!(self, Self::ResetAfter | Self::HangAfter | Self::Slow(_))
    }
}

type Filter = Box<dyn Fn(&Request) -> bool + Send>;

struct Planned {
    filter: Filter,
    /// Requests that match, this one included, until the fault.
    left: usize,
    fault: Fault,
}

/// The requests so far, and those that are to fail.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) requests: Vec<Request>,
    planned: Vec<Planned>,
    refused: Vec<(Filter, u16, String)>,
    /// Requests that fail for as long as this stands.
    broken: Option<(Filter, Fault)>,
    /// Every request fails.
    away: bool,
    /// How many faults have happened.
    happened: watch::Sender<usize>,
}

impl Faults {
    pub(super) fn plan(&mut self, filter: Filter, nth: usize, fault: Fault) {
        self.planned.push(Planned {
            filter,
            left: nth,
            fault,
        });
    }

    pub(super) fn refuse(&mut self, filter: Filter, code: u16, message: &str) {
        self.refused.push((filter, code, message.to_owned()));
    }

    pub(super) fn break_down(&mut self, filter: Filter, fault: Fault) {
        self.broken = Some((filter, fault));
    }

    pub(super) fn go_away(&mut self) {
        self.away = true;
    }

    pub(super) fn clear(&mut self) {
        self.away = false;
        self.broken = None;
        self.planned.clear();
        self.refused.clear();
    }

    pub(super) fn happened(&self) -> watch::Receiver<usize> {
        self.happened.subscribe()
    }

    /// Counts a request, and says whether it is to fail.
    pub(super) fn record(&mut self, request: &Request) -> Option<Fault> {
        self.requests.push(request.clone());
        let broken = self.broken.as_ref().filter(|(filter, _)| filter(request));
        let mut due = broken.map(|(_, fault)| *fault);
        if self.away {
            due = Some(Fault::ResetBefore);
        }
        self.planned.retain_mut(|planned| {
            if (planned.filter)(request) {
                planned.left -= 1;
            }
            if planned.left == 0 {
                due = Some(planned.fault);
            }
            planned.left > 0
        });
        if due.is_some() {
            self.happened.send_modify(|happened| *happened += 1);
        }
        due
    }

    /// What admission says of it.
    pub(super) fn admit(&self, request: &Request) -> Result<(), Refusal> {
        match self.refused.iter().find(|(filter, ..)| filter(request)) {
            Some((_, code, message)) => Err(Refusal {
                message: message.clone(),
                ..Refusal::of_code(*code)
            }),
            None => Ok(()),
        }
    }
}
