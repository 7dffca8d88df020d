//! One step of a mint, for the tests of the adapters.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::mint::*;

fn mint(expiration: i64, credential: &Credential) -> Mint<'_> {
    Mint {
        expiration: SignedDuration::from_secs(expiration),
        credential,
        namespace: "apps",
        subject: None,
        ask: None,
        now: Timestamp::UNIX_EPOCH,
        nonce: [0; 16],
    }
}

pub(crate) fn request(provider: &dyn Provider, expiration: i64, credential: &Credential) -> Result<Request, MintError> {
    match provider.start(&mint(expiration, credential))? {
        Step::Send(request) => Ok(request),
        Step::Done(_) => panic!("nothing to send"),
    }
}

pub(crate) fn answer(provider: &dyn Provider, expiration: i64, body: &[u8]) -> Result<Answer, UnusableReply> {
    match provider.read(&mint(expiration, &Credential::default()), 0, body)? {
        Step::Done(answer) => Ok(answer),
        Step::Send(_) => panic!("another request"),
    }
}
