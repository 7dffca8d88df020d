//! What the stand-in remembers.

use std::collections::HashMap;
use std::time::Instant;

use hyper::body::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;

use super::Provider;
use super::asked;
use super::mint::Minted;

/// How much of each call is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// Every call with its body and token.
    Full,
    /// Only [`count`](super::StandIn::count), [`mints`](super::StandIn::mints) and
    /// [`complaints`](super::StandIn::complaints), for benches.
    Counts,
}

/// One call, recorded when its answer was decided.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came in.
    pub at: Instant,
    /// When it came in, by the true clock: the skew does not show here.
    pub time: Timestamp,
    /// The provider its path belongs to.
    pub provider: Option<Provider>,
    /// The method, in capitals.
    pub method: String,
    /// The path with its query, as sent.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The API key presented.
    pub api_key: Option<String>,
    /// The OpenAI safety identifier or the ElevenLabs agent id.
    pub identity: Option<String>,
    /// The status answered; `None` if a fault left the call without one.
    pub status: Option<u16>,
    /// The token handed out.
    pub token: Option<String>,
    /// Which rule of the provider it broke, even if a fault answered it.
    pub complaint: Option<String>,
}

impl Call {
    /// The value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        asked::header(&self.headers, name)
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// One token minted.
#[derive(Clone, Copy, Debug)]
pub struct Mint {
    /// When it was asked for.
    pub at: Instant,
    /// When it was asked for, by the true clock.
    pub time: Timestamp,
    /// When it ends, by the stand-in's clock.
    pub expires_at: Timestamp,
}

/// A token in a client's hands.
struct Issued {
    token: String,
    expires_at: Timestamp,
    single_use: bool,
    used: bool,
}

/// The records.
pub(super) struct Ledger {
    pub(super) recording: Recording,
    pub(super) calls: Vec<Call>,
    pub(super) mints: HashMap<String, Vec<Mint>>,
    pub(super) complaints: Vec<String>,
    issued: Vec<Issued>,
    count: watch::Sender<usize>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            recording: Recording::Full,
            calls: Vec::new(),
            mints: HashMap::new(),
            complaints: Vec::new(),
            issued: Vec::new(),
            count: watch::Sender::new(0),
        }
    }

    pub(super) fn count_watch(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    pub(super) fn note(&mut self, call: Call, minted: Option<Minted>) {
        self.complaints.extend(call.complaint.clone());
        if let Some(minted) = minted {
            let identity = call.identity.clone().unwrap_or_default();
            self.mints.entry(identity).or_default().push(Mint {
                at: call.at,
                time: call.time,
                expires_at: minted.expires_at,
            });
            if self.recording == Recording::Full {
                self.issued.push(Issued {
                    token: minted.token,
                    expires_at: minted.expires_at,
                    single_use: minted.single_use,
                    used: false,
                });
            }
        }
        if self.recording == Recording::Full {
            self.calls.push(call);
        }
        self.count.send_modify(|count| *count += 1);
    }

    pub(super) fn issued(&self) -> Vec<String> {
        self.issued.iter().map(|one| one.token.clone()).collect()
    }

    pub(super) fn redeem(&mut self, token: &str, now: Timestamp) -> Result<(), String> {
        let Some(issued) = self.issued.iter_mut().find(|one| one.token == token) else {
            return Err("the stand-in issued no such token".to_owned());
        };
        if now >= issued.expires_at {
            return Err(format!("the token expired at {}", issued.expires_at));
        }
        if issued.single_use && issued.used {
            return Err("the token is single-use and was used before".to_owned());
        }
        issued.used = true;
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.calls.clear();
        self.mints.clear();
        self.complaints.clear();
        self.issued.clear();
        self.count.send_replace(0);
    }
}
