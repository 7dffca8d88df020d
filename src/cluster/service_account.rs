//! Tokens of ServiceAccounts, requested for one audience and one exchange. They are never stored.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};

use super::{ClusterError, Refusal, bounded};
use crate::mint::SubjectToken;
use crate::resolve::Identity;
use crate::token::MintError;

/// How long the token is to live. What it is exchanged for may live no longer (OpenAI), and a shorter life would bring
/// more exchanges.
const LIFE: i64 = 3600;

/// A token of the identity's ServiceAccount.
pub(crate) async fn request_token(client: &Client, identity: &Identity) -> Result<SubjectToken, MintError> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &identity.namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![identity.audience.clone()],
            expiration_seconds: Some(LIFE),
            bound_object_ref: None,
        },
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    let request = api.create_token_request(&identity.service_account, &params, &request);
    let answer = bounded(request).await.map_err(|problem| failed(identity, problem))?;
    let token = answer
        .status
        .map(|status| status.token)
        .filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| MintError::internal("the API server answered a TokenRequest without a token"))?;
    Ok(SubjectToken {
        value: token.into(),
        subject: identity.subject(),
        audience: identity.audience.clone(),
    })
}

fn failed(identity: &Identity, problem: ClusterError) -> MintError {
    let Identity {
        namespace,
        service_account: name,
        ..
    } = identity;
    match problem {
        ClusterError::NotFound => MintError::NoCredential {
            message: format!(
                "ServiceAccount {namespace}/{name} does not exist; create it with `kubectl create serviceaccount {name} \
                 -n {namespace}`"
            ),
        },
        ClusterError::Refused { code: 403, why, .. } if why != Refusal::Denied => MintError::NoCredential {
            message: format!(
                "the operator may not request tokens of ServiceAccount {namespace}/{name}: the platform team can add \
                 {name} to workloadIdentity.serviceAccountNames in the chart's values (create on serviceaccounts/token)"
            ),
        },
        ClusterError::Refused { .. } => MintError::NoCredential {
            message: format!("the API server gives no token of ServiceAccount {namespace}/{name}: {problem}"),
        },
        ClusterError::Conflict
        | ClusterError::Timeout(_)
        | ClusterError::Throttled(_)
        | ClusterError::Unavailable(_) => {
            MintError::internal(format!("no token of ServiceAccount {namespace}/{name}: {problem}"))
        }
    }
}
