//! Google: the Security Token Service, <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>, and then,
//! to act as a service account,
//! <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken>. The
//! first is sent as a form, as Google's client libraries do.

use secrecy::ExposeSecret;
use serde_json::{Map, json};

use super::{
    Answer, Expiry, JWT, Request, Step, SubjectToken, TOKEN_EXCHANGE, UnusableReply, Wire, no_expiry, oauth_token,
    reply_object, to, token,
};
use crate::api::GoogleExchange;
use crate::mint::request::component;
use crate::mint::wire::rfc3339;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl Wire for GoogleExchange {
    fn start(&self, subject: &SubjectToken) -> Request {
        let audience = format!("//iam.googleapis.com/{}", self.workload_identity_provider);
        let form = [
            ("grant_type", TOKEN_EXCHANGE),
            ("audience", audience.as_str()),
            ("scope", SCOPE),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token", subject.value.expose_secret()),
            ("subject_token_type", JWT),
        ];
        let to = to("Google's Security Token Service", self.endpoint.as_ref(), Self::STS);
        Request::post_form("/v1/token", &form).to(to)
    }

    fn read(&self, nth: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        if nth > 0 {
            let mut reply = reply_object(body)?;
            let value = token(&mut reply, "accessToken")?;
            let end = reply.get("expireTime").and_then(rfc3339);
            let expiry = Expiry::At(end.ok_or_else(|| no_expiry("expireTime"))?);
            return Ok(Step::Done(Answer::new(value, expiry, Map::new())));
        }
        let Some(email) = &self.service_account_email else {
            return oauth_token(body);
        };
        let federated = token(&mut reply_object(body)?, "access_token")?;
        let path = format!(
            "/v1/projects/-/serviceAccounts/{}:generateAccessToken",
            component(email)
        );
        let body = json!({"scope": [SCOPE], "lifetime": "3600s"});
        let to = to(
            "Google's IAM Credentials API",
            self.endpoint.as_ref(),
            Self::CREDENTIALS,
        );
        Ok(Step::Send(
            Request::post_json(path, &body).to(to).bearer_token(&federated)?,
        ))
    }

    fn hint(&self, nth: usize, subject: &SubjectToken) -> String {
        match (&self.service_account_email, nth) {
            (Some(email), 1..) => format!(
                "Check workloadIdentity.google.serviceAccountEmail: {email} must exist and grant \
                 roles/iam.workloadIdentityUser to the identity of {}, and the IAM Credentials API must be enabled.",
                subject.subject
            ),
            _ => format!(
                "Check workloadIdentity.google: {} must trust the cluster's issuer and the audience {}, and its \
                 condition must admit {}.",
                self.workload_identity_provider, subject.audience, subject.subject
            ),
        }
    }
}
