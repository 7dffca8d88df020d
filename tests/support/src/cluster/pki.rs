//! The certificates and keys of one test cluster, and the kubeconfigs made of them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Result;
use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::local::SERVICE_ADDRESS;

/// A certificate authority of its own for each cluster, in the cluster's folder.
pub(super) struct Pki {
    folder: PathBuf,
    authority: Issuer<'static, KeyPair>,
    authority_pem: String,
}

/// A certificate and its key, PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Pki {
    /// Writes `ca.crt`, `serving.crt`, `serving.key`, `service-accounts.key` and `service-accounts.pub` into `folder`.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let authority_pem = params.self_signed(&key)?.pem();
        let pki = Self {
            folder: folder.to_owned(),
            authority: Issuer::new(params, key),
            authority_pem,
        };
        pki.write("ca.crt", &pki.authority_pem)?;

        let serving = pki.issue(
            "test cluster",
            None,
            &["127.0.0.1", "localhost", &SERVICE_ADDRESS.to_string()],
            ExtendedKeyUsagePurpose::ServerAuth,
        )?;
        pki.write("serving.crt", &serving.certificate)?;
        pki.write("serving.key", &serving.key)?;

        let service_accounts = KeyPair::generate()?;
        pki.write("service-accounts.key", &service_accounts.serialize_pem())?;
        pki.write("service-accounts.pub", &service_accounts.public_key_pem())?;
        Ok(pki)
    }

    /// The kubeconfig of a user with every right, written into the folder, with `admin.crt` and `admin.key` beside it.
    pub(super) fn admin_kubeconfig(&self, apiserver: SocketAddr) -> Result<PathBuf> {
        let admin = self.client("test-admin", Some("system:masters"))?;
        self.write("admin.crt", &admin.certificate)?;
        self.write("admin.key", &admin.key)?;
        self.write("kubeconfig", &self.text(&admin, apiserver))
    }

    /// The kubeconfig of another user, written into the folder as `<name>.kubeconfig`.
    pub(super) fn kubeconfig(
        &self,
        name: &str,
        user: &str,
        group: Option<&str>,
        apiserver: SocketAddr,
    ) -> Result<PathBuf> {
        let text = self.text(&self.client(user, group)?, apiserver);
        self.write(&format!("{name}.kubeconfig"), &text)
    }

    fn client(&self, user: &str, group: Option<&str>) -> Result<Pair> {
        self.issue(user, group, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn text(&self, user: &Pair, apiserver: SocketAddr) -> String {
        let base64 = |pem: &str| BASE64_STANDARD.encode(pem);
        format!(
            "apiVersion: v1
kind: Config
clusters:
- name: test
  cluster:
    server: https://{apiserver}
    certificate-authority-data: {ca}
users:
- name: user
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: test
  context:
    cluster: test
    user: user
current-context: test
",
            ca = base64(&self.authority_pem),
            certificate = base64(&user.certificate),
            key = base64(&user.key),
        )
    }

    fn issue(&self, name: &str, group: Option<&str>, hosts: &[&str], usage: ExtendedKeyUsagePurpose) -> Result<Pair> {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok(Pair {
            certificate: params.signed_by(&key, &self.authority)?.pem(),
            key: key.serialize_pem(),
        })
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.folder.join(name);
        fs::write(&file, text)?;
        Ok(file)
    }
}
