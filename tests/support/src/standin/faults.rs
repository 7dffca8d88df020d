//! What can go wrong, and for whom.

use std::time::Duration;

use super::Provider;

/// A way to misbehave.
///
/// The expiry faults bend what a reply states and so do nothing to replies that state no expiry.
/// Faults about a token leave a refused call refused.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers with this status. The default body is the provider's error envelope,
    /// whose message repeats the API key so that scrubbing is put to the test.
    Status {
        /// The status code.
        code: u16,
        /// Headers added to the answer, or replacing its own.
        headers: Vec<(String, String)>,
        /// The body, instead of the envelope.
        body: Option<String>,
    },
    /// Answers as usual after this long.
    Delay(Duration),
    /// Takes the request and never answers.
    Hang,
    /// Sends the headers and half of the body, then nothing.
    HangBody,
    /// Sends the body at one byte per 200 ms.
    SlowDrip,
    /// 200 with something that is not JSON.
    Garbage,
    /// 200 with no body.
    Empty,
    /// The usual JSON, padded to at least this many bytes.
    Oversize(usize),
    /// States no expiry.
    MissingExpiry,
    /// States an expiry a minute ago.
    ExpiryInPast,
    /// States the expiry in milliseconds, the year 58000 if read as seconds.
    ExpiryAbsurd,
    /// States the expiry as `1795336200.0`.
    ExpiryAsFloat,
    /// States the expiry as `"1795336200"`.
    ExpiryAsString,
    /// Leaves the token out.
    MissingToken,
    /// 302 to this URL.
    Redirect(String),
    /// Closes the connection with a TCP reset instead of an answer.
    Reset,
    /// Success as 201 instead of 200.
    Status201,
    /// A signed URL at a foreign host.
    WrongHost,
    /// A conversation token that is no JWT.
    UndecodableJwt,
}

impl Fault {
    /// A status with the provider's envelope and no further headers.
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            headers: Vec::new(),
            body: None,
        }
    }

    /// A 429 with `Retry-After` in seconds.
    pub fn throttled(retry_after: u32) -> Self {
        Self::Status {
            code: 429,
            headers: vec![("retry-after".to_owned(), retry_after.to_string())],
            body: None,
        }
    }
}

/// Which calls a fault applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Any,
    /// Those to one provider.
    Provider(Provider),
    /// Those that present one API key.
    Key(String),
}

impl From<Provider> for Scope {
    fn from(provider: Provider) -> Self {
        Self::Provider(provider)
    }
}

impl Scope {
    fn covers(&self, called: Option<Provider>, presented: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Provider(provider) => called == Some(*provider),
            Self::Key(key) => presented == Some(key),
        }
    }
}

/// The faults in force.
#[derive(Default)]
pub(super) struct Faults(Vec<Rule>);

struct Rule {
    scope: Scope,
    /// How many more calls; `None` for all of them.
    left: Option<usize>,
    fault: Fault,
}

impl Faults {
    pub(super) fn add(&mut self, scope: Scope, left: Option<usize>, fault: Fault) {
        if left != Some(0) {
            self.0.push(Rule { scope, left, fault });
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn clear_for(&mut self, scope: &Scope) {
        self.0.retain(|rule| rule.scope != *scope);
    }

    /// The fault for a call: the oldest counted one, else the latest lasting one.
    pub(super) fn take(&mut self, called: Option<Provider>, key: Option<&str>) -> Option<Fault> {
        let covers = |rule: &Rule| rule.scope.covers(called, key);
        let counted = |rule: &Rule| rule.left.is_some() && covers(rule);
        let Some(at) = self.0.iter().position(counted) else {
            let lasting = self.0.iter().rev().find(|rule| covers(rule))?;
            return Some(lasting.fault.clone());
        };
        let rule = &mut self.0[at];
        let fault = rule.fault.clone();
        rule.left = rule.left.map(|left| left - 1);
        if rule.left == Some(0) {
            self.0.remove(at);
        }
        Some(fault)
    }
}
