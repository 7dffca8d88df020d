//! TLS in front of a plain server, as a gateway has it, or a company's proxy that looks into TLS.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

/// It serves as long as the runtime that it was started in.
pub struct Front {
    /// Where it listens, on loopback.
    pub addr: SocketAddr,
    /// The CA that signed its certificate, PEM.
    pub ca: String,
}

impl Front {
    /// With a certificate for `name`, signed by a CA of its own.
    pub async fn start(upstream: SocketAddr, name: &str) -> Result<Self> {
        Self::listen(upstream, name, false).await
    }

    /// The same behind CONNECT: a proxy that shows its own certificate in the place of `name`.
    pub async fn inspecting_proxy(upstream: SocketAddr, name: &str) -> Result<Self> {
        Self::listen(upstream, name, true).await
    }

    async fn listen(upstream: SocketAddr, name: &str, connect: bool) -> Result<Self> {
        let Certificate { acceptor, ca } = Certificate::new(name, &[])?;

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let expected = connect.then(|| format!("CONNECT {name}:"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, acceptor.clone(), upstream, expected.clone()));
            }
        });
        Ok(Self { addr, ca })
    }
}

/// A serving certificate, signed by a CA of its own.
pub(crate) struct Certificate {
    pub(crate) acceptor: TlsAcceptor,
    /// The CA, PEM.
    pub(crate) ca: String,
}

impl Certificate {
    /// For a host's name or address. `protocols` are offered in the handshake (ALPN), the favourite first.
    pub(crate) fn new(name: &str, protocols: &[&str]) -> Result<Self> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer is called like its subject for self-signed.
        ca.distinguished_name.push(DnType::CommonName, "testkit front CA");
        let ca_key = KeyPair::generate()?;
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec![name.to_owned()])?;
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )?;
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            ca: ca_pem,
        })
    }
}

async fn serve(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    upstream: SocketAddr,
    connect: Option<String>,
) -> Result<()> {
    if let Some(expected) = connect {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        ensure!(head.starts_with(expected.as_bytes()), "asked for another host");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    }
    let mut tls = acceptor.accept(stream).await?;
    let mut upstream = TcpStream::connect(upstream).await?;
    copy_bidirectional(&mut tls, &mut upstream).await?;
    Ok(())
}
