//! OpenAI: <https://developers.openai.com/api/reference/workload-identity-federation>. JSON, as the reference and OpenAI's
//! SDKs send it. An access token never outlives the token it was exchanged for.

use secrecy::ExposeSecret;
use serde_json::json;

use super::{JWT, Request, Step, SubjectToken, TOKEN_EXCHANGE, UnusableReply, Wire, oauth_token, to};
use crate::api::OpenAiExchange;

impl Wire for OpenAiExchange {
    fn start(&self, subject: &SubjectToken) -> Request {
        let body = json!({
            "grant_type": TOKEN_EXCHANGE,
            "subject_token_type": JWT,
            "subject_token": subject.value.expose_secret(),
            "identity_provider_id": self.identity_provider_id,
            "service_account_id": self.service_account_id,
        });
        let to = to("OpenAI's token exchange", self.endpoint.as_ref(), Self::ORIGIN);
        Request::post_json("/oauth/token", &body).to(to)
    }

    fn read(&self, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        oauth_token(body)
    }

    fn hint(&self, _: usize, subject: &SubjectToken) -> String {
        format!(
            "Check workloadIdentity.openai: the provider {} must trust the cluster's issuer and the audience {}, and one \
             of its mappings must let {} use {}.",
            self.identity_provider_id, subject.audience, subject.subject, self.service_account_id
        )
    }
}
