//! Microsoft Entra: the client credentials grant with a federated credential,
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#third-case-access-token-request-with-a-federated-credential>.

use secrecy::ExposeSecret;

use super::{Request, Step, SubjectToken, UnusableReply, Wire, oauth_token, to};
use crate::api::AzureExchange;
use crate::mint::request::component;

/// The scope of Azure OpenAI and of Azure Speech.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Wire for AzureExchange {
    fn start(&self, subject: &SubjectToken) -> Request {
        let form = [
            ("client_id", self.client_id.as_str()),
            ("scope", self.scope.as_deref().unwrap_or(SCOPE)),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", subject.value.expose_secret()),
            ("grant_type", "client_credentials"),
        ];
        let path = format!("/{}/oauth2/v2.0/token", component(&self.tenant_id));
        Request::post_form(path, &form).to(to("Microsoft Entra", self.authority.as_ref(), Self::ORIGIN))
    }

    fn read(&self, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        oauth_token(body)
    }

    fn hint(&self, _: usize, subject: &SubjectToken) -> String {
        format!(
            "Check workloadIdentity.azure: {} in the tenant {} needs a federated credential with the cluster's issuer, \
             the subject {} and the audience {}.",
            self.client_id, self.tenant_id, subject.subject, subject.audience
        )
    }
}
