//! The RealtimeToken as its manifest has it, checked as the API server and then the operator check it, and fitted to a
//! machine without a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::keeper::watch::{Mark, mark};
use crate::api::{DeletionPolicy, RENEW_REQUESTED_AT, RealtimeToken, SecretField, SecretKeyRef, TargetContent};
use crate::cli::mint::manifest::parse;
use crate::cli::mint::{MintCliError, input, key_name};
use crate::cluster::Scope;
use crate::issuer::Resolver;
use crate::mint::EndpointPolicy;
use crate::resolve::{MetadataPolicy, Resolved, provider_of};
use crate::token::{Blocked, hash};

/// The namespace of a manifest that names none, as kubectl has it.
const NAMESPACE: &str = "default";

/// What is wrong with a manifest, or with it and the flags beside it.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error(transparent)]
    Unreadable(#[from] MintCliError),
    #[error("{0}: {1}")]
    Wrong(String, String),
}

/// Where the RealtimeToken is read.
pub(super) struct Manifest {
    path: PathBuf,
    name: Option<String>,
    /// Whether tokens are handed out on request.
    serves: bool,
    resolver: Resolver,
}

/// A RealtimeToken that can be kept.
pub(super) struct Read {
    pub(super) token: RealtimeToken,
    /// The file's, from before it was read.
    pub(super) mark: Option<Mark>,
    /// What the user should know about this manifest without a cluster.
    pub(super) notes: Vec<String>,
}

impl Read {
    /// The name that the manifest gives to the first key.
    pub(super) fn first_key(&self) -> Option<String> {
        key_name(&self.token.spec).map(str::to_owned)
    }

    /// The values that the provider's key has.
    pub(super) fn secret_fields(&self) -> &'static [SecretField] {
        provider_of(&self.token.spec).map_or(&[], |provider| provider.secret_fields())
    }
}

impl Manifest {
    pub(super) fn new(path: PathBuf, name: Option<String>, serves: bool, endpoints: EndpointPolicy) -> Self {
        let scope = Scope {
            namespaces: Vec::new(),
            cluster_providers: false,
        };
        let (resolver, _) = Resolver::new(scope, String::new(), endpoints, MetadataPolicy::default());
        Self {
            path,
            name,
            serves,
            resolver,
        }
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Reads the RealtimeToken, and says what stands in the way of ever minting it.
    pub(super) fn read(&self) -> Result<Read, ManifestError> {
        let wrong = |problem: String| ManifestError::Wrong(input::name_of(&self.path), problem);
        // What can be read once only would hold up renewals when it is read again.
        if self.path == Path::new("-") || self.path.metadata().is_ok_and(|it| !it.is_file()) {
            return Err(wrong("is read again after each change: name a file with -f".into()));
        }
        let mark = mark(&self.path);
        let text = String::from_utf8(input::read(&self.path)?).map_err(|_| wrong("is not UTF-8 text".into()))?;
        let mut token = parse(&text, self.name.as_deref()).map_err(wrong)?;
        let notes = fit(&mut token);
        self.resolve(&token, Timestamp::UNIX_EPOCH)
            .map_err(|blocked| wrong(blocked.message))?;
        if token.spec.requests.is_some() && !self.serves {
            match token.spec.target.content {
                TargetContent::Connection => {
                    return Err(wrong(
                        "has target.content: Connection, so that tokens are only to be had on request: say where with \
                         --listen 127.0.0.1:8099"
                            .into(),
                    ));
                }
                TargetContent::Token => {}
            }
        }
        let mut read = Read { token, mark, notes };
        if let Some(note) = self.of_requests(&read.token) {
            read.notes.push(note);
        }
        Ok(read)
    }

    /// What to ask of whom.
    pub(super) fn resolve(&self, token: &RealtimeToken, now: Timestamp) -> Result<Resolved, Blocked> {
        self.resolver.resolve(token, now)
    }

    fn of_requests(&self, token: &RealtimeToken) -> Option<String> {
        match (token.spec.requests.is_some(), self.serves) {
            (true, false) => Some("spec.requests is of no use without --listen: no tokens are handed out".to_owned()),
            (false, true) => Some("--listen is of no use without spec.requests: every request is refused".to_owned()),
            _ => None,
        }
    }
}

/// Fits a RealtimeToken to a machine without a cluster, and says what is different.
fn fit(token: &mut RealtimeToken) -> Vec<String> {
    let mut notes = Vec::new();
    let meta = &mut token.metadata;
    let namespace = meta.namespace.get_or_insert_with(|| NAMESPACE.to_owned()).clone();
    let name = meta.name.clone().unwrap_or_default();
    meta.uid = Some(hash::short(format!("{namespace}/{name}").as_bytes()));
    let renew = meta
        .annotations
        .take()
        .and_then(|mut all| all.remove(RENEW_REQUESTED_AT));
    meta.annotations = renew.map(|at| BTreeMap::from([(RENEW_REQUESTED_AT.to_owned(), at)]));

    let credentials = &mut token.spec.credentials;
    if let Some(reference) = credentials.provider_ref.take() {
        notes.push(format!(
            "ClusterRealtimeProvider {} can't be looked up without a cluster: the provider's default host is asked, with a \
             key of this machine",
            reference.name
        ));
    }
    if let Some(identity) = credentials.workload_identity.take() {
        notes.push(format!(
            "no token of ServiceAccount {} can be exchanged without a cluster: a key of this machine is used",
            identity.service_account_name
        ));
    }
    if credentials.secret_ref.is_none() {
        credentials.secret_ref = Some(SecretKeyRef {
            name: name.clone(),
            key: None,
        });
    }
    // Files have no labels and no owner, and no kubelet comes between them and their readers.
    token.spec.target.deletion_policy = DeletionPolicy::Retain;
    if let Some(template) = &mut token.spec.target.template {
        template.metadata = None;
    }
    token.spec.renewal.propagation_seconds = 0;
    token.metadata.generation = Some(generation(token));
    token.status = None;
    notes
}

/// Another number for another spec, as the API server gives it.
fn generation(token: &RealtimeToken) -> i64 {
    let spec = serde_json::to_vec(&token.spec).unwrap_or_default(); // read from JSON a moment ago
    let digits = hash::short(&spec);
    i64::from_str_radix(&digits[1..], 16).unwrap_or(1)
}
